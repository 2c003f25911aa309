//! The API by which `osnadmin` acts on an orderer's channels: Fabric's paths, statuses and JSON.
//!
//! ```text
//! GET                /participation/v1/channels                      those there are
//! POST               /participation/v1/channels                      join: a form with config-block
//! PUT                /participation/v1/channels                      a form with config-update-envelope
//! GET                /participation/v1/channels/{channel}            one of them
//! DELETE             /participation/v1/channels/{channel}            not offered: no channel is removed
//! GET                /participation/v1/channels/{channel}/blocks/{block}
//! ```
//!
//! Whoever has a certificate of the CA that the operator named may do all of it, as at Fabric's orderers.

mod answer;
mod form;
mod verbs;

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use quire_gateway::{Backend as _, ClientInfo};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::node::Node;
use answer::{CHANNELS, Created, Refused};
use form::{Form, Limits};

/// Requests with a form that are worked on at one time: each may hold a block.
const AT_ONE_TIME: usize = 4;

#[derive(Clone)]
struct Served {
    node: Arc<Node>,
    limits: Limits,
    forms: Arc<Semaphore>,
}

type Answer = Result<Response, Refused>;

/// The routes.
pub(crate) fn router(node: Arc<Node>, body_time: Duration) -> Router {
    let served = Served {
        node,
        limits: Limits { body_time },
        forms: Arc::new(Semaphore::new(AT_ONE_TIME)),
    };
    Router::new()
        .route("/participation/v1/", get(to_channels))
        .route(
            CHANNELS,
            get(list)
                .post(join)
                .put(update)
                .fallback(|method: Method| not_allowed(&method, "GET, POST, PUT")),
        )
        .route(
            "/participation/v1/channels/{channel}",
            get(info)
                .delete(remove)
                .fallback(|method: Method| not_allowed(&method, "GET, DELETE")),
        )
        .route(
            "/participation/v1/channels/{channel}/blocks/{block}",
            get(fetch).fallback(|method: Method| not_allowed(&method, "GET")),
        )
        // The form has a bound of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(served.clone(), let_in))
        .with_state(served)
}

/// Turns away who has a certificate that this node's CA took back, and who takes no JSON.
async fn let_in(State(served): State<Served>, request: Request, next: Next) -> Response {
    let client = request.extensions().get::<ClientInfo>();
    let certificate = client.and_then(|client| client.certificate.clone());
    if certificate.is_some_and(|shown| served.node.has_revoked(&shown)) {
        let reason = "the client certificate is revoked";
        return Refused::new(StatusCode::FORBIDDEN, reason).into_response();
    }
    if !takes_json(request.headers()) {
        let reason = "response Content-Type is application/json only";
        return Refused::new(StatusCode::NOT_ACCEPTABLE, reason).into_response();
    }
    next.run(request).await
}

/// By the one header that Fabric looks at.
fn takes_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or("");
    let json = ["application/json", "application/*", "*/*"];
    accept.is_empty() || json.iter().any(|kind| accept.contains(kind))
}

fn not_allowed(method: &Method, allowed: &'static str) -> Ready<Refused> {
    let reason = format!("invalid request method: {method}");
    ready(Refused::not_allowed(reason, allowed))
}

async fn to_channels() -> impl IntoResponse {
    (StatusCode::FOUND, [(header::LOCATION, CHANNELS)])
}

async fn list(State(served): State<Served>) -> Answer {
    let list = served.work(|node| Ok(verbs::list(node))).await?;
    Ok(answer::ok(&list))
}

async fn info(State(served): State<Served>, Path(channel): Path<String>) -> Answer {
    let info = served.work(move |node| verbs::info(node, &channel)).await?;
    Ok(answer::ok(&info))
}

async fn fetch(
    State(served): State<Served>,
    Path((channel, block)): Path<(String, String)>,
) -> Answer {
    let work = move |node: &Node| verbs::fetch(node, &channel, &block);
    Ok(answer::bytes(served.work(work).await?))
}

async fn remove(State(served): State<Served>, Path(channel): Path<String>) -> Answer {
    Err(served
        .work(move |node| Ok(verbs::remove(node, &channel)))
        .await?)
}

async fn join(State(served): State<Served>, request: Request) -> Answer {
    let _room = served.room()?;
    let block = Form::CONFIG_BLOCK.read(request, served.limits).await?;
    let joined = served.work(move |node| verbs::join(node, block)).await?;
    Ok(Created(joined).into_response())
}

async fn update(State(served): State<Served>, request: Request) -> Answer {
    let _room = served.room()?;
    let envelope = Form::CONFIG_UPDATE.read(request, served.limits).await?;
    let updated = served
        .work(move |node| verbs::update(node, envelope))
        .await?;
    Ok(Created(updated).into_response())
}

impl Served {
    fn room(&self) -> Result<SemaphorePermit<'_>, Refused> {
        let room = self.forms.try_acquire();
        room.map_err(|_| Refused::new(StatusCode::SERVICE_UNAVAILABLE, "busy: try again"))
    }

    /// Does work that may wait for the disk.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Node) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let node = Arc::clone(&self.node);
        let done = tokio::task::spawn_blocking(move || work(&node)).await;
        done.unwrap_or_else(|error| {
            let reason = format!("a request failed: {error}");
            Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, reason))
        })
    }
}
