//! One channel, as those see it who serve it.

use std::fmt;
use std::sync::Arc;

use quire_ledger::Reader;
use tokio::sync::watch;

use crate::submit::Submitter;

/// One channel: its reads and its writes. A cheap clone.
#[derive(Clone)]
pub struct Channel {
    /// Its name.
    pub name: Arc<str>,
    /// All reads.
    pub reader: Reader,
    /// All writes.
    pub submitter: Arc<dyn Submitter>,
    /// Whether it refuses writes, as imported channels do.
    pub read_only: bool,
    /// How many blocks can be read, told after each commit. It closes when no commit will follow.
    pub heights: watch::Receiver<u64>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}
