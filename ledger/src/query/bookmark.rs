//! Where a page ended: which query it belongs to, by digest, which index it was read from, and the
//! values and key of its last document. Nothing in it depends on the process or the collation data.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::error::QueryError;
use super::request::Query;
use crate::json::{self, Repeats};

/// Version of the form.
const VERSION: u8 = 1;

/// A place between documents.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Bookmark {
    #[serde(rename = "v")]
    version: u8,
    /// Of the query.
    #[serde(rename = "q")]
    digest: String,
    /// Design document and name of the index; none for all documents.
    #[serde(rename = "i")]
    pub(super) index: Option<(String, String)>,
    /// The document's values of the index's fields.
    #[serde(rename = "a")]
    pub(super) values: Vec<Value>,
    #[serde(rename = "k")]
    pub(super) key: String,
}

/// Names a query: pages of other sizes or of other fields belong to the same one.
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

impl Bookmark {
    pub(super) fn new(
        digest: &str,
        index: Option<(String, String)>,
        values: Vec<Value>,
        key: String,
    ) -> Self {
        Self {
            version: VERSION,
            digest: digest.to_owned(),
            index,
            values,
            key,
        }
    }

    pub(super) fn encode(&self) -> String {
        // Strings and JSON always serialize.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// # Errors
    /// It is none, or not of the query with this digest.
    pub(super) fn decode(text: &str, digest: &str) -> Result<Self, QueryError> {
        let decoded = URL_SAFE_NO_PAD.decode(text).ok();
        let bookmark = decoded.and_then(|bytes| Self::read(&bytes));
        bookmark
            .filter(|bookmark| bookmark.version == VERSION && bookmark.digest == digest)
            .ok_or_else(|| QueryError::InvalidBookmark(text.into()))
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
        match (take("v")?, take("q")?, take("a")?, take("k")?) {
            (
                Value::Number(version),
                Value::String(digest),
                Value::Array(values),
                Value::String(key),
            ) if members.is_empty() => Some(Self {
                version: version.as_u64()?.try_into().ok()?,
                digest,
                index,
                values,
                key,
            }),
            _ => None,
        }
    }
}
