//! Turns a value into a document, in Fabric's form, and back to the same bytes.
//!
//! | member | what |
//! |---|---|
//! | `_id` | the key, see [`names`](super::names) |
//! | `~version` | base64 of proto {1 version = OPV(block) ‖ OPV(tx), 2 metadata, 4 CRC32C of the whole document} |
//! | `~value` | base64 of the value, if the members below would not give it back |
//! | others | the value's own, if it is a JSON object that CouchDB can hold |
//!
//! Fabric keeps a value that is not a JSON object in an attachment, and lets CouchDB round numbers, drop
//! white space and unify escapes of JSON objects. Here the document also has the bytes if they could differ.
//!
//! The CRC32C covers channel `00` namespace `00` key `00` version `00` metadata `00` value, so a document
//! that somebody put in another document's place, in this database or another, is not taken for one of ours.
//! Documents of earlier versions have field 3 instead, the CRC32C of the value alone. They are read in
//! channels whose metadata does not say that all documents have field 4.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Map, Value};

use super::fidelity::{Fidelity, fidelity, is_alike};
use super::names;
use crate::checksum::{crc32c, crc32c_of};
use crate::codec::Cursor;
use crate::error::ReadError;
use crate::json::{self, Repeats};
use crate::model::block::Height;
use crate::model::value::VersionedValue;

/// Fabric's member with version and metadata.
pub(super) const VERSION: &str = "~version";
/// Member with the value's bytes.
const VALUE: &str = "~value";
#[derive(Clone, PartialEq, prost::Message)]
struct StoredVersion {
    #[prost(bytes = "bytes", tag = "1")]
    version: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    metadata: Bytes,
    /// The checksum of the value, which earlier versions wrote.
    #[prost(fixed32, optional, tag = "3")]
    value_checksum: Option<u32>,
    /// The checksum of everything.
    #[prost(fixed32, optional, tag = "4")]
    checksum: Option<u32>,
}

/// The place of documents: the namespace of one channel.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) channel: String,
    pub(super) namespace: String,
    pub(super) database: String,
    /// Whether documents of earlier versions may be here.
    pub(super) takes_former: bool,
}

impl Place {
    /// The checksum of a document of a key.
    fn checksum(&self, key: &str, version: &[u8], metadata: &[u8], value: &[u8]) -> u32 {
        let (channel, namespace) = (self.channel.as_bytes(), self.namespace.as_bytes());
        let parts = [channel, namespace, key.as_bytes(), version, metadata];
        let parts = parts.into_iter().flat_map(|part| [part, &[0]]);
        crc32c_of(parts.chain([value]))
    }

    /// The error that names a document of the place that is not as it was written.
    fn damaged(&self, id: &str, rule: &'static str) -> ReadError {
        ReadError::StateDocument {
            database: self.database.clone(),
            namespace: self.namespace.clone(),
            key: names::key(&self.namespace, id).unwrap_or_else(|| id.to_owned()),
            rule,
        }
    }
}

/// A document as it came from the server.
#[derive(Clone, Debug)]
pub(super) struct ServerDocument {
    pub(super) id: String,
    pub(super) rev: String,
    members: Map<String, Value>,
}

