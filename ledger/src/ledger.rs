//! One channel's ledger, as its one writer sees it. Read [`Ledger::commit`] first.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use quire_wire::Code;
use quire_wire::common::metadata_slot;
use quire_wire::hash::Hash;

use crate::block_store::appender::{Appended, Appender};
use crate::block_store::segment::Position;
use crate::block_store::{AppendError, BlockFiles, NotAppended, Written};
use crate::commit_hash;
use crate::damage::DamageMet;
use crate::error::{CommitError, ReadError};
use crate::follow::{Followed, Followers, NotFollowed, OnDisk};
use crate::followers::history::History;
use crate::followers::index::Index;
use crate::model::batch::{Batch, Durable};
use crate::model::block::Block;
use crate::model::updates::Updates;
use crate::observer::{Observed, Stage, Stopwatch};
use crate::query::catalog::{Catalog, Closed};
use crate::reader::{Reader, View};
use crate::replay::replay;
use crate::state::StateDb;
use crate::validation::examine::{Content, Examined, Origin, Records};
use crate::validation::expiry::Expiry;
use crate::validation::pending::{Pending, named_keys};
use crate::validation::recent::Recent;
use crate::validation::trust::{Checked, Signatures, Trust};
use crate::validation::{judge_block, replay_block};
use crate::worker::Worker;

/// A block as the orderer made it, with its transactions examined.
#[derive(Clone, Debug)]
pub struct Ordered {
    block: Block,
    transactions: Vec<Examined>,
    signatures: Signatures,
    has_sound_data_hash: bool,
}

impl Ordered {
    /// Examines every envelope of a block of `channel` that others made. Half the work of a commit, and needs
    /// no ledger: another thread can do it while the blocks before are committed.
    #[must_use]
    pub fn new(block: Block, channel: &str) -> Self {
        Self::by_rules_of(Origin::Quire, block, channel)
    }

    /// The same of a channel that these made.
    #[must_use]
    pub fn by_rules_of(origin: Origin, block: Block, channel: &str) -> Self {
        let transactions = block
            .envelopes
            .iter()
            .map(|envelope| match block.number {
                0 => Examined::first(envelope, channel),
                _ => Examined::judged_by(envelope, channel, origin, Records::OfNow),
            })
            .collect();
        let has_sound_data_hash = block.data_hash[..] == block.computed_data_hash();
        Self {
            block,
            transactions,
            signatures: Signatures::OfOthers,
            has_sound_data_hash,
        }
    }

    /// A block that this process made out of envelopes that it had examined. `transactions` are what
    /// [`Examined::new`] or [`Examined::made_here`] said of them, one for each and in their order, and
    /// `signatures` says who signed them; the data hash is taken for what its maker computed a moment ago, and
    /// not computed again.
    ///
    /// # Panics
    /// Where there are more transactions than envelopes, or fewer.
    #[must_use]
    pub fn made_here(block: Block, transactions: Vec<Examined>, signatures: Signatures) -> Self {
        assert_eq!(
            block.envelopes.len(),
            transactions.len(),
            "each envelope was examined once"
        );
        debug_assert_eq!(block.data_hash[..], block.computed_data_hash());
        Self {
            block,
            transactions,
            signatures,
            has_sound_data_hash: true,
        }
    }

    /// The transactions, with what each says against itself.
    #[must_use]
    pub fn transactions(&self) -> &[Examined] {
        &self.transactions
    }

    /// The block.
    #[must_use]
    pub fn block(&self) -> &Block {
        &self.block
    }
}

/// Blocks that are children of the tip, in order.
struct Linked(Vec<Ordered>);

/// Blocks with verdicts and commit hashes.
struct Judged {
    blocks: Vec<Block>,
    /// The end of the chain with these blocks.
    end: Tip,
    /// When private keys end, behind these blocks.
    expiry: Option<Expiry>,
    /// Who may sign, behind these blocks.
    trust: Option<Trust>,
    rest: InFlight,
}

/// What blocks that are on their way to the disk will need when they are there.
#[derive(Debug)]
struct InFlight {
    /// The transactions of each block.
    transactions: Vec<Vec<Examined>>,
    unseen: Unseen,
    /// From linking until reads see the blocks.
    commit: Stopwatch,
}

/// What blocks say that no read may see yet. Those behind them are judged by it.
#[derive(Debug)]
struct Unseen {
    /// What all the blocks change together.
    changes: Arc<Updates>,
    tx_ids: HashSet<String>,
}

