//! A value as a document, in Fabric's form, and back to the byte.
//!
//! | member | what |
//! |---|---|
//! | `_id` | the key, see [`names`](super::names) |
//! | `~version` | base64 of proto {1 version = OPV(block) ‖ OPV(tx), 2 metadata, 3 CRC32C of the value} |
//! | `~value` | base64 of the value, where the members below would not give it back |
//! | others | the value's own, where it is a JSON object that CouchDB can hold |
//!
//! Fabric keeps in an attachment what is no JSON object, and lets CouchDB round numbers, drop white
//! space and unify escapes of what is one. Here the bytes go along whenever they could differ.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Map, Value};

use crate::block::Height;
use crate::checksum::crc32c;
use crate::codec::Cursor;
use crate::error::ReadError;
use crate::json::{self, MAX_TREE_DEPTH, Repeats};
use crate::state::VersionedValue;

/// Member with version and metadata: Fabric's.
pub(super) const VERSION: &str = "~version";
/// Member with the value's bytes.
const VALUE: &str = "~value";
/// The greatest integer up to which every JSON reader has them all.
const MAX_SAFE_INTEGER: u64 = 1 << 53;

#[derive(Clone, PartialEq, prost::Message)]
struct StoredVersion {
    #[prost(bytes = "bytes", tag = "1")]
    version: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    metadata: Bytes,
    #[prost(fixed32, tag = "3")]
    checksum: u32,
}

/// A document as it came from the server.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) rev: String,
    members: Map<String, Value>,
}

/// Levels of an answer of `_all_docs` around a document: the answer, its rows, a row.
const LEVELS_AROUND: usize = 3;

fn damaged(what: &'static str, rule: &'static str) -> ReadError {
    ReadError::DerivedDamaged {
        follower: "state",
        what,
        rule,
    }
}

/// What `_all_docs` answered.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) documents: Vec<Stored>,
    /// Rows; those of keys without a document have none.
    pub(super) rows: usize,
    /// Id of the last row, if that is one of a document.
    pub(super) last: Option<String>,
}

/// Reads an answer of `_all_docs` with documents.
pub(super) fn read_rows(body: &[u8]) -> Result<Page, String> {
    let depth = MAX_TREE_DEPTH + LEVELS_AROUND;
    let answer = json::parse_to(body, Repeats::LastCounts, depth);
    let mut answer = answer.map_err(|error| error.to_string())?;
    let Some(Value::Array(mut rows)) = answer.get_mut("rows").map(Value::take) else {
        return Err("there are no rows".to_owned());
    };
    let count = rows.len();
    let last = rows.last().and_then(|row| row.get("id")?.as_str());
    let last = last.map(str::to_owned);
    let documents = rows
        .iter_mut()
        .filter_map(|row| match row.get_mut("doc")?.take() {
            Value::Object(members) => Some(members),
            // A key without a document.
            _ => None,
        });
    let documents = documents.map(|mut members| {
        let mut text = |name| match members.shift_remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(format!("a document has no {name}")),
        };
        let (id, rev) = (text("_id")?, text("_rev")?);
        Ok(Stored { id, rev, members })
    });
    Ok(Page {
        documents: documents.collect::<Result<_, String>>()?,
        rows: count,
        last,
    })
}

impl Stored {
    /// Everything but id and revision.
    pub(super) fn into_members(self) -> Value {
        Value::Object(self.members)
    }

    /// The version of the document; none where it is not one that was written here.
    pub(super) fn version(&self) -> Option<Height> {
        self.stored_version().ok().map(|(version, _)| version)
    }

    fn stored_version(&self) -> Result<(Height, StoredVersion), ReadError> {
        let no_version = || damaged("document", "it has no ~version that was written here");
        let text = self.members.get(VERSION).and_then(Value::as_str);
        let bytes = BASE64.decode(text.ok_or_else(no_version)?);
        let bytes = bytes.map_err(|_| no_version())?;
        let stored = StoredVersion::decode(Bytes::from(bytes)).map_err(|_| no_version())?;
        let mut cursor = Cursor::new(stored.version.clone());
        let version = Height::read(&mut cursor).map_err(|_| no_version())?;
        Ok((version, stored))
    }

