//! JSON texts: the strict check that every value passes before it is written, and the merge of one
//! text into another (RFC 7396).
//!
//! Both work on the text itself and never turn it into numbers and maps: `1.10` stays `1.10`, big
//! integers stay exact, members stay in their order, and no member name means anything to a parser.

mod merge;
mod scanner;

pub use merge::merge;
pub(crate) use merge::merge_nodes;
pub(crate) use scanner::{Node, Shape};

use scanner::Scanner;

/// How deep a value may be nested: `[[1]]` has depth 2.
pub const MAX_DEPTH: usize = 100;

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not UTF-8.
    #[error("not UTF-8 from byte {offset} on")]
    NotUtf8 {
        /// The first byte that does not fit.
        offset: usize,
    },
    /// It breaks JSON's grammar (RFC 8259).
    #[error("expected {expected} at byte {offset}")]
    Syntax {
        /// What would have fitted.
        expected: &'static str,
        /// Where.
        offset: usize,
    },
    /// A `\u` escape is half a character.
    #[error("unpaired surrogate at byte {offset}")]
    UnpairedSurrogate {
        /// Where the escape starts.
        offset: usize,
    },
    /// An object has the same member twice; readers disagree about which one counts.
    #[error("the member {name:?} appears twice in one object")]
    DuplicateMember {
        /// The member's name.
        name: String,
    },
    /// It is nested too deep to be read safely.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A top-level member has a name that CouchDB and Fabric keep for themselves.
    #[error("the top-level member {name:?} is reserved")]
    ReservedMember {
        /// The member's name.
        name: String,
    },
}

/// Checks that `text` is one JSON text, nested no deeper than `max_depth`, without duplicate
/// members and unpaired surrogates.
///
/// # Errors
/// [`JsonError`] with the first fault found.
pub fn check(text: &[u8], max_depth: usize) -> Result<(), JsonError> {
    read(text, max_depth).map(|_| ())
}

/// Checks that `text` may be the value of a key: [`check`] with [`MAX_DEPTH`], and no reserved
/// member at the top level.
///
/// # Errors
/// [`JsonError`] with the first fault found.
pub fn check_value(text: &[u8]) -> Result<(), JsonError> {
    check_reserved(&read(text, MAX_DEPTH)?)
}

/// Whether `bytes` are a JSON text by the grammar alone. This is the rule for what a channel
/// already holds, which may be nested deeper or repeat members.
#[must_use]
pub fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// Refuses an object with a member named `_...` or `~version`.
pub(crate) fn check_reserved(value: &Node<'_>) -> Result<(), JsonError> {
    let Shape::Object(members) = &value.shape else {
        return Ok(());
    };
    let reserved = |name: &str| name.starts_with('_') || name == "~version";
    match members.iter().find(|member| reserved(&member.name)) {
        Some(member) => Err(JsonError::ReservedMember {
            name: member.name.clone().into_owned(),
        }),
        None => Ok(()),
    }
}

/// Reads and checks a text.
pub(crate) fn read(text: &[u8], max_depth: usize) -> Result<Node<'_>, JsonError> {
    Scanner::new(utf8(text)?, max_depth).document()
}

/// Reads and checks a text which has to be an array, and takes it apart. None where it is
/// something else.
pub(crate) fn read_array(
    text: &[u8],
    max_depth: usize,
) -> Result<Option<Vec<Node<'_>>>, JsonError> {
    Scanner::new(utf8(text)?, max_depth).document_array()
}

/// A string as a JSON text.
pub(crate) fn quoted(string: &str) -> String {
    serde_json::Value::from(string).to_string()
}

fn utf8(text: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(text).map_err(|error| JsonError::NotUtf8 {
        offset: error.valid_up_to(),
    })
}

#[cfg(test)]
mod tests;
