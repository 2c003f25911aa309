//! One page of a range of keys: the `range` function of the built-in chaincode.
//!
//! ```text
//! argument   {"start": "a", "end": "b", "limit": 25, "bookmark": null}     all optional
//! result     {"rows": [{"key", "version", "value" | "valueBase64"}], "bookmark": "..." | null}
//! ```
//!
//! `start` is inclusive, `end` exclusive, empty means open. A bookmark belongs to its range; its place
//! is the key at which the next page starts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use quire_ledger::VersionedValue;

use super::operation::{invalid, string};
use super::view::View;
use crate::bookmark::Listing;
use crate::json::{self, MAX_DEPTH, Node, Shape};
use crate::{ChaincodeError, json::quoted};

pub(super) const DEFAULT_LIMIT: usize = 25;
const MAX_LIMIT: usize = 1_000;
/// A page ends early rather than growing past this with large values. It has at least one row.
pub(crate) const MAX_PAGE_BYTES: usize = 16 << 20;

const NO_BOOKMARK_OF_RANGE: &str = "the bookmark is not one of this range: it goes with the same channel, namespace, start and end";

/// A range, and how much of it a page shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    start: String,
    end: String,
    limit: usize,
    bookmark: Option<String>,
}

impl Page {
    /// Reads the argument; without one, the page starts at the first key.
    pub(crate) fn from_argument(text: Option<&Bytes>) -> Result<Self, ChaincodeError> {
        let (mut start, mut end, mut limit, mut bookmark) = (None, None, DEFAULT_LIMIT, None);
        let text = text.map_or(b"{}".as_slice(), Bytes::as_ref);
        let Shape::Object(members) = json::read(text, MAX_DEPTH)?.shape else {
            return Err(invalid("range takes an object"));
        };
        for member in &members {
            let value = &member.value;
            match &*member.name {
                "start" => start = Some(string(value, "start")?),
                "end" => end = Some(string(value, "end")?),
                "limit" => limit = read_limit(value)?,
                "bookmark" if matches!(value.shape, Shape::Null) => {}
                "bookmark" => bookmark = Some(string(value, "bookmark")?.into_owned()),
                unknown => {
                    return Err(invalid(format!(
                        "unknown member {unknown:?}; range takes start, end, limit, bookmark"
                    )));
                }
            }
        }
        Ok(Self {
            start: start.unwrap_or_default().into_owned(),
            end: end.unwrap_or_default().into_owned(),
            limit,
            bookmark,
        })
    }

    /// The first key of the page.
    fn first(&self, listing: Listing<'_>) -> Result<String, ChaincodeError> {
        let Some(bookmark) = &self.bookmark else {
            return Ok(self.start.clone());
        };
        let is_inside =
            |key: &String| *key >= self.start && (self.end.is_empty() || *key < self.end);
        let first = listing.place(bookmark).filter(is_inside);
        first.ok_or_else(|| invalid(NO_BOOKMARK_OF_RANGE))
    }

    /// Reads the page and puts it into words.
    pub(crate) fn show(
        &self,
        view: &mut impl View,
        namespace: &str,
    ) -> Result<Bytes, ChaincodeError> {
        let channel = view.channel().to_owned();
        let listing = ["range", &channel, namespace, &self.start, &self.end];
        let listing = Listing(&listing);
        let first = self.first(listing)?;
        // One row more tells whether there is a next page, and where it starts.
        let rows = view.range(namespace, &first, &self.end, self.limit + 1)?;
        let mut text = String::from("{\"rows\":[");
        let mut bookmark = "null".to_owned();
        for (index, (key, row)) in rows.iter().enumerate() {
            let is_full = index == self.limit || text.len() + row.value.len() > MAX_PAGE_BYTES;
            if is_full && index > 0 {
                bookmark = format!("\"{}\"", listing.bookmark(key));
                break;
            }
            if index > 0 {
                text.push(',');
            }
            push_row(&mut text, key, row);
        }
        text.push_str("],\"bookmark\":");
        text.push_str(&bookmark);
        text.push('}');
        Ok(text.into())
    }
}

/// A committed value as a member, with its name: as it is where it is JSON, otherwise in base64.
pub(crate) fn value_member(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if json::is_json(value) => format!("\"value\":{text}"),
        _ => format!("\"valueBase64\":\"{}\"", STANDARD.encode(value)),
    }
}

fn push_row(text: &mut String, key: &str, row: &VersionedValue) {
    text.push_str("{\"key\":");
    text.push_str(&quoted(key));
    text.push_str(",\"version\":\"");
    text.push_str(&row.version.to_string());
    text.push_str("\",");
    text.push_str(&value_member(&row.value));
    text.push('}');
}

pub(crate) fn read_limit(value: &Node<'_>) -> Result<usize, ChaincodeError> {
    let limit = value.text.parse().ok();
    limit
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| invalid(format!("limit has to be an integer from 1 to {MAX_LIMIT}")))
}
