//! JSON documents in which other JSON texts stand as they are.
//!
//! `serde_json::Value` alone would parse the embedded texts, which loses duplicate members and
//! refuses deep ones.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::value::{base64, json_text};

/// A document or a part of one.
#[derive(Debug)]
pub(crate) enum Json {
    Plain(Value),
    Text(Box<RawValue>),
    List(Vec<Json>),
    Object(Object),
}

/// An object whose members are in the order of their insertion.
#[derive(Debug, Default)]
pub(crate) struct Object(Vec<(String, Json)>);

impl Object {
    /// Adds a member that is not there yet.
    pub(crate) fn insert(&mut self, name: &str, value: impl Into<Json>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds bytes as JSON if they are JSON, as text if they are printable text, and otherwise as base64,
    /// under `name` with the suffix `Base64`.
    pub(crate) fn insert_bytes(&mut self, name: &str, bytes: &[u8]) {
        match readable(bytes) {
            Some(value) => self.0.push((name.to_owned(), value)),
            None => self.insert(&format!("{name}Base64"), base64(bytes)),
        }
    }
}

impl Json {
    /// Bytes in a list. A list has no names that could mark base64, so base64 is in an object of its own.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        readable(bytes).unwrap_or_else(|| {
            let mut object = Object::default();
            object.insert("base64", base64(bytes));
            object.into()
        })
    }
}

fn readable(bytes: &[u8]) -> Option<Json> {
    if let Some(text) = json_text(bytes) {
        return Some(Json::Text(text.to_owned()));
    }
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.into())
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
            Self::List(list) => list.serialize(serializer),
            Self::Object(Object(members)) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<T: Into<Value>> From<T> for Json {
    fn from(value: T) -> Self {
        Self::Plain(value.into())
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_as_json_text_or_base64() {
        let mut object = Object::default();
        object.insert_bytes("json", br#"{"a":1.10,"a":2}"#);
        object.insert_bytes("text", b"put");
        object.insert_bytes("bytes", b"\0\xff");
        let list = [b"1".as_slice(), b"a", b"\0"].map(Json::of_bytes);
        object.insert("list", list.into_iter().collect::<Json>());
        object.insert("none", None::<String>);
        let expected = concat!(
            r#"{"json":{"a":1.10,"a":2},"text":"put","bytesBase64":"AP8=","#,
            r#""list":[1,"a",{"base64":"AA=="}],"none":null}"#
        );
        assert_eq!(
            serde_json::to_string(&Json::from(object)).unwrap(),
            expected
        );
    }
}
