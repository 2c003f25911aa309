//! Streams of blocks and envelopes for the order, under Fabric's names.

use prometheus::{HistogramVec, IntCounterVec};
use quire_gateway::metrics::{BlockStreams, Family};
use quire_rpc::deliver::Service;
use quire_rpc::stream_observer::{Event, StreamObserver};

use super::TIME_BUCKETS;

/// Fabric's labels of a stream of blocks.
const OF_BLOCKS: [&str; 3] = ["channel", "filtered", "data_type"];
/// The same of a request that was answered.
const OF_ANSWERED: [&str; 4] = ["channel", "filtered", "data_type", "success"];
/// Fabric's labels of an envelope.
const OF_ENVELOPES: [&str; 3] = ["channel", "type", "status"];

/// Counts streams of blocks, and envelopes for the order.
#[derive(Debug)]
pub(crate) struct Streams {
    /// The gateway's event streams are counted here too.
    pub(crate) blocks: BlockStreams,
    received: IntCounterVec,
    completed: IntCounterVec,
    processed: IntCounterVec,
    duration: HistogramVec,
}

impl Streams {
    pub(super) fn new(family: &Family) -> Self {
        Self {
            blocks: BlockStreams::new(family),
            received: family.counters(
                "deliver_requests_received",
                "Requests for blocks of a channel that there is.",
                &OF_BLOCKS,
            ),
            completed: family.counters(
                "deliver_requests_completed",
                "Requests for blocks that were answered; with success false, not with all blocks.",
                &OF_ANSWERED,
            ),
            processed: family.counters(
                "broadcast_processed_count",
                "Envelopes for the order by gRPC, by the status of the answer. A status other than \
                 SUCCESS rising: see the sender's message.",
                &OF_ENVELOPES,
            ),
            duration: family.histograms(
                "broadcast_validate_duration",
                "Seconds to find out whether an envelope may be ordered, and to put it into the order.",
                &OF_ENVELOPES,
                &TIME_BUCKETS,
            ),
        }
    }
}

impl StreamObserver for Streams {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::StreamOpened => self.blocks.opened.inc(),
            Event::StreamClosed => self.blocks.closed.inc(),
            Event::SeekReceived(channel, service) => {
                let labels = labels(channel, *service);
                self.received.with_label_values(&labels).inc();
            }
            Event::SeekCompleted(channel, service, succeeded) => {
                let [channel, filtered, data_type] = labels(channel, *service);
                let success = if *succeeded { "true" } else { "false" };
                let labels = [channel, filtered, data_type, success];
                self.completed.with_label_values(&labels).inc();
            }
            Event::BlockSent(channel, service) => {
                let labels = labels(channel, *service);
                self.blocks.sent.with_label_values(&labels).inc();
            }
            Event::Broadcast(one) => {
                let labels = [one.channel, one.kind, one.status];
                self.processed.with_label_values(&labels).inc();
                let duration = self.duration.with_label_values(&labels);
                duration.observe(one.took.as_secs_f64());
            }
        }
    }
}

/// Fabric's labels; an orderer's blocks are blocks.
fn labels(channel: &str, service: Service) -> [&str; 3] {
    let (filtered, data_type) = match service {
        Service::Blocks | Service::Orderer => ("false", "block"),
        Service::Filtered => ("true", "filtered_block"),
        Service::WithPrivateData => ("false", "block_and_pvtdata"),
    };
    [channel, filtered, data_type]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{Registry, TextEncoder};
    use quire_rpc::stream_observer::Broadcasted;

    use super::*;

    #[test]
    fn what_services_tell_is_counted_under_fabrics_names_and_labels() {
        let family = Family(Registry::new());
        let streams = Streams::new(&family);
        streams.observe(&Event::StreamOpened);
        streams.observe(&Event::SeekReceived("main", Service::Orderer));
        streams.observe(&Event::BlockSent("main", Service::Filtered));
        streams.observe(&Event::BlockSent("main", Service::WithPrivateData));
        streams.observe(&Event::SeekCompleted("main", Service::Filtered, false));
        streams.observe(&Event::Broadcast(&Broadcasted {
            channel: "main",
            kind: "ENDORSER_TRANSACTION",
            status: "SUCCESS",
            took: Duration::from_millis(1),
        }));
        let text = TextEncoder::new()
            .encode_to_string(&family.0.gather())
            .unwrap();
        for series in [
            "deliver_streams_opened 1",
            "deliver_streams_closed 0",
            "deliver_requests_received{channel=\"main\",data_type=\"block\",filtered=\"false\"} 1",
            "deliver_blocks_sent{channel=\"main\",data_type=\"filtered_block\",filtered=\"true\"} 1",
            "deliver_blocks_sent{channel=\"main\",data_type=\"block_and_pvtdata\",filtered=\"false\"} 1",
            "deliver_requests_completed{channel=\"main\",data_type=\"filtered_block\",\
             filtered=\"true\",success=\"false\"} 1",
            "broadcast_processed_count{channel=\"main\",status=\"SUCCESS\",\
             type=\"ENDORSER_TRANSACTION\"} 1",
            "broadcast_validate_duration_count{channel=\"main\",status=\"SUCCESS\",\
             type=\"ENDORSER_TRANSACTION\"} 1",
        ] {
            assert!(text.contains(series), "no {series} in\n{text}");
        }
    }
}
