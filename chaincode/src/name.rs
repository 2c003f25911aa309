//! The rules for names of channels, namespaces and keys.
//!
//! They bind writes. What is read may have any name: a ledger made by Fabric holds namespaces such
//! as `_lifecycle` and keys with U+0000.

use std::fmt;

/// Most characters of a channel's name, Fabric's limit.
pub const MAX_CHANNEL_CHARS: usize = 249;
/// Most characters of a namespace.
pub const MAX_NAMESPACE_CHARS: usize = 64;
/// Most bytes of a key in UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel.
    Channel,
    /// A namespace of a channel.
    Namespace,
    /// A key of a namespace.
    Key,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Channel => "channel name",
            Self::Namespace => "namespace",
            Self::Key => "key",
        })
    }
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has no characters.
    Empty,
    /// It has more than so many bytes (in UTF-8).
    TooLong(usize),
    /// It starts with this character.
    StartsWith(char),
    /// It has this character, which such a name cannot have, or not at this place.
    Contains(char),
    /// It ends with this character.
    EndsWith(char),
    /// It is `.` or `..`, which URLs cannot carry.
    DotSegment,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong(limit) => write!(f, "it has more than {limit} bytes"),
            Self::StartsWith(found) => write!(f, "it starts with {found:?}"),
            Self::Contains(found) => write!(f, "it cannot have {found:?} where it has"),
            Self::EndsWith(found) => write!(f, "it ends with {found:?}"),
            Self::DotSegment => f.write_str("it is a dot segment"),
        }
    }
}

/// A name that breaks the rules. The caller has to choose another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad {kind}: {reason}")]
pub struct NameError {
    /// What it was meant to name.
    pub kind: Kind,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Checks a channel's name: `[a-z][a-z0-9.-]{0,248}`.
///
/// # Errors
/// [`NameError`] with the first rule that it breaks.
pub fn check_channel(name: &str) -> Result<(), NameError> {
    let refuse = |reason| refuse(Kind::Channel, reason);
    let Some(first) = name.chars().next() else {
        return refuse(Reason::Empty);
    };
    if name.len() > MAX_CHANNEL_CHARS {
        return refuse(Reason::TooLong(MAX_CHANNEL_CHARS));
    }
    if !first.is_ascii_lowercase() {
        return refuse(Reason::StartsWith(first));
    }
    let bad = |c: &char| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '-');
    match name.chars().find(bad) {
        Some(found) => refuse(Reason::Contains(found)),
        None => Ok(()),
    }
}

/// Checks a namespace: `[a-zA-Z0-9]+([-_][a-zA-Z0-9]+)*`, at most 64 characters.
///
/// # Errors
/// [`NameError`] with the first rule that it breaks.
pub fn check_namespace(name: &str) -> Result<(), NameError> {
    let refuse = |reason| refuse(Kind::Namespace, reason);
    if name.is_empty() {
        return refuse(Reason::Empty);
    }
    if name.len() > MAX_NAMESPACE_CHARS {
        return refuse(Reason::TooLong(MAX_NAMESPACE_CHARS));
    }
    let mut before = None;
    for found in name.chars() {
        match (found, before) {
            (found, _) if found.is_ascii_alphanumeric() => {}
            ('-' | '_', Some(before)) if !matches!(before, '-' | '_') => {}
            (_, None) => return refuse(Reason::StartsWith(found)),
            (_, Some(_)) => return refuse(Reason::Contains(found)),
        }
        before = Some(found);
    }
    match before {
        Some(last @ ('-' | '_')) => refuse(Reason::EndsWith(last)),
        _ => Ok(()),
    }
}

