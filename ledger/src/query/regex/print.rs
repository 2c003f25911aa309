//! Prints a pattern in the language of the `regex` crate, if that can express all of it.

use std::fmt::Write as _;

use super::node::{Node, Place};
use super::set::Set;

/// The same pattern for the engine, on bytes. `None` if it needs something that the engine lacks:
/// look-around, lines, words of Latin-1, or a `$` after which more of the text may follow.
pub(super) fn print(node: &Node) -> Option<String> {
    let mut out = String::new();
    put(node, true, &mut out).then_some(out)
}

/// Writes a part; `is_last` says that nothing after it can match a byte.
fn put(node: &Node, is_last: bool, out: &mut String) -> bool {
    match node {
        Node::Empty => out.push_str("(?:)"),
        Node::One(set) => put_set(*set, out),
        Node::At(Place::Start) => out.push_str("\\A"),
        Node::At(Place::End) => out.push_str("\\z"),
        // It also takes the line feed after it.
        Node::At(Place::LastLineEnd) if is_last => out.push_str("(?:\\n?\\z)"),
        Node::At(_) | Node::Look { .. } => return false,
        Node::Sequence(nodes) => {
            let last = nodes.len().saturating_sub(1);
            let mut nodes = nodes.iter().enumerate();
            return nodes.all(|(at, node)| put(node, is_last && at == last, out));
        }
        Node::Either(nodes) => {
            out.push_str("(?:");
            for (at, node) in nodes.iter().enumerate() {
                if at > 0 {
                    out.push('|');
                }
                if !put(node, is_last, out) {
                    return false;
                }
            }
            out.push(')');
        }
        Node::Repeat { inner, least, most } => {
            out.push_str("(?:");
            if !put(inner, false, out) {
                return false;
            }
            out.push(')');
            put_count(*least, *most, out);
        }
    }
    true
}

fn put_count(least: u32, most: Option<u32>, out: &mut String) {
    let written = match (least, most) {
        (0, None) => write!(out, "*"),
        (1, None) => write!(out, "+"),
        (0, Some(1)) => write!(out, "?"),
        (least, None) => write!(out, "{{{least},}}"),
        (least, Some(most)) => write!(out, "{{{least},{most}}}"),
    };
    debug_assert!(written.is_ok(), "a string takes everything");
}

fn put_set(set: Set, out: &mut String) {
    let ranges = set.ranges();
    match ranges.as_slice() {
        [(byte, last)] if byte == last => put_byte(*byte, out),
        [] => out.push_str("[^\\x00-\\xff]"),
        _ => {
            out.push('[');
            for (first, last) in ranges {
                put_byte(first, out);
                if last > first {
                    out.push('-');
                    put_byte(last, out);
                }
            }
            out.push(']');
        }
    }
}

fn put_byte(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() {
        out.push(char::from(byte));
        return;
    }
    out.push_str("\\x");
    for digit in [byte >> 4, byte & 0xf] {
        out.extend(char::from_digit(digit.into(), 16));
    }
}
