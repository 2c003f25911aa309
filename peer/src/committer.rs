//! The committing thread of a channel: it owns the ledger, and commits what comes through its one door.
//!
//! ```text
//! source --> commit    link, judge, append (one fsync), follow
//!        --> answer    whoever waits for a transaction learns its outcome
//! ```
//!
//! Full blocks do not wait until the blocks before them are on disk: they are judged in the meantime.

use std::sync::Arc;
use std::time::Duration;

use quire_ledger::{Block, CommitError, Committed, Ledger, Ordered, ReadError, chain_of};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Current;
use crate::deployed::Deployed;
use crate::outcomes::{Outcomes, Trouble};
use crate::source::{Arrived, BlockSource, Next};

/// How long the committing thread waits before it retries what failed because of state.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What the committing thread of a channel works with.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) channel: Arc<str>,
    pub(crate) ledger: Ledger,
    pub(crate) config: Current,
    pub(crate) deployed: Arc<Deployed>,
    pub(crate) outcomes: Arc<Outcomes>,
    /// Learns the height after each commit.
    pub(crate) heights: watch::Sender<u64>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether a configuration is among the blocks that are being committed.
    pub(crate) reconfigures: bool,
}

/// [`Ledger::commit`], or its first half.
type Commit = fn(&mut Ledger, Vec<Ordered>) -> Result<Vec<Committed>, CommitError>;

impl Committer {
    /// Commits what comes until the source is closed and empty.
    pub(crate) fn run(mut self, source: Box<dyn BlockSource>) {
        let mut source = UnlessFinished {
            source: Some(source),
            outcomes: Arc::clone(&self.outcomes),
            reason: "the committing thread panicked".to_owned(),
        };
        if let Err(reason) = self.work(&mut source) {
            tracing::error!(channel = %self.channel, reason, "the channel takes no more transactions");
            self.ledger.give_up();
            source.reason = reason;
        }
    }

    fn work(&mut self, unless_finished: &mut UnlessFinished) -> Result<(), String> {
        let Some(source) = &mut unless_finished.source else {
            return Ok(());
        };
        self.catch_up()?;
        source.begin(self.ledger.tip())?;
        loop {
            match source.next()? {
                Next::Rest(arrived) => self.commit(vec![arrived], source, Ledger::commit)?,
                Next::Full(mut full) => {
                    while !full.is_empty() {
                        self.commit(full, source, Ledger::begin)?;
                        full = source.more()?;
                    }
                }
                Next::Closed => break,
            }
            self.finish()?;
            for tx_id in source.discarded() {
                self.outcomes.withdraw(&tx_id);
            }
        }
        for tx_id in source.discarded() {
            self.outcomes.withdraw(&tx_id);
        }
        // Of what is still in an order outside of this process, nobody is told any more.
        self.outcomes.give_up();
        unless_finished.source = None;
        Ok(())
    }

    /// First commits the blocks that state could not take in when the channel was opened.
    fn catch_up(&mut self) -> Result<(), String> {
        let waits = self.ledger.finish();
        if !matches!(waits, Err(CommitError::Waiting(_))) {
            return self.followed(waits);
        }
        self.followed(waits)?;
        self.heights.send_replace(self.ledger.tip().0);
        self.end_trouble();
        Ok(())
    }

    /// Commits blocks together, or begins to. Blocks that are durable by then are answered. A configuration
    /// is in force when this returns.
    fn commit(
        &mut self,
        arrived: Vec<Arrived>,
        source: &mut Box<dyn BlockSource>,
        commit: Commit,
    ) -> Result<(), String> {
        self.reconfigures = arrived.iter().any(|arrived| arrived.is_config);
        // The copies share the envelopes.
        let blocks = arrived.iter().map(|arrived| arrived.ordered.block());
        let blocks: Vec<Block> = blocks.cloned().collect();
        let ordered = arrived.into_iter().map(|arrived| arrived.ordered);
        let mut ordered: Vec<Ordered> = ordered.collect();
        loop {
            match commit(&mut self.ledger, ordered) {
                // None of these was written: this is tried again until state is there.
                Err(error) if may_pass(&error) => {
                    self.finish()?;
                    self.wait(&error)?;
                }
                committed => {
                    self.followed(committed)?;
                    break;
                }
            }
            let again = blocks.iter();
            ordered = again
                .map(|block| Ordered::new(block.clone(), &self.channel))
                .collect();
        }
        if self.reconfigures {
            self.finish()?;
            self.reconfigures = false;
            source.reconfigured(&self.config.get());
        }
        Ok(())
    }

