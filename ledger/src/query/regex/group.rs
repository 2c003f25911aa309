//! Parses what is in parentheses.

use super::node::Node;
use super::parse::{Options, Parser};
use super::refused;
use super::set::Set;
use crate::query::error::QueryError;

/// Deepest nesting of groups, as in PCRE.
const MAX_DEPTH: usize = 250;
/// Longest name of a group.
const MAX_NAME: usize = 32;

const UNSUPPORTED: &str = "back references, recursion, conditions and verbs are not supported";

impl Parser<'_> {
    /// The part that a parenthesis opens; `None` if it only sets options.
    pub(super) fn group(&mut self, options: &mut Options) -> Result<Option<Node>, QueryError> {
        let is_verb = |byte: &u8| *byte == b':' || byte.is_ascii_alphabetic() || !byte.is_ascii();
        match self.rest() {
            [b'*', byte, ..] if is_verb(byte) => return Err(refused(UNSUPPORTED)),
            [b'?', ..] => self.at += 1,
            _ => {
                self.groups += 1;
                return self.plain(*options).map(Some);
            }
        }
        let options_inside = *options;
        match self.rest() {
            [b'C', ..] => return self.callout(),
            [b'|', ..] => {
                self.at += 1;
                let branches = self.inside(options_inside, true)?;
                return Ok(Some(Node::either(branches)));
            }
            [b'>', ..] => {
                self.at += 1;
                return atomic(self.plain(options_inside)?).map(Some);
            }
            [sign @ (b'=' | b'!'), ..] => {
                self.at += 1;
                let inner = self.plain(options_inside)?;
                return Ok(Some(inner.look(true, *sign == b'=')));
            }
            [b'<', sign @ (b'=' | b'!'), ..] => {
                self.at += 2;
                return self.behind(options_inside, *sign == b'=').map(Some);
            }
            [b'<' | b'\'', ..] | [b'P', b'<', ..] => {
                self.name(*options)?;
                return self.plain(options_inside).map(Some);
            }
            [b'(' | b'R' | b'&' | b'+' | b'0'..=b'9', ..]
            | [b'-', b'0'..=b'9', ..]
            | [b'P', b'=' | b'>', ..] => return Err(refused(UNSUPPORTED)),
            _ => (),
        }
        let set = self.flags(*options)?;
        if self.eat(b")") {
            *options = set;
            return Ok(None);
        }
        self.at += 1;
        self.plain(set).map(Some)
    }

    /// The inside of a group and its end.
    fn inside(&mut self, options: Options, is_reset: bool) -> Result<Vec<Node>, QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(refused("parentheses are nested too deep"));
        }
        let branches = self.branches(options, is_reset)?;
        self.depth -= 1;
        if !self.eat(b")") {
            return Err(refused("a parenthesis is not closed"));
        }
        Ok(branches)
    }

    fn plain(&mut self, options: Options) -> Result<Node, QueryError> {
        Ok(Node::either(self.inside(options, false)?))
    }

    fn behind(&mut self, options: Options, wanted: bool) -> Result<Node, QueryError> {
        let branches = self.inside(options, false)?;
        if branches.iter().any(|branch| branch.length().is_none()) {
            return Err(refused("a look-behind has no fixed length"));
        }
        Ok(Node::either(branches).look(false, wanted))
    }

    /// A callout to the program that uses PCRE, which does nothing here.
    fn callout(&mut self) -> Result<Option<Node>, QueryError> {
        self.at += 1;
        let mut number = 0_u32;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = (number * 10 + u32::from(digit - b'0')).min(1000);
            self.at += 1;
        }
        if number > 255 || !self.eat(b")") {
            return Err(refused("(?C is followed by a number up to 255 and )"));
        }
        Ok(None)
    }

    fn name(&mut self, options: Options) -> Result<(), QueryError> {
        self.eat(b"P");
        let end = if self.next() == Some(b'<') {
            b'>'
        } else {
            b'\''
        };
        let rest = self.rest();
        let is_word = |byte: &&u8| Set::word().contains(**byte);
        let length = rest.iter().take_while(is_word).count();
        let name = rest.get(..length).unwrap_or_default();
        let is_name = name.first().is_some_and(|first| !first.is_ascii_digit());
        if !is_name || length > MAX_NAME || rest.get(length) != Some(&end) {
            return Err(refused("the name of a group is not valid"));
        }
        self.at += length + 1;
        self.groups += 1;
        let number = self.groups;
        let is_double = self
            .names
            .insert(number, name)
            .is_some_and(|old| old != name)
            || (self
                .numbers
                .insert(name, number)
                .is_some_and(|old| old != number)
                && !options.duplicates);
        if is_double {
            return Err(refused("two groups have one name, or one group has two"));
        }
        Ok(())
    }

    /// `(?i)` and similar flags, up to their end.
    fn flags(&mut self, mut options: Options) -> Result<Options, QueryError> {
        let mut is_on = true;
        loop {
            let flag = match self.peek() {
                Some(b')' | b':') => return Ok(options),
                Some(b'-') => {
                    is_on = false;
                    self.at += 1;
                    continue;
                }
                Some(b'i') => &mut options.caseless,
                Some(b'm') => &mut options.lines,
                Some(b's') => &mut options.all,
                Some(b'x') => &mut options.extended,
                Some(b'X') => &mut options.strict,
                Some(b'J') => &mut options.duplicates,
                // The preference among matches changes nothing.
                Some(b'U') => &mut true,
                _ => return Err(refused("the text after (? is not known")),
            };
            *flag = is_on;
            self.at += 1;
        }
    }
}

/// The part without backtracking: there must be only one way to match, or the next byte must decide.
pub(super) fn atomic(node: Node) -> Result<Node, QueryError> {
    if node.length().is_some() {
        return Ok(node);
    }
    match node {
        Node::Repeat { inner, least, most } => match *inner {
            Node::One(set) => Ok(Node::run(set, least, most)),
            _ => Err(refused(
                "possessive quantifiers of groups are not supported",
            )),
        },
        _ => Err(refused("atomic groups are not supported")),
    }
}
