//! JSON texts: the strict check that every value passes before it is written, and the merge of one
//! text into another (RFC 7396).
//!
//! Both work on the text itself and never turn it into numbers and maps: `1.10` stays `1.10`, big
//! integers stay exact, members stay in their order, and no member name means anything to a parser.

mod merge;

pub use merge::merge;
pub use quire_ledger::json::JsonError;

pub(crate) use merge::merge_nodes;
pub(crate) use quire_ledger::json::{Node, Shape, read, read_array, read_stored};

/// How deep a value may be nested: `[[1]]` has depth 2.
pub const MAX_DEPTH: usize = 100;

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

/// A string as a JSON text.
pub(crate) fn quoted(string: &str) -> String {
    serde_json::Value::from(string).to_string()
}

#[cfg(test)]
mod tests;
