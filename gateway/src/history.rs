//! `GET /v1/channels/{channel}/history/{namespace}/{key}`: every value a key ever had.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use quire_ledger::{Height, Order};
use quire_wire::Message;
use quire_wire::rwset::{KvRwSet, KvWrite, TxReadWriteSet};
use quire_wire::transaction::Opened;
use serde::Serialize;
use utoipa::ToSchema;

use crate::backend::Channel;
use crate::bookmark;
use crate::gateway::{Gateway, blocking};
use crate::parameters;
use crate::path::{self, KeyPath};
use crate::problem::Problem;
use crate::query::Query;
use crate::reply;
use crate::state::PAGE_ROWS;
use crate::value::{Value, rfc3339};

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
        after: query
            .get("bookmark")
            .map(bookmark::version_of)
            .transpose()?,
    };
    blocking(move || read(&path, &page)).await
}

/// Which part of the history.
struct Page {
    order: Order,
    after: Option<Height>,
    limit: usize,
    max_bytes: usize,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HistoryEntry)]
struct Row<'a> {
    transaction_id: &'a str,
    block_number: u64,
    tx_number: u64,
    timestamp: Option<&'a str>,
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
    let snapshot = path.channel.reader.snapshot();
    // One more than asked for tells whether there are more.
    let mut heights = snapshot.history(namespace, key, page.order, page.after, page.limit + 1)?;
    let mut more = heights.len() > page.limit;
    heights.truncate(page.limit);
    let mut entries = Vec::with_capacity(heights.len());
    let mut bytes = 0;
    for height in heights {
        if bytes > page.max_bytes {
            more = true;
            break;
        }
        let entry = Entry::read(&path.channel, height, namespace, key)?;
        bytes += entry.value.as_ref().map_or(0, Bytes::len);
        entries.push(entry);
    }
    let last = entries.last().filter(|_| more);
    let document = Rows {
        bookmark: last.map(|entry| bookmark::after_version(entry.height)),
        entries: entries.iter().map(Entry::row).collect(),
    };
    let response = reply::json(StatusCode::OK, &document)?;
    let response = reply::at_height(response, snapshot.height());
    Ok(reply::no_cache(response))
}

/// What one transaction did to the key, and nothing that shares memory with the transaction: it may
/// be a thousand times as large.
struct Entry {
    height: Height,
    tx_id: String,
    timestamp: Option<String>,
    /// None where it deleted the key.
    value: Option<Bytes>,
}

impl Entry {
    fn read(
        channel: &Channel,
        height: Height,
        namespace: &str,
        key: &str,
    ) -> Result<Self, Problem> {
        let envelope = channel.reader.envelope(height)?;
        let damaged = || {
            Problem::internal(format!(
                "history of {namespace:?}/{key:?} has no write at {height}"
            ))
        };
        let opened = Opened::read(&envelope.ok_or_else(damaged)?).map_err(|_| damaged())?;
        let call = opened.endorsed_call().map_err(|_| damaged())?;
        let write = write_of(call.action.results, namespace, key).ok_or_else(damaged)?;
        Ok(Self {
            height,
            tx_id: opened.indexed_tx_id(),
            timestamp: opened.channel_header.timestamp.as_ref().and_then(rfc3339),
            value: (!write.is_delete).then(|| Bytes::copy_from_slice(&write.value)),
        })
    }

    fn row(&self) -> Row<'_> {
        Row {
            transaction_id: &self.tx_id,
            block_number: self.height.block,
            tx_number: self.height.tx,
            timestamp: self.timestamp.as_deref(),
            is_delete: self.value.is_none(),
            value: Value {
                bytes: self.value.as_deref(),
            },
        }
    }
}

/// What a read-write set writes to a key.
fn write_of(read_write_set: Bytes, namespace: &str, key: &str) -> Option<KvWrite> {
    let sets = TxReadWriteSet::decode(read_write_set).ok()?.ns_rwset;
    let sets = sets.into_iter().filter(|set| set.namespace == namespace);
    let mut writes = sets
        .filter_map(|set| KvRwSet::decode(set.rwset).ok())
        .flat_map(|set| set.writes);
    writes.find(|write| write.key == key)
}
