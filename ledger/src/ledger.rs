//! One channel's ledger, as its one writer sees it. Read [`Ledger::commit`] first.

use std::sync::Arc;

use quire_wire::hash::Hash;

use crate::block_store::appender::{Appended, Appender};
use crate::block_store::{AppendError, NotAppended};
use crate::error::{CommitError, ReadError};
use crate::follow::{Committed, Followed, Followers, NotFollowed, OnDisk};
use crate::in_flight::{Behind, InFlight, Unseen};
use crate::judge::{Judge, Judged};
use crate::model::examined::Origin;
use crate::observer::{Observed, Stage, Stopwatch};
use crate::ordered::{Linked, Ordered};
use crate::query::builder::Closed;
use crate::reader::Reader;
use crate::replay::replay;
use crate::validation::recent::Recent;
use crate::view::{Shared, Tip};
use crate::worker::Worker;

/// The writer of one channel. The one thread that commits owns it.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) shared: Arc<Shared>,
    pub(crate) appender: Appender,
    pub(crate) followers: Arc<Followers>,
    /// The thread where followers take blocks in while later blocks are judged.
    follower: Worker<OnDisk, Followed>,
    /// The end of the chain, including all blocks that are on their way.
    end: Tip,
    pub(crate) judge: Judge,
    /// Blocks that are being made durable.
    in_flight: Option<InFlight>,
    /// The content of the blocks that `follower` has.
    following: Option<Unseen>,
    /// Durable blocks that state could not take in, because it is unavailable.
    waiting: Option<OnDisk>,
    /// Earlier durable blocks, which state could not take in when the ledger was opened.
    behind: Option<Behind>,
    /// Blocks that every read sees but that were not returned yet.
    committed: Vec<Committed>,
    /// Set when followers could not take in what is durable, or writing failed.
    poisoned: bool,
}

impl From<AppendError> for CommitError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Poisoned => Self::Poisoned,
            AppendError::Io { file, source } => Self::NotDurable {
                reason: format!("writing {} failed", file.display()),
                source: Some(source),
            },
        }
    }
}

impl Ledger {
    /// A ledger whose chain ends at `end`, with nothing on its way.
    pub(crate) fn new(
        appender: Appender,
        followers: Arc<Followers>,
        end: Tip,
        blocks_only: bool,
    ) -> std::io::Result<Self> {
        let filled = Arc::clone(&followers);
        let shared = Arc::clone(&followers.shared);
        let recent = Recent::of(Reader::new(Arc::clone(&shared)));
        Ok(Self {
            judge: Judge::new(recent, blocks_only),
            shared,
            appender,
            follower: Worker::start("follow", move |blocks| filled.follow(blocks))?,
            followers,
            end,
            in_flight: None,
            following: None,
            waiting: None,
            behind: None,
            committed: Vec::new(),
            poisoned: false,
        })
    }

    /// Checks from now on who signed each transaction, and whether they may, by the channel's configuration
    /// and the definitions of its chaincodes, as the blocks before leave them. `origin` gives the rule for a
    /// chaincode that nobody defined: Quire's built-in chaincode governs it, and Fabric's peers refuse it.
    pub fn judge_signatures(&mut self, origin: Origin) {
        self.judge.go_by(origin);
    }

    /// Commits blocks: when this returns, they are on disk and every read sees them.
    ///
    /// Several blocks share one fsync. Their transactions are judged against state as the blocks before them
    /// leave it. Blocks that [`Ledger::begin`] began come first.
    ///
    /// # Errors
    /// See [`CommitError`]: before the commit point nothing was written. After it the ledger takes no more
    /// blocks until it is reopened, and [`Ledger::finish`] returns those of these blocks that are durable in
    /// files before the one that failed. If earlier blocks must wait for state, these cannot be judged.
    pub fn commit(&mut self, batch: Vec<Ordered>) -> Result<Vec<Committed>, CommitError> {
        self.wait_for_all().map_err(not_yet)?;
        let (judged, commit) = self.link_and_judge(batch)?;
        let durable = self.append(judged, commit)?;
        self.follow(durable)?;
        Ok(std::mem::take(&mut self.committed))
    }