/// Blocks that could not be followed when a ledger was opened, from the height that reads see on.
#[derive(Debug)]
pub(crate) struct Behind {
    /// Where the last of them ends.
    pub(crate) end: Position,
    /// How many blocks there are.
    pub(crate) height: u64,
    pub(crate) reason: String,
}

impl InFlight {
    fn on_disk(self, written: Written) -> (OnDisk, Unseen) {
        let batch = Batch {
            blocks: durable(written, self.transactions),
            changes: Arc::clone(&self.unseen.changes),
        };
        ((batch, self.commit), self.unseen)
    }

    /// The same for the first of the blocks, the others being lost: what those change by themselves,
    /// after all that `state` has seen.
    fn partly_on_disk(self, written: Written, state: &dyn StateDb) -> Result<OnDisk, ReadError> {
        let blocks = durable(written, self.transactions);
        let snapshot = state.snapshot()?;
        let mut changes = Pending::new(snapshot.as_ref());
        for durable in &blocks {
            replay_block(durable.block.number, &durable.transactions, &mut changes)?;
        }
        let changes = Arc::new(changes.into_changes());
        Ok((Batch { blocks, changes }, self.commit))
    }
}

/// Blocks with their transactions, for the followers.
fn durable(written: Written, transactions: Vec<Vec<Examined>>) -> Vec<Durable> {
    let blocks = written.into_iter().zip(transactions);
    let blocks = blocks.map(|((block, location), transactions)| Durable {
        hash: block.hash(),
        block,
        location,
        transactions,
    });
    blocks.collect()
}

/// A block that is on disk and that every read now sees.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The block as it is on disk.
    pub block: Arc<Block>,
    /// Its hash.
    pub hash: Hash,
    /// Its transactions in order: id, where the envelope has one, and verdict.
    pub transactions: Vec<(Option<String>, Code)>,
}

/// The end of the chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tip {
    /// How many blocks there are.
    pub(crate) height: u64,
    /// Hash of the last block; zeros where there is none.
    pub(crate) hash: Hash,
    /// Commit hash of the last block.
    pub(crate) commit_hash: Option<Bytes>,
}

/// What the writer and all readers of a channel share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) channel: String,
    pub(crate) files: Arc<BlockFiles>,
    pub(crate) index: Index,
    pub(crate) history: History,
    pub(crate) catalog: Arc<Catalog>,
    /// The first block that Quire wrote and sealed; `u64::MAX` where it wrote none.
    pub(crate) own_from: u64,
    /// Damaged blocks that reads have met.
    pub(crate) damage: DamageMet,
    /// What readers see. Replaced after every commit; a reader that took one keeps it.
    pub(crate) view: RwLock<Arc<View>>,
}

