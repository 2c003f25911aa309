//! Calls by gRPC, under Fabric's names.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};
use quire_gateway::metrics::Family;
use quire_rpc::{CallKind, Code, Observer};

use super::TIME_BUCKETS;

/// The counters of one kind of call.
#[derive(Debug)]
struct Kind {
    received: IntCounterVec,
    completed: IntCounterVec,
    duration: HistogramVec,
}

/// Counts calls by gRPC.
#[derive(Debug)]
pub(crate) struct Calls {
    unary: Kind,
    streams: Kind,
    messages_received: IntCounterVec,
    messages_sent: IntCounterVec,
}

impl Calls {
    pub(crate) fn new(family: &Family) -> Self {
        let kind = |name: &str, what: &str| Kind {
            received: family.counters(
                &format!("grpc_server_{name}_requests_received"),
                &format!("{} by gRPC that have begun.", capital(what)),
                &["service", "method"],
            ),
            completed: family.counters(
                &format!("grpc_server_{name}_requests_completed"),
                &format!("{} by gRPC that have ended, by gRPC's code.", capital(what)),
                &["service", "method", "code"],
            ),
            duration: family.histograms(
                &format!("grpc_server_{name}_request_duration"),
                &format!("Seconds that {what} by gRPC took."),
                &["service", "method", "code"],
                &TIME_BUCKETS,
            ),
        };
        let messages = |name: &str, what: &str| {
            family.counters(
                &format!("grpc_server_stream_messages_{name}"),
                &format!("Messages of streams by gRPC that were {what}."),
                &["service", "method"],
            )
        };
        Self {
            unary: kind("unary", "calls with one answer"),
            streams: kind("stream", "streams"),
            messages_received: messages("received", "taken in"),
            messages_sent: messages("sent", "given out"),
        }
    }

    fn kind(&self, kind: CallKind) -> &Kind {
        match kind {
            CallKind::Unary => &self.unary,
            CallKind::Stream => &self.streams,
        }
    }
}

/// The words at the beginning of a sentence.
fn capital(words: &str) -> String {
    let (first, rest) = words.split_at(1);
    first.to_uppercase() + rest
}

impl Observer for Calls {
    fn began(&self, kind: CallKind, service: &str, method: &str) {
        let received = &self.kind(kind).received;
        received.with_label_values(&[service, method]).inc();
    }

    fn ended(&self, kind: CallKind, service: &str, method: &str, code: Code, took: Duration) {
        let kind = self.kind(kind);
        // Go's names of codes, which Fabric's labels have.
        let code = format!("{code:?}");
        let code = if code == "Ok" { "OK" } else { &code };
        let labels = [service, method, code];
        kind.completed.with_label_values(&labels).inc();
        let duration = kind.duration.with_label_values(&labels);
        duration.observe(took.as_secs_f64());
    }

    fn message(&self, service: &str, method: &str, is_sent: bool) {
        let counter = if is_sent {
            &self.messages_sent
        } else {
            &self.messages_received
        };
        counter.with_label_values(&[service, method]).inc();
    }
}
