//! `.../state/{namespace}/_index`: the indexes of queries, as in CouchDB.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use quire_ledger::{IndexListing, IndexRequest, IndexState};
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};
use crate::reply;
use crate::request::body;
use crate::request::path;
use crate::request::url_query::UrlQuery;
use crate::schema::IndexBody;

/// How long a request waits for its index to be built. Building goes on without it.
const BUILD_WAIT: Duration = Duration::from_secs(30);
/// Most bytes of a definition: all definitions of a channel are kept in memory and in one file.
const DEFINITION_BYTES: usize = 64 << 10;

/// `GET .../_index`.
#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/state/{namespace}/_index",
    tag = "queries",
    operation_id = "listIndexes",
    summary = "The indexes",
    responses((
        status = 200,
        description = "Definitions, each with its state and how far its building is.",
        body = serde_json::Value
    ))
)]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let listed = async {
        let uri = request.into_parts().0.uri;
        UrlQuery::none(&uri)?;
        let channel = path::channel(&gateway, &uri)?;
        let namespace = path::namespace(&uri)?;
        gateway
            .pools
            .work(move || {
                let indexes = channel.reader.indexes(&namespace);
                let indexes: Vec<Value> = indexes.into_iter().map(listing).collect();
                let document = json!({"total_rows": indexes.len(), "indexes": indexes});
                reply::json(StatusCode::OK, &document).map(reply::no_cache)
            })
            .await
    };
    listed.await.map_err(Problem::for_couch)
}

fn listing(index: IndexListing) -> Value {
    let mut document = index.definition;
    let mut add = |name: &str, value: Value| {
        if let Some(members) = document.as_object_mut() {
            members.insert(name.to_owned(), value);
        }
    };
    match index.state {
        IndexState::Ready => add("state", "ready".into()),
        IndexState::Building { done, total } => {
            add("state", "building".into());
            add("progress", json!({"done": done, "total": total}));
        }
        IndexState::Failed(reason) => {
            add("state", "failed".into());
            add("reason", reason.into());
        }
    }
    document
}

/// `POST .../_index`.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/state/{namespace}/_index",
    tag = "queries",
    operation_id = "createIndex",
    summary = "Make an index",
    request_body(
        content = IndexBody,
        content_type = "application/json",
        example = json!({"index": {"fields": ["total"]}, "ddoc": "by-total", "name": "by-total"})
    ),
    responses((status = 200, description = "Created, or there already.", body = serde_json::Value))
)]
pub(crate) async fn create(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let created = async {
        let (parts, body) = request.into_parts();
        UrlQuery::none(&parts.uri)?;
        let channel = path::channel(&gateway, &parts.uri)?;
        let namespace = path::namespace(&parts.uri)?;
        let body = body::read(&parts, body, body::JSON, &gateway).await?;
        if body.len() > DEFINITION_BYTES {
            let detail = format!("A definition has at most {DEFINITION_BYTES} bytes.");
            return Err(Problem::new(ProblemKind::TooLarge, detail));
        }
        gateway
            .pools
            .change(move || {
                let request = IndexRequest::parse(&body);
                let request =
                    request.map_err(|error| Problem::from(error).about_query_of(&namespace))?;
                let is_new = channel
                    .reader
                    .create_index(&namespace, &request, BUILD_WAIT)?;
                let document = json!({
                    "result": if is_new { "created" } else { "exists" },
                    "id": request.ddoc_id(),
                    "name": request.name(),
                });
                reply::json(StatusCode::OK, &document)
            })
            .await
    };
    created.await.map_err(Problem::for_couch)
}

/// `DELETE .../_index/{ddoc}/json/{name}`.
#[utoipa::path(
    delete,
    path = "/v1/channels/{channel}/state/{namespace}/_index/{ddoc}/json/{name}",
    tag = "queries",
    operation_id = "deleteIndex",
    summary = "Drop an index",
    responses((status = 200, description = "It is gone.", body = serde_json::Value))
)]
pub(crate) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let removed = async {
        let (parts, body) = request.into_parts();
        UrlQuery::none(&parts.uri)?;
        let channel = path::channel(&gateway, &parts.uri)?;
        let namespace = path::namespace(&parts.uri)?;
        let (ddoc, name) = path::index(&parts.uri)?;
        body::read_none(&parts, body, &gateway).await?;
        gateway
            .pools
            .change(move || {
                channel.reader.delete_index(&namespace, &ddoc, &name)?;
                reply::json(StatusCode::OK, &json!({"ok": true}))
            })
            .await
    };
    removed.await.map_err(Problem::for_couch)
}
