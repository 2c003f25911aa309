//! One page of what happened to a key: the `history` function of the built-in chaincode.
//!
//! ```text
//! argument   {"order": "desc" | "asc", "limit": 25, "bookmark": null}      all optional
//! result     {"entries": [{"transactionId", "blockNumber", "txNumber", "timestamp", "isDelete",
//!                          "value" | "valueBase64"}], "bookmark": "..." | null}
//! ```
//!
//! `desc`, the default, is newest first. A bookmark belongs to its key and order; its place is
//! the version of the last entry. As in Fabric, nothing of it is protected: the key may be written
//! again before the transaction commits. Who depends on that it is not reads the key too.
//!
//! An entry has what Fabric's `KeyModification` has. It does not name the creator, as the API's history
//! does: a result stands in a block and is endorsed, and names are read out of certificates by a parser that
//! may change.

use bytes::Bytes;
use quire_ledger::{Height, KeyModification, Order};
use quire_wire::common::Timestamp;

use super::operation::{invalid, string};
use super::page::{DEFAULT_LIMIT, MAX_PAGE_BYTES, read_limit, value_member};
use super::view::View;
use crate::ChaincodeError;
use crate::bookmark::Listing;
use crate::json::{self, MAX_DEPTH, Shape, quoted};

/// A part of a key's history.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Past {
    order: Order,
    bookmark: Option<String>,
    limit: usize,
}

const NO_BOOKMARK_OF_HISTORY: &str = "the bookmark is not one of this history: it goes with the same channel, namespace, key and order";

impl Past {
    /// Reads the argument; without one, the page starts at the newest write.
    pub(crate) fn from_argument(text: Option<&Bytes>) -> Result<Self, ChaincodeError> {
        let mut past = Self {
            order: Order::NewestFirst,
            bookmark: None,
            limit: DEFAULT_LIMIT,
        };
        let text = text.map_or(b"{}".as_slice(), Bytes::as_ref);
        let Shape::Object(members) = json::read(text, MAX_DEPTH)?.shape else {
            return Err(invalid("history takes a key and an object"));
        };
        for member in &members {
            let value = &member.value;
            match &*member.name {
                "order" => {
                    past.order = match &*string(value, "order")? {
                        "desc" => Order::NewestFirst,
                        "asc" => Order::OldestFirst,
                        _ => return Err(invalid("order is neither asc nor desc")),
                    }
                }
                "limit" => past.limit = read_limit(value)?,
                "bookmark" if matches!(value.shape, Shape::Null) => {}
                "bookmark" => past.bookmark = Some(string(value, "bookmark")?.into_owned()),
                unknown => {
                    return Err(invalid(format!(
                        "unknown member {unknown:?}; history takes order, limit, bookmark"
                    )));
                }
            }
        }
        Ok(past)
    }

    /// The version behind which the page begins.
    fn after(&self, listing: Listing<'_>) -> Result<Option<Height>, ChaincodeError> {
        let Some(bookmark) = &self.bookmark else {
            return Ok(None);
        };
        let place = listing.place(bookmark);
        let version = place.and_then(|place| place.parse().ok());
        let version = version.ok_or_else(|| invalid(NO_BOOKMARK_OF_HISTORY))?;
        Ok(Some(version))
    }

    /// Reads the page and puts it into words.
    pub(crate) fn show(
        &self,
        view: &impl View,
        namespace: &str,
        key: &str,
    ) -> Result<Bytes, ChaincodeError> {
        let order = match self.order {
            Order::NewestFirst => "desc",
            Order::OldestFirst => "asc",
        };
        let listing = ["history", view.channel(), namespace, key, order];
        let listing = Listing(&listing);
        let after = self.after(listing)?;
        // One more tells whether there is a next page.
        let heights = view.history(namespace, key, self.order, after, self.limit + 1)?;
        let mut text = String::from("{\"entries\":[");
        let mut bookmark = "null".to_owned();
        let mut last: Option<Height> = None;
        for (index, height) in heights.into_iter().enumerate() {
            let is_full = index == self.limit || text.len() > MAX_PAGE_BYTES;
            if let Some(last) = last.filter(|_| is_full) {
                bookmark = format!("\"{}\"", listing.bookmark(&last.to_string()));
                break;
            }
            if index > 0 {
                text.push(',');
            }
            push_entry(&mut text, &view.modification(namespace, key, height)?);
            last = Some(height);
        }
        text.push_str("],\"bookmark\":");
        text.push_str(&bookmark);
        text.push('}');
        Ok(text.into())
    }
}

fn push_entry(text: &mut String, entry: &KeyModification) {
    let timestamp = entry.timestamp.as_ref().and_then(Timestamp::rfc3339);
    let timestamp = timestamp.map_or_else(|| "null".to_owned(), |time| quoted(&time));
    let value = entry.value.as_ref();
    let value = value.map_or_else(|| "\"value\":null".to_owned(), |value| value_member(value));
    let entry = format!(
        "{{\"transactionId\":{},\"blockNumber\":{},\"txNumber\":{},\"timestamp\":{timestamp},\
         \"isDelete\":{},{value}}}",
        quoted(&entry.tx_id),
        entry.height.block,
        entry.height.tx,
        entry.value.is_none(),
    );
    text.push_str(&entry);
}
