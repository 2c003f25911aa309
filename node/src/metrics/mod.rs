//! What the node counts: Fabric's names and labels where Fabric has one, `quire_` where it has none.
//!
//! * this file: what ledgers tell as it happens, and channels that open
//! * [`reads`]: what is read of state, and queries
//! * [`calls`]: calls by gRPC
//! * [`endorsers`]: endorsements that were asked of other peers
//! * [`streams`]: streams of blocks, and envelopes for the order
//! * [`submitter`]: proposals, and the queue before the committing thread
//! * [`look`]: what is looked up when somebody asks: heights, disk, [`engine`], [`indexes`],
//!   [`backups`], [`endings`]

mod backups;
mod calls;
mod chaincodes;
mod endings;
mod endorsers;
mod engine;
mod indexes;
mod log;
mod look;
mod orderers;
mod reads;
mod streams;
mod submitter;

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::process_collector::ProcessCollector;
use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use quire_gateway::backend::BuildInfo;
use quire_gateway::metrics::Family;
use quire_ledger::{Content, Event, Examined, Observer, OpenReport, Progress, Stage};

use calls::Calls;
use chaincodes::Chaincodes;
use endorsers::Endorsers;
pub(crate) use look::watch;
use reads::Reads;
use streams::Streams;
pub(crate) use submitter::Measured;

/// Seconds: Fabric's .005 .01 .015 .05 .1 1 10, and finer ones, since an fsync of ours is one of
/// few where Fabric's are many.
const TIME_BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Blocks that share an fsync: 32 at most.
const BLOCK_BUCKETS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
/// Transactions in a block or a commit.
const TRANSACTION_BUCKETS: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0, 10000.0,
];

/// The node's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    chaincodes: Chaincodes,
    stages: Stages,
    transactions: IntCounterVec,
    commit_blocks: HistogramVec,
    commit_transactions: HistogramVec,
    block_transactions: HistogramVec,
    block_bytes: IntCounterVec,
    reads: Reads,
    damage: IntCounterVec,
    recovery: Recovery,
    submitting: submitter::Families,
    logs: log::Logs,
    elsewhere: orderers::Elsewhere,
    /// By gRPC.
    pub(crate) calls: Arc<Calls>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) endorsers: Arc<Endorsers>,
}

#[derive(Debug)]
struct Stages {
    commit: HistogramVec,
    judge: HistogramVec,
    append: HistogramVec,
    sync: HistogramVec,
    state: HistogramVec,
    index: HistogramVec,
}

impl Stages {
    fn new(family: &Family) -> Self {
        let histogram = |name, help| family.histograms(name, help, &["channel"], &TIME_BUCKETS);
        Self {
            commit: histogram(
                "ledger_block_processing_time",
                "Seconds to commit the blocks that share an fsync: judge, append, follow. Rising: \
                 see which of the stages rises.",
            ),
            judge: histogram(
                "quire_ledger_judge_seconds",
                "Seconds to give every transaction of a commit its code. Rising alone: large read \
                 sets or ranges.",
            ),
            append: histogram(
                "ledger_blockstorage_commit_time",
                "Seconds to write blocks to their file, sync included.",
            ),
            sync: histogram(
                "quire_ledger_fsync_seconds",
                "Seconds of one fsync of a block file. Above 0.1: the disk is slow or shared; every \
                 write waits for it.",
            ),
            state: histogram(
                "ledger_statedb_commit_time",
                "Seconds until state has taken a commit in. Rising alone: the embedded engine is \
                 behind, see quire_engine_pending_flushes.",
            ),
            index: histogram(
                "quire_ledger_index_commit_seconds",
                "Seconds until index and history have taken a commit in.",
            ),
        }
    }

    fn of(&self, stage: Stage) -> &HistogramVec {
        match stage {
            Stage::Commit => &self.commit,
            Stage::Judge => &self.judge,
            Stage::Append => &self.append,
            Stage::Sync => &self.sync,
            Stage::State => &self.state,
            Stage::Index => &self.index,
        }
    }
}

