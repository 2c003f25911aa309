//! The routes. What `/openapi.json` says about a path is at its handler.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::backend::Backend;
use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::openapi::{Document, docs};
use crate::resources::{
    backups, batch, blocks, chaincodes, channels, config, evaluate, events, find, history, indexes,
    join, operations, state, transactions,
};
use crate::server::cors::Cors;
use crate::server::every_request;

/// The HTTP API over a node, with the operations behind their own door.
#[derive(Debug)]
pub(crate) struct Routers {
    /// Everything under `/v1`, and the API's description.
    pub(crate) api: Router,
    /// Health, metrics, version, log levels.
    pub(crate) operations: Router,
    /// What both have in common.
    pub(crate) gateway: Arc<Gateway>,
}

/// The whole HTTP API over a node. A request with [`crate::ClientInfo`] as an extension may have a client
/// certificate as its credential.
pub fn router(backend: Arc<dyn Backend>, limits: Limits, cors: Cors) -> Router {
    whole(backend, limits, cors).0
}

/// The whole HTTP API, and the gateway behind it.
pub(crate) fn whole(
    backend: Arc<dyn Backend>,
    limits: Limits,
    cors: Cors,
) -> (Router, Arc<Gateway>) {
    let gateway = Arc::new(Gateway::new(backend, limits, cors));
    let (routes, document) = api().merge(operations()).split_for_parts();
    let routes = described(routes, document, &gateway);
    (finish(routes, Arc::clone(&gateway)), gateway)
}

/// The HTTP API in two parts, for two addresses.
pub(crate) fn routers(
    backend: Arc<dyn Backend>,
    limits: Limits,
    cors: Cors,
    is_remote: bool,
) -> Routers {
    let gateway = Arc::new(Gateway::new(backend, limits, cors));
    let door = Arc::new(gateway.at_operations(is_remote));
    let (routes, mut document) = api().split_for_parts();
    let (operations, its_document) = operations().split_for_parts();
    document.merge(its_document);
    Routers {
        gateway: Arc::clone(&gateway),
        api: finish(described(routes, document, &gateway), gateway),
        operations: finish(operations, door),
    }
}

fn api() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new()
        .routes(routes!(channels::list, channels::create))
        .routes(routes!(channels::get))
        .routes(routes!(join::join))
        .routes(routes!(backups::list, backups::make))
        .routes(routes!(config::get, config::update))
        .routes(routes!(chaincodes::list, chaincodes::deploy))
        .routes(routes!(chaincodes::get))
        .routes(routes!(transactions::submit, transactions::get_by_key))
        .routes(routes!(batch::submit))
        .routes(routes!(transactions::get))
        .routes(routes!(transactions::envelope))
        .routes(routes!(evaluate::evaluate))
        .routes(routes!(state::namespaces))
        .routes(routes!(state::range))
        .routes(routes!(state::get, state::put, state::patch, state::delete))
        .routes(routes!(find::find))
        .routes(routes!(find::explain))
        .routes(routes!(indexes::list, indexes::create))
        .routes(routes!(indexes::remove))
        .routes(routes!(history::history))
        .routes(routes!(blocks::find))
        .routes(routes!(blocks::get))
        .routes(routes!(events::events))
}

fn operations() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new()
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::version))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::log_spec, operations::set_log_spec))
}

/// Adds the description, and paths that are not in it.
fn described(
    routes: Router<Arc<Gateway>>,
    document: OpenApi,
    gateway: &Gateway,
) -> Router<Arc<Gateway>> {
    let document = Document::new(document, &gateway.backend.build().version);
    // The empty key is routed to the handlers too, which say what is wrong with it.
    let empty_key = get(state::get)
        .put(state::put)
        .patch(state::patch)
        .delete(state::delete);
    routes
        .route("/v1/channels/{channel}/state/{namespace}/", empty_key)
        // CouchDB takes the design document's id with and without its prefix.
        .route(
            "/v1/channels/{channel}/state/{namespace}/_index/_design/{ddoc}/json/{name}",
            delete(indexes::remove),
        )
        .route(
            "/openapi.json",
            get(move || async move { document.answer() }),
        )
        .route("/docs", get(docs))
}

/// What every answer needs, whichever route made it.
fn finish(routes: Router<Arc<Gateway>>, gateway: Arc<Gateway>) -> Router {
    routes
        // The answer is an empty 404: the layer below makes a problem of it, as of every other error.
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(
            Arc::clone(&gateway),
            every_request::layer,
        ))
        .with_state(gateway)
}
