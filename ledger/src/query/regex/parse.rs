//! Reads PCRE's patterns as PCRE 8 does on bytes, without a Unicode mode.
//!
//! What PCRE accepts and this does not is refused by name: back references, recursion, conditions, verbs,
//! `\X`, `\p`, and atomic groups that cannot be matched without backtracking.

use std::collections::BTreeMap;

use super::group::atomic;
use super::node::{Node, Place};
use super::refused;
use super::set::Set;
use crate::query::error::QueryError;

/// The most bytes of a pattern; PCRE's compiled form has the same limit.
const MAX_BYTES: usize = 64 << 10;
/// The highest count in braces.
const MAX_COUNT: u32 = 65_535;
/// Reads a pattern.
///
/// # Errors
/// PCRE refuses it, or it needs backtracking.
pub(super) fn parse(pattern: &str) -> Result<Node, QueryError> {
    if pattern.len() > MAX_BYTES {
        return Err(refused("the pattern is too large"));
    }
    if pattern.contains('\0') {
        // For PCRE it ends the pattern, and the rest would be ignored.
        return Err(refused("a NUL is written \\x00"));
    }
    let mut parser = Parser {
        bytes: pattern.as_bytes(),
        at: 0,
        depth: 0,
        groups: 0,
        is_quoted: false,
        numbers: BTreeMap::new(),
        names: BTreeMap::new(),
    };
    let branches = parser.branches(Options::default(), false)?;
    match parser.peek() {
        None => Ok(Node::either(branches)),
        Some(_) => Err(refused("a parenthesis was not opened")),
    }
}

#[derive(Clone, Copy, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the pattern language"
)]
pub(super) struct Options {
    pub(super) caseless: bool,
    pub(super) lines: bool,
    pub(super) all: bool,
    pub(super) extended: bool,
    /// `(?X)`: an escaped letter without a meaning is an error.
    pub(super) strict: bool,
    pub(super) duplicates: bool,
}

pub(super) struct Parser<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) depth: usize,
    /// The number of capturing groups so far: it decides whether `\10` is a group or a byte.
    pub(super) groups: u32,
    /// Whether the position is between `\Q` and `\E`.
    is_quoted: bool,
    pub(super) numbers: BTreeMap<&'a [u8], u32>,
    pub(super) names: BTreeMap<u32, &'a [u8]>,
}

/// The part of a group's branch that is read so far.
#[derive(Default)]
struct Branch {
    nodes: Vec<Node>,
    /// Whether the last of them may be repeated.
    is_repeatable: bool,
}

impl Branch {
    fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.is_repeatable = true;
    }

    fn push_once(&mut self, node: Node) {
        self.nodes.push(node);
        self.is_repeatable = false;
    }
}