/// Checks a key that is to be written: 1 to 1024 bytes, not starting with `_` or U+0000, not `.`
/// or `..`.
///
/// # Errors
/// [`NameError`] with the first rule that it breaks.
pub fn check_key(key: &str) -> Result<(), NameError> {
    let refuse = |reason| refuse(Kind::Key, reason);
    if key.len() > MAX_KEY_BYTES {
        return refuse(Reason::TooLong(MAX_KEY_BYTES));
    }
    if matches!(key, "." | "..") {
        return refuse(Reason::DotSegment);
    }
    match key.chars().next() {
        None => refuse(Reason::Empty),
        Some(first @ ('_' | '\0')) => refuse(Reason::StartsWith(first)),
        Some(_) => Ok(()),
    }
}

fn refuse(kind: Kind, reason: Reason) -> Result<(), NameError> {
    Err(NameError { kind, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reason::{Contains, DotSegment, Empty, EndsWith, StartsWith, TooLong};

    type Check = fn(&str) -> Result<(), NameError>;

    fn check(rule: Check, rows: &[(&str, Option<Reason>)]) {
        for (name, reason) in rows {
            let found = rule(name).err().map(|error| error.reason);
            assert_eq!(found, *reason, "{name:?}");
        }
    }

    #[test]
    fn channels_have_fabrics_names() {
        let (longest, longer) = ("a".repeat(249), "a".repeat(250));
        check(
            check_channel,
            &[
                ("main", None),
                ("a", None),
                ("a.b-c.9", None),
                ("a..--", None),
                (&longest, None),
                (&longer, Some(TooLong(249))),
                ("", Some(Empty)),
                ("1a", Some(StartsWith('1'))),
                (".a", Some(StartsWith('.'))),
                ("Main", Some(StartsWith('M'))),
                ("mAin", Some(Contains('A'))),
                ("a_b", Some(Contains('_'))),
                ("a/b", Some(Contains('/'))),
                ("aé", Some(Contains('é'))),
            ],
        );
    }

    #[test]
    fn namespaces_have_fabrics_chaincode_names() {
        let (longest, longer) = ("a".repeat(64), "a".repeat(65));
        check(
            check_namespace,
            &[
                ("orders", None),
                ("A1-b_C", None),
                ("0", None),
                (&longest, None),
                (&longer, Some(TooLong(64))),
                ("", Some(Empty)),
                ("_lifecycle", Some(StartsWith('_'))),
                ("-a", Some(StartsWith('-'))),
                ("~", Some(StartsWith('~'))),
                ("a-", Some(EndsWith('-'))),
                ("a_", Some(EndsWith('_'))),
                ("a--b", Some(Contains('-'))),
                ("a_-b", Some(Contains('-'))),
                ("a.b", Some(Contains('.'))),
                ("a$b", Some(Contains('$'))),
                ("a\0b", Some(Contains('\0'))),
                ("aéb", Some(Contains('é'))),
            ],
        );
        // No ASCII character but letters, digits and the two joints is let through.
        for c in '\0'..='\x7f' {
            let good = c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            assert_eq!(check_namespace(&format!("a{c}a")).is_ok(), good, "{c:?}");
        }
    }

    #[test]
    fn keys_are_almost_anything() {
        let (longest, longer) = ("é".repeat(512), "é".repeat(513));
        check(
            check_key,
            &[
                ("1001", None),
                ("a/b", None),
                ("...", None),
                (".a", None),
                (" ", None),
                ("a\0b", None),
                ("日本", None),
                (&longest, None),
                (&longer, Some(TooLong(1024))),
                ("", Some(Empty)),
                (".", Some(DotSegment)),
                ("..", Some(DotSegment)),
                ("_a", Some(StartsWith('_'))),
                ("\0a", Some(StartsWith('\0'))),
            ],
        );
    }

    #[test]
    fn the_error_says_what_was_named_and_why_not() {
        let shown = |result: Result<(), NameError>| result.unwrap_err().to_string();
        assert_eq!(shown(check_key("_a")), "bad key: it starts with '_'");
        assert_eq!(shown(check_namespace("")), "bad namespace: it is empty");
        assert_eq!(
            shown(check_channel("a b")),
            "bad channel name: it cannot have ' ' where it has"
        );
    }
}