    /// The value as it was written.
    pub(super) fn value(&self) -> Result<VersionedValue, ReadError> {
        let (version, stored) = self.stored_version()?;
        let value = match self.members.get(VALUE) {
            Some(Value::String(text)) => BASE64
                .decode(text)
                .map_err(|_| damaged("document", "its ~value is not base64"))?,
            Some(_) => return Err(damaged("document", "its ~value is no string")),
            None => {
                let own = self.members.iter().filter(|(name, _)| !is_reserved(name));
                let own: Map<String, Value> = own
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                Value::Object(own).to_string().into_bytes()
            }
        };
        if crc32c(&value) != stored.checksum {
            return Err(damaged(
                "document",
                "its value is not the one that was written",
            ));
        }
        Ok(VersionedValue {
            value: value.into(),
            metadata: stored.metadata,
            version,
        })
    }
}

/// Members of these names are CouchDB's, Fabric's or ours.
fn is_reserved(name: &str) -> bool {
    name.starts_with('_') || name == VERSION || name == VALUE
}

/// What a value of an object's members may be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fidelity {
    /// CouchDB refuses it.
    Refused,
    /// CouchDB holds it, and may give something else back.
    Rewritten,
    /// CouchDB, and whatever else speaks its protocol, gives it back.
    Kept,
}

fn fidelity(value: &Value) -> Fidelity {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Fidelity::Kept,
        Value::Number(number) => {
            let text = number.as_str();
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
            let is_safe = digits
                .parse::<u64>()
                .is_ok_and(|number| number <= MAX_SAFE_INTEGER);
            if is_integer && is_safe && text != "-0" {
                Fidelity::Kept
            } else if number.as_f64().is_some_and(f64::is_finite) {
                Fidelity::Rewritten
            } else {
                Fidelity::Refused
            }
        }
        Value::Array(items) => items.iter().map(fidelity).min().unwrap_or(Fidelity::Kept),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                // JavaScript puts members with such names first, or takes them for something else.
                let moves = name == "__proto__"
                    || (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()));
                let own = fidelity(value);
                if moves {
                    own.min(Fidelity::Rewritten)
                } else {
                    own
                }
            });
            members.min().unwrap_or(Fidelity::Kept)
        }
    }
}

/// The document that a value becomes; `rev` is that of the one it replaces.
pub(super) fn write(id: &str, rev: Option<&str>, content: &VersionedValue) -> Map<String, Value> {
    let mut document = head(id, rev, content.version, &content.metadata, &content.value);
    let parsed = json::parse(&content.value, Repeats::LastCounts).ok();
    let members = parsed.as_ref().and_then(Value::as_object);
    let how = parsed.as_ref().map_or(Fidelity::Refused, fidelity);
    let is_kept = how == Fidelity::Kept
        && members.is_some_and(|members| !members.keys().any(|name| is_reserved(name)))
        // White space, escapes, members of one name.
        && parsed.as_ref().is_some_and(|parsed| parsed.to_string().as_bytes() == content.value);
    if !is_kept {
        document.insert(VALUE.to_owned(), BASE64.encode(&content.value).into());
    }
    if how > Fidelity::Refused {
        let members = members.into_iter().flatten();
        for (name, value) in members.filter(|(name, _)| !is_reserved(name)) {
            document.insert(name.clone(), value.clone());
        }
    }
    document
}

/// The document that a deleted key leaves.
pub(super) fn delete(id: &str, rev: &str, version: Height) -> Map<String, Value> {
    let mut document = head(id, Some(rev), version, &Bytes::new(), &Bytes::new());
    document.insert("_deleted".to_owned(), true.into());
    document
}

