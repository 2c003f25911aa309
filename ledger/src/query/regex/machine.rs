//! Patterns by simulation: every way to match at once, in time of text times pattern. It knows what the
//! engine does not: looking around, lines as PCRE has them, and words of Latin-1.
//!
//! What is looked for around a place is found for all places first, in one walk over the text:
//! backwards for what is ahead, forwards for what is behind.

use super::node::{Node, Place};
use super::refused;
use super::set::Set;
use crate::query::error::QueryError;

/// Most steps of a pattern.
const MAX_STEPS: usize = 16 << 10;
/// Most parts of a pattern that look around: each costs a bit for every byte of a text.
const MAX_LOOKS: usize = 32;

/// A pattern made ready.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    main: Program,
    /// Each after those that it needs.
    looks: Vec<Look>,
    word: Set,
}

#[derive(Clone, Debug)]
struct Look {
    is_ahead: bool,
    program: Program,
}

#[derive(Clone, Debug)]
struct Program {
    steps: Vec<Step>,
    first: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Match,
    One(Set, usize),
    Both(usize, usize),
    At(Place, usize),
    Look {
        number: usize,
        wanted: bool,
        next: usize,
    },
}

impl Machine {
    /// # Errors
    /// The pattern is too large.
    pub(super) fn new(node: &Node) -> Result<Self, QueryError> {
        let mut builder = Builder::default();
        let main = builder.program(node, false)?;
        Ok(Self {
            main,
            looks: builder.looks,
            word: Set::word(),
        })
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        let mut marks: Vec<Marks> = Vec::with_capacity(self.looks.len());
        for look in &self.looks {
            let mut found = Marks::new(text.len());
            self.walk(&look.program, text, &marks, look.is_ahead, |at| {
                found.set(at);
                false
            });
            marks.push(found);
        }
        let mut is_found = false;
        self.walk(&self.main, text, &marks, false, |_| {
            is_found = true;
            true
        });
        is_found
    }

    /// Calls `found` with every place where the program ends that may begin anywhere, until it says so.
    fn walk(
        &self,
        program: &Program,
        text: &[u8],
        marks: &[Marks],
        is_backward: bool,
        mut found: impl FnMut(usize) -> bool,
    ) {
        let is_anchored = !is_backward && program.begins_at_start();
        // In which round a step was seen last.
        let mut seen = vec![0; program.steps.len()];
        let mut open = Vec::new();
        let mut bytes = Vec::new();
        for round in 0..=text.len() {
            let at = if is_backward {
                text.len() - round
            } else {
                round
            };
            if round == 0 || !is_anchored {
                open.push(program.first);
            } else if open.is_empty() {
                return;
            }
            bytes.clear();
            let mut is_end = false;
            while let Some(number) = open.pop() {
                match seen.get_mut(number) {
                    Some(last) if *last != round + 1 => *last = round + 1,
                    _ => continue,
                }
                match program.steps.get(number) {
                    Some(Step::Match) => is_end = true,
                    Some(Step::One(set, next)) => bytes.push((*set, *next)),
                    Some(Step::Both(one, other)) => open.extend([*one, *other]),
                    Some(Step::At(place, next)) if self.holds(*place, text, at) => open.push(*next),
                    Some(Step::Look {
                        number,
                        wanted,
                        next,
                    }) if marks
                        .get(*number)
                        .is_some_and(|marks| marks.has(at) == *wanted) =>
                    {
                        open.push(*next);
                    }
                    Some(Step::At(..) | Step::Look { .. }) | None => (),
                }
            }
            if is_end && found(at) {
                return;
            }
            let byte = if is_backward {
                at.checked_sub(1)
            } else {
                Some(at)
            };
            let byte = byte.and_then(|at| text.get(at));
            if let Some(byte) = byte {
                let taken = bytes.iter().filter(|(set, _)| set.contains(*byte));
                open.extend(taken.map(|(_, next)| *next));
            }
        }
    }

    fn holds(&self, place: Place, text: &[u8], at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        let after = text.get(at);
        let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| self.word.contains(*byte));
        match place {
            Place::Start => before.is_none(),
            Place::LineStart => before.is_none() || (before == Some(&b'\n') && after.is_some()),
            Place::End => after.is_none(),
            Place::LastLineEnd => {
                after.is_none() || (after == Some(&b'\n') && at + 1 == text.len())
            }
            Place::LineEnd => after.is_none() || after == Some(&b'\n'),
            Place::WordEdge => is_word(before) != is_word(after),
            Place::NoWordEdge => is_word(before) == is_word(after),
        }
    }
}

