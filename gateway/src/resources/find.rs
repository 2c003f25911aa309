//! `POST .../state/{namespace}/_find` and `_explain`: CouchDB's queries.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use quire_ledger::Query as Mango;
use quire_peer::Channel;

use crate::gateway::Gateway;
use crate::pools::Asking;
use crate::problem::Problem;
use crate::reply;
use crate::request::body;
use crate::request::path;
use crate::request::prefer;
use crate::request::url_query::UrlQuery;
use crate::schema::QueryBody;

/// `POST .../_find`.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/state/{namespace}/_find",
    tag = "queries",
    operation_id = "find",
    summary = "Query documents, as CouchDB does",
    request_body(
        content = QueryBody,
        content_type = "application/json",
        example = json!({"selector": {"total": {"$gte": 10}}, "limit": 10})
    ),
    responses((
        status = 200,
        description = "The documents, a bookmark for the next page, and a warning if no index was used.",
        body = serde_json::Value
    ))
)]
pub(crate) async fn find(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    answer(&gateway, request, |question, asking| {
        let Question {
            channel,
            namespace,
            query,
            page_bytes,
        } = question;
        let snapshot = channel.reader.snapshot();
        let started = Instant::now();
        let found = snapshot.find(namespace, query, *page_bytes, &mut asking.meter())?;
        let page = found.to_json(Some(started.elapsed()));
        let response = reply::of_type(body::JSON, Body::from(page), StatusCode::OK);
        Ok(reply::at_height(response, snapshot.height()))
    })
    .await
}

/// `POST .../_explain`.
#[utoipa::path(
    post,
    path = "/v1/channels/{channel}/state/{namespace}/_explain",
    tag = "queries",
    operation_id = "explain",
    summary = "How a query would be answered",
    request_body(
        content = QueryBody,
        content_type = "application/json",
        example = json!({"selector": {"total": {"$gte": 10}}})
    ),
    responses((status = 200, description = "The index and its range.", body = serde_json::Value))
)]
pub(crate) async fn explain(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    answer(&gateway, request, |question, _| {
        let snapshot = question.channel.reader.snapshot();
        let explained = snapshot.explain(question.namespace, question.query)?;
        let response = reply::json(StatusCode::OK, &explained)?;
        Ok(reply::at_height(response, snapshot.height()))
    })
    .await
}

/// The query, and how much of the answer is wanted at one time.
struct Question<'a> {
    channel: &'a Channel,
    namespace: &'a str,
    query: &'a Mango,
    page_bytes: usize,
}

async fn answer(
    gateway: &Gateway,
    request: Request,
    ask: impl FnOnce(&Question<'_>, &Asking) -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let answered = async {
        let (parts, body) = request.into_parts();
        UrlQuery::none(&parts.uri)?;
        let channel = path::channel(gateway, &parts.uri)?;
        let namespace = path::namespace(&parts.uri)?;
        let time = prefer::query_time(&parts.headers, &gateway.limits)?;
        let body = body::read(&parts, body, body::JSON, gateway).await?;
        let page_bytes = gateway.limits.page_bytes;
        let asked = gateway.query(time, move |asking| {
            let answered = Mango::parse(&body)
                .map_err(Problem::from)
                .and_then(|query| {
                    let question = Question {
                        channel: &channel,
                        namespace: &namespace,
                        query: &query,
                        page_bytes,
                    };
                    ask(&question, asking)
                });
            let answered = answered.map_err(|problem| problem.about_query_of(&namespace));
            answered.map(reply::no_cache)
        });
        asked.await
    };
    answered.await.map_err(Problem::for_couch)
}
