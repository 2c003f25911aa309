//! The parts of a pattern: everything that PCRE writes in many ways is one of these few.

use super::set::Set;

/// A pattern or a part of a pattern. Captures, and the preference among several matches, do not matter: a
/// text has a match or it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// The empty text.
    Empty,
    /// One byte.
    One(Set),
    /// No byte, in a place where a condition holds.
    At(Place),
    /// No byte, in a place where another pattern matches from here on, or up to here, or does not match.
    Look {
        is_ahead: bool,
        wanted: bool,
        inner: Box<Node>,
    },
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Repeat {
        inner: Box<Node>,
        least: u32,
        most: Option<u32>,
    },
}

/// A condition on a place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `\A`
    Start,
    /// `^` of lines: also after a line feed that does not end the text.
    LineStart,
    /// `\z`
    End,
    /// `$` and `\Z`: also before a line feed that ends the text.
    LastLineEnd,
    /// `$` of lines: before every line feed.
    LineEnd,
    /// `\b`
    WordEdge,
    /// `\B`
    NoWordEdge,
}

impl Node {
    pub(super) fn sequence(mut nodes: Vec<Node>) -> Node {
        match nodes.len() {
            0 => Node::Empty,
            1 => nodes.swap_remove(0),
            _ => Node::Sequence(nodes),
        }
    }

    pub(super) fn either(mut nodes: Vec<Node>) -> Node {
        match nodes.len() {
            1 => nodes.swap_remove(0),
            _ => Node::Either(nodes),
        }
    }

    pub(super) fn repeat(self, least: u32, most: Option<u32>) -> Node {
        Node::Repeat {
            inner: Box::new(self),
            least,
            most,
        }
    }

    pub(super) fn look(self, is_ahead: bool, wanted: bool) -> Node {
        Node::Look {
            is_ahead,
            wanted,
            inner: Box::new(self),
        }
    }

    /// All bytes of a set that follow, without backtracking: only `most` of them, or another byte, ends the
    /// run.
    pub(super) fn run(set: Set, least: u32, most: Option<u32>) -> Node {
        let one = Node::One(set);
        let ended = one.clone().look(true, false);
        let whole = |most| vec![one.clone().repeat(least, most), ended.clone()];
        match most {
            None => Node::Sequence(whole(None)),
            Some(most) if most == least => one.repeat(least, Some(most)),
            Some(most) => Node::Either(vec![
                Node::Sequence(whole(Some(most - 1))),
                one.repeat(most, Some(most)),
            ]),
        }
    }

    /// How many bytes it matches, if that is always the same.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Node::Empty | Node::At(_) | Node::Look { .. } => Some(0),
            Node::One(_) => Some(1),
            Node::Sequence(nodes) => nodes
                .iter()
                .try_fold(0_u64, |sum, node| sum.checked_add(node.length()?)),
            Node::Either(nodes) => {
                let mut lengths = nodes.iter().map(Node::length);
                let first = lengths.next()??;
                lengths.all(|length| length == Some(first)).then_some(first)
            }
            // If a group may be left out, PCRE does not know its length.
            Node::Repeat {
                inner,
                most: Some(0),
                ..
            } if !matches!(**inner, Node::One(_)) => None,
            Node::Repeat { inner, least, most } => {
                let length = inner.length()?;
                (Some(*least) == *most).then(|| length.saturating_mul(u64::from(*least)))
            }
        }
    }
}
