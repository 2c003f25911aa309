//! `/v1/channels/{channel}/state`: namespaces, ranges, and single keys.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use quire_chaincode::{Call, Listing};
use quire_ledger::{Height, RangeEnd, Snapshot, VersionedValue};
use quire_peer::Channel;
use quire_wire::transaction::Opened;
use serde::Serialize;
use utoipa::ToSchema;

use super::transactions::keyed;
use crate::access::caller::Caller;
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::reply::pages::{self, PIECE_BYTES};
use crate::reply::value::{Value, json_text};
use crate::request::body;
use crate::request::conditions::{ReadVerdict, WriteConditions, etag, judge_read};
use crate::request::parameters::{PageParameters, ReadDemands, Retries, Waiting, WriteDemands};
use crate::request::path::{self, KeyPath};
use crate::request::prefer::{self, Prefer};
use crate::request::url_query::UrlQuery;
use crate::write::answer::{Accepted, RequestForm, ValidTransaction, answer};
use crate::write::attempts::Write;

/// The rows of a page without `limit`, and the most rows of a page.
pub(crate) const PAGE_ROWS: (usize, usize) = (25, 1000);
/// Rows that are read at a time.
const CHUNK_ROWS: usize = 32;

#[derive(Serialize, ToSchema)]
struct Namespace {
    name: String,
    keys: u64,
    /// Whether every key was counted; if not, there are at least this many.
    exact: bool,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Namespaces {
    namespaces: Vec<Namespace>,
}

/// `GET .../state`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/state",
    tag = "state",
    operation_id = "listNamespaces",
    summary = "The namespaces",
    responses((status = 200, description = "With their numbers of keys.", body = Namespaces))
)]
pub(crate) async fn namespaces(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    UrlQuery::none(request.uri())?;
    let answered = gateway.pools.work(move || {
        let snapshot = channel.reader.snapshot();
        let namespaces = snapshot.namespaces()?.into_iter();
        let namespaces = namespaces.map(|summary| Namespace {
            name: summary.name,
            keys: summary.keys,
            exact: summary.exact,
        });
        let document = Namespaces {
            namespaces: namespaces.collect(),
        };
        let response = reply::json(StatusCode::OK, &document)?;
        Ok(of_state(response, &snapshot))
    });
    answered.await
}

/// `GET` and `HEAD .../state/{namespace}/{key}`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/state/{namespace}/{key}",
    tag = "state",
    operation_id = "getKey",
    summary = "A value",
    params(ReadDemands),
    responses(
        (
            status = 200,
            description = "The exact bytes that were written.",
            content(
                (serde_json::Value = "application/json"),
                (Vec<u8> = "application/octet-stream")
            )
        ),
        (status = 304, description = "The caller has this version.")
    )
)]
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let path = path::key_to_read(&gateway, request.uri())?;
    UrlQuery::none(request.uri())?;
    let headers = request.into_parts().0.headers;
    let reader = path.channel.reader.clone();
    let answered = gateway
        .pools
        .in_brief(&reader, true, move || read(&path, &headers));
    answered.await
}

fn read(path: &KeyPath, headers: &HeaderMap) -> Result<Response, Problem> {
    let KeyPath {
        channel,
        namespace,
        key,
    } = path;
    let snapshot = channel.reader.snapshot();
    let Some(found) = snapshot.get(namespace, key)? else {
        let detail = format!("There is no key {key:?} in {namespace:?}.");
        let problem = Problem::new(ProblemKind::KeyNotFound, detail);
        return Err(reply::state_problem(problem, snapshot.height()));
    };
    let mut response = match judge_read(headers, found.version)? {
        ReadVerdict::Failed => {
            let detail = format!("The key is at version {}.", found.version);
            let problem = Problem::new(ProblemKind::PreconditionFailed, detail)
                .about_key(namespace.as_ref(), key.as_ref())
                .at_version(Some(found.version));
            return Err(reply::state_problem(problem, snapshot.height()));
        }
        ReadVerdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        ReadVerdict::Send => {
            let media = match json_text(&found.value) {
                Some(_) => body::JSON,
                None => "application/octet-stream",
            };
            reply::of_type(media, Body::from(found.value), StatusCode::OK)
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag(found.version));
    if let Some(tx_id) = tx_id_at(channel, found.version)? {
        headers.insert(reply::QUIRE_TRANSACTION_ID, tx_id);
    }
    Ok(of_state(response, &snapshot))
}

/// The transaction that wrote a version; `None` if its id cannot be a header value.
fn tx_id_at(channel: &Channel, at: Height) -> Result<Option<HeaderValue>, Problem> {
    let envelope = channel.reader.envelope(at)?;
    let opened = envelope.and_then(|envelope| Opened::read(&envelope).ok());
    Ok(opened.and_then(|opened| HeaderValue::try_from(opened.indexed_tx_id()).ok()))
}

fn of_state(response: Response, snapshot: &Snapshot) -> Response {
    reply::no_cache(reply::at_height(response, snapshot.height()))
}

/// `PUT .../state/{namespace}/{key}`.
#[utoipa::path(
    put,
    path = "/v1/channels/{channel}/state/{namespace}/{key}",
    tag = "state",
    operation_id = "putKey",
    summary = "Write a value",
    params(Retries, Waiting, WriteDemands),
    request_body(
        content = serde_json::Value,
        content_type = "application/json",
        example = json!({"total": 12.5})
    ),
    responses(
        (status = 201, description = "Created.", body = ValidTransaction),
        (status = 200, description = "Replaced.", body = ValidTransaction),
        (status = 202, description = "Ordered, not durable yet.", body = Accepted)
    )
)]
pub(crate) async fn put(
    gateway: State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    write(gateway, request).await
}

