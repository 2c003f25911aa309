//! Where a page ended: its index, and the values and key of its last document, as JSON after a mark. The mark
//! covers that text and the query, so that a bookmark of another query, or with a changed letter, is refused.
//! Nothing in it depends on the process or the collation data.
//!
//! ```text
//! bookmark = base64url, unpadded, of  mark: 12 bytes ‖ {"v": 2, "i": ..., "a": ..., "k": ...}
//! mark     = first 12 bytes of sha256(digest of the query ‖ 00 ‖ text)
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::error::QueryError;
use super::request::Query;
use crate::json::{self, Repeats};

/// Version of the form.
const VERSION: u8 = 2;
const MARK_BYTES: usize = 12;

/// A place between documents.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Bookmark {
    #[serde(rename = "v")]
    version: u8,
    /// Design document and name of the index; `None` for all documents.
    #[serde(rename = "i")]
    pub(super) index: Option<(String, String)>,
    /// The document's values of the index's fields.
    #[serde(rename = "a")]
    pub(super) values: Vec<Value>,
    #[serde(rename = "k")]
    pub(super) key: String,
}

/// Identifies a query: pages with other sizes or other fields belong to the same query.
pub(super) fn digest(channel: &str, namespace: &str, query: &Query) -> String {
    let sort: Vec<_> = query.sort.specs().collect();
    let query = json!([
        channel,
        namespace,
        query.selector.normal(),
        sort,
        query.use_index
    ]);
    let digest = Sha256::digest(query.to_string());
    URL_SAFE_NO_PAD.encode(digest.get(..12).unwrap_or_default())
}

/// The mark that binds the text of a bookmark to its query.
fn mark(digest: &str, text: &[u8]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    hasher.update(digest);
    hasher.update([0]);
    hasher.update(text);
    let mut mark = hasher.finalize().to_vec();
    mark.truncate(MARK_BYTES);
    mark
}

impl Bookmark {
    pub(super) fn new(index: Option<(String, String)>, values: Vec<Value>, key: String) -> Self {
        Self {
            version: VERSION,
            index,
            values,
            key,
        }
    }

    /// The bookmark for the caller, for the query with this digest.
    pub(super) fn encode(&self, digest: &str) -> String {
        // Strings and JSON always serialize.
        let text = serde_json::to_vec(self).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([mark(digest, &text), text].concat())
    }

    /// # Errors
    /// The text is not a bookmark, or not of the query with this digest.
    pub(super) fn decode(text: &str, digest: &str) -> Result<Self, QueryError> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (found, text) = bytes.split_at_checked(MARK_BYTES)?;
            if found != mark(digest, text) {
                return None;
            }
            let bookmark = Self::read(text)?;
            (bookmark.version == VERSION).then_some(bookmark)
        };
        read().ok_or_else(|| QueryError::InvalidBookmark(text.into()))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let Value::Object(mut members) = json::parse(bytes, Repeats::Refused).ok()? else {
            return None;
        };
        let mut take = |name| members.shift_remove(name);
        let index = match take("i")? {
            Value::Null => None,
            Value::Array(names) => match <[Value; 2]>::try_from(names).ok()? {
                [Value::String(ddoc), Value::String(name)] => Some((ddoc, name)),
                _ => return None,
            },
            _ => return None,
        };
        match (take("v")?, take("a")?, take("k")?) {
            (Value::Number(version), Value::Array(values), Value::String(key))
                if members.is_empty() =>
            {
                Some(Self {
                    version: version.as_u64()?.try_into().ok()?,
                    index,
                    values,
                    key,
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lost_or_changed_a_letter_or_is_another_query_s_is_no_bookmark() {
        let bookmark = Bookmark::new(None, vec![json!(1.5), json!("é")], "m02".to_owned());
        let text = bookmark.encode("query");
        assert_eq!(Bookmark::decode(&text, "query").unwrap().key, "m02");
        assert!(Bookmark::decode(&text, "other").is_err());
        for end in 0..text.len() {
            assert!(Bookmark::decode(&text[..end], "query").is_err(), "{end}");
            let mut changed = text.clone().into_bytes();
            changed[end] = if changed[end] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Bookmark::decode(&changed, "query").is_err(), "{changed}");
        }
    }
}