impl ServerDocument {
    /// Makes it from a server's answer.
    pub(super) fn of(mut members: Map<String, Value>) -> Result<Self, String> {
        let mut text = |name| match members.shift_remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(format!("a document has no {name}")),
        };
        let (id, rev) = (text("_id")?, text("_rev")?);
        Ok(Self { id, rev, members })
    }

    /// Of several leaves the greatest is the document, by `CouchDB`'s rule: by generation, then by hash.
    pub(super) fn rank(&self) -> (u64, &str) {
        let (generation, hash) = self.rev.split_once('-').unwrap_or_default();
        (generation.parse().unwrap_or(0), hash)
    }

    /// A document of which only the revision is known.
    pub(super) fn of_revision(id: &str, rev: String) -> Self {
        Self {
            id: id.to_owned(),
            rev,
            members: Map::new(),
        }
    }

    /// Its members without id and revision.
    pub(super) fn into_members(self) -> Value {
        Value::Object(self.members)
    }

    /// The version of the document; `None` if it was not written here.
    pub(super) fn version(&self) -> Option<Height> {
        self.stored_version().map(|(version, _)| version)
    }

    fn stored_version(&self) -> Option<(Height, StoredVersion)> {
        let text = self.members.get(VERSION).and_then(Value::as_str)?;
        let bytes = BASE64.decode(text).ok()?;
        let stored = StoredVersion::decode(Bytes::from(bytes)).ok()?;
        let mut cursor = Cursor::new(stored.version.clone());
        let version = Height::read(&mut cursor).ok()?;
        Some((version, stored))
    }

    /// The value as it was written at this place.
    pub(super) fn value(&self, place: &Place) -> Result<VersionedValue, ReadError> {
        let damaged = |rule| place.damaged(&self.id, rule);
        let stored = self.stored_version();
        let (version, stored) =
            stored.ok_or_else(|| damaged("it has no ~version that was written here"))?;
        let value = match self.members.get(VALUE) {
            Some(Value::String(text)) => BASE64
                .decode(text)
                .map_err(|_| damaged("its ~value is not base64"))?,
            Some(_) => return Err(damaged("its ~value is no string")),
            None => Value::Object(self.own()).to_string().into_bytes(),
        };
        let is_sound = match (stored.checksum, stored.value_checksum) {
            (Some(checksum), _) => {
                let key = names::key(&place.namespace, &self.id);
                let key = key.ok_or_else(|| damaged("no key has such a document"))?;
                checksum == place.checksum(&key, &stored.version, &stored.metadata, &value)
            }
            // A checksum that is left out is zero.
            (None, checksum) if place.takes_former => checksum.unwrap_or(0) == crc32c(&value),
            (None, _) => false,
        };
        if !is_sound {
            return Err(damaged("it is not the one that was written there"));
        }
        Ok(VersionedValue {
            value: value.into(),
            metadata: stored.metadata,
            version,
        })
    }

    /// The same, but also checks that the members besides `~value` are the value's.
    pub(super) fn whole_value(&self, place: &Place) -> Result<VersionedValue, ReadError> {
        let content = self.value(place)?;
        if self.members.contains_key(VALUE) && !is_shown_as(&content.value, &self.own()) {
            let rule = "its members are not those of its ~value";
            return Err(place.damaged(&self.id, rule));
        }
        Ok(content)
    }

    /// The members of the value.
    fn own(&self) -> Map<String, Value> {
        let own = self.members.iter().filter(|(name, _)| !is_reserved(name));
        own.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// Whether members are what a server made of a value's members.
fn is_shown_as(value: &[u8], members: &Map<String, Value>) -> bool {
    /// A name that servers written in JavaScript lose.
    const PROTOTYPE: &str = "__proto__";
    let parsed = json::parse(value, Repeats::LastCounts).ok();
    let kept = parsed.filter(|parsed| fidelity(parsed) > Fidelity::Refused);
    let mut expected = match kept {
        Some(Value::Object(expected)) => expected,
        _ => Map::new(),
    };
    expected.retain(|name, _| !is_reserved(name));
    if String::from_utf8_lossy(value).contains(PROTOTYPE) {
        return true;
    }
    is_alike(&Value::Object(expected), &Value::Object(members.clone()))
}

/// Members with these names belong to CouchDB, Fabric or us.
fn is_reserved(name: &str) -> bool {
    name.starts_with('_') || name == VERSION || name == VALUE
}

/// The document of a value; `rev` is the revision of the document that it replaces.
pub(super) fn write(
    place: &Place,
    id: &str,
    rev: Option<&str>,
    content: &VersionedValue,
) -> Map<String, Value> {
    let mut document = head(place, id, rev, content);
    let parsed = json::parse(&content.value, Repeats::LastCounts).ok();
    let members = parsed.as_ref().and_then(Value::as_object);
    let how = parsed.as_ref().map_or(Fidelity::Refused, fidelity);
    let is_kept = how == Fidelity::Kept
        && members.is_some_and(|members| !members.keys().any(|name| is_reserved(name)))
        // White space, escapes and repeated members could differ.
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
pub(super) fn delete(place: &Place, id: &str, rev: &str, version: Height) -> Map<String, Value> {
    let nothing = VersionedValue {
        value: Bytes::new(),
        metadata: Bytes::new(),
        version,
    };
    let mut document = head(place, id, Some(rev), &nothing);
    document.insert("_deleted".to_owned(), true.into());
    document
}

fn head(
    place: &Place,
    id: &str,
    rev: Option<&str>,
    content: &VersionedValue,
) -> Map<String, Value> {
    let mut height = Vec::with_capacity(18);
    content.version.put(&mut height);
    let (metadata, value) = (&content.metadata, &content.value);
    let key = names::key(&place.namespace, id).unwrap_or_default();
    let stored = StoredVersion {
        checksum: Some(place.checksum(&key, &height, metadata, value)),
        version: height.into(),
        metadata: metadata.clone(),
        value_checksum: None,
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
    use super::super::answers::{read_leaves, read_rows};
    use super::*;

    fn content(value: &[u8]) -> VersionedValue {
        VersionedValue {
            value: Bytes::copy_from_slice(value),
            metadata: "m".into(),
            version: Height::new(300, 2),
        }
    }

    fn place() -> Place {
        Place {
            channel: "main".to_owned(),
            namespace: "ns".to_owned(),
            database: "main_ns".to_owned(),
            takes_former: false,
        }
    }

    fn stored(mut members: Map<String, Value>) -> ServerDocument {
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
            let document = write(&place(), "k", None, &content(value));
            let shown = String::from_utf8_lossy(value);
            assert_eq!(document.get(VALUE).is_none(), is_plain, "{shown}");
            assert_eq!(
                stored(document).value(&place()).unwrap(),
                content(value),
                "{shown}"
            );
        }
    }

    #[test]
    fn members_are_there_for_whoever_reads_the_database_unless_couchdb_would_refuse_them() {
        let names = |value: &[u8]| {
            let document = write(&place(), "k", Some("1-x"), &content(value));
            let names = document.keys().filter(|name| !is_reserved(name));
            names.cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(br#"{"a":1.10,"_b":1}"#), ["a"]);
        assert_eq!(names(br#"{"a":1e400,"b":1}"#), Vec::<String>::new());
        assert_eq!(names(b"[1]"), Vec::<String>::new());
    }

    #[test]
    fn of_the_leaves_of_an_id_the_one_that_couchdb_shows_is_the_document() {
        let read = |docs: serde_json::Value| {
            let body = serde_json::json!({"results": [{"id": "k", "docs": docs}]});
            read_leaves(body.to_string().as_bytes())
        };
        let leaf = |rev: &str, is_deleted: bool| {
            let mut document = serde_json::json!({"_id": "k", "_rev": rev});
            if is_deleted {
                document["_deleted"] = true.into();
            }
            serde_json::json!({"ok": document})
        };
        for (docs, expected) in [
            (vec![leaf("1-a", false)], Some("1-a")),
            (vec![leaf("9-a", false), leaf("10-a", false)], Some("10-a")),
            (vec![leaf("2-b", false), leaf("2-a", false)], Some("2-b")),
            (vec![leaf("3-a", true), leaf("1-b", false)], Some("1-b")),
            (vec![leaf("3-a", true)], None),
            (
                vec![serde_json::json!({"error": {"error": "not_found"}})],
                None,
            ),
        ] {
            let found = read(docs.clone().into()).unwrap();
            let revs: Vec<&str> = found.iter().map(|stored| stored.rev.as_str()).collect();
            assert_eq!(revs, Vec::from_iter(expected), "{docs:?}");
        }
        // An unknown answer does not mean that there is no document.
        for error in [
            serde_json::json!({"error": {"error": "timeout"}}),
            serde_json::json!({}),
        ] {
            assert!(read(vec![error].into()).is_err());
        }
    }

    #[test]
    fn a_document_that_was_changed_by_others_is_damage() {
        let mut document = write(&place(), "k", None, &content(br#"{"a":1}"#));
        document.insert("a".to_owned(), 2.into());
        assert!(stored(document).value(&place()).is_err());
        let mut document = write(&place(), "k", None, &content(br#"{"a":1.0}"#));
        document.insert(VALUE.to_owned(), "!".into());
        assert!(stored(document).value(&place()).is_err());
        assert!(
            stored(Map::from_iter([("_id".to_owned(), "k".into())]))
                .value(&place())
                .is_err()
        );
    }

    #[test]
    fn the_version_member_is_what_fabric_reads() {
        // This is proto {1: 02 01 2c 01 02, 2: "m"}, and our field 3.
        let document = write(&place(), "k", None, &content(b"{}"));
        let bytes = BASE64.decode(document[VERSION].as_str().unwrap()).unwrap();
        assert_eq!(hex::encode(&bytes[..10]), "0a0502012c010212016d");
        assert_eq!(bytes[10], 0x25);
    }

    #[test]
    fn a_document_in_anothers_place_is_damage_that_names_the_key() {
        let document = write(&place(), "k", None, &content(b"{\"a\":1}"));
        assert!(stored(document.clone()).value(&place()).is_ok());
        let moved = |place: &Place, id: &str| {
            let mut document = document.clone();
            document.insert("_id".to_owned(), id.into());
            stored(document).value(place)
        };
        let mut channel = place();
        channel.channel = "other".to_owned();
        let mut namespace = place();
        namespace.namespace = "other".to_owned();
        for (place, id) in [(&channel, "k"), (&namespace, "k"), (&place(), "k2")] {
            let error = moved(place, id).unwrap_err();
            let ReadError::StateDocument { key, namespace, .. } = &error else {
                panic!("{error:?}");
            };
            assert_eq!((key.as_str(), namespace), (id, &place.namespace));
        }
        // A part of it cannot end, and the next begin, at another place.
        let joined = [("ab", "c"), ("a", "bc")].map(|(namespace, key)| {
            let mut place = place();
            place.namespace = namespace.to_owned();
            place.checksum(key, b"v", b"m", b"")
        });
        assert_ne!(joined[0], joined[1]);
    }

    #[test]
    fn a_document_of_an_earlier_version_is_read_where_there_may_be_some() {
        let mut former = place();
        former.takes_former = true;
        for value in [&br#"{"a":1}"#[..], br#"{"a":1.0}"#, b"[1]", b""] {
            let mut document = write(&place(), "k", None, &content(value));
            let mut version = Vec::new();
            Height::new(300, 2).put(&mut version);
            let written = StoredVersion {
                version: version.into(),
                metadata: "m".into(),
                // It was left out if it was zero.
                value_checksum: Some(crc32c(value)).filter(|checksum| *checksum != 0),
                checksum: None,
            };
            let written = BASE64.encode(written.encode_to_vec());
            document.insert(VERSION.to_owned(), written.into());
            let read = stored(document.clone());
            assert_eq!(read.value(&former).unwrap(), content(value));
            assert!(read.value(&place()).is_err());
            document.insert("b".to_owned(), 1.into());
            document.insert(VALUE.to_owned(), BASE64.encode(b"{\"b\":1}").into());
            assert!(stored(document).value(&former).is_err());
        }
    }

    #[test]
    fn members_beside_the_bytes_are_looked_at_by_who_wants_to_know_more() {
        for value in [
            &br#"{"a":1.50,"b":[1e2,{"c":9007199254740993}],"_x":1}"#[..],
            b"{\"a\": \"b\"}",
            b"[1]",
            b"{\"a\":1e400}",
            b"\xff",
        ] {
            let document = write(&place(), "k", None, &content(value));
            let shown = |change: &dyn Fn(&mut Map<String, Value>)| {
                let mut document = document.clone();
                change(&mut document);
                let document = stored(document);
                assert_eq!(document.value(&place()).unwrap(), content(value));
                document.whole_value(&place()).is_ok()
            };
            assert!(shown(&|_| ()));
            assert!(!shown(&|document| drop(
                document.insert("a".to_owned(), 7.into())
            )));
            assert!(!shown(&|document| drop(
                document.insert("z".to_owned(), Value::Null)
            )));
        }
        // CouchDB gives numbers back in this form.
        let mut document = write(&place(), "k", None, &content(br#"{"a":1.50,"b":1e2}"#));
        document.insert("a".to_owned(), serde_json::from_str("1.5").unwrap());
        document.insert("b".to_owned(), serde_json::from_str("100.0").unwrap());
        assert!(stored(document).whole_value(&place()).is_ok());
    }
}
