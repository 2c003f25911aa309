//! What a ledger reports about its own work, so that it can be counted.
//!
//! Timings in returned values would not do: a commit that fails returns none, readers hit the block cache on
//! threads whose callers do not count, and replay happens before there is a ledger to ask. Nothing here
//! decides anything, and no observer is needed.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::batch::Durable;
use crate::model::block::Block;
use crate::model::examined::Examined;

/// Is told of events. Threads that commit, follow and read call it in the middle of their work, so it must
/// return quickly, and cannot fail.
pub trait Observer: Send + Sync + Debug {
    /// Something happened in `channel`.
    fn observe(&self, channel: &str, event: &Event<'_>);
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A stage of a commit ended, with or without success.
    Took(Stage, Duration),
    /// Blocks of one commit are durable and visible.
    Committed {
        /// How many blocks shared the commit.
        blocks: usize,
        /// How many transactions they have.
        transactions: usize,
        /// Their bytes in the block files.
        bytes: u64,
    },
    /// One of those blocks.
    Block {
        /// The block.
        block: &'a Block,
        /// Its transactions, with their verdicts.
        transactions: &'a [Examined],
        /// Its bytes in the block files.
        bytes: u64,
    },
    /// A block was read: from memory, or from disk.
    Read {
        /// Whether it was in memory.
        cached: bool,
    },
    /// A block that was read is damaged, and was not served.
    Damaged,
    /// The state engine answered a read, with or without success.
    Asked(StateCall, Duration),
    /// A page of a query was made.
    Queried {
        /// Whether an index was used, rather than every document of the namespace.
        by_index: bool,
        /// Documents that were read.
        examined: u64,
        /// Documents that matched and are on the page.
        returned: u64,
    },
}

/// A read of current state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateCall {
    /// One key.
    Get,
    /// A range of keys.
    Range,
    /// A page of a query.
    Find,
}

impl StateCall {
    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Range => "range",
            Self::Find => "find",
        }
    }
}

/// A stage of [`crate::Ledger::commit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The whole commit.
    Commit,
    /// Blocks get their verdicts.
    Judge,
    /// Block files: encoding, writing, syncing.
    Append,
    /// The sync alone.
    Sync,
    /// State takes the blocks in.
    State,
    /// Index and history take the blocks in.
    Index,
}

/// An observer that ignores everything.
#[derive(Debug)]
pub(crate) struct Silent;

impl Observer for Silent {
    fn observe(&self, _channel: &str, _event: &Event<'_>) {}
}

/// A channel and its observer.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    channel: Arc<str>,
    observer: Arc<dyn Observer>,
}

impl Observed {
    pub(crate) fn new(channel: &str, observer: Arc<dyn Observer>) -> Self {
        Self {
            channel: channel.into(),
            observer,
        }
    }

    /// A channel without an observer.
    pub(crate) fn by_nobody() -> Self {
        Self::new("", Arc::new(Silent))
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.observer.observe(&self.channel, event);
    }

    /// Reports how long a read of state takes.
    pub(crate) fn asked<T>(&self, call: StateCall, ask: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let answer = ask();
        self.tell(&Event::Asked(call, started.elapsed()));
        answer
    }

    /// Reports how long the stage took when the stopwatch is dropped.
    #[must_use]
    pub(crate) fn stopwatch(&self, stage: Stage) -> Stopwatch {
        Stopwatch {
            observed: self.clone(),
            stage,
            started: Instant::now(),
        }
    }

    /// Reports the blocks of one commit.
    pub(crate) fn committed(&self, durable: &[Durable]) {
        for durable in durable {
            self.tell(&Event::Block {
                block: &durable.block,
                transactions: &durable.transactions,
                bytes: durable.location.len,
            });
        }
        self.tell(&Event::Committed {
            blocks: durable.len(),
            transactions: durable.iter().map(|block| block.transactions.len()).sum(),
            bytes: durable.iter().map(|block| block.location.len).sum(),
        });
    }
}

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    observed: Observed,
    stage: Stage,
    started: Instant,
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.observed.tell(&Event::Took(self.stage, took));
    }
}
