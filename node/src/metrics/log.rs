//! The log that orders a channel, under the names of Fabric's Kafka consenter where it has one.

use prometheus::{IntGauge, IntGaugeVec};
use quire_gateway::metrics::Family;
use quire_kafka::LogObserver;

/// What is told of logs.
#[derive(Debug)]
pub(super) struct Logs {
    persisted: IntGaugeVec,
    reachable: IntGaugeVec,
}

/// The same of one channel.
#[derive(Debug)]
pub(crate) struct OfLog {
    persisted: IntGauge,
    reachable: IntGauge,
}

impl Logs {
    pub(super) fn new(family: &Family) -> Self {
        Self {
            persisted: family.gauges(
                "consensus_kafka_last_offset_persisted",
                "The offset in the channel's topic at which its newest block ends. The same on all nodes that are not \
                 behind.",
                &["channel"],
            ),
            reachable: family.gauges(
                "quire_kafka_reachable",
                "Whether the brokers take and give messages of the channel's topic: 1, or 0. While it is 0, writes are \
                 refused with ORDERER_UNAVAILABLE.",
                &["channel"],
            ),
        }
    }

    pub(super) fn of(&self, channel: &str) -> OfLog {
        let label = [channel];
        OfLog {
            persisted: self.persisted.with_label_values(&label),
            reachable: self.reachable.with_label_values(&label),
        }
    }
}

impl LogObserver for OfLog {
    fn persisted(&self, offset: i64) {
        self.persisted.set(offset);
    }

    fn reachable(&self, reachable: bool) {
        self.reachable.set(i64::from(reachable));
    }
}