    /// Reads the configuration again, if one may have come.
    fn read_configuration(&self) -> Result<(), String> {
        if !self.reconfigures {
            return Ok(());
        }
        let read = self.config.read_again(&self.ledger.reader());
        let in_force = read.map_err(|error| {
            let reason = chain_of(&error);
            format!("the new configuration cannot be used: {reason}")
        })?;
        if let Some(in_force) = &in_force {
            let (channel, block) = (&self.channel, in_force.number);
            tracing::info!(%channel, block, "another configuration is in force");
        }
        Ok(())
    }

    /// Waits for the blocks that are on their way, and answers them.
    fn finish(&mut self) -> Result<(), String> {
        let finished = self.ledger.finish();
        self.followed(finished)
    }

    /// Answers blocks; if state is unavailable, as soon as it has taken them in.
    fn followed(
        &mut self,
        mut committed: Result<Vec<Committed>, CommitError>,
    ) -> Result<(), String> {
        // They are durable already. Only state lacks them, and nobody sees them before it has them.
        while let Err(error @ CommitError::Waiting(_)) = committed {
            self.wait(&error)?;
            committed = self.ledger.resume();
        }
        match committed {
            Ok(committed) => {
                if !committed.is_empty() {
                    self.end_trouble();
                }
                // The configuration is in force before anybody is told of it, and so are definitions.
                let read = self.read_configuration();
                self.deployed
                    .follow(committed.iter().any(|block| block.defines));
                self.answer_all(&committed);
                read
            }
            Err(error) => {
                // What was committed before stays committed, and those who wait for it are told so.
                if let Ok(committed) = self.ledger.finish() {
                    self.answer_all(&committed);
                }
                Err(chain_of(&error))
            }
        }
    }

    fn answer_all(&self, committed: &[Committed]) {
        // Whoever learns an outcome finds its block at the height that everybody sees.
        if let Some(last) = committed.last() {
            self.heights.send_replace(last.block.number + 1);
        }
        for block in committed {
            self.outcomes.answer(block);
        }
    }

    fn end_trouble(&self) {
        if self.outcomes.end_trouble() {
            tracing::info!(channel = %self.channel, "the state database answers again");
        }
    }

    /// Turns further transactions away, and waits a little before the next attempt. It fails once the channel
    /// is closed; what is durable then is followed at the next start.
    fn wait(&self, error: &CommitError) -> Result<(), String> {
        let reason = chain_of(error);
        let obstructed = match error {
            CommitError::Waiting(ReadError::StateObstructed {
                namespace,
                database,
            }) => Some((namespace.clone(), database.clone())),
            _ => None,
        };
        if self.outcomes.is_closed() {
            return Err(reason);
        }
        let away = Trouble::StateAway {
            reason: reason.clone(),
            obstructed,
        };
        if self.outcomes.begin_trouble(away) {
            tracing::error!(channel = %self.channel, reason, "this is tried again until it succeeds");
        }
        self.clock.sleep(TRY_AGAIN);
        Ok(())
    }
}

/// Whether blocks that could not be judged may be judged later. That is not so after a configuration that
/// does not follow its predecessor, or that this release does not know: Fabric's peers stop before such a
/// block too.
fn may_pass(error: &CommitError) -> bool {
    match error {
        CommitError::Judge(ReadError::Config(_)) => false,
        CommitError::Judge(_) => true,
        _ => false,
    }
}

/// The source of a committing thread, which tells everybody when the thread ends before the source does:
/// after a failure, or in a panic.
struct UnlessFinished {
    /// `None` once the source is closed and empty.
    source: Option<Box<dyn BlockSource>>,
    outcomes: Arc<Outcomes>,
    reason: String,
}

impl Drop for UnlessFinished {
    fn drop(&mut self) {
        // The source is dropped first: a transaction that it still takes is promised by then.
        let Some(source) = self.source.take() else {
            return;
        };
        let reason = std::mem::take(&mut self.reason);
        self.outcomes.begin_trouble(Trouble::Failed(reason));
        drop(source);
        self.outcomes.give_up();
    }
}