    /// The first half of a commit: judges blocks, and starts writing them. Returns earlier blocks that are
    /// committed by now, as by [`Ledger::commit`]; the next calls, or [`Ledger::finish`], return the rest.
    ///
    /// ```text
    /// committing thread  judge 1 | judge 2                | judge 3                | judge 4
    /// appending thread           | append 1: write, fsync | append 2: write, fsync | append 3
    /// following thread                                    | follow 1               | follow 2
    /// ```
    ///
    /// # Errors
    /// See [`CommitError`]. After [`CommitError::NotLinked`] and [`CommitError::Judge`] the given blocks were
    /// not written, and earlier blocks are still on their way. After any other error the given blocks are not
    /// committed: [`Ledger::finish`] returns the earlier blocks that are, and reopening the ledger finds out
    /// about the rest.
    pub fn begin(&mut self, batch: Vec<Ordered>) -> Result<Vec<Committed>, CommitError> {
        self.nothing_waits().map_err(CommitError::Judge)?;
        let (judged, commit) = self.link_and_judge(batch)?;
        self.followed().map_err(not_yet)?;
        let before = self.durable()?;
        self.appender.begin(judged.blocks)?;
        self.end = judged.end;
        self.judge.keep(judged.known);
        self.in_flight = Some(InFlight {
            transactions: judged.transactions,
            unseen: judged.unseen,
            commit,
        });
        if let Some((durable, unseen)) = before {
            if !self.follower.begin(durable) {
                return Err(self.poison());
            }
            self.following = Some(unseen);
        }
        Ok(std::mem::take(&mut self.committed))
    }

    /// The other half: waits until every read sees the blocks that are on their way, and returns them, if
    /// there are any. After an error it returns once the blocks that were committed before it and that no
    /// call returned.
    ///
    /// # Errors
    /// See [`Ledger::commit`] after its commit point.
    pub fn finish(&mut self) -> Result<Vec<Committed>, CommitError> {
        match self.wait_for_all() {
            Err(CommitError::Poisoned) if !self.committed.is_empty() => (),
            waited => waited?,
        }
        Ok(std::mem::take(&mut self.committed))
    }

    /// Goes on with the blocks of a commit that ended with [`CommitError::Waiting`]: they are durable, and
    /// wait only for the state database. Then goes on like [`Ledger::finish`] with the blocks after them. It
    /// may be called as often as needed.
    ///
    /// # Errors
    /// See [`Ledger::commit`] after its commit point.
    pub fn resume(&mut self) -> Result<Vec<Committed>, CommitError> {
        if self.is_poisoned() {
            return Err(CommitError::Poisoned);
        }
        self.catch_up()?;
        if let Some(durable) = self.waiting.take() {
            self.follow(durable)?;
        }
        self.finish()
    }

    /// Notes blocks from the visible height on that must still be followed.
    pub(crate) fn fall_behind(&mut self, behind: Behind) {
        self.behind = Some(behind);
    }

    /// Gives followers the blocks that they could not take in when the ledger was opened.
    fn catch_up(&mut self) -> Result<(), CommitError> {
        let Some(behind) = self.behind.take() else {
            return Ok(());
        };
        let Behind { end, height, .. } = behind;
        match replay(&self.followers, end, self.tip().0, height, &mut |_| {}) {
            Ok(_) => Ok(()),
            Err(error) if error.is_waited_for() => {
                self.behind = Some(Behind {
                    reason: error.to_string(),
                    ..behind
                });
                Err(CommitError::Waiting(error))
            }
            Err(error) => {
                self.poisoned = true;
                Err(CommitError::NotFollowed(error))
            }
        }
    }