/// What opening the channels took.
#[derive(Debug)]
struct Recovery {
    replayed: IntGaugeVec,
    seconds: GaugeVec,
    cut_bytes: IntGaugeVec,
    done: IntGaugeVec,
    total: IntGaugeVec,
}

impl Recovery {
    fn new(family: &Family) -> Self {
        let at_start = |name, help| family.gauges(name, help, &["channel"]);
        Self {
            done: at_start(
                "quire_recovery_done_blocks",
                "Blocks replayed so far while the channel is opened. Seen where the operations have \
                 an address of their own, which is served before channels are open.",
            ),
            total: at_start(
                "quire_recovery_total_blocks",
                "Blocks to replay before the channel is open.",
            ),
            replayed: at_start(
                "quire_recovery_replayed_blocks",
                "Blocks that state, index or history took in again when the channel was opened. \
                 Large after a clean stop: the derived directory was lost.",
            ),
            seconds: family.put(GaugeVec::new(
                Opts::new(
                    "quire_recovery_seconds",
                    "How long opening the channel took, replay included.",
                ),
                &["channel"],
            )),
            cut_bytes: at_start(
                "quire_recovery_cut_bytes",
                "Bytes of a batch that was never acknowledged and was cut when the channel was \
                 opened. Above 0 after a crash is as it should be; after a clean stop it is not.",
            ),
        }
    }
}

impl Metrics {
    pub(crate) fn new(build: &BuildInfo) -> Self {
        let family = Family(Registry::new());
        let info = family.gauges(
            "quire_build_info",
            "Always 1: its labels say what runs.",
            &["version", "commit"],
        );
        let (version, commit) = (build.version.as_str(), build.commit.as_str());
        info.with_label_values(&[version, commit]).set(1);
        if let Err(error) = family.0.register(Box::new(ProcessCollector::for_self())) {
            tracing::error!(%error, "the process is not measured");
        }
        let by_channel = |name, help| family.counters(name, help, &["channel"]);
        let sizes = |name, help, buckets| family.histograms(name, help, &["channel"], buckets);
        Self {
            chaincodes: Chaincodes::default(),
            stages: Stages::new(&family),
            transactions: family.counters(
                "ledger_transaction_count",
                "Transactions committed, by type, chaincode (name:version; `other` beyond 50) and \
                 verdict. Other verdicts than VALID changed nothing.",
                &[
                    "channel",
                    "transaction_type",
                    "chaincode",
                    "validation_code",
                ],
            ),
            commit_blocks: sizes(
                "quire_commit_blocks",
                "Blocks that shared one fsync. Always 32: the committer is the bottleneck.",
                &BLOCK_BUCKETS,
            ),
            commit_transactions: sizes(
                "quire_commit_transactions",
                "Transactions that shared one fsync. 1 is right for a node with one client.",
                &TRANSACTION_BUCKETS,
            ),
            block_transactions: sizes(
                "quire_block_transactions",
                "Transactions in a block; the channel's configuration says how many fit.",
                &TRANSACTION_BUCKETS,
            ),
            block_bytes: by_channel(
                "quire_block_bytes_total",
                "Bytes of blocks appended: how fast the disk fills for ever.",
            ),
            reads: Reads::new(&family),
            damage: by_channel(
                "quire_damage_total",
                "Reads that met a damaged block, which was not served; quire_damaged_blocks says how \
                 many there are.",
            ),
            recovery: Recovery::new(&family),
            submitting: submitter::Families::new(&family),
            logs: log::Logs::new(&family),
            elsewhere: orderers::Elsewhere::new(&family),
            calls: Arc::new(Calls::new(&family)),
            streams: Arc::new(Streams::new(&family)),
            endorsers: Arc::new(Endorsers::new(&family)),
            registry: family.0,
        }
    }

