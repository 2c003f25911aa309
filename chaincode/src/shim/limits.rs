//! What the process of a chaincode may take of the node.

use std::time::Duration;

/// What the process of a chaincode may take of the node. Beyond it a call fails, or the stream ends.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a message; Fabric's limit.
    pub message_bytes: usize,
    /// Bytes that a call may make the node hold: what it reads, writes and asks.
    pub call_bytes: usize,
    /// Bytes that all calls of a stream may, with the messages that wait on it.
    pub stream_bytes: usize,
    /// Calls under way on a stream.
    pub calls: usize,
    /// Iterators that are open in a call.
    pub iterators: usize,
    /// Answers that wait to be taken, to requests for transactions that the process does not have.
    pub strays: usize,
    /// Rows that a query gives in all; Fabric's `ledger.state.totalQueryLimit`.
    pub rows: usize,
    /// What a call may take, for its error to tell. Who makes the deadlines keeps to it.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 100 << 20,
            call_bytes: 128 << 20,
            stream_bytes: 512 << 20,
            calls: 10_000,
            iterators: 64,
            strays: 1_000,
            rows: 100_000,
            timeout: Duration::from_secs(30),
        }
    }
}
