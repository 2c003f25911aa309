//! A value of state as a document: with `_id`, its key, and `_rev`, its version.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::block::Height;

/// A parsed document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its members, `_id` and `_rev` first.
    pub(crate) value: Value,
    /// Whether it brought members of those names itself, as imported values may: they are hidden.
    has_reserved: bool,
}

struct Members(Map<String, Value>);

impl<'de> Visitor<'de> for Members {
    type Value = (Map<String, Value>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = self.0;
        let mut has_reserved = false;
        while let Some(name) = access.next_key::<String>()? {
            if name == "_id" || name == "_rev" {
                has_reserved = true;
                access.next_value::<IgnoredAny>()?;
            } else {
                members.insert(name, access.next_value()?);
            }
        }
        Ok((members, has_reserved))
    }
}

impl Document {
    /// Reads a value; none where it is no JSON object.
    pub(crate) fn parse(key: &str, version: Height, value: &[u8]) -> Option<Self> {
        let mut members = Map::new();
        members.insert("_id".to_owned(), key.into());
        members.insert("_rev".to_owned(), version.to_string().into());
        let mut text = serde_json::Deserializer::from_slice(value);
        let (members, has_reserved) = text.deserialize_map(Members(members)).ok()?;
        text.end().ok()?;
        Some(Self {
            value: Value::Object(members),
            has_reserved,
        })
    }

    /// The document as JSON text. What `value`, the bytes it was read from, says is kept to the byte.
    pub(crate) fn text(&self, value: &[u8]) -> String {
        let inside = std::str::from_utf8(value).ok();
        let inside = inside.and_then(|text| text.trim().strip_prefix('{'));
        let (Some(inside), false) = (inside, self.has_reserved) else {
            return self.value.to_string();
        };
        let member = |name| self.value.get(name).unwrap_or(&Value::Null);
        let comma = if inside.trim_start() == "}" { "" } else { "," };
        format!(
            "{{\"_id\":{},\"_rev\":{}{comma}{inside}",
            member("_id"),
            member("_rev")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_its_value_with_key_and_version() {
        for (value, expected) in [
            ("{}", Some(r#"{"_id":"k","_rev":"3.1"}"#)),
            (
                " { \"a\": 1.10 }\n",
                Some("{\"_id\":\"k\",\"_rev\":\"3.1\", \"a\": 1.10 }"),
            ),
            (
                r#"{"_id":"x","a":1}"#,
                Some(r#"{"_id":"k","_rev":"3.1","a":1}"#),
            ),
            ("[1]", None),
            ("5", None),
            ("{} x", None),
            ("\u{1}", None),
        ] {
            let document = Document::parse("k", Height::new(3, 1), value.as_bytes());
            let text = document.map(|document| document.text(value.as_bytes()));
            assert_eq!(text.as_deref(), expected);
        }
    }
}