/// `PATCH .../state/{namespace}/{key}`.
#[utoipa::path(
    patch,
    path = "/v1/channels/{channel}/state/{namespace}/{key}",
    tag = "state",
    operation_id = "patchKey",
    summary = "Merge into a value (RFC 7396)",
    params(Retries, Waiting, WriteDemands),
    request_body(
        content = serde_json::Value,
        content_type = "application/merge-patch+json",
        example = json!({"shipped": true})
    ),
    responses(
        (status = 200, description = "Merged.", body = ValidTransaction),
        (status = 202, description = "Ordered, not durable yet.", body = Accepted)
    )
)]
pub(crate) async fn patch(
    gateway: State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    write(gateway, request).await
}

/// `DELETE .../state/{namespace}/{key}`.
#[utoipa::path(
    delete,
    path = "/v1/channels/{channel}/state/{namespace}/{key}",
    tag = "state",
    operation_id = "deleteKey",
    summary = "Delete a key",
    params(Retries, Waiting, WriteDemands),
    responses(
        (
            status = 200,
            description = "Deleted. A body says nothing: none, or `{}`, or `null`.",
            body = ValidTransaction
        ),
        (status = 202, description = "Ordered, not durable yet.", body = Accepted)
    )
)]
pub(crate) async fn delete(
    gateway: State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    write(gateway, request).await
}

/// One transaction on one key.
async fn write(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    UrlQuery::none(&parts.uri)?;
    let path = path::key_to_write(&gateway, &parts.uri)?;
    let prefer = Prefer::parse(&parts.headers, &gateway.limits)?;
    let conditions = WriteConditions::parse(&parts.headers)?;
    if parts.method != Method::DELETE && parts.headers.contains_key(header::CONTENT_RANGE) {
        let detail = "Content-Range names a part; a value is written as a whole.";
        return Err(Problem::invalid_argument(detail));
    }
    let (function, asked, value) = if parts.method == Method::PUT {
        let asked = RequestForm::Put {
            namespace: Arc::clone(&path.namespace),
            key: Arc::clone(&path.key),
        };
        (
            "put",
            asked,
            Some(body::read(&parts, body, body::JSON, &gateway).await?),
        )
    } else if parts.method == Method::PATCH {
        let change = body::read(&parts, body, body::MERGE_PATCH, &gateway).await?;
        ("merge", RequestForm::Change, Some(change))
    } else {
        body::read_none(&parts, body, &gateway).await?;
        ("delete", RequestForm::Change, None)
    };
    let key = keyed(&parts, value.clone().unwrap_or_default())?;
    let mut args: Vec<Bytes> = vec![argument(&*path.key)?];
    args.extend(value);
    if let Some(conditions) = &conditions {
        args.push(argument(conditions)?);
    }
    let caller = Caller::of(&parts.extensions)?;
    let write = Write {
        channel: path.channel,
        identity: Arc::clone(&caller.identity),
        reach: caller.reach(),
        call: Call {
            chaincode: path.namespace.as_ref().to_owned(),
            function: function.to_owned(),
            args,
        },
        is_init: false,
        key,
        attempts: prefer::max_attempts(&parts.headers)?,
    };
    answer(&gateway, write, asked, prefer).await
}

/// An argument of the built-in chaincode: a JSON text.
fn argument(value: &(impl Serialize + ?Sized)) -> Result<Bytes, Problem> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(Problem::internal)
}

#[derive(Serialize, ToSchema)]
struct StateRow<'a> {
    key: &'a str,
    version: String,
    #[serde(flatten)]
    value: Value<'a>,
}

/// A page, which is written row by row.
#[derive(ToSchema)]
#[expect(dead_code, reason = "tells the shape of the document")]
struct StateRows<'a> {
    rows: Vec<StateRow<'a>>,
    bookmark: Option<String>,
}

