//! Matches patterns by simulation: it follows all ways to match at once, in a time of text times pattern. It
//! knows what the engine does not know: look-around, lines as in PCRE, and words of Latin-1.
//!
//! Look-around is first found for all places, in one walk over the text: backwards for look-ahead, forwards
//! for look-behind.

use super::node::{Node, Place};
use super::refused;
use super::set::Set;
use crate::query::error::QueryError;
use crate::query::work::{Exceeded, Meter, Spend};

/// The most steps of a pattern.
pub(super) const MAX_STEPS: u64 = 16 << 10;
/// The most steps of a pattern that was accepted before steps were counted. The bound then was a megabyte of
/// the engine's instructions, which have 16 bytes or more.
pub(super) const MAX_STORED_STEPS: u64 = 64 << 10;
/// The most look-around parts of a pattern: each costs a bit for every byte of a text.
const MAX_LOOKS: usize = 32;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    main: Program,
    /// Each comes after those that it needs.
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
    /// Compiles a pattern that is [checked](check).
    pub(super) fn new(node: &Node) -> Self {
        let mut builder = Builder::default();
        let main = builder.program(node, false);
        Self {
            main,
            looks: builder.looks,
            word: Set::word(),
        }
    }

    /// Whether the text has a match.
    ///
    /// # Errors
    /// The meter's steps are spent.
    pub(super) fn is_match(&self, text: &[u8], meter: &mut Meter) -> Result<bool, Exceeded> {
        let mut marks: Vec<Marks> = Vec::with_capacity(self.looks.len());
        for look in &self.looks {
            let mut found = Marks::new(text.len());
            self.walk(&look.program, (text, &marks), look.is_ahead, meter, |at| {
                found.set(at);
                false
            })?;
            marks.push(found);
        }
        let mut is_found = false;
        self.walk(&self.main, (text, &marks), false, meter, |_| {
            is_found = true;
            true
        })?;
        Ok(is_found)
    }

    /// Lets the program begin anywhere, and calls `found` with every place where it ends, until `found` says
    /// so.
    fn walk(
        &self,
        program: &Program,
        (text, marks): (&[u8], &[Marks]),
        is_backward: bool,
        meter: &mut Meter,
        mut found: impl FnMut(usize) -> bool,
    ) -> Result<(), Exceeded> {
        let is_anchored = !is_backward && program.begins_at_start();
        let mut work = Work::new(meter, program.steps.len());
        // The round in which each step was seen last.
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
                break;
            }
            bytes.clear();
            let mut is_end = false;
            while let Some(number) = open.pop() {
                work.count()?;
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
                break;
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
        work.tell()
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

/// Steps of a walk that the meter must still count.
struct Work<'a> {
    meter: &'a mut Meter,
    counted: u64,
}

impl<'a> Work<'a> {
    /// How many are counted at once.
    const TOLD: u64 = 1 << 10;

    fn new(meter: &'a mut Meter, steps: usize) -> Self {
        // First a place is made for every step.
        let counted = 4 + steps as u64 / 16;
        Self { meter, counted }
    }

