//! What the gateway bounds.

use std::num::NonZeroU32;
use std::time::Duration;

/// Bounds on what a caller may send and how long it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a request body. A value has its own, smaller limit in the chaincode.
    pub body_bytes: usize,
    /// Most bytes of a request's target and headers together.
    pub header_bytes: usize,
    /// How long the head of a request may take to arrive, from its first byte.
    pub head_timeout: Duration,
    /// How long a connection may stay open between two requests.
    pub idle_timeout: Duration,
    /// How long a client may let an answer wait; each 8 KiB that it takes give a second back.
    pub stall_timeout: Duration,
    /// Most connections at one time.
    pub connections: usize,
    /// Most requests at one time that have no answer yet, without event streams.
    pub requests: usize,
    /// Most batches at one time.
    pub batches: usize,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
    /// How long a write waits for its outcome when the caller names no time.
    pub default_wait: Duration,
    /// The longest wait a caller may ask for; longer ones are shortened to it.
    pub max_wait: Duration,
    /// Most idempotency keys worked on at one time.
    pub keys_in_flight: usize,
    /// Bytes of values or envelopes after which a page ends before its `limit`.
    pub page_bytes: usize,
    /// Most event streams at one time.
    pub listeners: usize,
    /// How often an event stream with nothing to say shows that it is alive.
    pub heartbeat: Duration,
    /// How long those who wait may go on waiting once the node is asked to stop.
    pub grace: Duration,
    /// Whether callers without a credential must be this machine's own programs, and are served only while no
    /// credential is required. Then a request that a browser or a proxy may have sent for somebody else is
    /// refused.
    pub local_only: bool,
    /// How many threads blocking work may have.
    pub pools: PoolSizes,
    /// Most bytes that all requests together hold: bodies, answers that are not taken yet, batches, events.
    pub memory_bytes: usize,
    /// How long a query may take.
    pub query_timeout: Duration,
    /// Most requests a second with one token; after a pause a whole second's worth may come at
    /// once.
    pub requests_per_second: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            header_bytes: 64 << 10,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(30),
            connections: 8192,
            requests: 2048,
            batches: 32,
            body_timeout: Duration::from_secs(30),
            default_wait: Duration::from_secs(30),
            max_wait: Duration::from_secs(300),
            keys_in_flight: 100_000,
            page_bytes: 8 << 20,
            listeners: 4096,
            heartbeat: Duration::from_secs(15),
            grace: Duration::from_secs(10),
            local_only: true,
            pools: PoolSizes::default(),
            memory_bytes: 1 << 30,
            query_timeout: Duration::from_secs(10),
            requests_per_second: None,
        }
    }
}

/// How many threads each kind of blocking work may have at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSizes {
    /// For reads by key, pages, writes and signing.
    pub work: usize,
    /// For queries.
    pub queries: usize,
    /// For work that makes or removes channels and indexes, and may wait for that.
    pub changes: usize,
    /// For health and metrics.
    pub health: usize,
}

impl PoolSizes {
    /// The sizes for this number of processors. Work sometimes waits for the disk, so it has more threads
    /// than processors; queries seldom wait, and of four processors they leave one free.
    #[must_use]
    pub fn of_processors(processors: usize) -> Self {
        Self {
            work: 8 + 4 * processors,
            queries: (processors - processors / 4).max(1),
            changes: 4,
            health: 2,
        }
    }

    /// All threads.
    #[must_use]
    pub fn sum(&self) -> usize {
        self.work + self.queries + self.changes + self.health
    }
}

impl Default for PoolSizes {
    fn default() -> Self {
        Self::of_processors(std::thread::available_parallelism().map_or(1, usize::from))
    }
}
