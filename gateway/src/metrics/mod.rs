//! What the gateway counts, in Prometheus' terms.
//!
//! Labels are bounded: a route is the router's pattern, never the requested path, and an outcome is one of
//! the contract's codes. HELP says what a number means to somebody on call.

mod block_streams;
pub(crate) mod family;
pub(crate) mod gauge_guard;
pub(crate) mod traffic;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use prometheus::{HistogramVec, IntCounterVec, IntGauge, Registry};
use quire_wire::Code;

use crate::problem::{Problem, ProblemKind};
use crate::write::outcome::Settled;
use traffic::{Bound, Traffic};

pub use block_streams::BlockStreams;
pub use family::Family;

/// Seconds, from a read of memory to a write that waited long.
const REQUEST_BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// The status of a request whose caller left before it was answered.
pub(crate) const CLIENT_GONE: (&str, &str) = ("499", "CLIENT_GONE");

/// What a write with an idempotency key found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyMet {
    /// It found nothing.
    New,
    /// It found a request with the same key under way.
    Joined,
    /// It found an outcome in a block.
    Replayed,
    /// It found the key of another request.
    Reused,
}

/// The gateway's own metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    pub(crate) traffic: Traffic,
    requests: IntCounterVec,
    durations: HistogramVec,
    /// One for each [`Place`](crate::place::Place).
    pub(crate) in_flight: IntGauge,
    keys: IntCounterVec,
    keys_in_flight: IntGauge,
    retries: IntCounterVec,
}

impl Metrics {
    /// `streams` are shared with others who serve streams of blocks; without them, the gateway makes its own.
    pub(crate) fn new(registry: Registry, streams: Option<BlockStreams>) -> Self {
        let family = Family(registry);
        let streams = streams.unwrap_or_else(|| BlockStreams::new(&family));
        let metrics = Self {
            requests: family.counters(
                "quire_gateway_requests_total",
                "Requests answered, by route pattern, status and outcome (OK or the problem's code; \
                 499 CLIENT_GONE where nobody waited). Rising 5xx: look at the outcome, then at the \
                 queue and the disk.",
                &["method", "route", "status", "outcome"],
            ),
            durations: family.histograms(
                "quire_gateway_request_duration_seconds",
                "Time from a request's head to its answer's head. Slow writes with fast reads point \
                 at the disk: see quire_ledger_fsync_seconds.",
                &["method", "route"],
                &REQUEST_BUCKETS,
            ),
            in_flight: family.gauge(
                "quire_gateway_requests_in_flight",
                "Requests that have no answer yet, and those whose caller went away while a thread still \
                 works on them: what --max-requests bounds, with health and metrics. Growing while the \
                 request rate does not: the node falls behind.",
            ),
            keys: family.counters(
                "quire_gateway_idempotency_total",
                "Writes with an Idempotency-Key, by what the key met: new, joined (under way), \
                 replayed (already in a block), reused (refused, 422). Many replays: clients time \
                 out. Any reuse: a client has a bug.",
                &["met"],
            ),
            keys_in_flight: family.gauge(
                "quire_gateway_idempotency_keys_in_flight",
                "Idempotency keys that are worked on now; at 100000 new ones are turned away.",
            ),
            retries: family.counters(
                "quire_gateway_retries_total",
                "Attempts that lost a race and were made again, by code. Many: callers write the \
                 same keys; spread them, or send versions.",
                &["code"],
            ),
            traffic: Traffic::new(&family, streams),
            registry: family.0,
        };
        for met in [
            KeyMet::New,
            KeyMet::Joined,
            KeyMet::Replayed,
            KeyMet::Reused,
        ] {
            metrics.keys.with_label_values(&[met.name()]);
        }
        for code in [Code::MVCC_READ_CONFLICT, Code::PHANTOM_READ_CONFLICT] {
            metrics.retries.with_label_values(&[code.name()]);
        }
        metrics
    }

    pub(crate) fn key_met(&self, met: KeyMet) {
        self.keys.with_label_values(&[met.name()]).inc();
    }

    /// Counts what the end of a write says about its key.
    pub(crate) fn key_settled(&self, settled: &Settled) {
        match settled {
            Settled::Final { replayed: true, .. } => self.key_met(KeyMet::Replayed),
            Settled::Refused(problem) => self.key_refused(problem),
            Settled::Final { .. } | Settled::Unknown { .. } => self.key_met(KeyMet::New),
        }
    }

    /// A refusal counts if the key caused it.
    fn key_refused(&self, problem: &Problem) {
        if problem.kind() == ProblemKind::IdempotencyKeyReused {
            self.key_met(KeyMet::Reused);
        }
    }

    /// Counts a key that is not worked on: it was reused, or there were too many.
    pub(crate) fn key_turned_away(&self, problem: &Problem) {
        self.key_refused(problem);
        if problem.kind() == ProblemKind::Overloaded {
            self.traffic.shed(Bound::Keys);
        }
    }

    pub(crate) fn keys_in_flight(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.keys_in_flight.set(count);
    }

    pub(crate) fn retried(&self, code: Code) {
        self.retries.with_label_values(&[code.name()]).inc();
    }
}

impl KeyMet {
    fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Joined => "joined",
            Self::Replayed => "replayed",
            Self::Reused => "reused",
        }
    }
}

/// A request under way. It is counted when this is dropped, even if its caller left first.
pub(crate) struct Counted {
    metrics: Arc<Metrics>,
    method: &'static str,
    route: String,
    started: Instant,
    answer: Option<(StatusCode, &'static str)>,
}

impl Counted {
    pub(crate) fn new(metrics: Arc<Metrics>, request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        Self {
            metrics,
            method: method(request.method()),
            route: route.map_or("unmatched", MatchedPath::as_str).to_owned(),
            started: Instant::now(),
            answer: None,
        }
    }

    /// Counts the request with its answer.
    pub(crate) fn answered(mut self, response: &Response) {
        let status = response.status();
        let problem = response.extensions().get::<ProblemKind>();
        if let Some(kind) = problem {
            self.metrics.traffic.refused(*kind);
        }
        let outcome = match problem {
            Some(kind) => kind.row().1,
            None if status.is_client_error() || status.is_server_error() => "ERROR",
            None => "OK",
        };
        self.answer = Some((status, outcome));
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Self {
            metrics,
            method,
            route,
            started,
            answer,
        } = self;
        let (status, outcome) = match &answer {
            Some((status, outcome)) => (status.as_str(), *outcome),
            None => CLIENT_GONE,
        };
        let labels = [*method, route.as_str(), status, outcome];
        metrics.requests.with_label_values(&labels).inc();
        let took = started.elapsed().as_secs_f64();
        let labels = [*method, route.as_str()];
        metrics.durations.with_label_values(&labels).observe(took);
    }
}

/// Otherwise a caller could make up any number of methods.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