/// The writer of one channel. Owned by the one thread that commits.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) shared: Arc<Shared>,
    pub(crate) appender: Appender,
    pub(crate) followers: Arc<Followers>,
    /// Where followers take blocks in while those behind are judged.
    follower: Worker<OnDisk, Followed>,
    /// The end of the chain, with all blocks that are on their way.
    end: Tip,
    /// When private keys end, behind `end`; none where it has to be read.
    expiry: Option<Expiry>,
    /// Whose rules say who may sign; none where nobody asks.
    rules: Option<Origin>,
    /// Who may sign, behind `end`; none where it has to be read.
    trust: Option<Trust>,
    /// What the newest blocks wrote, for queries to be judged by.
    pub(crate) recent: Recent,
    /// Blocks that are being made durable.
    in_flight: Option<InFlight>,
    /// What the blocks say that `follower` has.
    following: Option<Unseen>,
    /// Durable blocks that state could not take in, because it is away.
    waiting: Option<OnDisk>,
    /// Durable blocks before those, which state could not take in when the ledger was opened.
    behind: Option<Behind>,
    /// Blocks that every read sees, and that were not returned yet.
    committed: Vec<Committed>,
    /// Set when followers fell behind what is durable, or writing failed.
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
    ) -> std::io::Result<Self> {
        let filled = Arc::clone(&followers);
        let shared = Arc::clone(&followers.shared);
        Ok(Self {
            recent: Recent::of(Reader::new(Arc::clone(&shared))),
            shared,
            appender,
            follower: Worker::start("follow", move |blocks| filled.follow(blocks))?,
            followers,
            end,
            expiry: None,
            rules: None,
            trust: None,
            in_flight: None,
            following: None,
            waiting: None,
            behind: None,
            committed: Vec::new(),
            poisoned: false,
        })
    }

    /// From now on, asks who signed each transaction, and whether they might: by the channel's configuration
    /// and the definitions of its chaincodes, as the blocks before leave them. `origin` says by whose rules a
    /// chaincode is judged that nobody defined: Quire's built-in one governs it, Fabric's peers refuse it.
    pub fn judge_signatures(&mut self, origin: Origin) {
        self.rules = Some(origin);
    }

    /// Commits blocks: when this returns, they are on disk and every read sees them.
    ///
    /// Several blocks share one fsync. Their transactions are judged against state as the blocks
    /// before them leave it. Blocks that [`Ledger::begin`] left on their way come first.
    ///
    /// # Errors
    /// See [`CommitError`]: before the commit point nothing was written; after it the ledger takes no
    /// more blocks until it is reopened, and [`Ledger::finish`] returns those of these blocks that went
    /// into a file before the one that failed, and are durable. Where blocks before have to wait for state,
    /// these cannot be judged.
    pub fn commit(&mut self, batch: Vec<Ordered>) -> Result<Vec<Committed>, CommitError> {
        self.wait_for_all().map_err(not_yet)?;
        let judged = self.link_and_judge(batch)?;
        let durable = self.append(judged)?;
        self.follow(durable)?;
        Ok(std::mem::take(&mut self.committed))
    }

    /// The first half of a commit: judges blocks, and sends them on their way. Returns what was on its
    /// way before and is committed by now, as by [`Ledger::commit`]; the rest is returned by the next
    /// calls, or by [`Ledger::finish`].
    ///
    /// ```text
    /// committing thread  judge 1 | judge 2                | judge 3                | judge 4
    /// appending thread           | append 1: write, fsync | append 2: write, fsync | append 3
    /// following thread                                    | follow 1               | follow 2
    /// ```
    ///
    /// # Errors
    /// See [`CommitError`]. After [`CommitError::NotLinked`] and [`CommitError::Judge`] nothing of the
    /// blocks given was written, and what was on its way still is. After any other the blocks given are
    /// not committed: [`Ledger::finish`] returns those before that are, and opening the ledger again
    /// finds out about the rest.
    pub fn begin(&mut self, batch: Vec<Ordered>) -> Result<Vec<Committed>, CommitError> {
        self.nothing_waits().map_err(CommitError::Judge)?;
        let Judged {
            blocks,
            end,
            expiry,
            trust,
            rest,
        } = self.link_and_judge(batch)?;
        self.followed().map_err(not_yet)?;
        let before = self.durable()?;
        self.appender.begin(blocks)?;
        self.end = end;
        self.expiry = expiry;
        self.trust = trust;
        self.in_flight = Some(rest);
        if let Some((durable, unseen)) = before {
            if !self.follower.begin(durable) {
                return Err(self.poison());
            }
            self.following = Some(unseen);
        }
        Ok(std::mem::take(&mut self.committed))
    }

    /// The other half: waits until every read sees the blocks that are on their way, and returns them.
    /// Nothing is returned where none are. After an error it returns, once, the blocks that were committed
    /// before it and that no call returned.
    ///
    /// # Errors
    /// As [`Ledger::commit`] after its commit point.
    pub fn finish(&mut self) -> Result<Vec<Committed>, CommitError> {
        match self.wait_for_all() {
            Err(CommitError::Poisoned) if !self.committed.is_empty() => (),
            waited => waited?,
        }
        Ok(std::mem::take(&mut self.committed))
    }

    /// Goes on with the blocks of a commit that ended with [`CommitError::Waiting`]: they are durable,
    /// and only the state database is missing. Then goes on as [`Ledger::finish`] with those that were on
    /// their way behind them. Safe to call as often as it takes.
    ///
    /// # Errors
    /// As [`Ledger::commit`] after its commit point.
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

    /// Opens with blocks from the height that reads see on still to be followed.
    pub(crate) fn fall_behind(&mut self, behind: Behind) {
        self.behind = Some(behind);
    }

    /// Lets followers have the blocks that they could not have when the ledger was opened.
    fn catch_up(&mut self) -> Result<(), CommitError> {
        let Some(behind) = self.behind.take() else {
            return Ok(());
        };
        let Behind { end, height, .. } = behind;
        match replay(self, end, self.tip().0, height, &mut |_| {}) {
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

    /// Takes no more blocks until it is opened again, for a reason that its owner met.
    pub fn give_up(&mut self) {
        self.poisoned = true;
    }

    /// A handle for reading, for any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// How many blocks reads see, and the hash of the last one (zeros where there is none). Blocks that
    /// are on their way may be seen before a call returns them.
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
        let reason = "blocks before these wait for it".to_owned();
        Err(ReadError::StateUnavailable(reason))
    }

    fn link_and_judge(&mut self, batch: Vec<Ordered>) -> Result<Judged, CommitError> {
        let commit = self.observed().stopwatch(Stage::Commit);
        if self.is_poisoned() {
            return Err(CommitError::Poisoned);
        }
        let linked = self.link(batch)?;
        self.judge(linked, commit)
    }

    /// Children of the end of the chain, in order, with the data hash of their envelopes.
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

    /// Every transaction gets its code, every block its codes and commit hash.
    fn judge(&mut self, Linked(batch): Linked, commit: Stopwatch) -> Result<Judged, CommitError> {
        // Kept again only if these blocks become the end: others must not follow from it.
        let (expiry, trust) = (self.expiry.take(), self.trust.take());
        let _judging = self.observed().stopwatch(Stage::Judge);
        let view = Arc::clone(&self.shared.view.read());
        self.expect(&batch, trust.as_ref(), &view)?;
        let indexed = self
            .shared
            .index
            .known(&view.derived, looked_up_tx_ids(&batch));
        let indexed = indexed.map_err(CommitError::Judge)?;
        // The first of them may be in the view by now.
        let in_flight = self.in_flight.as_ref().map(|blocks| &blocks.unseen);
        let unseen: Vec<&Unseen> = self.following.iter().chain(in_flight).collect();
        let changes = unseen.iter().map(|blocks| blocks.changes.as_ref());
        let mut pending = Pending::new(view.state.as_ref())
            .after(changes.collect())
            .with_expiry(expiry);
        let mut trust = self.trusted(trust, &pending).map_err(CommitError::Judge)?;
        self.recent.begin_batch(self.end.height, view.tip.height);
        let mut tx_ids: HashSet<String> = HashSet::new();
        let mut end = self.end.clone();
        let mut blocks = Vec::with_capacity(batch.len());
        let mut judged = Vec::with_capacity(batch.len());
        let mut checked = VecDeque::new();
        let mut batch = batch.into_iter();
        loop {
            if let (Some(trust), true) = (&trust, checked.is_empty()) {
                checked = check_signatures(trust, batch.as_slice());
            }
            let Some(ordered) = batch.next() else { break };
            let Ordered {
                mut block,
                mut transactions,
                ..
            } = ordered;
            let is_known = |tx_id: &str| {
                tx_ids.contains(tx_id)
                    || indexed.contains(tx_id)
                    || unseen.iter().any(|blocks| blocks.tx_ids.contains(tx_id))
            };
            let signers = trust.as_mut().zip(checked.pop_front());
            let recent = &mut self.recent;
            let updates = judge_block(
                &block,
                &mut transactions,
                signers,
                &mut pending,
                recent,
                is_known,
            )
            .map_err(CommitError::Judge)?;
            end = seal(&mut block, &transactions, updates, &end);
            tx_ids.extend(transactions.iter().filter_map(|tx| tx.tx_id.clone()));
            blocks.push(block);
            judged.push(transactions);
        }
        self.recent.end_batch();
        let expiry = pending.take_expiry();
        let changes = Arc::new(pending.into_changes());
        let rest = InFlight {
            transactions: judged,
            unseen: Unseen { changes, tx_ids },
            commit,
        };
        Ok(Judged {
            blocks,
            end,
            expiry,
            trust,
            rest,
        })
    }

    /// Who may sign, as it is known already or as state says; none where nobody asks.
    fn trusted(
        &self,
        known: Option<Trust>,
        pending: &Pending<'_>,
    ) -> Result<Option<Trust>, ReadError> {
        match (self.rules, known) {
            (Some(origin), None) => {
                Trust::in_state(self.reader().channel(), pending, origin).map(Some)
            }
            (_, known) => Ok(known),
        }
    }

    /// One question to state for all keys that judging will ask for, where each would cost a round trip.
    fn expect(
        &self,
        batch: &[Ordered],
        trust: Option<&Trust>,
        view: &View,
    ) -> Result<(), CommitError> {
        if view.state.batch() <= 1 {
            return Ok(());
        }
        let transactions = || batch.iter().flat_map(|ordered| &ordered.transactions);
        let keys = named_keys(transactions(), view.state.as_ref());
        let mut keys = keys.map_err(CommitError::Judge)?;
        if self.rules.is_some() {
            keys.extend(Trust::named_keys(trust, transactions()));
        }
        view.state.expect(&keys).map_err(CommitError::Judge)
    }

    /// The commit point: the blocks are durable when the one fsync in here has returned.
    fn append(&mut self, judged: Judged) -> Result<OnDisk, CommitError> {
        let appended = self.appender.append(judged.blocks);
        let (durable, _) = self.appended(judged.rest, appended)?;
        self.end = judged.end;
        self.expiry = judged.expiry;
        self.trust = judged.trust;
        Ok(durable)
    }

    /// The same for blocks that are on their way: returns when their fsync has. None where none are.
    fn durable(&mut self) -> Result<Option<(OnDisk, Unseen)>, CommitError> {
        let Some(in_flight) = self.in_flight.take() else {
            return Ok(None);
        };
        let appended = self.appender.wait();
        self.appended(in_flight, appended).map(Some)
    }

    /// What is on disk, for the followers. Where writing failed on the way into another file, the blocks
    /// before are durable all the same: reads see them, and [`Ledger::finish`] returns them.
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
                // The next start shows them.
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

    /// The same for blocks that `follower` has: returns when reads see them.
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

/// Puts the verdicts and the commit hash into a block. Answers the end of the chain with it.
fn seal(block: &mut Block, transactions: &[Examined], updates: &Updates, before: &Tip) -> Tip {
    let codes: Vec<u8> = transactions
        .iter()
        .map(|transaction| transaction.code.0)
        .collect();
    let hash = commit_hash::next(block.number, &codes, updates, before.commit_hash.as_deref());
    block.set_metadata(metadata_slot::TRANSACTIONS_FILTER, codes.into());
    let slot = hash.map(commit_hash::slot).unwrap_or_default();
    block.set_metadata(metadata_slot::COMMIT_HASH, slot);
    Tip {
        height: block.number + 1,
        hash: block.hash(),
        commit_hash: hash.map(|hash| Bytes::copy_from_slice(&hash)),
    }
}

/// Checks the signatures of blocks together, as far as they are judged by one configuration: to the first
/// that may bring another one, which is among them.
fn check_signatures(trust: &Trust, blocks: &[Ordered]) -> VecDeque<Vec<Checked>> {
    let configures = |ordered: &Ordered| {
        let mut transactions = ordered.transactions.iter();
        transactions.any(|one| matches!(one.content, Content::Config(_)))
    };
    let count = blocks.iter().position(configures);
    let count = count.map_or(blocks.len(), |position| position + 1);
    let transactions = blocks.iter().take(count).flat_map(|ordered| {
        let transactions = ordered.transactions.iter();
        transactions.map(|transaction| (transaction, ordered.signatures))
    });
    let mut checked = trust.check(transactions).into_iter();
    let blocks = blocks.iter().take(count);
    blocks
        .map(|ordered| checked.by_ref().take(ordered.transactions.len()).collect())
        .collect()
}

/// What blocks before have to wait for, those behind cannot be judged without.
fn not_yet(error: CommitError) -> CommitError {
    match error {
        CommitError::Waiting(error) => CommitError::Judge(error),
        error => error,
    }
}

/// The ids of the transactions that are looked for in earlier blocks.
fn looked_up_tx_ids(batch: &[Ordered]) -> impl Iterator<Item = &str> {
    let transactions = batch.iter().flat_map(|ordered| &ordered.transactions);
    let looked_up = transactions.filter(|transaction| transaction.is_looked_up());
    looked_up.filter_map(|transaction| transaction.tx_id.as_deref())
}

impl Drop for Ledger {
    /// Waits until no query index is being built: the embedded engine can be closed then. Reads go on,
    /// and say of indexes whether the end was in order.
    fn drop(&mut self) {
        let has_failed = self.is_poisoned() || std::thread::panicking();
        let why = if has_failed {
            Closed::Failed
        } else {
            Closed::InOrder
        };
        self.shared.catalog.close(why);
    }
}
