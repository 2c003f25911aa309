//! What is read: blocks, state, and the documents that queries look at.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};
use quire_gateway::metrics::Family;
use quire_ledger::StateCall;

/// Seconds: from a key in memory to a query that reads a whole namespace.
const CALL_BUCKETS: [f64; 12] = [
    0.00001, 0.000_025, 0.0001, 0.00025, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1.0, 10.0,
];

/// Reads of a channel.
#[derive(Debug)]
pub(crate) struct Reads {
    blocks: IntCounterVec,
    calls: HistogramVec,
    queries: IntCounterVec,
    examined: IntCounterVec,
    returned: IntCounterVec,
}

impl Reads {
    pub(crate) fn new(family: &Family) -> Self {
        Self {
            blocks: family.counters(
                "quire_block_reads_total",
                "Blocks read, from the cache in memory or from disk.",
                &["channel", "from"],
            ),
            calls: family.histograms(
                "quire_state_call_seconds",
                "Seconds of a read of current state: get (a key), range (a page of keys), find (a \
                 page of a query). Slow gets: see quire_engine_block_loads_total; slow finds: see \
                 quire_queries_total.",
                &["channel", "call"],
                &CALL_BUCKETS,
            ),
            queries: family.counters(
                "quire_queries_total",
                "Pages of queries, by what served them: an index, or a scan of the whole namespace. \
                 Many scans: make an index, _explain tells which.",
                &["channel", "served_by"],
            ),
            examined: family.counters(
                "quire_query_examined_documents_total",
                "Documents that queries looked at. Many times those returned: indexes do not fit \
                 the queries.",
                &["channel"],
            ),
            returned: family.counters(
                "quire_query_returned_documents_total",
                "Documents that queries returned.",
                &["channel"],
            ),
        }
    }

    /// Makes a channel's zeros visible.
    pub(crate) fn begin(&self, channel: &str) {
        for from in ["memory", "disk"] {
            self.blocks.with_label_values(&[channel, from]);
        }
        for served_by in ["index", "scan"] {
            self.queries.with_label_values(&[channel, served_by]);
        }
        for call in [StateCall::Get, StateCall::Range, StateCall::Find] {
            self.calls.with_label_values(&[channel, call.name()]);
        }
        self.examined.with_label_values(&[channel]);
        self.returned.with_label_values(&[channel]);
    }

    pub(crate) fn block(&self, channel: &str, is_cached: bool) {
        let from = if is_cached { "memory" } else { "disk" };
        self.blocks.with_label_values(&[channel, from]).inc();
    }

    pub(crate) fn asked(&self, channel: &str, call: StateCall, took: Duration) {
        let seconds = self.calls.with_label_values(&[channel, call.name()]);
        seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn queried(&self, channel: &str, by_index: bool, examined: u64, returned: u64) {
        let served_by = if by_index { "index" } else { "scan" };
        self.queries.with_label_values(&[channel, served_by]).inc();
        self.examined.with_label_values(&[channel]).inc_by(examined);
        self.returned.with_label_values(&[channel]).inc_by(returned);
    }
}
