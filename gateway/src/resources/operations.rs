//! `/healthz`, `/readyz`, `/version`, `/metrics`, `/logspec`, in Fabric's shapes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::TextEncoder;
use quire_wire::common::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::backend::FailedCheck;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::reply;
use crate::request::body::{self, Members};
use crate::request::url_query::UrlQuery;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Version {
    #[serde(rename = "CommitSHA")]
    commit: String,
    version: String,
}

#[derive(Serialize, ToSchema)]
struct LogSpec {
    spec: String,
}

/// Whether the node is well.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    operation_id = "getHealth",
    summary = "Is the node well?",
    responses(
        (status = 200, description = "Yes.", body = Health),
        (status = 503, description = "No, and why.", body = Health)
    )
)]
pub(crate) async fn healthz(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    let mut failed = failed_checks(&gateway).await?;
    failed.extend(gateway.backend.damaged_blocks());
    let closed = gateway.backend.closed_channels().into_iter();
    failed.extend(closed.map(|closed| FailedCheck {
        component: format!("channel {}", closed.component),
        reason: closed.reason,
    }));
    health(&gateway, &failed)
}

/// Whether the node takes requests, which a healthy node does not while it starts or stops. [`healthz`] tells
/// of a channel that did not open or a damaged block: everything else is served.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    operation_id = "getReadiness",
    summary = "Does the node take requests?",
    responses(
        (status = 200, description = "Yes.", body = Health),
        (status = 503, description = "No, and why.", body = Health)
    )
)]
pub(crate) async fn readyz(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    let mut failed = failed_checks(&gateway).await?;
    if !gateway.backend.ready() {
        failed.push(FailedCheck {
            component: "node".to_owned(),
            reason: "starting or stopping".to_owned(),
        });
    }
    health(&gateway, &failed)
}

async fn failed_checks(gateway: &Gateway) -> Result<Vec<FailedCheck>, Problem> {
    let backend = Arc::clone(&gateway.backend);
    gateway
        .pools
        .health(move || Ok(backend.failed_checks()))
        .await
}

#[derive(Serialize, ToSchema)]
struct Health<'a> {
    status: &'static str,
    time: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_checks: Vec<Failed<'a>>,
}

#[derive(Serialize, ToSchema)]
struct Failed<'a> {
    component: &'a str,
    reason: &'a str,
}

fn health(gateway: &Gateway, failed: &[FailedCheck]) -> Result<Response, Problem> {
    let (status, word) = if failed.is_empty() {
        (StatusCode::OK, "OK")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
    };
    let failed_checks = failed.iter().map(|check| Failed {
        component: &check.component,
        reason: &check.reason,
    });
    let document = Health {
        status: word,
        time: now(gateway),
        failed_checks: failed_checks.collect(),
    };
    reply::json(status, &document)
}

fn now(gateway: &Gateway) -> String {
    let now = Timestamp::from(gateway.backend.now());
    now.rfc3339().unwrap_or_default()
}

/// Everything that is counted, in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    operation_id = "getMetrics",
    summary = "Everything that is counted",
    responses((status = 200, description = "Prometheus' text format.", content_type = "text/plain", body = String))
)]
pub(crate) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    if !gateway.backend.counts() {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    gateway.metrics.keys_in_flight(gateway.flights.count());
    let registry = gateway.metrics.registry.clone();
    // Some of it is read now: sizes of files, the kernel's view of the process.
    let text = gateway.pools.health(move || {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .map_err(Problem::internal)
    });
    let kind = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    Ok((kind, text.await?).into_response())
}

/// What runs.
#[utoipa::path(
    get,
    path = "/version",
    tag = "operations",
    operation_id = "getVersion",
    summary = "What runs",
    responses((status = 200, description = "Release and commit.", body = Version))
)]
pub(crate) async fn version(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    let build = gateway.backend.build();
    let document = Version {
        commit: build.commit,
        version: build.version,
    };
    reply::json(StatusCode::OK, &document)
}

/// Which levels are logged.
#[utoipa::path(
    get,
    path = "/logspec",
    tag = "operations",
    operation_id = "getLogSpec",
    summary = "What is logged",
    responses((status = 200, description = "In Fabric's notation.", body = LogSpec))
)]
pub(crate) async fn log_spec(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    let spec = gateway.backend.log_spec();
    reply::json(StatusCode::OK, &LogSpec { spec })
}

/// Changes which levels are logged.
#[utoipa::path(
    put,
    path = "/logspec",
    tag = "operations",
    operation_id = "setLogSpec",
    summary = "Change what is logged",
    request_body(content = LogSpec, example = json!({"spec": "info"})),
    responses((status = 204, description = "It is changed."))
)]
pub(crate) async fn set_log_spec(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    UrlQuery::none(&parts.uri)?;
    let body = body::read(&parts, body, body::JSON, &gateway).await?;
    let mut members = Members::parse(&body)?;
    let spec = members.take_as::<String>("spec")?;
    members.finish(&["spec"])?;
    let spec = spec.ok_or_else(|| Problem::invalid_argument("The member spec is missing."))?;
    let changed = gateway.backend.set_log_spec(&spec);
    changed.map_err(|error| Problem::invalid_argument(error.to_string()))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