/// `GET .../state/{namespace}`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/state/{namespace}",
    tag = "state",
    operation_id = "getRange",
    summary = "A range of keys",
    params(
        ("start" = Option<String>, Query, description = "The first key."),
        ("end" = Option<String>, Query, description = "Where to stop; not included."),
        PageParameters
    ),
    responses((status = 200, description = "In byte order of keys.", body = StateRows))
)]
pub(crate) async fn range(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let uri = request.uri();
    let channel = path::channel(&gateway, uri)?;
    let namespace = path::namespace(uri)?;
    let query = UrlQuery::parse(uri, &["start", "end", "limit", "bookmark"])?;
    let limit = query.limit(PAGE_ROWS.0, PAGE_ROWS.1)?;
    let max_bytes = gateway.limits.page_bytes;
    let found = gateway
        .pools
        .work(move || KeyRange::find(&channel, namespace, &query, limit, max_bytes));
    let rows = found.await?;
    let height = rows.snapshot.height();
    let body = pages::body(&gateway, rows).await?;
    let response = reply::of_type(body::JSON, body, StatusCode::OK);
    Ok(reply::no_cache(reply::at_height(response, height)))
}

/// The first key after the last key of the page with the bookmark.
fn first_behind(listing: Listing<'_>, bookmark: &str, start: &str) -> Result<String, Problem> {
    let last = listing
        .place(bookmark)
        .filter(|last| last.as_str() >= start);
    let last = last.ok_or_else(|| {
        Problem::invalid_argument(
            "The bookmark is not one of this range: it goes with the channel, namespace, start and \
             end of the page that it came with.",
        )
    })?;
    Ok(next_key(&last))
}

/// The smallest key after `key`.
fn next_key(key: &str) -> String {
    format!("{key}\0")
}

/// The rows of a page, which are read while they are written.
struct KeyRange {
    snapshot: Snapshot,
    namespace: Arc<str>,
    /// What the listing covers, for its bookmarks: channel, start and end.
    of: [String; 3],
    /// The first key that was not read yet; `None` once all were read.
    next: Option<String>,
    /// Rows that were read and not written.
    read: VecDeque<(String, VersionedValue)>,
    /// Rows that may still be written.
    left: usize,
    /// Bytes that were written, and their limit.
    bytes: usize,
    max_bytes: usize,
    /// The last key that was written.
    last: Option<String>,
    has_more: bool,
}

impl KeyRange {
    fn find(
        channel: &Channel,
        namespace: Arc<str>,
        query: &UrlQuery,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Self, Problem> {
        let start = query.get("start").unwrap_or_default();
        let end = query.get("end").unwrap_or_default();
        let of = [channel.name.as_ref(), start, end].map(str::to_owned);
        let first = match query.get("bookmark") {
            Some(bookmark) => {
                let listing = listing(&of, &namespace);
                first_behind(Listing(&listing), bookmark, start)?
            }
            None => start.to_owned(),
        };
        let is_empty = !end.is_empty() && first.as_str() >= end;
        Ok(Self {
            snapshot: channel.reader.snapshot(),
            namespace,
            of,
            next: (!is_empty).then_some(first),
            read: VecDeque::new(),
            left: limit,
            bytes: 0,
            max_bytes,
            last: None,
            has_more: false,
        })
    }

    /// Reads some more rows, if there are any.
    fn read(&mut self) -> Result<(), Problem> {
        let Some(next) = self.next.take() else {
            return Ok(());
        };
        let [_, _, end] = &self.of;
        let end = match end.as_str() {
            "" => RangeEnd::Unbounded,
            end => RangeEnd::Before(end),
        };
        // One row more than asked for tells whether there are more.
        let most = (self.left + 1).min(CHUNK_ROWS);
        let (rows, is_last) =
            self.snapshot
                .range_within(&self.namespace, &next, end, most, PIECE_BYTES)?;
        self.next = rows
            .last()
            .filter(|_| !is_last)
            .map(|(key, _)| next_key(key));
        self.read = rows.into();
        Ok(())
    }
}

fn listing<'a>([channel, start, end]: &'a [String; 3], namespace: &'a str) -> [&'a str; 5] {
    ["range", channel, namespace, start, end]
}

impl pages::Page for KeyRange {
    const MEMBER: &'static str = "rows";

    fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Problem> {
        if self.read.is_empty() {
            self.read()?;
        }
        let Some((key, found)) = self.read.pop_front() else {
            return Ok(false);
        };
        if self.left == 0 || (self.bytes > self.max_bytes && self.last.is_some()) {
            self.cut();
            return Ok(false);
        }
        let row = StateRow {
            key: &key,
            version: found.version.to_string(),
            value: Value {
                bytes: Some(&found.value),
            },
        };
        serde_json::to_writer(out, &row).map_err(Problem::internal)?;
        self.left -= 1;
        self.bytes += key.len() + found.value.len();
        self.last = Some(key);
        Ok(true)
    }

    fn cut(&mut self) {
        self.has_more = true;
    }

    fn bookmark(&self) -> Option<String> {
        let last = self.last.as_ref().filter(|_| self.has_more)?;
        let listing = listing(&self.of, &self.namespace);
        Some(Listing(&listing).bookmark(last))
    }
}
