//! Which path leads where.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};

use crate::backend::Backend;
use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::{
    blocks, channels, evaluate, find, history, indexes, operations, request_id, state, transactions,
};

/// The whole HTTP API over a node.
pub fn router(backend: Arc<dyn Backend>, limits: Limits) -> Router {
    let gateway = Arc::new(Gateway::new(backend, limits));
    let key = get(state::get)
        .put(state::write)
        .patch(state::write)
        .delete(state::write);
    let channel = Router::new()
        .route("/v1/channels/{channel}", get(channels::get))
        .route(
            "/v1/channels/{channel}/transactions",
            get(transactions::get_by_key).post(transactions::submit),
        )
        .route(
            "/v1/channels/{channel}/transactions/{id}",
            get(transactions::get),
        )
        .route(
            "/v1/channels/{channel}/transactions/{id}/envelope",
            get(transactions::envelope),
        )
        .route("/v1/channels/{channel}/evaluate", post(evaluate::evaluate))
        .route("/v1/channels/{channel}/state", get(state::namespaces))
        .route(
            "/v1/channels/{channel}/state/{namespace}",
            get(state::range),
        )
        // The empty key leads to the handlers too, which say what is wrong with it.
        .route("/v1/channels/{channel}/state/{namespace}/", key.clone())
        .route("/v1/channels/{channel}/state/{namespace}/{key}", key)
        .route(
            "/v1/channels/{channel}/state/{namespace}/_find",
            post(find::find),
        )
        .route(
            "/v1/channels/{channel}/state/{namespace}/_explain",
            post(find::explain),
        )
        .route(
            "/v1/channels/{channel}/state/{namespace}/_index",
            get(indexes::list).post(indexes::create),
        )
        .route(
            "/v1/channels/{channel}/state/{namespace}/_index/{ddoc}/json/{name}",
            delete(indexes::remove),
        )
        .route(
            "/v1/channels/{channel}/state/{namespace}/_index/_design/{ddoc}/json/{name}",
            delete(indexes::remove),
        )
        .route(
            "/v1/channels/{channel}/history/{namespace}/{key}",
            get(history::history),
        )
        .route("/v1/channels/{channel}/blocks", get(blocks::find))
        .route("/v1/channels/{channel}/blocks/{number}", get(blocks::get));
    Router::new()
        .route("/v1/channels", get(channels::list).post(channels::create))
        .merge(channel)
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/version", get(operations::version))
        // An empty 404: the layer below makes a problem of it, as of every other error.
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(Arc::clone(&gateway), request_id::layer))
        .with_state(gateway)
}
