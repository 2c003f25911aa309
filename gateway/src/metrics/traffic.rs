//! What is counted besides requests: connections, refusals that no handler made, event streams and batches.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::block_streams::BlockStreams;
use super::family::Family;
use super::gauge_guard::GaugeGuard;
use crate::problem::ProblemKind;

/// How a connection began.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arrival {
    /// It is served.
    Served,
    /// There was no room for it, and its client was told so.
    Refused,
    /// There was not even room to tell its client so.
    Unheard,
    /// The TLS handshake failed, or took too long.
    HandshakeFailed,
}

/// A bound that turned work away with 503.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    Requests,
    Batches,
    Listeners,
    Keys,
    Queries,
    Memory,
}

/// The counters.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) connections_open: IntGauge,
    /// A reader that took too little of its answer was cut off.
    pub(crate) cut_off: IntCounter,
    pub(crate) listeners: IntGauge,
    pub(crate) batches: IntGauge,
    connections: IntCounterVec,
    refusals: IntCounterVec,
    /// Refusals of every kind, wherever they were made.
    refused: IntCounterVec,
    shed: IntCounterVec,
    streams: BlockStreams,
    batch_lines: IntCounterVec,
}

impl Traffic {
    pub(crate) fn new(family: &Family, streams: BlockStreams) -> Self {
        let traffic = Self {
            connections_open: family.gauge(
                "quire_connections_open",
                "Connections that are served now. Near --max-connections, further ones get 503.",
            ),
            connections: family.counters(
                "quire_connections_total",
                "Connections by how they began: served, refused (told of an overload), unheard \
                 (closed without a word), handshake_failed. Refused or unheard: raise \
                 --max-connections, or find who opens so many.",
                &["arrival"],
            ),
            cut_off: family.counter(
                "quire_connections_cut_off_total",
                "Connections ended because the client left its answer waiting for --stall-timeout \
                 (8 KiB taken give a second back). Many: clients or a proxy between hang.",
            ),
            refusals: family.counters(
                "quire_edge_refusals_total",
                "Answers that no route made, by status and code: heads that did not arrive in time \
                 (408), are too large (431) or no HTTP (400), and connections too many (503). They \
                 are in no other count.",
                &["status", "outcome"],
            ),
            refused: family.counters(
                "quire_refusals_total",
                "Requests and lines of batches that got a problem instead of what they asked for, by \
                 its code, whoever refused them: a route, a line of a batch or the edge. Rising \
                 UNAUTHENTICATED or FORBIDDEN: somebody tries doors; the request log has the peer's \
                 address and the token's id.",
                &["code"],
            ),
            shed: family.counters(
                "quire_gateway_shed_total",
                "Requests turned away with 503, by the bound that was met: requests \
                 (--max-requests), batches, listeners (event streams), keys (idempotency keys under \
                 way), queries (threads for them), memory (--memory-budget). A full queue is in quire_queue_refused_total.",
                &["bound"],
            ),
            listeners: family.gauge(
                "quire_event_listeners",
                "Event streams that are open now; at 4096 further ones are turned away.",
            ),
            streams,
            batches: family.gauge(
                "quire_batches_in_flight",
                "Batches that are read or carried out now; at 32 further ones are turned away.",
            ),
            batch_lines: family.counters(
                "quire_batch_lines_total",
                "Lines of batches answered, by outcome (OK or the problem's code). The request \
                 itself is OK whatever its lines say.",
                &["outcome"],
            ),
        };
        traffic.show_zeros();
        traffic
    }

    /// Shows rare counters as zero from the start.
    fn show_zeros(&self) {
        for arrival in ["served", "refused", "unheard", "handshake_failed"] {
            self.connections.with_label_values(&[arrival]);
        }
        for bound in [
            "requests",
            "batches",
            "listeners",
            "keys",
            "queries",
            "memory",
        ] {
            self.shed.with_label_values(&[bound]);
        }
        for kind in [ProblemKind::RequestTimeout, ProblemKind::HeadersTooLarge] {
            self.refusal_series(kind);
        }
        self.batch_lines.with_label_values(&["OK"]);
        for kind in [
            ProblemKind::Unauthenticated,
            ProblemKind::Forbidden,
            ProblemKind::RateLimited,
            ProblemKind::TooLarge,
            ProblemKind::Overloaded,
        ] {
            self.refused.with_label_values(&[kind.row().1]);
        }
    }

    /// A request, or a line of a batch, was answered with a problem.
    pub(crate) fn refused(&self, kind: ProblemKind) {
        self.refused.with_label_values(&[kind.row().1]).inc();
    }

    pub(crate) fn arrived(&self, arrival: Arrival) {
        let arrival = match arrival {
            Arrival::Served => "served",
            Arrival::Refused => "refused",
            Arrival::Unheard => "unheard",
            Arrival::HandshakeFailed => "handshake_failed",
        };
        self.connections.with_label_values(&[arrival]).inc();
    }

    pub(crate) fn refused_at_edge(&self, kind: ProblemKind) {
        self.refusal_series(kind).inc();
        self.refused(kind);
    }

    fn refusal_series(&self, kind: ProblemKind) -> IntCounter {
        let (status, code, _) = kind.row();
        self.refusals.with_label_values(&[status.as_str(), code])
    }

    pub(crate) fn shed(&self, bound: Bound) {
        let bound = match bound {
            Bound::Requests => "requests",
            Bound::Batches => "batches",
            Bound::Listeners => "listeners",
            Bound::Keys => "keys",
            Bound::Queries => "queries",
            Bound::Memory => "memory",
        };
        self.shed.with_label_values(&[bound]).inc();
    }

    /// A stream of events begins; it ends when the guard is dropped.
    pub(crate) fn listen(&self) -> ListenerGuard {
        self.streams.opened.inc();
        ListenerGuard {
            closed: self.streams.closed.clone(),
            _open: GaugeGuard::new(&self.listeners),
        }
    }

    pub(crate) fn block_sent(&self, channel: &str, is_filtered: bool) {
        let filtered = if is_filtered { "true" } else { "false" };
        let labels = [channel, filtered, "block"];
        self.streams.sent.with_label_values(&labels).inc();
    }

    /// A line of a batch was answered; `None` means success.
    pub(crate) fn line_told(&self, problem: Option<ProblemKind>) {
        let outcome = problem.map_or("OK", |kind| kind.row().1);
        self.batch_lines.with_label_values(&[outcome]).inc();
        if let Some(kind) = problem {
            self.refused(kind);
        }
    }
}

/// An open stream of events.
#[derive(Debug)]
pub(crate) struct ListenerGuard {
    closed: IntCounter,
    _open: GaugeGuard,
}

impl Drop for ListenerGuard {
    fn drop(&mut self) {
        self.closed.inc();
    }
}
