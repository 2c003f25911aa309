//! `GET /v1/channels/{channel}/events`: blocks as server-sent events.
//!
//! A stream is pulled: the next event is made when the connection has room for it. So a slow reader costs
//! only its connection's buffer, and is cut off with its connection. All streams of a channel wait for one
//! notification of new heights.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use quire_peer::Channel;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use super::block_event::Filter;
use crate::access::caller::Caller;
use crate::gateway::Gateway;
use crate::metrics::traffic::{Bound, ListenerGuard};
use crate::problem::Problem;
use crate::reply;
use crate::request::accept::admit;
use crate::request::grammar::{text, trim};
use crate::request::path;
use crate::request::url_query::{UrlQuery, number};
use crate::server::request_id::RequestId;

const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks proxies such as nginx to pass events on immediately.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// When to try again if there are too many listeners.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// `GET .../events?from=&to=&namespace=&chaincode=`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/events",
    tag = "chain",
    operation_id = "listen",
    summary = "Blocks as they come",
    params(
        ("from" = Option<u64>, Query, description = "The first block; the next one without."),
        ("to" = Option<u64>, Query, description = "The last block."),
        ("namespace" = Option<String>, Query, description = "Only transactions that write there."),
        ("chaincode" = Option<String>, Query, description = "Only transactions that call it."),
        ("Last-Event-ID" = Option<u64>, Header, description = "Resume behind this block.")
    ),
    responses(
        (
            status = 200,
            description = "Server-sent events without end, or up to the block named by to.",
            content_type = "text/event-stream",
            body = String
        ),
        (status = 204, description = "All blocks up to the block named by to were sent.")
    )
)]
pub(crate) async fn events(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let channel = path::channel(&gateway, request.uri())?;
    let query = UrlQuery::parse(request.uri(), &["from", "to", "namespace", "chaincode"])?;
    admit(request.headers(), EVENT_STREAM)?;
    let height = channel.reader.height();
    let resumed = last_event_id(request.headers())?;
    let from = match resumed {
        Some(last) => last.saturating_add(1),
        None => query.number("from")?.unwrap_or(height),
    };
    if from > height {
        let detail = format!("Block {from} is ahead of the chain, whose height is {height}.");
        return Err(Problem::invalid_argument(detail));
    }
    let to = query.number("to")?;
    if to.is_some_and(|to| to < from) {
        if resumed.is_some() {
            // Everything was sent: this answer stops a browser from reconnecting.
            return Ok(reply::at_height(
                StatusCode::NO_CONTENT.into_response(),
                height,
            ));
        }
        return Err(Problem::invalid_argument("to is before from."));
    }
    let permit = Arc::clone(&gateway.listeners).try_acquire_owned();
    let permit = permit.map_err(|_| {
        gateway.metrics.traffic.shed(Bound::Listeners);
        Problem::overloaded(RETRY_AFTER)
    })?;
    let listener = Listener {
        heights: channel.heights.clone(),
        stopping: gateway.backend.stopping(),
        filter: Filter {
            namespace: query.get("namespace").map(path::namespace_of),
            chaincode: query.get("chaincode").map(Arc::from),
        },
        caller: Caller::of(request.extensions())?.clone(),
        request_id: RequestId::of(&request),
        _listening: gateway.metrics.traffic.listen(),
        gateway,
        channel,
        next: from,
        to,
        state: ListenerState::Opened,
        _permit: permit,
    };
    let body = Body::from_stream(unfold(listener, Listener::next));
    let mut response = reply::of_type(EVENT_STREAM, body, StatusCode::OK);
    let headers = response.headers_mut();
    let no_cache = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, no_cache);
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(reply::at_height(response, height))
}

/// The block that the client saw last; `None` if the header is missing or empty. A client's library that has
/// seen no event yet sends an empty header.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let first = values.next().map(text);
    let Some(value) = first.filter(|value| !trim(value).is_empty()) else {
        return Ok(None);
    };
    let last = number(trim(&value)).filter(|_| values.next().is_none());
    last.map(Some)
        .ok_or_else(|| Problem::invalid_argument("Last-Event-ID is not one block number."))
}

/// One stream of events.
struct Listener {
    gateway: Arc<Gateway>,
    channel: Channel,
    heights: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    filter: Filter,
    caller: Caller,
    request_id: RequestId,
    /// The block to send next.
    next: u64,
    to: Option<u64>,
    state: ListenerState,
    _listening: ListenerGuard,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListenerState {
    /// Nothing is sent yet.
    Opened,
    Telling,
    /// A block could not be read, and the client was told.
    Failed,
}

impl Listener {
    /// The next piece of the stream; `None` at its end.
    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        if self.state == ListenerState::Failed || self.to.is_some_and(|to| self.next > to) {
            return None;
        }
        if self.state == ListenerState::Opened {
            // With this, a client that is cut off before the first event knows where to go on.
            self.state = ListenerState::Telling;
            let heartbeat = heartbeat(self.next);
            return Some((Ok(heartbeat), self));
        }
        if *self.stopping.borrow() || self.caller.check_still(&self.gateway).is_err() {
            return None;
        }
        let next = self.next;
        if next >= self.channel.reader.height() {
            let grown = tokio::select! {
                grown = self.heights.wait_for(|height| *height > next) => Some(grown.is_ok()),
                () = sleep(self.gateway.limits.heartbeat) => None,
                _ = self.stopping.wait_for(|stopping| *stopping) => Some(false),
                _ = self.caller.ended(&self.gateway) => Some(false),
            };
            // The caller's token may have ended as well.
            if self.caller.check_still(&self.gateway).is_err() {
                return None;
            }
            match grown {
                Some(true) => {}
                // Nothing will follow: the node stops, or the channel failed.
                Some(false) => return None,
                None => return Some((Ok(heartbeat(next)), self)),
            }
        }
        let events = &self.gateway.block_events;
        let event = events.event(&self.gateway, &self.channel, next, &self.filter);
        let event = match event.await {
            Ok(event) => {
                self.next += 1;
                let traffic = &self.gateway.metrics.traffic;
                traffic.block_sent(&self.channel.name, !self.filter.is_all());
                event
            }
            Err(problem) => {
                self.state = ListenerState::Failed;
                let mut event = b"event: problem\ndata: ".to_vec();
                event.extend(problem.document(self.request_id.as_str()));
                event.extend(b"\n\n");
                event.into()
            }
        };
        Some((Ok(event), self))
    }
}

/// This is not an event: it only tells a client's library how far the stream has come.
fn heartbeat(next: u64) -> Bytes {
    match next.checked_sub(1) {
        Some(last) => format!("id: {last}\n: heartbeat\n\n").into(),
        None => Bytes::from_static(b": heartbeat\n\n"),
    }
}
