//! What is looked up when somebody asks for `/metrics`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use quire_gateway::Backend as _;
use quire_gateway::metrics::Family;
use quire_ledger::IndexState;

use crate::node::Node;

/// Shows from now on how the node is, for as long as there is one.
pub(crate) fn watch(node: &Arc<Node>) {
    let registry = node.metrics().registry.clone();
    let look = Look::new(Arc::downgrade(node));
    if let Err(error) = registry.register(Box::new(look)) {
        tracing::error!(%error, "the node is not measured");
    }
}

/// Gauges that are set when they are read.
#[derive(Debug)]
struct Look {
    node: Weak<Node>,
    /// Holds the gauges below, and nothing else.
    own: Registry,
    heights: IntGaugeVec,
    failed: IntGaugeVec,
    damaged: IntGaugeVec,
    ready: IntGauge,
    disk_used: IntGaugeVec,
    disk_free: IntGauge,
    disk_size: IntGauge,
    engine: IntGaugeVec,
    engine_journals: IntGauge,
    engine_pending: IntGauge,
    engine_compactions: IntCounter,
    engine_compacting: Counter,
    engine_level_0: IntGauge,
    engine_sealed: IntGauge,
    engine_loads: IntCounterVec,
    indexes: IntGaugeVec,
    index_building: IntGaugeVec,
}

impl Look {
    fn new(node: Weak<Node>) -> Self {
        let family = Family(Registry::new());
        let gauge = |name, help| family.gauge(name, help);
        let gauges = |name, help, label| family.gauges(name, help, &[label]);
        Self {
            node,
            heights: gauges(
                "ledger_blockchain_height",
                "Blocks of the channel. Not growing while writes are answered with 503: see \
                 quire_channel_failed.",
                "channel",
            ),
            failed: gauges(
                "quire_channel_failed",
                "1 once a write to disk failed: the channel takes no more transactions. Look at \
                 /healthz, mend the disk, restart.",
                "channel",
            ),
            damaged: gauges(
                "quire_damaged_blocks",
                "Damaged blocks that reads have met and that are not mended; they are not served. \
                 Above 0: run `quire check`, then restore or repair.",
                "channel",
            ),
            ready: gauge(
                "quire_ready",
                "1 while requests are taken; 0 while the node starts or stops.",
            ),
            disk_used: gauges(
                "quire_disk_used_bytes",
                "Bytes on disk by part: blocks (never shrink), derived (can be rebuilt), set_aside \
                 (derived.damaged-*: delete when nobody wants to look at it), other.",
                "part",
            ),
            disk_free: gauge(
                "quire_disk_free_bytes",
                "Bytes left to this process on the data directory's file system. At 0 the next \
                 write fails, and with it the channel.",
            ),
            disk_size: gauge(
                "quire_disk_size_bytes",
                "Bytes of the data directory's file system.",
            ),
            engine: gauges(
                "quire_engine_bytes",
                "Bytes of the embedded engine: tables and journal on disk, memtable and cache in \
                 memory.",
                "part",
            ),
            engine_journals: gauge(
                "quire_engine_journals",
                "Journal files of the embedded engine. Growing: flushes fall behind.",
            ),
            engine_pending: gauge(
                "quire_engine_pending_flushes",
                "Memtables that wait to be flushed. Above a few for long: the disk does not keep up, \
                 and writes will stall.",
            ),
            engine_compactions: family.counter(
                "quire_engine_compactions_total",
                "Compactions since the start.",
            ),
            engine_compacting: family.put(Counter::new(
                "quire_engine_compacting_seconds_total",
                "Seconds spent compacting since the start.",
            )),
            engine_level_0: gauge(
                "quire_engine_level_0_tables",
                "Tables that wait for compaction, of the keyspace with most of them. At 20 the engine \
                 slows writes, at 30 it holds them: the disk does not keep up.",
            ),
            engine_sealed: gauge(
                "quire_engine_sealed_memtables",
                "Memtables that wait to be written, of the keyspace with most of them. At 4 the \
                 engine holds writes until one is on disk.",
            ),
            engine_loads: family.counters(
                "quire_engine_block_loads_total",
                "Blocks of the engine's tables that reads wanted, found in its cache or read from \
                 disk. Mostly disk: state does not fit in the cache.",
                &["from"],
            ),
            indexes: family.gauges(
                "quire_query_indexes",
                "Indexes for queries by how far they are: ready, building, failed. A failed one \
                 serves nothing: its reason is in _index; delete it and make it again.",
                &["channel", "state"],
            ),
            index_building: family.gauges(
                "quire_query_index_building_documents",
                "Documents of the indexes that are being built: done so far, and total when they \
                 began.",
                &["channel", "part"],
            ),
            own: family.0,
        }
    }

