//! Writes one line for each request: who asked from where for what, the outcome, and how long it took. A
//! token is named by its id, which is not secret. A request whose client leaves before its answer has its
//! line too.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::Request;
use axum::http::{Extensions, Method, StatusCode};
use axum::response::Response;

use super::client_info::ClientInfo;
use crate::access::caller::Caller;
use crate::metrics::CLIENT_GONE;
use crate::problem::Problem;
use crate::request::path::decode;

/// The logger's name, for `/logspec`.
const TARGET: &str = "quire::request";

/// The transaction that an answer is about, among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct LoggedTransaction(pub(crate) String);

/// The place for a request's caller, once it is known, among its extensions.
#[derive(Clone, Debug, Default)]
struct LoggedCaller(Arc<OnceLock<Caller>>);

/// Tells the line of a request its caller.
pub(crate) fn note_caller(extensions: &Extensions, caller: &Caller) {
    if let Some(logged) = extensions.get::<LoggedCaller>() {
        // The caller is found out only once.
        drop(logged.0.set(caller.clone()));
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct LogLine {
    request_id: String,
    method: Method,
    path: String,
    address: Option<SocketAddr>,
    caller: LoggedCaller,
    begun: Instant,
    is_written: bool,
}

impl LogLine {
    pub(crate) fn begin(request: &mut Request, request_id: &str) -> Self {
        let caller = LoggedCaller::default();
        request.extensions_mut().insert(caller.clone());
        let client = request.extensions().get::<ClientInfo>();
        Self {
            request_id: request_id.to_owned(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            address: client.and_then(|client| client.address),
            caller,
            begun: Instant::now(),
            is_written: false,
        }
    }

    /// Writes the line. For a stream it says how long the beginning took.
    pub(crate) fn end(mut self, response: &Response) {
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
        self.write(status.as_str(), is_error, outcome, transaction);
    }

    fn write(&mut self, status: &str, is_error: bool, outcome: &str, transaction: Option<&str>) {
        self.is_written = true;
        let is_fault = status == StatusCode::INTERNAL_SERVER_ERROR.as_str();
        let caller = self.caller.0.get();
        let identity = caller.map(|caller| caller.identity.name());
        let token = caller.and_then(|caller| Some(&*caller.token.as_ref()?.id));
        let peer = self.address.map(tracing::field::display);
        let channel = channel_of(&self.path);
        let micros = u32::try_from(self.begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        let duration_ms = f64::from(micros) / 1000.0;
        let (method, path) = (self.method.as_str(), self.path.as_str());
        let (request_id, status) = (self.request_id.as_str(), tracing::field::display(status));
        // The path as it was sent: its escapes keep line ends and the like out of the log.
        if is_fault {
            tracing::error!(target: TARGET, request_id, method, path, status, outcome, channel, transaction, identity, token, peer, duration_ms, "request");
        } else if is_probe(path) && !is_error {
            tracing::debug!(target: TARGET, request_id, method, path, status, outcome, channel, transaction, identity, token, peer, duration_ms, "request");
        } else {
            tracing::info!(target: TARGET, request_id, method, path, status, outcome, channel, transaction, identity, token, peer, duration_ms, "request");
        }
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        if !self.is_written {
            let (status, outcome) = CLIENT_GONE;
            self.write(status, true, outcome, None);
        }
    }
}

/// Whether machines ask for this all the time. It is worth a line only if they are refused.
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
