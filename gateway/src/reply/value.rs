//! Bytes from the ledger inside JSON answers: as JSON if they are JSON, otherwise as base64.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// `bytes` as a JSON text without white space around it; `None` if they are not JSON.
pub(crate) fn json_text(bytes: &[u8]) -> Option<&RawValue> {
    // Skipping over a value does not recurse, so any depth is harmless here.
    serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()
}

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A value under a member's name: `value`, or `valueBase64` if it is not JSON.
///
/// Use it with `#[serde(flatten)]`.
#[derive(Debug)]
pub(crate) struct Value<'a> {
    pub(crate) bytes: Option<&'a [u8]>,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self.bytes {
            None => map.serialize_entry("value", &())?,
            Some(bytes) => match json_text(bytes) {
                Some(text) => map.serialize_entry("value", text)?,
                None => map.serialize_entry("valueBase64", &base64(bytes))?,
            },
        }
        map.end()
    }
}

impl PartialSchema for Value<'_> {
    fn schema() -> RefOr<Schema> {
        let any = Schema::from(Object::with_type(SchemaType::AnyValue));
        let base64 = Object::with_type(Type::String);
        let object = Object::builder()
            .property("value", any)
            .property("valueBase64", base64);
        RefOr::T(object.build().into())
    }
}

impl ToSchema for Value<'_> {
    fn name() -> Cow<'static, str> {
        "Value".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_where_they_can_be() {
        for (bytes, expected) in [
            (
                Some(b" {\"a\": 1.10}\n".as_slice()),
                r#"{"value":{"a": 1.10}}"#,
            ),
            (
                Some(b"123456789012345678901234567890"),
                r#"{"value":123456789012345678901234567890}"#,
            ),
            (Some(b""), r#"{"valueBase64":""}"#),
            (Some(b"\x00\xff"), r#"{"valueBase64":"AP8="}"#),
            (Some(b"{} {}"), r#"{"valueBase64":"e30ge30="}"#),
            (None, r#"{"value":null}"#),
        ] {
            assert_eq!(serde_json::to_string(&Value { bytes }).unwrap(), expected);
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(json_text(deep.as_bytes()).is_some());
    }
}
