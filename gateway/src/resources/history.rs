//! `GET /v1/channels/{channel}/history/{namespace}/{key}`: every value a key ever had.

use std::sync::Arc;
use std::vec;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use quire_chaincode::Listing;
use quire_ledger::{Height, KeyModification, Order, Snapshot};
use quire_wire::common::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::creator::{Creator, Creators};
use super::state::PAGE_ROWS;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::reply;
use crate::reply::pages;
use crate::reply::value::Value;
use crate::request::body;
use crate::request::parameters;
use crate::request::path::{self, KeyPath};
use crate::request::url_query::UrlQuery;

/// A page of the history of a key.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/history/{namespace}/{key}",
    tag = "state",
    operation_id = "getHistory",
    summary = "What happened to a key",
    params(
        ("order" = Option<String>, Query, description = "`desc`, newest first, or `asc`."),
        parameters::PageParameters
    ),
    responses((status = 200, description = "Its writes and deletes.", body = HistoryEntries))
)]
pub(crate) async fn history(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let path = path::key_to_read(&gateway, request.uri())?;
    let query = UrlQuery::parse(request.uri(), &["order", "limit", "bookmark"])?;
    let page = HistoryRequest {
        limit: query.limit(PAGE_ROWS.0, PAGE_ROWS.1)?,
        max_bytes: gateway.limits.page_bytes,
        order: match query.get("order") {
            None | Some("desc") => Order::NewestFirst,
            Some("asc") => Order::OldestFirst,
            Some(_) => return Err(Problem::invalid_argument("order is neither asc nor desc.")),
        },
        bookmark: query.get("bookmark").map(str::to_owned),
    };
    let found = gateway.pools.work(move || Entries::find(path, &page));
    let entries = found.await?;
    let height = entries.snapshot.height();
    let body = pages::body(&gateway, entries).await?;
    let response = reply::of_type(body::JSON, body, StatusCode::OK);
    Ok(reply::no_cache(reply::at_height(response, height)))
}

/// The part of the history that is asked for.
struct HistoryRequest {
    order: Order,
    bookmark: Option<String>,
    limit: usize,
    max_bytes: usize,
}

impl HistoryRequest {
    /// The version after which it begins.
    fn after(&self, listing: Listing<'_>) -> Result<Option<Height>, Problem> {
        let Some(bookmark) = &self.bookmark else {
            return Ok(None);
        };
        let place = listing.place(bookmark);
        let version = place.and_then(|place| place.parse().ok());
        version.map(Some).ok_or_else(|| {
            Problem::invalid_argument(
                "The bookmark is not one of this history: it goes with the channel, namespace, key \
                 and order of the page that it came with.",
            )
        })
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HistoryEntry<'a> {
    transaction_id: &'a str,
    block_number: u64,
    tx_number: u64,
    timestamp: Option<&'a str>,
    /// The creator: the common name of the certificate with which it is signed.
    creator: Option<&'a str>,
    creator_msp_id: Option<&'a str>,
    is_delete: bool,
    #[serde(flatten)]
    value: Value<'a>,
}

/// A page, which is written row by row.
#[derive(ToSchema)]
#[expect(dead_code, reason = "tells the shape of the document")]
struct HistoryEntries<'a> {
    entries: Vec<HistoryEntry<'a>>,
    bookmark: Option<String>,
}

/// The rows of a page, each read when it is written.
struct Entries {
    snapshot: Snapshot,
    path: KeyPath,
    order: &'static str,
    /// The versions that still come.
    heights: vec::IntoIter<Height>,
    /// The last version that was written.
    last: Option<Height>,
    /// Bytes of values that were written, and their limit.
    bytes: usize,
    max_bytes: usize,
    has_more: bool,
    creators: Creators,
}

impl Entries {
    /// Finds the rows of a page. Blocks.
    fn find(path: KeyPath, page: &HistoryRequest) -> Result<Self, Problem> {
        let order = match page.order {
            Order::NewestFirst => "desc",
            Order::OldestFirst => "asc",
        };
        let listing = listing(&path, order);
        let after = page.after(Listing(&listing))?;
        let snapshot = path.channel.reader.snapshot();
        // One row more than asked for tells whether there are more.
        let (namespace, key, limit) = (&path.namespace, &path.key, page.limit + 1);
        let mut heights = snapshot.history(namespace, key, page.order, after, limit)?;
        let has_more = heights.len() > page.limit;
        heights.truncate(page.limit);
        Ok(Self {
            snapshot,
            order,
            heights: heights.into_iter(),
            last: None,
            bytes: 0,
            max_bytes: page.max_bytes,
            has_more,
            creators: Creators::default(),
            path,
        })
    }
}

fn listing<'a>(path: &'a KeyPath, order: &'a str) -> [&'a str; 5] {
    [
        "history",
        &path.channel.name,
        &path.namespace,
        &path.key,
        order,
    ]
}

impl pages::Page for Entries {
    const MEMBER: &'static str = "entries";

    fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Problem> {
        let Some(height) = self.heights.next() else {
            return Ok(false);
        };
        if self.bytes > self.max_bytes {
            self.cut();
            return Ok(false);
        }
        let (namespace, key) = (&self.path.namespace, &self.path.key);
        let entry = self.snapshot.modification(namespace, key, height)?;
        self.bytes += entry.value.as_ref().map_or(0, Bytes::len);
        let timestamp = entry.timestamp.as_ref().and_then(Timestamp::rfc3339);
        let creator = self.creators.read(&entry.creator);
        let row = row(&entry, timestamp.as_deref(), creator.as_deref());
        serde_json::to_writer(out, &row).map_err(Problem::internal)?;
        self.last = Some(height);
        Ok(true)
    }

    fn cut(&mut self) {
        self.has_more = true;
    }

    fn bookmark(&self) -> Option<String> {
        let last = self.last.filter(|_| self.has_more)?;
        let listing = listing(&self.path, self.order);
        Some(Listing(&listing).bookmark(&last.to_string()))
    }
}

fn row<'a>(
    modification: &'a KeyModification,
    timestamp: Option<&'a str>,
    creator: Option<&'a Creator>,
) -> HistoryEntry<'a> {
    HistoryEntry {
        transaction_id: &modification.tx_id,
        block_number: modification.height.block,
        tx_number: modification.height.tx,
        timestamp,
        creator: creator.and_then(|creator| creator.name.as_deref()),
        creator_msp_id: creator.map(|creator| creator.msp_id.as_str()),
        is_delete: modification.value.is_none(),
        value: Value {
            bytes: modification.value.as_deref(),
        },
    }
}
