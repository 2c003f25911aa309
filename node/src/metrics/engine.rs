//! The embedded engine under index, state and history of every channel.

use prometheus::{Counter, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use quire_gateway::metrics::Family;
use quire_ledger::EngineStatus;

use super::look::whole;

/// What the engine tells of itself.
#[derive(Debug)]
pub(super) struct Engine {
    sizes: IntGaugeVec,
    journals: IntGauge,
    pending: IntGauge,
    compactions: IntCounter,
    compacting: Counter,
    level_0: IntGauge,
    sealed: IntGauge,
    loads: IntCounterVec,
}

impl Engine {
    pub(super) fn new(family: &Family) -> Self {
        let gauge = |name, help| family.gauge(name, help);
        let gauges = |name, help, label| family.gauges(name, help, &[label]);
        Self {
            sizes: gauges(
                "quire_engine_bytes",
                "Bytes of the embedded engine: tables and journal on disk, memtable and cache in \
                 memory.",
                "part",
            ),
            journals: gauge(
                "quire_engine_journals",
                "Journal files of the embedded engine. Growing: flushes fall behind.",
            ),
            pending: gauge(
                "quire_engine_pending_flushes",
                "Memtables that wait to be flushed. Above a few for long: the disk does not keep up, \
                 and writes will stall.",
            ),
            compactions: family.counter(
                "quire_engine_compactions_total",
                "Compactions since the start.",
            ),
            compacting: family.put(Counter::new(
                "quire_engine_compacting_seconds_total",
                "Seconds spent compacting since the start.",
            )),
            level_0: gauge(
                "quire_engine_level_0_tables",
                "Tables that wait for compaction, of the keyspace with most of them. At 20 the engine \
                 slows writes, at 30 it holds them: the disk does not keep up.",
            ),
            sealed: gauge(
                "quire_engine_sealed_memtables",
                "Memtables that wait to be written, of the keyspace with most of them. At 4 the \
                 engine holds writes until one is on disk.",
            ),
            loads: family.counters(
                "quire_engine_block_loads_total",
                "Blocks of the engine's tables that reads wanted, found in its cache or read from \
                 disk. Mostly disk: state does not fit in the cache.",
                &["from"],
            ),
        }
    }

    pub(super) fn look(&self, status: &EngineStatus) {
        for (part, bytes) in [
            ("disk", status.disk_bytes),
            ("journal", status.journal_bytes),
            ("memtable", status.memtable_bytes),
            ("cache", status.cache_bytes),
        ] {
            self.sizes.with_label_values(&[part]).set(whole(bytes));
        }
        self.journals.set(whole(status.journals as u64));
        self.pending.set(whole(status.pending_flushes as u64));
        let compactions = status.compactions as u64;
        let more = compactions.saturating_sub(self.compactions.get());
        self.compactions.inc_by(more);
        let more = status.compacting.as_secs_f64() - self.compacting.get();
        self.compacting.inc_by(more.max(0.0));
        self.level_0.set(whole(status.level_0_tables as u64));
        self.sealed.set(whole(status.sealed_memtables as u64));
        for (from, loads) in [("cache", status.cached_loads), ("disk", status.disk_loads)] {
            let counter = self.loads.with_label_values(&[from]);
            counter.inc_by((loads as u64).saturating_sub(counter.get()));
        }
    }
}
