//! What a caller demands of a key's version before it lets a transaction happen.
//!
//! ```text
//! {"ifVersion": "12.0"}  {"ifVersion": null}                 an operation's own member
//! {"ifMatch": ["12.0", "9.1"]}  {"ifMatch": "*"}             the HTTP header If-Match
//! {"ifNoneMatch": "*"}                                       the HTTP header If-None-Match
//! ```
//!
//! All speak of the committed version, the one before the transaction.

use std::borrow::Cow;
use std::fmt;

use quire_ledger::Height;

use crate::ChaincodeError;
use crate::json::{self, MAX_DEPTH, Node, Shape};

/// A demand on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which operation of the call demands it, from 0.
    pub operation: usize,
    /// The key's namespace.
    pub namespace: String,
    /// The key.
    pub key: String,
    /// What is demanded of it.
    pub expect: Expect,
    /// Whether the caller did not name it: a `create` demands that there is nothing.
    pub is_implied: bool,
}

/// What is demanded of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It does not exist.
    Absent,
    /// It exists, in whatever version.
    Exists,
    /// It exists in one of these versions; an empty list is never satisfied.
    AnyOf(Vec<Height>),
}

impl Expect {
    /// Whether a key in the version `found`, none where it does not exist, is as demanded.
    #[must_use]
    pub fn holds(&self, found: Option<Height>) -> bool {
        match (self, found) {
            (Self::Absent, found) => found.is_none(),
            (Self::Exists, found) => found.is_some(),
            (Self::AnyOf(versions), Some(found)) => versions.contains(&found),
            (Self::AnyOf(_), None) => false,
        }
    }

    /// Reads the value of `ifVersion`.
    pub(crate) fn if_version(value: &Node<'_>) -> Result<Self, ChaincodeError> {
        match &value.shape {
            Shape::Null => Ok(Self::Absent),
            _ => Ok(Self::AnyOf(vec![version(value, "ifVersion")?])),
        }
    }

    /// Reads the conditions argument of a function: an object with at most one member.
    pub(crate) fn from_argument(text: &[u8]) -> Result<Option<Self>, ChaincodeError> {
        let invalid = |detail: &str| ChaincodeError::InvalidArgument(detail.to_owned());
        let Shape::Object(members) = json::read(text, MAX_DEPTH)?.shape else {
            return Err(invalid("the conditions have to be an object"));
        };
        let [member] = members.as_slice() else {
            return if members.is_empty() {
                Ok(None)
            } else {
                Err(invalid("more than one condition"))
            };
        };
        match &*member.name {
            "ifVersion" => Self::if_version(&member.value),
            "ifMatch" => Self::if_match(&member.value),
            "ifNoneMatch" if is_star(&member.value) => Ok(Self::Absent),
            "ifNoneMatch" => Err(invalid("ifNoneMatch can only be \"*\"")),
            unknown => Err(invalid(&format!(
                "unknown condition {unknown:?}; there are ifVersion, ifMatch, ifNoneMatch"
            ))),
        }
        .map(Some)
    }

    fn if_match(value: &Node<'_>) -> Result<Self, ChaincodeError> {
        if is_star(value) {
            return Ok(Self::Exists);
        }
        let Some(versions) = json::read_array(value.text.as_bytes(), MAX_DEPTH)? else {
            let detail = "ifMatch has to be \"*\" or an array of versions";
            return Err(ChaincodeError::InvalidArgument(detail.to_owned()));
        };
        let versions = versions.iter().map(|value| version(value, "ifMatch"));
        Ok(Self::AnyOf(versions.collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("must not exist"),
            Self::Exists => f.write_str("must exist"),
            Self::AnyOf(versions) => {
                f.write_str("must have version ")?;
                let mut versions = versions.iter();
                match versions.next() {
                    None => f.write_str("(none given)")?,
                    Some(first) => write!(f, "{first}")?,
                }
                versions.try_for_each(|version| write!(f, " or {version}"))
            }
        }
    }
}

fn is_star(value: &Node<'_>) -> bool {
    matches!(&value.shape, Shape::String(text) if text == "*")
}

fn version(value: &Node<'_>, member: &str) -> Result<Height, ChaincodeError> {
    let text = match &value.shape {
        Shape::String(text) => text.clone(),
        _ => Cow::Borrowed(""),
    };
    text.parse().map_err(|_| {
        ChaincodeError::InvalidArgument(format!("{member} needs a version such as \"12.0\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V12: Height = Height { block: 12, tx: 0 };
    const V9: Height = Height { block: 9, tx: 1 };

    #[test]
    fn conditions_are_read_strictly() {
        let rows: [(&str, Result<Option<Expect>, &str>); 18] = [
            ("{}", Ok(None)),
            (
                r#"{"ifVersion":"12.0"}"#,
                Ok(Some(Expect::AnyOf(vec![V12]))),
            ),
            (r#"{"ifVersion":null}"#, Ok(Some(Expect::Absent))),
            (
                r#"{"ifMatch":["12.0","9.1"]}"#,
                Ok(Some(Expect::AnyOf(vec![V12, V9]))),
            ),
            (r#"{"ifMatch":[]}"#, Ok(Some(Expect::AnyOf(vec![])))),
            (r#"{"ifMatch":"*"}"#, Ok(Some(Expect::Exists))),
            (r#" {"ifNoneMatch" : "*"} "#, Ok(Some(Expect::Absent))),
            (
                r#"{"ifNoneMatch":["12.0"]}"#,
                Err("ifNoneMatch can only be \"*\""),
            ),
            (
                r#"{"ifNoneMatch":null}"#,
                Err("ifNoneMatch can only be \"*\""),
            ),
            (
                r#"{"ifMatch":"12.0"}"#,
                Err("ifMatch has to be \"*\" or an array of versions"),
            ),
            (
                r#"{"ifMatch":["12"]}"#,
                Err("ifMatch needs a version such as \"12.0\""),
            ),
            (
                r#"{"ifVersion":"012.0"}"#,
                Err("ifVersion needs a version such as \"12.0\""),
            ),
            (
                r#"{"ifVersion":12.0}"#,
                Err("ifVersion needs a version such as \"12.0\""),
            ),
            (
                r#"{"ifversion":"12.0"}"#,
                Err("unknown condition \"ifversion\"; there are ifVersion, ifMatch, ifNoneMatch"),
            ),
            (
                r#"{"ifVersion":null,"ifMatch":"*"}"#,
                Err("more than one condition"),
            ),
            ("null", Err("the conditions have to be an object")),
            ("[]", Err("the conditions have to be an object")),
            (
                "{",
                Err("not a JSON text that can be kept: expected a member's name at byte 1"),
            ),
        ];
        for (text, expected) in rows {
            let found = Expect::from_argument(text.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn demands_hold_or_do_not() {
        let either = Expect::AnyOf(vec![V9, V12]);
        let rows = [
            (&Expect::Absent, None, true),
            (&Expect::Absent, Some(V12), false),
            (&Expect::Exists, Some(V12), true),
            (&Expect::Exists, None, false),
            (&either, Some(V12), true),
            (&either, Some(Height { block: 12, tx: 1 }), false),
            (&either, None, false),
            (&Expect::AnyOf(vec![]), Some(V12), false),
        ];
        for (expect, found, holds) in rows {
            assert_eq!(expect.holds(found), holds, "{expect:?} {found:?}");
        }
        assert_eq!(either.to_string(), "must have version 9.1 or 12.0");
    }
}