    /// Whether a commit failed after its commit point, so that the ledger must be reopened.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned || self.appender.is_poisoned()
    }

    /// Takes no more blocks until it is opened again, for a reason that its owner knows.
    pub fn give_up(&mut self) {
        self.poisoned = true;
    }

    /// A handle for reading, for any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// How many blocks reads see, and the hash of the last one (zeros if there is none). Reads may see blocks
    /// before a call returns them.
    #[must_use]
    pub fn tip(&self) -> (u64, Hash) {
        let view = self.shared.view.read();
        (view.tip.height, view.tip.hash)
    }

    fn observed(&self) -> &Observed {
        &self.shared.files.observed
    }

    /// Refuses while durable blocks wait for the state database.
    fn nothing_waits(&self) -> Result<(), ReadError> {
        if let Some(behind) = &self.behind {
            return Err(ReadError::StateUnavailable(behind.reason.clone()));
        }
        if self.waiting.is_none() {
            return Ok(());
        }
        let reason = "earlier blocks wait for it".to_owned();
        Err(ReadError::StateUnavailable(reason))
    }

    /// The blocks with their verdicts, and the time since they were linked.
    pub(crate) fn link_and_judge(
        &mut self,
        batch: Vec<Ordered>,
    ) -> Result<(Judged, Stopwatch), CommitError> {
        let commit = self.observed().stopwatch(Stage::Commit);
        if self.is_poisoned() {
            return Err(CommitError::Poisoned);
        }
        let linked = self.link(batch)?;
        // The first of these blocks may be in the view by now.
        let in_flight = self.in_flight.as_ref().map(|blocks| &blocks.unseen);
        let unseen: Vec<&Unseen> = self.following.iter().chain(in_flight).collect();
        let judged = self.judge.judge(linked, &self.end, &self.shared, &unseen)?;
        Ok((judged, commit))
    }

    /// Checks that the blocks continue the chain, in order, and have the data hash of their envelopes.
    fn link(&self, batch: Vec<Ordered>) -> Result<Linked, CommitError> {
        let Tip { height, hash, .. } = self.end;
        let mut hash = (height > 0).then_some(hash);
        for (height, ordered) in (height..).zip(&batch) {
            let block = &ordered.block;
            let broken = |rule| CommitError::NotLinked {
                number: block.number,
                rule,
            };
            if block.number != height {
                return Err(broken("its number is not the chain's height"));
            }
            if block.previous_hash[..] != *hash.as_ref().map_or(&[][..], |hash| &hash[..]) {
                return Err(broken(
                    "its previous hash is not the hash of the block before",
                ));
            }
            if !ordered.has_sound_data_hash {
                return Err(broken("its data hash is not the hash of its envelopes"));
            }
            hash = Some(block.hash());
        }
        Ok(Linked(batch))
    }

    /// The commit point: the blocks are durable when the one fsync in here has returned.
    fn append(&mut self, judged: Judged, commit: Stopwatch) -> Result<OnDisk, CommitError> {
        let appended = self.appender.append(judged.blocks);
        let written = InFlight {
            transactions: judged.transactions,
            unseen: judged.unseen,
            commit,
        };
        let (durable, _) = self.appended(written, appended)?;
        self.end = judged.end;
        self.judge.keep(judged.known);
        Ok(durable)
    }

    /// Waits until the blocks that are on their way are durable, and returns them; `None` if there are none.
    fn durable(&mut self) -> Result<Option<(OnDisk, Unseen)>, CommitError> {
        let Some(in_flight) = self.in_flight.take() else {
            return Ok(None);
        };
        let appended = self.appender.wait();
        self.appended(in_flight, appended).map(Some)
    }

    /// The written blocks, for the followers. If writing failed at a further file, the blocks in earlier
    /// files are durable nevertheless: reads see them, and [`Ledger::finish`] returns them.
    fn appended(
        &mut self,
        blocks: InFlight,
        appended: Appended,
    ) -> Result<(OnDisk, Unseen), CommitError> {
        let NotAppended { durable, error } = match appended {
            Ok(written) => return Ok(blocks.on_disk(written)),
            Err(failed) => failed,
        };
        if !durable.is_empty() {
            let part = blocks.partly_on_disk(durable, self.followers.state.as_ref());
            let followed = part.map_err(NotFollowed::Failed);
            let followed = followed.and_then(|part| self.followers.follow(part));
            match followed {
                Ok(committed) => self.committed.extend(committed),
                // The next start shows these blocks.
                Err(NotFollowed::Waiting(_, error) | NotFollowed::Failed(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "durable blocks cannot be followed");
                }
            }
        }
        Err(error.into())
    }

    /// State, index and history take the blocks in, and readers see them.
    fn follow(&mut self, durable: OnDisk) -> Result<(), CommitError> {
        let followed = self.followers.follow(durable);
        self.settle(followed)
    }

    /// Waits until reads see the blocks that `follower` has.
    fn followed(&mut self) -> Result<(), CommitError> {
        if self.following.is_none() {
            return Ok(());
        }
        let Some(followed) = self.follower.wait() else {
            return Err(self.poison());
        };
        self.following = None;
        self.settle(followed)
    }

    /// Follows everything that is on its way.
    fn wait_for_all(&mut self) -> Result<(), CommitError> {
        if self.is_poisoned() {
            return Err(CommitError::Poisoned);
        }
        self.nothing_waits().map_err(CommitError::Waiting)?;
        self.followed()?;
        let durable = self.durable()?;
        durable.map_or(Ok(()), |(durable, _)| self.follow(durable))
    }

    fn settle(&mut self, followed: Followed) -> Result<(), CommitError> {
        match followed {
            Ok(committed) => {
                self.committed.extend(committed);
                Ok(())
            }
            Err(NotFollowed::Waiting(durable, error)) => {
                self.waiting = Some(durable);
                Err(CommitError::Waiting(error))
            }
            Err(NotFollowed::Failed(error)) => {
                self.poisoned = true;
                Err(CommitError::NotFollowed(error))
            }
        }
    }

    /// Nothing more is committed: a thread panicked.
    fn poison(&mut self) -> CommitError {
        self.poisoned = true;
        CommitError::Poisoned
    }
}

/// If earlier blocks must wait for something, later blocks cannot be judged without it.
fn not_yet(error: CommitError) -> CommitError {
    match error {
        CommitError::Waiting(error) => CommitError::Judge(error),
        error => error,
    }
}

impl Drop for Ledger {
    /// Waits until no query index is being built, so that the embedded engine can be closed. Reads go on, and
    /// can tell whether indexes ended in order.
    fn drop(&mut self) {
        let has_failed = self.is_poisoned() || std::thread::panicking();
        let why = if has_failed {
            Closed::Failed
        } else {
            Closed::InOrder
        };
        self.shared.registry.builder().close(why);
    }
}