impl Program {
    fn begins_at_start(&self) -> bool {
        matches!(self.steps.get(self.first), Some(Step::At(Place::Start, _)))
    }
}

/// A bit for every place in a text.
struct Marks(Vec<u64>);

impl Marks {
    fn new(length: usize) -> Self {
        Self(vec![0; length / 64 + 1])
    }

    fn set(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn has(&self, at: usize) -> bool {
        self.0
            .get(at / 64)
            .is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

#[derive(Default)]
struct Builder<'a> {
    looks: Vec<Look>,
    /// The parts that `looks` are of: a part that is repeated is looked for once.
    known: Vec<&'a Node>,
    /// Of all programs.
    steps: usize,
}

/// A program that is being made, from its end on.
struct Unfinished {
    steps: Vec<Step>,
    is_backward: bool,
}

impl<'a> Builder<'a> {
    fn program(&mut self, node: &'a Node, is_backward: bool) -> Result<Program, QueryError> {
        let mut program = Unfinished {
            steps: Vec::new(),
            is_backward,
        };
        let end = self.push(&mut program, Step::Match)?;
        let first = self.put(&mut program, node, end)?;
        Ok(Program {
            steps: program.steps,
            first,
        })
    }

    fn push(&mut self, program: &mut Unfinished, step: Step) -> Result<usize, QueryError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(refused("the pattern is too large"));
        }
        program.steps.push(step);
        Ok(program.steps.len() - 1)
    }

    /// Puts a part before what follows it; returns where it begins.
    fn put(
        &mut self,
        program: &mut Unfinished,
        node: &'a Node,
        next: usize,
    ) -> Result<usize, QueryError> {
        match node {
            Node::Empty => Ok(next),
            Node::One(set) => self.push(program, Step::One(*set, next)),
            Node::At(place) => self.push(program, Step::At(*place, next)),
            Node::Look {
                is_ahead,
                wanted,
                inner,
            } => {
                let number = self.look(inner, *is_ahead)?;
                let wanted = *wanted;
                let step = Step::Look {
                    number,
                    wanted,
                    next,
                };
                self.push(program, step)
            }
            Node::Sequence(nodes) if program.is_backward => nodes
                .iter()
                .try_fold(next, |next, node| self.put(program, node, next)),
            Node::Sequence(nodes) => nodes
                .iter()
                .rev()
                .try_fold(next, |next, node| self.put(program, node, next)),
            Node::Either(nodes) => {
                let mut nodes = nodes.iter().rev();
                let Some(last) = nodes.next() else {
                    return Ok(next);
                };
                let last = self.put(program, last, next)?;
                nodes.try_fold(last, |other, node| {
                    let one = self.put(program, node, next)?;
                    self.push(program, Step::Both(one, other))
                })
            }
            Node::Repeat { inner, least, most } => {
                self.put_repeat(program, inner, (*least, *most), next)
            }
        }
    }

    fn put_repeat(
        &mut self,
        program: &mut Unfinished,
        inner: &'a Node,
        (least, most): (u32, Option<u32>),
        next: usize,
    ) -> Result<usize, QueryError> {
        let mut first = next;
        match most {
            None => {
                first = self.push(program, Step::Both(next, next))?;
                let again = self.put(program, inner, first)?;
                if let Some(step) = program.steps.get_mut(first) {
                    *step = Step::Both(again, next);
                }
            }
            Some(most) => {
                for _ in least..most {
                    let one = self.put(program, inner, first)?;
                    first = self.push(program, Step::Both(one, next))?;
                }
            }
        }
        for _ in 0..least {
            let before = first;
            first = self.put(program, inner, first)?;
            if first == before {
                // It is empty, however often.
                break;
            }
        }
        Ok(first)
    }

    fn look(&mut self, inner: &'a Node, is_ahead: bool) -> Result<usize, QueryError> {
        let is_this = |known: &&Node| std::ptr::eq(*known, inner);
        if let Some(number) = self.known.iter().position(is_this) {
            return Ok(number);
        }
        let program = self.program(inner, is_ahead)?;
        if self.looks.len() >= MAX_LOOKS {
            return Err(refused("it looks around too often"));
        }
        self.looks.push(Look { is_ahead, program });
        self.known.push(inner);
        Ok(self.looks.len() - 1)
    }
}