fn head(
    id: &str,
    rev: Option<&str>,
    version: Height,
    metadata: &Bytes,
    value: &Bytes,
) -> Map<String, Value> {
    let mut height = Vec::with_capacity(18);
    version.put(&mut height);
    let stored = StoredVersion {
        version: height.into(),
        metadata: metadata.clone(),
        checksum: crc32c(value),
    };
    let mut document = Map::new();
    document.insert("_id".to_owned(), id.into());
    if let Some(rev) = rev {
        document.insert("_rev".to_owned(), rev.into());
    }
    let stored = BASE64.encode(stored.encode_to_vec());
    document.insert(VERSION.to_owned(), stored.into());
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(value: &[u8]) -> VersionedValue {
        VersionedValue {
            value: Bytes::copy_from_slice(value),
            metadata: "m".into(),
            version: Height::new(300, 2),
        }
    }

    fn stored(mut members: Map<String, Value>) -> Stored {
        members.insert("_rev".to_owned(), "1-x".into());
        let body = serde_json::json!({"rows": [{"id": "k", "doc": members}, {"key": "none"}]});
        let mut page = read_rows(body.to_string().as_bytes()).unwrap();
        assert_eq!(page.rows, 2);
        page.documents.pop().unwrap()
    }

    #[test]
    fn values_come_back_to_the_byte_and_only_plain_objects_without_their_bytes_beside_them() {
        for (value, is_plain) in [
            (&br#"{"b":1,"a":{"c":[null,true,"x"]}}"#[..], true),
            (b"{}", true),
            ("{\"a\":\"é😀\"}".as_bytes(), true),
            (br#"{"a":9007199254740992}"#, true),
            (br#"{"a":{"$serde_json::private::Number":"abc"}}"#, true),
            (br#"{"$serde_json::private::RawValue":"5"}"#, true),
            (br#"{"a":9007199254740993}"#, false),
            (br#"{"a":18446744073709551617}"#, false),
            (br#"{"a":1.10}"#, false),
            (br#"{"a":-0}"#, false),
            (br#"{"a":1e400}"#, false),
            (br#"{"a": 1}"#, false),
            (br#"{"a":"\u0041"}"#, false),
            (br#"{"a":"\ud800"}"#, false),
            (br#"{"a":1,"a":2}"#, false),
            (br#"{"a":{"10":1,"9":2}}"#, false),
            (br#"{"__proto__":{}}"#, false),
            (br#"{"_a":1,"b":2}"#, false),
            (br#"{"~version":1}"#, false),
            (br#"{"~value":1}"#, false),
            (b"[1]", false),
            (b"null", false),
            (b"", false),
            (b"\xff", false),
        ] {
            let document = write("k", None, &content(value));
            let shown = String::from_utf8_lossy(value);
            assert_eq!(document.get(VALUE).is_none(), is_plain, "{shown}");
            assert_eq!(stored(document).value().unwrap(), content(value), "{shown}");
        }
    }

    #[test]
    fn members_are_there_for_whoever_reads_the_database_unless_couchdb_would_refuse_them() {
        let names = |value: &[u8]| {
            let document = write("k", Some("1-x"), &content(value));
            let names = document.keys().filter(|name| !is_reserved(name));
            names.cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(br#"{"a":1.10,"_b":1}"#), ["a"]);
        assert_eq!(names(br#"{"a":1e400,"b":1}"#), Vec::<String>::new());
        assert_eq!(names(b"[1]"), Vec::<String>::new());
    }

    #[test]
    fn a_document_that_was_changed_by_others_is_damage() {
        let mut document = write("k", None, &content(br#"{"a":1}"#));
        document.insert("a".to_owned(), 2.into());
        assert!(stored(document).value().is_err());
        let mut document = write("k", None, &content(br#"{"a":1.0}"#));
        document.insert(VALUE.to_owned(), "!".into());
        assert!(stored(document).value().is_err());
        assert!(
            stored(Map::from_iter([("_id".to_owned(), "k".into())]))
                .value()
                .is_err()
        );
    }

    #[test]
    fn the_version_member_is_what_fabric_reads() {
        // proto {1: 02 01 2c 01 02, 2: "m"}, and our field 3.
        let document = write("k", None, &content(b"{}"));
        let bytes = BASE64.decode(document[VERSION].as_str().unwrap()).unwrap();
        assert_eq!(hex::encode(&bytes[..10]), "0a0502012c010212016d");
        assert_eq!(bytes[10], 0x1d);
    }
}