/// The suffix of a quantifier.
#[derive(PartialEq)]
enum Manner {
    GivesBack,
    Keeps,
}

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Steps over a text, if it is next.
    pub(super) fn eat(&mut self, text: &[u8]) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    /// The branches up to the end of the group that is open.
    pub(super) fn branches(
        &mut self,
        mut options: Options,
        is_reset: bool,
    ) -> Result<Vec<Node>, QueryError> {
        let first = self.groups;
        let mut most = first;
        let mut branches = Vec::new();
        let mut branch = Branch::default();
        loop {
            if !self.is_quoted {
                self.skip_ignored(options)?;
            }
            match self.peek() {
                None => break,
                Some(b')') if !self.is_quoted => break,
                Some(b'|') if !self.is_quoted => {
                    self.at += 1;
                    branches.push(Node::sequence(std::mem::take(&mut branch).nodes));
                    if is_reset {
                        most = most.max(self.groups);
                        self.groups = first;
                    }
                }
                Some(_) => self.item(&mut branch, &mut options)?,
            }
        }
        self.groups = most.max(self.groups);
        branches.push(Node::sequence(branch.nodes));
        Ok(branches)
    }

    /// Skips comments, and with `(?x)` white space.
    fn skip_ignored(&mut self, options: Options) -> Result<(), QueryError> {
        loop {
            let (end, what) = if self.rest().starts_with(b"(?#") {
                (b')', "a comment is not closed")
            } else if options.extended && self.peek() == Some(b'#') {
                (b'\n', "")
            } else if options.extended
                && self.peek().is_some_and(|byte| Set::space().contains(byte))
            {
                self.at += 1;
                continue;
            } else {
                return Ok(());
            };
            match self.rest().iter().position(|byte| *byte == end) {
                Some(length) => self.at += length + 1,
                None if what.is_empty() => self.at = self.bytes.len(),
                None => return Err(refused(what)),
            }
        }
    }

    fn item(&mut self, branch: &mut Branch, options: &mut Options) -> Result<(), QueryError> {
        if self.is_quoted {
            if self.eat(b"\\E") {
                self.is_quoted = false;
            } else if let Some(byte) = self.next() {
                branch.push(literal(byte, *options));
            }
            return Ok(());
        }
        if let Some((least, most)) = self.count()? {
            return self.repeat(branch, *options, least, most);
        }
        match self.next() {
            None => (),
            Some(b'^') if options.lines => branch.push_once(Node::At(Place::LineStart)),
            Some(b'^') => branch.push_once(Node::At(Place::Start)),
            Some(b'$') if options.lines => branch.push_once(Node::At(Place::LineEnd)),
            Some(b'$') => branch.push_once(Node::At(Place::LastLineEnd)),
            Some(b'.') if options.all => branch.push(Node::One(Set::ALL)),
            Some(b'.') => branch.push(Node::One(Set::but_line_feed())),
            Some(b'[') => self.bracket(branch, *options)?,
            Some(b'(') => match self.group(options)? {
                Some(node) => branch.push(node),
                None => branch.is_repeatable = false,
            },
            Some(b'\\') => self.escaped(branch, *options)?,
            Some(byte) => branch.push(literal(byte, *options)),
        }
        Ok(())
    }

    /// A quantifier, if one is next; any other brace stands for itself.
    fn count(&mut self) -> Result<Option<(u32, Option<u32>)>, QueryError> {
        let count = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => return self.count_in_braces(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(count))
    }

    fn count_in_braces(&mut self) -> Result<Option<(u32, Option<u32>)>, QueryError> {
        let rest = self.rest();
        let Some(end) = braces_end(rest) else {
            return Ok(None);
        };
        self.at += end + 1;
        let inside = rest.get(1..end).unwrap_or_default();
        let mut bounds = inside.split(|byte| *byte == b',');
        let number = |digits: &[u8]| {
            let mut number = 0_u32;
            for digit in digits {
                number = number * 10 + u32::from(digit - b'0');
                if number > MAX_COUNT {
                    return Err(refused("a number in braces is too big"));
                }
            }
            Ok(number)
        };
        let least = number(bounds.next().unwrap_or_default())?;
        let most = match bounds.next() {
            None => Some(least),
            Some([]) => None,
            Some(digits) => Some(number(digits)?),
        };
        if most.is_some_and(|most| most < least) {
            return Err(refused("numbers in braces are out of order"));
        }
        Ok(Some((least, most)))
    }

    fn repeat(
        &mut self,
        branch: &mut Branch,
        options: Options,
        least: u32,
        most: Option<u32>,
    ) -> Result<(), QueryError> {
        self.skip_ignored(options)?;
        let manner = if self.eat(b"+") {
            Manner::Keeps
        } else {
            // The preference among matches changes nothing.
            self.eat(b"?");
            Manner::GivesBack
        };
        let before = branch.nodes.pop().filter(|_| branch.is_repeatable);
        let before = before.ok_or_else(|| refused("there is nothing to repeat"))?;
        let node = before.repeat(least, most);
        branch.push_once(match manner {
            Manner::GivesBack => node,
            Manner::Keeps => atomic(node)?,
        });
        Ok(())
    }

    /// An escape outside brackets; the backslash is read already.
    fn escaped(&mut self, branch: &mut Branch, options: Options) -> Result<(), QueryError> {
        let letter = match self.escape(options, false)? {
            Escape::Byte(byte) => {
                branch.push(literal(byte, options));
                return Ok(());
            }
            Escape::Letter(letter) => letter,
        };
        if let Some(set) = letter_set(letter) {
            branch.push(Node::One(set));
            return Ok(());
        }
        match letter {
            b'Q' => self.is_quoted = !self.eat(b"\\E"),
            b'E' => (),
            // The place where a match begins does not matter, and the search begins at the start.
            b'K' => branch.push_once(Node::Empty),
            b'A' | b'G' => branch.push_once(Node::At(Place::Start)),
            b'z' => branch.push_once(Node::At(Place::End)),
            b'Z' => branch.push_once(Node::At(Place::LastLineEnd)),
            b'b' => branch.push_once(Node::At(Place::WordEdge)),
            b'B' => branch.push_once(Node::At(Place::NoWordEdge)),
            b'C' => branch.push(Node::One(Set::ALL)),
            b'N' => branch.push(Node::One(Set::but_line_feed())),
            b'R' => branch.push(line_break()),
            letter => {
                let letter = char::from(letter);
                return Err(refused(format!("\\{letter} is not supported")));
            }
        }
        Ok(())
    }

    fn bracket(&mut self, branch: &mut Branch, options: Options) -> Result<(), QueryError> {
        for (text, is_ahead) in [(b"[:<:]]", true), (b"[:>:]]", false)] {
            if self.eat(text) {
                branch.push(Node::At(Place::WordEdge));
                branch.push(Node::One(Set::word()).look(is_ahead, true));
                return Ok(());
            }
        }
        if self.posix_end(self.at).is_some() {
            return Err(refused("[: :], [. .] and [= =] stand inside of brackets"));
        }
        branch.push(Node::One(self.class(options)?));
        Ok(())
    }
}

/// The meaning of an escape.
pub(super) enum Escape {
    Byte(u8),
    /// A letter that means more than a byte.
    Letter(u8),
}

fn literal(byte: u8, options: Options) -> Node {
    let set = Set::one(byte);
    Node::One(if options.caseless {
        set.in_any_case()
    } else {
        set
    })
}

/// The set of an escaped letter.
pub(super) fn letter_set(letter: u8) -> Option<Set> {
    let set = match letter.to_ascii_lowercase() {
        b'd' => Set::digits(),
        b's' => Set::space(),
        b'w' => Set::word(),
        b'h' => Set::horizontal(),
        b'v' => Set::vertical(),
        _ => return None,
    };
    Some(if letter.is_ascii_uppercase() {
        set.complement()
    } else {
        set
    })
}

/// `\R`, which never takes half of a carriage return and a line feed.
fn line_break() -> Node {
    let [cr, lf] = [b'\r', b'\n'].map(|byte| Node::One(Set::one(byte)));
    let alone = lf.clone().look(true, false);
    Node::Either(vec![
        Node::Sequence(vec![cr.clone(), lf]),
        Node::One(Set::of(&[(10, 12), (0x85, 0x85)])),
        Node::Sequence(vec![cr, alone]),
    ])
}

/// The end of `{n}`, `{n,}` or `{n,m}`.
pub(super) fn braces_end(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = 1 + digits(1);
    if text.first() != Some(&b'{') || at == 1 {
        return None;
    }
    if text.get(at) == Some(&b',') {
        at += 1;
        at += digits(at);
    }
    (text.get(at) == Some(&b'}')).then_some(at)
}
