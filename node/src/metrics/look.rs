//! What is looked up when somebody asks for `/metrics`.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Registry};
use quire_gateway::Backend as _;
use quire_gateway::metrics::Family;

use super::backups::Backups;
use super::endings::Endings;
use super::engine::Engine;
use super::indexes::Indexes;
use crate::clock;
use crate::node::Node;

/// Shows from now on how the node is, for as long as there is one.
pub(crate) fn watch(node: &Arc<Node>, tls: Vec<(&'static str, PathBuf)>) {
    let registry = node.metrics().registry.clone();
    let look = Look::new(node, tls);
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
    engine: Engine,
    indexes: Indexes,
    /// None where the node makes none by itself.
    backups: Option<Backups>,
    endings: Endings,
}

impl Look {
    fn new(node: &Arc<Node>, tls: Vec<(&'static str, PathBuf)>) -> Self {
        let family = Family(Registry::new());
        let backups = node.backups().map(|_| Backups::new(&family.0));
        let gauge = |name, help| family.gauge(name, help);
        let gauges = |name, help, label| family.gauges(name, help, &[label]);
        Self {
            node: Arc::downgrade(node),
            heights: gauges(
                "ledger_blockchain_height",
                "Blocks of the channel. Not growing while writes are answered with 503: see \
                 quire_channel_failed.",
                "channel",
            ),
            failed: gauges(
                "quire_channel_failed",
                "1 once a write to disk failed, or where the channel did not open: it takes no \
                 transactions. Look at /healthz, mend what it names, restart.",
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
            engine: Engine::new(&family),
            indexes: Indexes::new(&family),
            backups,
            endings: Endings::new(&family, node.data().to_owned(), tls),
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
                self.indexes.look(&name, &channel.reader.index_states());
            }
            let failed = i64::from(node.failure(&name).is_some());
            self.failed.with_label_values(&[name.as_str()]).set(failed);
        }
        for closed in node.closed_channels() {
            let failed = self.failed.with_label_values(&[&closed.component]);
            failed.set(1);
        }
        self.ready.set(i64::from(node.ready()));
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
            self.engine.look(&node.engine());
            self.endings.look();
            if let (Some(backups), Some(planned)) = (&self.backups, node.backups()) {
                backups.look(planned, clock::now());
            }
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

pub(super) fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
