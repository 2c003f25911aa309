//! One line a request: who asked for what, what came of it, and how long it took.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;

use crate::path::decode;
use crate::problem::Problem;

/// The logger's name, for `/logspec`.
const TARGET: &str = "quire::request";

/// In an answer's extensions: the transaction that it is about.
#[derive(Clone, Debug)]
pub(crate) struct LoggedTransaction(pub(crate) String);

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct LogLine {
    method: Method,
    path: String,
    begun: Instant,
}

impl LogLine {
    pub(crate) fn begin(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            begun: Instant::now(),
        }
    }

    /// Writes the line. For a stream it tells how long the beginning took.
    pub(crate) fn end(self, response: &Response, request_id: &str) {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        let problem = response.extensions().get::<Problem>();
        let logged = response.extensions().get::<LoggedTransaction>();
        let transaction = logged
            .map(|logged| logged.0.as_str())
            .or(problem.and_then(Problem::transaction_id));
        let outcome = match problem {
            Some(problem) => problem.kind().row().1,
            None if logged.is_some() && status == StatusCode::ACCEPTED => "PENDING",
            None if logged.is_some() => "VALID",
            None if is_error => "REFUSED",
            None => "OK",
        };
        let channel = channel_of(&self.path);
        let micros = u32::try_from(self.begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        let duration_ms = f64::from(micros) / 1000.0;
        let (method, path, status) = (self.method.as_str(), self.path.as_str(), status.as_u16());
        // The path as it was sent: its escapes keep line ends and the like out of the log.
        if status == StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
            tracing::error!(target: TARGET, request_id, method, path, status, outcome, channel, transaction, duration_ms, "request");
        } else if is_probe(&self.path) && !is_error {
            tracing::debug!(target: TARGET, request_id, method, path, status, outcome, channel, transaction, duration_ms, "request");
        } else {
            tracing::info!(target: TARGET, request_id, method, path, status, outcome, channel, transaction, duration_ms, "request");
        }
    }
}

/// Whether machines ask for this all day long, which is worth a line only where they are refused.
fn is_probe(path: &str) -> bool {
    matches!(path, "/metrics" | "/healthz" | "/readyz")
}

/// The channel that a path names, if it is written plainly.
fn channel_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1/channels/")?;
    let channel = rest.split('/').next()?;
    decode(channel).ok().filter(|name| name == channel)?;
    (!channel.is_empty()).then_some(channel)
}
