//! `/healthz`, `/readyz`, `/version`, `/metrics`, in Fabric's shapes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use prometheus::TextEncoder;
use quire_wire::common::Timestamp;
use serde::Serialize;

use crate::backend::FailedCheck;
use crate::gateway::{Gateway, blocking};
use crate::problem::Problem;
use crate::reply;
use crate::value::rfc3339;

/// Whether the node is well.
pub(crate) async fn healthz(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    let failed = failed_checks(&gateway).await?;
    health(&gateway, &failed)
}

/// Whether the node takes requests, which a healthy one does not while it starts or stops.
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
    blocking(move || Ok(backend.failed_checks())).await
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    time: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_checks: Vec<Failed<'a>>,
}

#[derive(Serialize)]
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
    let since = gateway.backend.now().duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let timestamp = Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or_default(),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    };
    rfc3339(&timestamp).unwrap_or_default()
}

/// Everything that is counted, in Prometheus' text format.
pub(crate) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    gateway.metrics.keys_in_flight(gateway.flights.count());
    let registry = gateway.metrics.registry.clone();
    // Some of it is looked up now: sizes of files, the kernel's view of the process.
    let text = blocking(move || {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .map_err(Problem::internal)
    });
    let kind = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    Ok((kind, text.await?).into_response())
}

/// What runs.
pub(crate) async fn version(State(gateway): State<Arc<Gateway>>) -> Result<Response, Problem> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Version {
        #[serde(rename = "CommitSHA")]
        commit: String,
        version: String,
    }
    let build = gateway.backend.build();
    let document = Version {
        commit: build.commit,
        version: build.version,
    };
    reply::json(StatusCode::OK, &document)
}
