//! Versions of the meaning of a selector. A selector in a block, or in the definition of an index, keeps its
//! meaning for ever, because every node must judge it alike.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The meaning of conditions on texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Version {
    /// `$regex` knows letters of ASCII, and reads only a part of PCRE or reads it differently; `$beginsWith`
    /// compares bytes.
    #[default]
    #[serde(rename = "1")]
    One,
    /// `$regex` is PCRE's on bytes of Latin-1; `$beginsWith` compares graphemes.
    #[serde(rename = "2")]
    Two,
}

impl Version {
    /// The meaning of a request.
    pub(crate) const CURRENT: Self = Self::Two;

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes what it may leave out by reference"
    )]
    pub(crate) const fn is_first(&self) -> bool {
        matches!(self, Self::One)
    }

    /// The first version in which a selector in normal form has the same meaning as in this one.
    pub(crate) fn least(self, selector: &Value) -> Self {
        if is_about_texts(selector) {
            self
        } else {
            Self::One
        }
    }
}

impl TryFrom<u64> for Version {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err(format!("version {number} of selectors is not known")),
        }
    }
}

/// Whether a member has the name of a condition on texts. A member in a compared value counts too, which does
/// no harm.
fn is_about_texts(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| {
            matches!(name.as_str(), "$regex" | "$beginsWith") || is_about_texts(value)
        }),
        Value::Array(elements) => elements.iter().any(is_about_texts),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::selector::Selector;
    use crate::query::size::Admission;

    fn selector(value: Value, version: Version) -> Selector {
        let Value::Object(members) = value else {
            panic!("{value}");
        };
        Selector::parse_as(&members, version, Admission::Now).unwrap()
    }

    #[test]
    fn selectors_of_two_meanings_are_not_joined() {
        let plain = || json!({"a": {"$gt": 1}});
        let about_texts = || json!({"$or": [{"a": {"$not": {"$regex": "^\\w"}}}]});
        for (one, other, expected) in [
            (
                (plain(), Version::Two),
                (plain(), Version::One),
                Some(Version::One),
            ),
            (
                (plain(), Version::Two),
                (about_texts(), Version::One),
                Some(Version::One),
            ),
            (
                (about_texts(), Version::Two),
                (plain(), Version::One),
                Some(Version::Two),
            ),
            (
                (about_texts(), Version::One),
                (about_texts(), Version::One),
                Some(Version::One),
            ),
            (
                (about_texts(), Version::Two),
                (about_texts(), Version::One),
                None,
            ),
        ] {
            let (one, other) = (selector(one.0, one.1), selector(other.0, other.1));
            for joined in [one.and(&other), other.and(&one)] {
                let version = joined.as_ref().ok().map(Selector::version);
                assert_eq!(version, expected, "{joined:?}");
                let error = joined.err().map(|error| error.error());
                assert_eq!(error, expected.is_none().then_some("selector_version"));
            }
        }
    }
}
