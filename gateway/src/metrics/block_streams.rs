//! Streams of blocks, of whatever protocol, under Fabric's names: made once, and counted by all who serve some.

use prometheus::{IntCounter, IntCounterVec};

use super::family::Family;

/// Counters of streams of blocks. A cheap clone.
#[derive(Clone, Debug)]
pub struct BlockStreams {
    /// Streams that have begun.
    pub opened: IntCounter,
    /// Streams that have ended.
    pub closed: IntCounter,
    /// Blocks that were given to readers, by channel, whether they are filtered (`true`, `false`), and Fabric's type of
    /// data (`block`, `filtered_block`, `block_and_pvtdata`).
    pub sent: IntCounterVec,
}

impl BlockStreams {
    /// Makes them.
    #[must_use]
    pub fn new(family: &Family) -> Self {
        Self {
            opened: family.counter(
                "deliver_streams_opened",
                "Streams of blocks that were opened: event streams, and Fabric's by gRPC.",
            ),
            closed: family.counter(
                "deliver_streams_closed",
                "Streams of blocks that ended. Rising as fast as those opened: clients or a proxy end \
                 them; see its idle time-out.",
            ),
            sent: family.counters(
                "deliver_blocks_sent",
                "Blocks given to readers; filtered where only those of a namespace, or only verdicts, were \
                 asked for.",
                &["channel", "filtered", "data_type"],
            ),
        }
    }
}
