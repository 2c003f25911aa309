//! A value of state as a document, with its key as `_id` and its version as `_rev`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::work::{Exceeded, Meter, Room};
use crate::json;
use crate::model::block::Height;
use crate::model::value::VersionedValue;

/// The memory of a value besides its text.
const VALUE_BYTES: usize = 100;
/// Memory up to this size is not counted, nor is that of a text up to this size, which takes at most three
/// megabytes.
const SMALL_BYTES: usize = 64 << 10;

/// The members of documents that are needed. A member can take fifty times the memory of its text, so other
/// members are only checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    has_all: bool,
    names: BTreeSet<String>,
}

impl Wanted {
    /// Adds every member.
    pub(crate) fn add_all(&mut self) {
        self.has_all = true;
    }

    /// Adds the member with that name.
    pub(crate) fn add(&mut self, name: &str) {
        if !self.names.contains(name) {
            self.names.insert(name.to_owned());
        }
    }

    /// Adds the members that others need.
    pub(crate) fn add_those(&mut self, others: &Self) {
        self.has_all |= others.has_all;
        self.names.extend(others.names.iter().cloned());
    }

    fn has(&self, name: &str) -> bool {
        self.has_all || self.names.contains(name)
    }

    /// Roughly how much memory the document of a text takes; nothing if it is small.
    fn bytes_of(&self, value: &[u8]) -> usize {
        if value.len() <= SMALL_BYTES {
            return 0;
        }
        let mut bytes = 0;
        let mut add = |part: json::Part<'_>| {
            if self.has(&part.name) {
                let begins = |byte: &&u8| matches!(byte, b',' | b'[' | b'{');
                let values = part.text.as_bytes().iter().filter(begins).count();
                bytes += part.text.len() + VALUE_BYTES * values;
            }
        };
        // A text that is not JSON takes no memory.
        let text = std::str::from_utf8(value).unwrap_or_default();
        drop(json::members(text, &mut add));
        if bytes > SMALL_BYTES { bytes } else { 0 }
    }
}

/// A parsed document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its wanted members; `_id` and `_rev` come first, and are always wanted.
    pub(crate) value: Value,
    /// Whether it has members with those names itself, as imported values may: they are hidden.
    has_reserved: bool,
    /// Bytes of the text from which it was read.
    pub(super) bytes: usize,
    /// Its memory, if that is counted.
    _room: Option<Room>,
}

/// Whether a value may not have a member with that name.
pub(super) fn is_reserved(name: &str) -> bool {
    name == "_id" || name == "_rev"
}

impl Document {
    /// Reads a value; `None` if it is not a JSON object.
    pub(crate) fn parse(key: &str, version: Height, value: &[u8], wanted: &Wanted) -> Option<Self> {
        let mut members = Map::new();
        members.insert("_id".to_owned(), key.into());
        members.insert("_rev".to_owned(), version.to_string().into());
        let is_wanted = |name: &str| wanted.has(name);
        let read = json::parse_members(value, members, &is_reserved, &is_wanted);
        let (members, has_reserved) = read.ok()??;
        Some(Self {
            value: Value::Object(members),
            has_reserved,
            bytes: value.len(),
            _room: None,
        })
    }

    /// Reads a value whose memory counts against a budget.
    ///
    /// # Errors
    /// There is not enough memory for it.
    pub(crate) fn read(
        key: &str,
        stored: &VersionedValue,
        wanted: &Wanted,
        meter: &mut Meter,
    ) -> Result<Option<Self>, Exceeded> {
        let room = match wanted.bytes_of(&stored.value) {
            0 => None,
            bytes => meter.room(bytes)?,
        };
        let document = Self::parse(key, stored.version, &stored.value, wanted);
        Ok(document.map(|document| Self {
            _room: room,
            ..document
        }))
    }

    /// A member of a reserved name, as JSON text.
    pub(super) fn reserved(&self, name: &str) -> String {
        self.value.get(name).unwrap_or(&Value::Null).to_string()
    }

    /// The document as JSON text. What `value`, the text from which it was read, says is kept to the byte.
    pub(crate) fn text(&self, value: &str) -> String {
        let mut text = format!(
            "{{\"_id\":{},\"_rev\":{}",
            self.reserved("_id"),
            self.reserved("_rev")
        );
        if self.has_reserved {
            let mut others = |part: json::Part<'_>| {
                if !is_reserved(&part.name) {
                    text.extend([",", part.name_text, ":", part.text]);
                }
            };
            // The text was read before.
            drop(json::members(value, &mut others));
            text.push('}');
            return text;
        }
        let inside = value.trim_start();
        let inside = inside.strip_prefix('{').unwrap_or(inside).trim_end();
        if inside.trim_start() != "}" {
            text.push(',');
        }
        text.push_str(inside);
        text
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
            let none = Wanted::default();
            let document = Document::parse("k", Height::new(3, 1), value.as_bytes(), &none);
            let text = document.map(|document| document.text(value));
            assert_eq!(text.as_deref(), expected);
        }
    }
}
