//! What every request goes through before its handler, in this order: it is counted, gets a request id, a
//! line in the log and a place, and its caller is let in; every error becomes a problem document. This is one
//! layer, because each layer would box the request's future once more.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::sleep;

use super::cors::Cors;
use super::date;
use super::message;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::request_log::LogLine;
use crate::access;
use crate::access::local;
use crate::gateway::Gateway;
use crate::memory::{Kind, Share};
use crate::metrics::Counted;
use crate::metrics::gauge_guard::GaugeGuard;
use crate::metrics::traffic::Bound;
use crate::place::{PLACE, Place};
use crate::problem::{Problem, ProblemKind};

/// When to try again if too many requests are worked on.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What an answer holds besides its body: its head, and what the connection keeps of it.
const ANSWER_BYTES: usize = 1024;
/// The route whose requests may stay for ever.
const EVENTS: &str = "/v1/channels/{channel}/events";

/// Runs the request inside everything that each answer needs, whatever happens.
pub(crate) async fn layer(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Response {
    // This is outside everything else, so that nothing escapes it.
    let counted = gateway
        .backend
        .counts()
        .then(|| Counted::new(Arc::clone(&gateway.metrics), &request));
    let in_flight = counted
        .is_some()
        .then(|| GaugeGuard::new(&gateway.metrics.in_flight));
    let id = RequestId::give(&mut request, gateway.backend.as_ref());
    let origin = gateway.cors.origin(request.headers());
    let line = LogLine::begin(&mut request, id.to_str().unwrap_or_default());
    let is_read = is_read(&request);
    if request.method().is_safe() {
        // Nobody reads the body, and a request may wait for minutes.
        drop(std::mem::take(request.body_mut()));
    }
    let response = if head_bytes(&request) > gateway.limits.header_bytes {
        let detail = format!(
            "Target and headers exceed {} bytes.",
            gateway.limits.header_bytes
        );
        Problem::new(ProblemKind::HeadersTooLarge, detail).into_response()
    } else if let Err(problem) = message::check(&request)
        .and_then(|()| local::check(&request, &gateway))
        .and_then(|()| message::check_one_host(&request))
    {
        access::refuse(problem, request).await
    } else if origin.is_some() && Cors::is_preflight(request.method(), request.headers()) {
        Cors::preflight()
    } else {
        match admit(&gateway, &request, in_flight) {
            Ok(place) => {
                let entered = access::enter(&gateway, request, next);
                tokio::select! {
                    biased;
                    response = PLACE.scope(place, catch_panic(entered)) => response,
                    () = cut_off(&gateway) => Problem::not_ready().into_response(),
                }
            }
            Err(problem) => problem.into_response(),
        }
    };
    let response = hold(&gateway, response, is_read);
    line.end(&response);
    let mut response = finish(response, id);
    if let Some(date) = date::header(gateway.backend.now()) {
        response.headers_mut().insert(DATE, date);
    }
    gateway.cors.finish(response.headers_mut(), origin);
    if let Some(counted) = counted {
        counted.answered(&response);
    }
    response
}

/// Returns when the node stops and even callers who wait for an outcome have been answered: then only
/// requests that do not arrive are left.
async fn cut_off(gateway: &Gateway) {
    gateway.out_of_grace().await;
    sleep(Duration::from_secs(1)).await;
}

/// Gives a place among the requests that are worked on, or refuses before queues grow. Operators always get
/// in, and event streams have places of their own.
fn admit(
    gateway: &Gateway,
    request: &Request,
    counted: Option<GaugeGuard>,
) -> Result<Arc<Place>, Problem> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str);
    if !request.uri().path().starts_with("/v1/") || route == Some(EVENTS) {
        return Ok(Arc::new(Place {
            _permit: None,
            _counted: counted,
        }));
    }
    let permit = Arc::clone(&gateway.requests).try_acquire_owned();
    let permit = permit.map_err(|_| {
        gateway.metrics.traffic.shed(Bound::Requests);
        Problem::overloaded(RETRY_AFTER)
    });
    Ok(Arc::new(Place {
        _permit: Some(permit?),
        _counted: counted,
    }))
}

/// Whether a request of the API changes nothing.
fn is_read(request: &Request) -> bool {
    let path = request.uri().path();
    let asks = ["/_find", "/_explain", "/evaluate"];
    path.starts_with("/v1/")
        && (request.method().is_safe() || asks.iter().any(|end| path.ends_with(end)))
}

fn head_bytes(request: &Request) -> usize {
    let target = request.uri().path().len() + request.uri().query().map_or(0, str::len);
    let headers = request.headers().iter();
    // A header line is `name: value\r\n`.
    headers.fold(target, |sum, (name, value)| {
        sum + name.as_str().len() + value.len() + 4
    })
}

/// A panic is a bug of ours; the caller still gets an answer and the other requests go on.
async fn catch_panic(future: impl Future<Output = Response>) -> Response {
    let mut future = pin!(future);
    let caught =
        poll_fn(
            |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => std::task::Poll::Ready(Err(panic)),
            },
        );
    match caught.await {
        Ok(response) => response,
        Err(_) => Problem::internal("a request handler panicked").into_response(),
    }
}

/// Gives an answer its share of the budget, which it keeps until the connection has taken it. An answer that
/// is made while it is taken has its share already.
///
/// Only reads are refused a share: a caller who changed something must learn that, and an operator must see
/// what the node does.
fn hold(gateway: &Gateway, response: Response, is_read: bool) -> Response {
    let size = response.body().size_hint().exact();
    let size = size.and_then(|size| usize::try_from(size).ok());
    let Some(size @ 1..) = size else {
        return response;
    };
    let size = size + ANSWER_BYTES;
    let share = if is_read {
        gateway.memory.take(Kind::Answers, size)
    } else {
        Ok(gateway.memory.force(Kind::Answers, size))
    };
    match share {
        Ok(share) => response.map(|body| {
            Body::new(Counting {
                body,
                share: Some(share),
            })
        }),
        Err(full) => gateway.full(full).into_response(),
    }
}

/// An answer's body with its share, which stays with the bytes.
struct Counting {
    body: Body,
    share: Option<Share>,
}

impl HttpBody for Counting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let share = &mut self.share;
        let hold = |bytes: Bytes| match share.take() {
            Some(share) => share.hold(bytes),
            None => bytes,
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Turns a problem, or an error that the framework made, into a problem document.
fn finish(mut response: Response, id: HeaderValue) -> Response {
    let status = response.status();
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.or_else(|| {
        let made_here = response.headers().get(CONTENT_TYPE);
        let made_here = made_here.is_some_and(|kind| kind == "application/json");
        let is_error = status.is_client_error() || status.is_server_error();
        (is_error && !made_here).then(|| {
            let kind = ProblemKind::of_status(status);
            let (_, _, title) = kind.row();
            Problem::new(kind, format!("{title}."))
        })
    });
    if let Some(problem) = problem {
        let document = problem.document(id.to_str().unwrap_or_default());
        let (status, _, _) = problem.kind().row();
        response.extensions_mut().insert(problem.kind());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, kind);
        *response.body_mut() = Body::from(document);
    }
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}
