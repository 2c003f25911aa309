//! Orderers that are elsewhere: the blocks that come from them, and the envelopes that go to them.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use quire_gateway::metrics::Family;
use quire_peer::orderers::OrderersObserver;
use quire_wire::deliver::status;

/// What is told of the orderers of channels.
#[derive(Debug)]
pub(super) struct Elsewhere {
    reachable: IntGaugeVec,
    height: IntGaugeVec,
    buffered: IntGaugeVec,
    received: IntCounterVec,
    left: IntCounterVec,
    answered: IntCounterVec,
}

/// The same of one channel.
#[derive(Debug)]
pub(crate) struct OfOrderers {
    channel: String,
    reachable: IntGauge,
    height: IntGauge,
    buffered: IntGauge,
    received: IntCounter,
    left: IntCounterVec,
    answered: IntCounterVec,
}

impl Elsewhere {
    pub(super) fn new(family: &Family) -> Self {
        Self {
            reachable: family.gauges(
                "quire_orderers_reachable",
                "Whether an orderer elsewhere gives the channel's blocks: 1, or 0. While it is 0, writes are refused with \
                 ORDERER_UNAVAILABLE.",
                &["channel"],
            ),
            height: family.gauges(
                "quire_orderers_height",
                "Blocks that the channel's orderers are known to have. Above ledger_blockchain_height: the node is behind.",
                &["channel"],
            ),
            buffered: family.gauges(
                "gossip_payload_buffer_size",
                "Blocks that came from orderers and wait for the committing thread. At 32 for long: the disk, or the \
                 judging of signatures, is what limits.",
                &["channel"],
            ),
            received: family.counters(
                "quire_orderers_blocks_received_total",
                "Blocks that came from orderers and were verified.",
                &["channel"],
            ),
            left: family.counters(
                "quire_orderers_left_total",
                "Orderers that were left for another one, by reason: unreachable, refused (they do not let this node \
                 read), bad_block and withheld (they lie, or hold back what others have). The log names them.",
                &["channel", "reason"],
            ),
            answered: family.counters(
                "quire_orderers_broadcast_total",
                "Envelopes that were sent to an orderer, by the status of its answer; `none` where there was no answer. \
                 An envelope is sent until an orderer takes it.",
                &["channel", "status"],
            ),
        }
    }

    pub(super) fn of(&self, channel: &str) -> OfOrderers {
        let label = [channel];
        OfOrderers {
            channel: channel.to_owned(),
            reachable: self.reachable.with_label_values(&label),
            height: self.height.with_label_values(&label),
            buffered: self.buffered.with_label_values(&label),
            received: self.received.with_label_values(&label),
            left: self.left.clone(),
            answered: self.answered.clone(),
        }
    }
}

impl OrderersObserver for OfOrderers {
    fn reachable(&self, reachable: bool) {
        self.reachable.set(i64::from(reachable));
    }

    fn height(&self, height: u64) {
        self.height.set(i64::try_from(height).unwrap_or(i64::MAX));
    }

    fn buffered(&self, blocks: usize) {
        self.buffered.set(i64::try_from(blocks).unwrap_or(i64::MAX));
    }

    fn received(&self) {
        self.received.inc();
    }

    fn left(&self, reason: &'static str) {
        let labels = [self.channel.as_str(), reason];
        self.left.with_label_values(&labels).inc();
    }

    fn answered(&self, answer: Option<i32>) {
        let labels = [self.channel.as_str(), answer.map_or("none", status::name)];
        self.answered.with_label_values(&labels).inc();
    }
}
