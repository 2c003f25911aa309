//! `GET /v1/channels/{channel}/history/{namespace}/{key}`: every value a key ever had.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use quire_chaincode::Listing;
use quire_ledger::{Height, KeyModification, Order};
use quire_wire::common::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::creator::{Creator, Creators};
use crate::gateway::Gateway;
use crate::parameters;
use crate::path::{self, KeyPath};
use crate::problem::Problem;
use crate::query::Query;
use crate::reply;
use crate::state::PAGE_ROWS;
use crate::value::Value;

/// A page of the history of a key.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/history/{namespace}/{key}",
    tag = "state",
    operation_id = "getHistory",
    summary = "What happened to a key",
    params(
        ("order" = Option<String>, Query, description = "`desc`, newest first, or `asc`."),
        parameters::Page
    ),
    responses((status = 200, description = "Its writes and deletes.", body = Rows))
)]
pub(crate) async fn history(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let path = path::key_to_read(&gateway, request.uri())?;
    let query = Query::parse(request.uri(), &["order", "limit", "bookmark"])?;
    let page = Page {
        limit: query.limit(PAGE_ROWS.0, PAGE_ROWS.1)?,
        max_bytes: gateway.limits.page_bytes,
        order: match query.get("order") {
            None | Some("desc") => Order::NewestFirst,
            Some("asc") => Order::OldestFirst,
            Some(_) => return Err(Problem::invalid_argument("order is neither asc nor desc.")),
        },
        bookmark: query.get("bookmark").map(str::to_owned),
    };
    gateway.pools.work(move || read(&path, &page)).await
}

/// Which part of the history.
struct Page {
    order: Order,
    bookmark: Option<String>,
    limit: usize,
    max_bytes: usize,
}

impl Page {
    /// The version behind which it begins.
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
#[schema(as = HistoryEntry)]
struct Row<'a> {
    transaction_id: &'a str,
    block_number: u64,
    tx_number: u64,
    timestamp: Option<&'a str>,
    /// Who made it: the common name of the certificate that it is signed with.
    creator: Option<&'a str>,
    creator_msp_id: Option<&'a str>,
    is_delete: bool,
    #[serde(flatten)]
    value: Value<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HistoryEntries)]
struct Rows<'a> {
    entries: Vec<Row<'a>>,
    bookmark: Option<String>,
}

fn read(path: &KeyPath, page: &Page) -> Result<Response, Problem> {
    let (namespace, key) = (&path.namespace, &path.key);
    let order = match page.order {
        Order::NewestFirst => "desc",
        Order::OldestFirst => "asc",
    };
    let listing = ["history", &path.channel.name, namespace, key, order];
    let listing = Listing(&listing);
    let after = page.after(listing)?;
    let snapshot = path.channel.reader.snapshot();
    // One more than asked for tells whether there are more.
    let mut heights = snapshot.history(namespace, key, page.order, after, page.limit + 1)?;
    let mut more = heights.len() > page.limit;
    heights.truncate(page.limit);
    let mut entries = Vec::with_capacity(heights.len());
    let mut creators = Creators::default();
    let mut bytes = 0;
    for height in heights {
        if bytes > page.max_bytes {
            more = true;
            break;
        }
        let mut entry = snapshot.modification(namespace, key, height)?;
        let creator = creators.read(&std::mem::take(&mut entry.creator));
        bytes += entry.value.as_ref().map_or(0, Bytes::len);
        let timestamp = entry.timestamp.as_ref().and_then(Timestamp::rfc3339);
        entries.push((entry, timestamp, creator));
    }
    let last = entries.last().filter(|_| more);
    let document = Rows {
        bookmark: last.map(|(entry, ..)| listing.bookmark(&entry.height.to_string())),
        entries: entries
            .iter()
            .map(|(entry, timestamp, creator)| row(entry, timestamp.as_deref(), creator.as_deref()))
            .collect(),
    };
    let response = reply::json(StatusCode::OK, &document)?;
    let response = reply::at_height(response, snapshot.height());
    Ok(reply::no_cache(response))
}

fn row<'a>(
    modification: &'a KeyModification,
    timestamp: Option<&'a str>,
    creator: Option<&'a Creator>,
) -> Row<'a> {
    Row {
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