    /// Starts a stopwatch over the opening of a channel.
    pub(crate) fn opening(&self) -> Opening<'_> {
        Opening {
            metrics: self,
            started: Instant::now(),
        }
    }

    /// Shows how far the opening of a channel is.
    pub(crate) fn recovering(&self, step: &Progress<'_>) {
        let set = |gauges: &IntGaugeVec, blocks: u64| {
            let blocks = i64::try_from(blocks).unwrap_or(i64::MAX);
            gauges.with_label_values(&[step.subject]).set(blocks);
        };
        set(&self.recovery.done, step.done);
        set(&self.recovery.total, step.total);
    }

    /// Makes what is rarely counted visible as zero from the start.
    pub(crate) fn begin(&self, channel: &str) {
        self.damage.with_label_values(&[channel]);
        self.reads.begin(channel);
        self.recovery.done.with_label_values(&[channel]);
        self.recovery.total.with_label_values(&[channel]);
    }

    /// What is told of the log that orders a channel.
    pub(crate) fn log(&self, channel: &str) -> log::OfLog {
        self.logs.of(channel)
    }

    /// What is told of a channel's orderers that are elsewhere.
    pub(crate) fn orderers(&self, channel: &str) -> orderers::OfOrderers {
        self.elsewhere.of(channel)
    }

    fn took(&self, channel: &str, stage: Stage, took: Duration) {
        let histogram: Histogram = self.stages.of(stage).with_label_values(&[channel]);
        histogram.observe(took.as_secs_f64());
    }

    fn count(&self, channel: &str, transactions: &[Examined]) {
        for transaction in transactions {
            let (kind, chaincode) = match &transaction.content {
                Content::Endorsed(endorsed) => {
                    let id = endorsed.call.action.chaincode_id.as_ref();
                    let id = id.map(|id| format!("{}:{}", id.name, id.version));
                    let label = self.chaincodes.learn(&id.unwrap_or_default());
                    ("ENDORSER_TRANSACTION", label)
                }
                Content::Config(_) => ("CONFIG", "unknown".to_owned()),
                Content::Other => ("unknown", "unknown".to_owned()),
            };
            let labels = [channel, kind, chaincode.as_str(), transaction.code.name()];
            self.transactions.with_label_values(&labels).inc();
        }
    }
}

impl Observer for Metrics {
    fn observe(&self, channel: &str, event: &Event<'_>) {
        match *event {
            Event::Took(stage, took) => self.took(channel, stage, took),
            Event::Committed {
                blocks,
                transactions,
                bytes: _,
            } => {
                let observe = |sizes: &HistogramVec, size: usize| {
                    sizes.with_label_values(&[channel]).observe(lossy(size));
                };
                observe(&self.commit_blocks, blocks);
                observe(&self.commit_transactions, transactions);
            }
            Event::Block {
                block: _,
                transactions,
                bytes,
            } => {
                self.count(channel, transactions);
                let sizes = self.block_transactions.with_label_values(&[channel]);
                sizes.observe(lossy(transactions.len()));
                self.block_bytes.with_label_values(&[channel]).inc_by(bytes);
            }
            Event::Read { cached } => self.reads.block(channel, cached),
            Event::Asked(call, took) => self.reads.asked(channel, call, took),
            Event::Queried {
                by_index,
                examined,
                returned,
            } => self.reads.queried(channel, by_index, examined, returned),
            Event::Damaged => self.damage.with_label_values(&[channel]).inc(),
        }
    }
}

/// A channel that is being opened.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    metrics: &'a Metrics,
    started: Instant,
}

impl Opening<'_> {
    pub(crate) fn done(self, channel: &str, report: &OpenReport) {
        let metrics = self.metrics;
        let set = |gauges: &IntGaugeVec, value: u64| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            gauges.with_label_values(&[channel]).set(value);
        };
        let seconds = metrics.recovery.seconds.with_label_values(&[channel]);
        seconds.set(self.started.elapsed().as_secs_f64());
        set(&metrics.recovery.replayed, report.replayed);
        let cut = report.cut.as_ref().map_or(0, |cut| cut.bytes);
        set(&metrics.recovery.cut_bytes, cut);
    }
}

/// Small numbers are exact.
#[expect(clippy::cast_precision_loss, reason = "a histogram's sum is a float")]
fn lossy(size: usize) -> f64 {
    size as f64
}