    fn count(&mut self) -> Result<(), Exceeded> {
        self.counted += 1;
        if self.counted >= Self::TOLD {
            self.tell()?;
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<(), Exceeded> {
        let steps = std::mem::take(&mut self.counted);
        // A fixed meter has counted the maximum already.
        if self.meter.is_fixed() {
            return Ok(());
        }
        self.meter.spend(Spend::Patterns, steps)
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

/// Checks that a pattern has at most `most` steps, before anything is made of it. Returns the number.
///
/// # Errors
/// It has too many steps, or too many look-around parts.
pub(super) fn check(node: &Node, most: u64) -> Result<u64, QueryError> {
    let mut looks = Looks::default();
    let main = of_part(node, &mut looks);
    let steps = main.saturating_add(looks.steps).saturating_add(1);
    if steps > most {
        return Err(refused("the pattern is too large"));
    }
    if looks.count > MAX_LOOKS {
        return Err(refused("it has too many look-around parts"));
    }
    Ok(steps)
}

/// The programs for a pattern's look-around.
#[derive(Default)]
struct Looks {
    count: usize,
    steps: u64,
}

/// The steps of a part. The steps of its look-around programs are counted separately, and only once, however
/// often the part is repeated.
fn of_part(node: &Node, looks: &mut Looks) -> u64 {
    match node {
        Node::Empty => 0,
        Node::One(_) | Node::At(_) => 1,
        Node::Look { inner, .. } => {
            let program = of_part(inner, looks).saturating_add(1);
            looks.count += 1;
            looks.steps = looks.steps.saturating_add(program);
            1
        }
        Node::Sequence(nodes) => nodes
            .iter()
            .fold(0, |sum: u64, node| sum.saturating_add(of_part(node, looks))),
        Node::Either(nodes) => {
            let forks = nodes.len().saturating_sub(1) as u64;
            let parts = nodes.iter().map(|node| of_part(node, looks));
            parts.fold(forks, u64::saturating_add)
        }
        Node::Repeat { inner, least, most } => {
            let one = of_part(inner, looks);
            let again = match most {
                None => one.saturating_add(1),
                Some(most) => {
                    let more = u64::from(most.saturating_sub(*least));
                    one.saturating_add(1).saturating_mul(more)
                }
            };
            again.saturating_add(one.saturating_mul((*least).into()))
        }
    }
}

#[derive(Default)]
struct Builder<'a> {
    looks: Vec<Look>,
    /// The parts for which `looks` are: a repeated part has only one program.
    known: Vec<&'a Node>,
}

/// A program that is being made from its end.
struct Unfinished {
    steps: Vec<Step>,
    is_backward: bool,
}

impl Unfinished {
    /// Returns the place of the step.
    fn push(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }
}

impl<'a> Builder<'a> {
    fn program(&mut self, node: &'a Node, is_backward: bool) -> Program {
        let mut program = Unfinished {
            steps: Vec::new(),
            is_backward,
        };
        let end = program.push(Step::Match);
        let first = self.put(&mut program, node, end);
        Program {
            steps: program.steps,
            first,
        }
    }

    /// Puts a part before what follows it. Returns its beginning.
    fn put(&mut self, program: &mut Unfinished, node: &'a Node, next: usize) -> usize {
        match node {
            Node::Empty => next,
            Node::One(set) => program.push(Step::One(*set, next)),
            Node::At(place) => program.push(Step::At(*place, next)),
            Node::Look {
                is_ahead,
                wanted,
                inner,
            } => {
                let number = self.look(inner, *is_ahead);
                let wanted = *wanted;
                let step = Step::Look {
                    number,
                    wanted,
                    next,
                };
                program.push(step)
            }
            Node::Sequence(nodes) if program.is_backward => nodes
                .iter()
                .fold(next, |next, node| self.put(program, node, next)),
            Node::Sequence(nodes) => nodes
                .iter()
                .rev()
                .fold(next, |next, node| self.put(program, node, next)),
            Node::Either(nodes) => {
                let mut nodes = nodes.iter().rev();
                let Some(last) = nodes.next() else {
                    return next;
                };
                let last = self.put(program, last, next);
                nodes.fold(last, |other, node| {
                    let one = self.put(program, node, next);
                    program.push(Step::Both(one, other))
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
    ) -> usize {
        let mut first = next;
        match most {
            None => {
                first = program.push(Step::Both(next, next));
                let again = self.put(program, inner, first);
                if let Some(step) = program.steps.get_mut(first) {
                    *step = Step::Both(again, next);
                }
            }
            Some(most) => {
                for _ in least..most {
                    let one = self.put(program, inner, first);
                    first = program.push(Step::Both(one, next));
                }
            }
        }
        for _ in 0..least {
            let before = first;
            first = self.put(program, inner, first);
            if first == before {
                // It is empty, however often it is repeated.
                break;
            }
        }
        first
    }

    fn look(&mut self, inner: &'a Node, is_ahead: bool) -> usize {
        let is_this = |known: &&Node| std::ptr::eq(*known, inner);
        if let Some(number) = self.known.iter().position(is_this) {
            return number;
        }
        let program = self.program(inner, is_ahead);
        self.looks.push(Look { is_ahead, program });
        self.known.push(inner);
        self.looks.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn steps_are_counted_as_they_are_made() {
        for pattern in [
            "",
            "abc",
            "a|b|cd",
            "(a{2,5}|b*){3}\\b",
            "(?:(?=a\\b)x){4}(?<!b|c)(?:){9}",
            "(x{0,9}){0,9}y0",
            "(?=(?!a(?<=b)))+c",
        ] {
            let node = parse(pattern).unwrap();
            let machine = Machine::new(&node);
            let looks = machine.looks.iter().map(|look| &look.program);
            let made = looks.chain([&machine.main]);
            let made: usize = made.map(|program| program.steps.len()).sum();
            assert_eq!(check(&node, MAX_STEPS).unwrap(), made as u64, "{pattern}");
        }
        let bomb = parse("(x{0,65535}){0,65535}").unwrap();
        assert_eq!(of_part(&bomb, &mut Looks::default()), 65_535 * 131_071);
        assert!(check(&bomb, MAX_STORED_STEPS).is_err());
        let limit = format!("a{{{}}}", MAX_STEPS - 1);
        assert_eq!(
            check(&parse(&limit).unwrap(), MAX_STEPS).unwrap(),
            MAX_STEPS
        );
    }
}