    fn at_channels(&self, node: &Node) {
        for name in node.channels() {
            if let Some(channel) = node.channel(&name) {
                let height = self.heights.with_label_values(&[name.as_str()]);
                height.set(whole(channel.reader.height()));
                let damaged = self.damaged.with_label_values(&[name.as_str()]);
                damaged.set(whole(channel.reader.damage().len() as u64));
                self.at_indexes(&name, &channel.reader.index_states());
            }
            let failed = i64::from(node.failure(&name).is_some());
            self.failed.with_label_values(&[name.as_str()]).set(failed);
        }
        self.ready.set(i64::from(node.ready()));
    }

    fn at_indexes(&self, name: &str, states: &[IndexState]) {
        let (mut ready, mut building, mut failed) = (0, 0, 0);
        let (mut done, mut total) = (0, 0);
        for state in states {
            match state {
                IndexState::Ready => ready += 1,
                IndexState::Failed(_) => failed += 1,
                IndexState::Building {
                    done: documents,
                    total: all,
                } => {
                    building += 1;
                    done += documents;
                    total += all;
                }
            }
        }
        for (state, count) in [("ready", ready), ("building", building), ("failed", failed)] {
            self.indexes.with_label_values(&[name, state]).set(count);
        }
        for (part, documents) in [("done", done), ("total", total)] {
            let gauge = self.index_building.with_label_values(&[name, part]);
            gauge.set(whole(documents));
        }
    }

    fn at_disk(&self, data: &Path) {
        let mut used = [
            ("blocks", 0),
            ("derived", 0),
            ("set_aside", 0),
            ("other", 0),
        ];
        for entry in std::fs::read_dir(data).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let part = match name.to_string_lossy().as_ref() {
                "channels" => "blocks",
                "derived" => "derived",
                name if name.starts_with("derived.damaged-") => "set_aside",
                _ => "other",
            };
            let bytes = bytes_on_disk(&entry.path());
            for (_, sum) in used.iter_mut().filter(|(name, _)| *name == part) {
                *sum += bytes;
            }
        }
        for (part, bytes) in used {
            self.disk_used.with_label_values(&[part]).set(whole(bytes));
        }
        match rustix::fs::statvfs(data) {
            Ok(status) => {
                let bytes = |blocks: u64| whole(blocks.saturating_mul(status.f_frsize));
                self.disk_free.set(bytes(status.f_bavail));
                self.disk_size.set(bytes(status.f_blocks));
            }
            Err(error) => tracing::warn!(%error, "the file system does not say how full it is"),
        }
    }

    fn at_engine(&self, node: &Node) {
        let status = node.engine();
        for (part, bytes) in [
            ("disk", status.disk_bytes),
            ("journal", status.journal_bytes),
            ("memtable", status.memtable_bytes),
            ("cache", status.cache_bytes),
        ] {
            self.engine.with_label_values(&[part]).set(whole(bytes));
        }
        self.engine_journals.set(whole(status.journals as u64));
        self.engine_pending
            .set(whole(status.pending_flushes as u64));
        let compactions = status.compactions as u64;
        let more = compactions.saturating_sub(self.engine_compactions.get());
        self.engine_compactions.inc_by(more);
        let more = status.compacting.as_secs_f64() - self.engine_compacting.get();
        self.engine_compacting.inc_by(more.max(0.0));
        self.engine_level_0.set(whole(status.level_0_tables as u64));
        self.engine_sealed
            .set(whole(status.sealed_memtables as u64));
        for (from, loads) in [("cache", status.cached_loads), ("disk", status.disk_loads)] {
            let counter = self.engine_loads.with_label_values(&[from]);
            counter.inc_by((loads as u64).saturating_sub(counter.get()));
        }
    }
}

impl Collector for Look {
    fn desc(&self) -> Vec<&Desc> {
        // What `collect` gives is not checked against these, so one is enough to be registered.
        self.ready.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(node) = self.node.upgrade() {
            self.at_channels(&node);
            self.at_disk(node.data());
            self.at_engine(&node);
        }
        self.own.gather()
    }
}

/// What the files at `path` take on the disk, holes not counted. Files that vanish meanwhile are
/// passed over.
fn bytes_on_disk(path: &Path) -> u64 {
    let Ok(found) = path.symlink_metadata() else {
        return 0;
    };
    let own = found.blocks() * 512;
    if !found.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    own + entries
        .map(|entry| bytes_on_disk(&entry.path()))
        .sum::<u64>()
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
