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
    /// Whether callers that show no credential are served only while none is required, and only
    /// if they are this machine's own programs: what a browser or a proxy may have sent for
    /// somebody else is refused then.
    pub local_only: bool,
    /// Most requests a second with one token; after a pause a whole second's worth may come at
    /// once.
    pub requests_per_second: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            header_bytes: 64 << 10,
            body_timeout: Duration::from_secs(30),
            default_wait: Duration::from_secs(30),
            max_wait: Duration::from_secs(300),
            keys_in_flight: 100_000,
            page_bytes: 8 << 20,
            local_only: true,
            requests_per_second: None,
        }
    }
}
