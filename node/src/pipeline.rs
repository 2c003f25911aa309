//! The journey of a transaction, from a proposal to its outcome.
//!
//! ```text
//! caller's thread      simulate   the chaincode runs on a snapshot: a read-write set, a result
//!                      endorse    the node's identity signs the outcome, the caller's the whole
//!                      examine    what needs neither keys nor state: not left to the one thread
//!                      order      into the channel's queue; a full queue turns the caller away
//! committing thread    cut        what waits becomes blocks; an idle committer never sleeps for more
//!                      verify     identities and policies; the signatures were made here
//!                      commit     link, judge, append (one fsync), follow
//!                      answer     whoever waits for a transaction learns its outcome
//! ```
//!
//! There is one committing thread a channel, and it owns the channel's [`Ledger`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use quire_chaincode::{Call, Chaincode, ChaincodeError, Documents};
use quire_identity::SigningIdentity;
use quire_ledger::{
    Block, CommitError, Committed, DEFAULT_SEGMENT_BYTES, Examined, Ledger, Meter, Ordered,
    ReadError, Reader, Signatures, Simulator, Verifier, chain_of,
};
use quire_ordering::{Batch, BlockSigner, BlockWriter, Solo};
use quire_peer::{DECORATION, Evaluated, Outcome, Proposal, SubmitError, Submitted, Submitter};
use quire_wire::Message as _;
use quire_wire::common::{BlockHeader, ChannelHeader, SignatureHeader, header_type};
use quire_wire::config::BatchSize;
use quire_wire::peer::{
    ChaincodeAction, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeSpec,
    Endorsement, Response,
};
use quire_wire::transaction::{ProposalBytes, seal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::clock;
use crate::metrics::{QueueMetrics, Queued};

/// Transactions that may wait for the committing thread.
pub(crate) const QUEUE_LENGTH: usize = 10_000;
/// Bytes of the transactions that wait for it.
const QUEUE_BYTES: usize = 256 << 20;
/// Bytes of transactions behind which no more of them share a commit and its fsync: a block file's
/// worth.
const ENOUGH_BYTES: u64 = DEFAULT_SEGMENT_BYTES;
/// How long the committing thread waits before it tries again what state did not let it do.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// When to come back to a full queue.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The version of the built-in chaincode that transactions name.
const CHAINCODE_VERSION: &str = "1";
/// Fabric's type of a chaincode whose language is not said (`GOLANG`).
const CHAINCODE_TYPE: i32 = 1;
/// A chaincode's answer to a call that went well.
const OK: i32 = 200;

/// Turns proposals of one channel into ordered transactions, on the callers' threads.
#[derive(Debug)]
pub(crate) struct Pipeline {
    channel: Arc<str>,
    reader: Reader,
    documents: Documents,
    endorser: Arc<SigningIdentity>,
    waiting: Arc<Waiting>,
    /// The way to the committing thread; `None` once the channel is closed.
    queue: Mutex<Option<SyncSender<Admitted>>>,
    queue_metrics: QueueMetrics,
    /// Bytes that may still be queued.
    room: Arc<Semaphore>,
    limits: BatchSize,
}

/// A channel that takes no transactions, because its orderers are elsewhere.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    pub(crate) reader: Reader,
    pub(crate) documents: Documents,
}

/// A transaction on its way to the committing thread. This process signed it.
#[derive(Debug)]
struct Admitted {
    envelope: Bytes,
    examined: Examined,
    size_bytes: usize,
    queued: Queued,
    /// Its bytes of the queue.
    taken: OwnedSemaphorePermit,
}

/// What a simulation gave.
struct Simulated {
    bytes: ProposalBytes,
    action: ChaincodeAction,
    /// What the chaincode answered; the action has it too.
    result: Bytes,
}

/// Who waits for which transaction, and whether anybody will ever know.
#[derive(Debug, Default)]
struct Waiting {
    /// Every transaction that was ordered and has no outcome yet; without a sender where nobody
    /// will be told any more, because the committing thread is gone.
    transactions: Mutex<HashMap<String, Option<oneshot::Sender<Outcome>>>>,
    trouble: Mutex<Option<Trouble>>,
    closed: AtomicBool,
}

/// Why a channel takes no transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// State cannot be read to judge what is ordered, or cannot take in what is durable. Nothing is
    /// lost: the committing thread keeps the blocks and tries again until it can.
    StateAway {
        reason: String,
        /// The namespace whose database is somebody else's, and the database, where that is why.
        obstructed: Option<(String, String)>,
    },
    /// A write failed, so nothing is believed of the files until they are opened again.
    Failed(String),
}

/// What a channel's pipeline is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) ledger: Ledger,
    pub(crate) endorser: Arc<SigningIdentity>,
    pub(crate) signer: OrdererSigner,
    pub(crate) verifier: Verifier,
    pub(crate) documents: Documents,
    pub(crate) batch_size: BatchSize,
    pub(crate) batch_timeout: Duration,
    /// The newest block with a configuration.
    pub(crate) last_config: u64,
    /// Learns the height after each commit.
    pub(crate) heights: watch::Sender<u64>,
    pub(crate) queue_metrics: QueueMetrics,
}

impl Submitter for Pipeline {
    fn submit(&self, proposal: Proposal) -> Result<Submitted, SubmitError> {
        self.refuse_if_closed()?;
        self.refuse_if_known(&proposal.tx_id)?;
        let Simulated {
            bytes,
            action,
            result,
        } = self.simulate(&proposal)?;
        let admitted = self.endorse(bytes, &action, &proposal.identity)?;
        let outcome = self.order(&proposal.tx_id, admitted)?;
        Ok(Submitted {
            tx_id: proposal.tx_id,
            result,
            outcome,
        })
    }

    fn evaluate(&self, call: &Call, meter: Meter) -> Result<Evaluated, ChaincodeError> {
        evaluate(&self.documents, &self.reader, call, meter)
    }

    fn is_pending(&self, tx_id: &str) -> bool {
        self.waiting.transactions.lock().contains_key(tx_id)
    }
}

impl Submitter for ReadOnly {
    fn submit(&self, _: Proposal) -> Result<Submitted, SubmitError> {
        Err(SubmitError::ReadOnly)
    }

    fn evaluate(&self, call: &Call, meter: Meter) -> Result<Evaluated, ChaincodeError> {
        evaluate(&self.documents, &self.reader, call, meter)
    }

    fn is_pending(&self, _: &str) -> bool {
        false
    }
}

fn evaluate(
    documents: &Documents,
    reader: &Reader,
    call: &Call,
    meter: Meter,
) -> Result<Evaluated, ChaincodeError> {
    let mut simulator = Simulator::new(reader.snapshot()).with_meter(meter);
    let height = simulator.snapshot().height();
    let result = documents.invoke(call, &mut simulator)?;
    Ok(Evaluated { result, height })
}

impl Pipeline {
    fn refuse_if_closed(&self) -> Result<(), SubmitError> {
        match &*self.waiting.trouble.lock() {
            None => Ok(()),
            Some(Trouble::StateAway {
                obstructed: Some((namespace, database)),
                ..
            }) => {
                let (namespace, database) = (namespace.clone(), database.clone());
                let obstructed = ReadError::StateObstructed {
                    namespace,
                    database,
                };
                Err(SubmitError::Chaincode(ChaincodeError::Read(obstructed)))
            }
            Some(Trouble::StateAway { .. }) => Err(SubmitError::StateUnavailable),
            Some(Trouble::Failed(_)) => Err(SubmitError::StorageFailed),
        }
    }

    /// Why the channel takes no transactions, if something broke.
    pub(crate) fn failure(&self) -> Option<String> {
        let trouble = self.waiting.trouble.lock().clone()?;
        Some(match trouble {
            Trouble::StateAway { reason, .. } => format!("{reason}; trying again"),
            Trouble::Failed(reason) => {
                format!("{reason}; it takes no more transactions until the node is restarted")
            }
        })
    }

    /// A transaction id is used once, whatever became of it.
    fn refuse_if_known(&self, tx_id: &str) -> Result<(), SubmitError> {
        if self.is_pending(tx_id) {
            return Err(SubmitError::Duplicate);
        }
        match self.reader.transaction(tx_id) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(SubmitError::Duplicate),
            Err(error) => Err(SubmitError::Chaincode(ChaincodeError::Read(error))),
        }
    }

    /// Runs the chaincode on a snapshot, and writes down what was asked and what came of it.
    fn simulate(&self, proposal: &Proposal) -> Result<Simulated, SubmitError> {
        let call = &proposal.call;
        let meter = proposal.meter.clone();
        let mut simulator = Simulator::new(self.reader.snapshot()).with_meter(meter);
        let result = self
            .documents
            .invoke(call, &mut simulator)
            .map_err(SubmitError::Chaincode)?;
        let writable = simulator.check_writes().map_err(ChaincodeError::from);
        writable.map_err(SubmitError::Chaincode)?;
        let chaincode_id = |version: &str| ChaincodeId {
            path: String::new(),
            name: call.chaincode.clone(),
            version: version.to_owned(),
        };
        let header = ChannelHeader {
            r#type: header_type::ENDORSER_TRANSACTION,
            timestamp: Some(clock::now().into()),
            channel_id: self.channel.as_ref().to_owned(),
            tx_id: proposal.tx_id.clone(),
            extension: ChaincodeHeaderExtension {
                chaincode_id: Some(chaincode_id("")),
            }
            .encode_to_vec()
            .into(),
            ..ChannelHeader::default()
        };
        let creator = SignatureHeader {
            creator: proposal.identity.serialized().clone(),
            nonce: Bytes::copy_from_slice(&proposal.nonce),
        };
        let function = Bytes::copy_from_slice(call.function.as_bytes());
        let decoration = proposal.decoration.iter();
        let spec = ChaincodeSpec {
            r#type: CHAINCODE_TYPE,
            chaincode_id: Some(chaincode_id("")),
            input: Some(ChaincodeInput {
                args: std::iter::once(function)
                    .chain(call.args.iter().cloned())
                    .collect(),
                decorations: decoration
                    .map(|bytes| (DECORATION.to_owned(), bytes.to_vec()))
                    .collect(),
                is_init: false,
            }),
            timeout: 0,
        };
        let action = ChaincodeAction {
            results: simulator.into_read_write_set().encode_to_vec().into(),
            events: Bytes::new(),
            response: Some(Response {
                status: OK,
                message: String::new(),
                payload: result.clone(),
            }),
            chaincode_id: Some(chaincode_id(CHAINCODE_VERSION)),
        };
        Ok(Simulated {
            bytes: ProposalBytes::new(&header, &creator, spec),
            action,
            result,
        })
    }

    /// The node stands for the outcome, the caller for the whole.
    fn endorse(
        &self,
        proposal: ProposalBytes,
        action: &ChaincodeAction,
        creator: &SigningIdentity,
    ) -> Result<Admitted, SubmitError> {
        let response = proposal.response_payload(action);
        let endorser = self.endorser.serialized();
        let signed = [response.as_ref(), endorser.as_ref()].concat();
        let endorsement = Endorsement {
            endorser: endorser.clone(),
            signature: self.endorser.sign(&signed),
        };
        let payload = proposal.transaction_payload(response, vec![endorsement]);
        let signature = creator.sign(&payload);
        let size_bytes = payload.len() + signature.len();
        if size_bytes > self.limits.absolute_max_bytes as usize {
            return Err(SubmitError::TooLarge);
        }
        let room = Arc::clone(&self.room);
        let bytes = u32::try_from(size_bytes).map_err(|_| SubmitError::TooLarge)?;
        let taken = room.try_acquire_many_owned(bytes);
        let taken = taken.map_err(|_| SubmitError::Overloaded {
            retry_after: RETRY_AFTER,
        })?;
        let envelope = seal(payload, signature);
        Ok(Admitted {
            taken,
            examined: Examined::made_here(&envelope, &self.channel),
            envelope,
            size_bytes,
            queued: self.queue_metrics.join(),
        })
    }

    /// Hands the envelope to the committing thread, and says where its outcome will be.
    fn order(
        &self,
        tx_id: &str,
        admitted: Admitted,
    ) -> Result<oneshot::Receiver<Outcome>, SubmitError> {
        let (sender, outcome) = oneshot::channel();
        let queue = self.queue.lock().clone().ok_or(SubmitError::NotReady)?;
        {
            let mut transactions = self.waiting.transactions.lock();
            // Asked under the lock: what is inserted before a failure is told of it.
            self.refuse_if_closed()?;
            if transactions.contains_key(tx_id) {
                return Err(SubmitError::Duplicate);
            }
            transactions.insert(tx_id.to_owned(), Some(sender));
        }
        let refused = match queue.try_send(admitted) {
            Ok(()) => return Ok(outcome),
            Err(TrySendError::Full(_)) => SubmitError::Overloaded {
                retry_after: RETRY_AFTER,
            },
            Err(TrySendError::Disconnected(_)) => SubmitError::StorageFailed,
        };
        self.waiting.transactions.lock().remove(tx_id);
        Err(refused)
    }
}

/// Starts the committing thread of a channel. It ends, everything queued committed, once the pipeline
/// is closed.
pub(crate) fn start(parts: Parts) -> std::io::Result<(Arc<Pipeline>, JoinHandle<()>)> {
    let Parts {
        ledger,
        endorser,
        signer,
        verifier,
        documents,
        batch_size,
        batch_timeout,
        last_config,
        heights,
        queue_metrics,
    } = parts;
    let reader = ledger.reader();
    let channel: Arc<str> = reader.channel().into();
    let (sender, queue) = sync_channel(QUEUE_LENGTH);
    let waiting = Arc::new(Waiting::default());
    let pipeline = Pipeline {
        channel: Arc::clone(&channel),
        reader,
        documents,
        endorser,
        waiting: Arc::clone(&waiting),
        queue: Mutex::new(Some(sender)),
        queue_metrics,
        room: Arc::new(Semaphore::new(QUEUE_BYTES)),
        limits: batch_size,
    };
    let committer = Committer {
        channel,
        solo: Solo::new(batch_size, batch_timeout),
        writer: None,
        last_config,
        ledger,
        signer,
        verifier,
        examined: VecDeque::new(),
        waiting,
        heights,
    };
    let name = format!("commit {}", committer.channel);
    let thread = std::thread::Builder::new()
        .name(name)
        .spawn(move || committer.run(queue))?;
    Ok((Arc::new(pipeline), thread))
}

impl Pipeline {
    /// Takes no more transactions; what is queued is still committed.
    pub(crate) fn close(&self) {
        self.waiting.closed.store(true, Ordering::Release);
        self.queue.lock().take();
    }
}

/// The committing thread of a channel: owns the ledger, and decides where blocks are cut.
struct Committer {
    channel: Arc<str>,
    solo: Solo,
    /// Makes blocks after the tip; none when the tip must be read again.
    writer: Option<BlockWriter>,
    last_config: u64,
    ledger: Ledger,
    signer: OrdererSigner,
    verifier: Verifier,
    /// What was found in the envelopes that are ordered and in no block yet, in their order.
    examined: VecDeque<Examined>,
    waiting: Arc<Waiting>,
    heights: watch::Sender<u64>,
}

/// [`Ledger::commit`], or its first half.
type Commit = fn(&mut Ledger, Vec<Ordered>) -> Result<Vec<Committed>, CommitError>;

impl Committer {
    fn run(mut self, queue: Receiver<Admitted>) {
        let mut unless_finished = UnlessFinished {
            queue: Some(queue),
            waiting: Arc::clone(&self.waiting),
            reason: "the committing thread panicked".to_owned(),
        };
        if let Err(reason) = self.work(&mut unless_finished) {
            tracing::error!(channel = %self.channel, reason, "the channel takes no more transactions");
            self.ledger.give_up();
            unless_finished.reason = reason;
        }
    }

    /// Commits what comes until the queue is closed and empty.
    fn work(&mut self, queue: &mut UnlessFinished) -> Result<(), String> {
        self.catch_up()?;
        loop {
            let first = if self.solo.pending_count() > 0 {
                queue.waiting_now()
            } else {
                let Some(first) = queue.next() else {
                    return Ok(());
                };
                Some(first)
            };
            let mut full = self.cut(first, queue);
            if full.is_empty() {
                full = self.grow(queue);
            }
            if full.is_empty() {
                // What waits is less than a block, and a committer that is here is idle.
                let rest = self.solo.committer_idle().into_iter().collect();
                self.commit(rest, Ledger::commit)?;
            }
            // Full blocks do not wait for those before them to be on disk. Others grow meanwhile.
            while !full.is_empty() {
                self.commit(full, Ledger::begin)?;
                let first = queue.waiting_now();
                full = self.cut(first, queue);
            }
            self.finish()?;
        }
    }

    /// Blocks that state could not take in when the channel was opened come first.
    fn catch_up(&mut self) -> Result<(), String> {
        let waits = self.ledger.finish();
        if !matches!(waits, Err(CommitError::Waiting(_))) {
            return self.followed(waits);
        }
        self.followed(waits)?;
        self.heights.send_replace(self.ledger.tip().0);
        if self.waiting.trouble.lock().take().is_some() {
            tracing::info!(channel = %self.channel, "state is there again");
        }
        Ok(())
    }

    /// Steps back while callers have more to order. Where a processor is free none runs for that, and
    /// nothing is lost; where none is free, more share a commit, whose cost they were waiting behind.
    fn grow(&mut self, queue: &UnlessFinished) -> Vec<Batch> {
        loop {
            let before = self.solo.pending_count();
            std::thread::yield_now();
            let full = self.cut(queue.waiting_now(), queue);
            if !full.is_empty() || self.solo.pending_count() == before {
                return full;
            }
        }
    }

    /// Orders what waits, and takes the blocks that are full: no more than share a commit.
    fn cut(&mut self, first: Option<Admitted>, queue: &UnlessFinished) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut bytes = 0;
        let mut next = first;
        while let Some(Admitted {
            envelope,
            examined,
            size_bytes,
            queued,
            taken,
        }) = next
        {
            queued.taken();
            drop(taken);
            bytes += size_bytes as u64;
            match self.solo.order(envelope, size_bytes, Instant::now()) {
                Ok(cut) => {
                    batches.extend(cut);
                    self.examined.push_back(examined);
                }
                // Turned away in `order`, before it was queued.
                Err(error) => tracing::error!(%error, "an envelope was admitted that is too large"),
            }
            next = if bytes < ENOUGH_BYTES {
                queue.waiting_now()
            } else {
                None
            };
        }
        batches
    }

    /// Makes blocks of the batches, and commits them together or begins to. Those that are durable by
    /// then are answered.
    fn commit(&mut self, batches: Vec<Batch>, commit: Commit) -> Result<(), String> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self
                .writer
                .insert(writer_after_tip(&self.ledger, self.last_config)?),
        };
        let ordered = batches.into_iter().map(|batch| {
            let block: Block = writer.next_block(batch, &self.signer).into();
            let examined = self.examined.drain(..block.envelopes.len()).collect();
            Ordered::made_here(block, examined)
        });
        let mut ordered: Vec<Ordered> = ordered.collect();
        // Shares the envelopes.
        let blocks: Vec<Block> = ordered
            .iter()
            .map(|ordered| ordered.block().clone())
            .collect();
        loop {
            self.verifier.verify(&mut ordered, Signatures::MadeHere);
            match commit(&mut self.ledger, ordered) {
                // None of these was written: again and again, until state is there.
                Err(error @ CommitError::Judge(_)) => {
                    self.finish()?;
                    self.wait(&error)?;
                }
                committed => return self.followed(committed),
            }
            let again = blocks.iter();
            ordered = again
                .map(|block| Ordered::new(block.clone(), &self.channel))
                .collect();
        }
    }

    /// Waits for the blocks that are on their way, and answers them.
    fn finish(&mut self) -> Result<(), String> {
        let finished = self.ledger.finish();
        self.followed(finished)
    }

    /// Answers blocks; where state is away, as soon as it has taken them in.
    fn followed(
        &mut self,
        mut committed: Result<Vec<Committed>, CommitError>,
    ) -> Result<(), String> {
        // Durable already: only state is missing, and nobody sees them before it has them.
        while let Err(error @ CommitError::Waiting(_)) = committed {
            self.wait(&error)?;
            committed = self.ledger.resume();
        }
        match committed {
            Ok(committed) => {
                if !committed.is_empty() && self.waiting.trouble.lock().take().is_some() {
                    tracing::info!(channel = %self.channel, "state is there again");
                }
                self.answer_all(&committed);
                Ok(())
            }
            Err(error) => {
                // What was committed before is, and who waits for it is told so.
                if let Ok(committed) = self.ledger.finish() {
                    self.answer_all(&committed);
                }
                Err(chain_of(&error))
            }
        }
    }

    fn answer_all(&self, committed: &[Committed]) {
        for block in committed {
            self.answer(block);
        }
        if let Some(last) = committed.last() {
            self.heights.send_replace(last.block.number + 1);
        }
    }

    /// Turns further transactions away, and waits a little before the next attempt; an error once
    /// the channel is closed. What is durable then is followed at the next start.
    fn wait(&self, error: &CommitError) -> Result<(), String> {
        let reason = chain_of(error);
        let obstructed = match error {
            CommitError::Waiting(ReadError::StateObstructed {
                namespace,
                database,
            }) => Some((namespace.clone(), database.clone())),
            _ => None,
        };
        if self.waiting.closed.load(Ordering::Acquire) {
            return Err(reason);
        }
        let mut trouble = self.waiting.trouble.lock();
        if trouble.is_none() {
            tracing::error!(channel = %self.channel, reason, "trying again until it can be done");
        }
        *trouble = Some(Trouble::StateAway { reason, obstructed });
        drop(trouble);
        std::thread::sleep(TRY_AGAIN);
        Ok(())
    }

    /// Tells whoever waits for a transaction of the block.
    fn answer(&self, committed: &Committed) {
        let mut waiting = self.waiting.transactions.lock();
        for (tx, (tx_id, code)) in committed.transactions.iter().enumerate() {
            let sender = tx_id
                .as_ref()
                .and_then(|tx_id| waiting.remove(tx_id))
                .flatten();
            if let Some(sender) = sender {
                let outcome = Outcome {
                    block: committed.block.number,
                    tx: tx as u64,
                    code: *code,
                };
                // Nobody waiting any more is nobody's loss: the outcome is in the block.
                if sender.send(outcome).is_err() {
                    tracing::trace!(block = outcome.block, tx = outcome.tx, "nobody waits");
                }
            }
        }
    }
}

/// The queue of a committing thread, which tells everybody when the thread ends before the queue does:
/// after a failure, or in a panic.
struct UnlessFinished {
    /// None once the queue was closed and is empty.
    queue: Option<Receiver<Admitted>>,
    waiting: Arc<Waiting>,
    reason: String,
}

impl UnlessFinished {
    /// The next transaction, when there is one; none when the queue is closed.
    fn next(&mut self) -> Option<Admitted> {
        let next = self.queue.as_ref()?.recv().ok();
        if next.is_none() {
            self.queue = None;
        }
        next
    }

    /// The next transaction, if there is one now.
    fn waiting_now(&self) -> Option<Admitted> {
        self.queue.as_ref()?.try_recv().ok()
    }
}

impl Drop for UnlessFinished {
    fn drop(&mut self) {
        // The queue goes first: a transaction that it still takes is in `transactions` by then.
        let Some(queue) = self.queue.take() else {
            return;
        };
        let reason = std::mem::take(&mut self.reason);
        *self.waiting.trouble.lock() = Some(Trouble::Failed(reason));
        drop(queue);
        // They stay known, so that nobody is told they were never seen: whether they are durable
        // comes out at the next start.
        for sender in self.waiting.transactions.lock().values_mut() {
            sender.take();
        }
    }
}

/// A block writer that goes on where the chain ends.
fn writer_after_tip(ledger: &Ledger, last_config: u64) -> Result<BlockWriter, String> {
    let (height, _) = ledger.tip();
    let tip = height.checked_sub(1).ok_or("the channel has no block 0")?;
    let tip = ledger
        .reader()
        .block(tip)
        .map_err(|error| chain_of(&error))?;
    let tip = tip.ok_or("the newest block cannot be read")?;
    let header = BlockHeader {
        number: tip.number,
        previous_hash: tip.previous_hash.clone(),
        data_hash: tip.data_hash.clone(),
    };
    Ok(BlockWriter::after(&header, last_config))
}

/// The node's orderer identity, as the block writer uses it.
#[derive(Clone, Debug)]
pub(crate) struct OrdererSigner(pub(crate) Arc<SigningIdentity>);

impl BlockSigner for OrdererSigner {
    fn creator(&self) -> &Bytes {
        self.0.serialized()
    }

    fn nonce(&self) -> [u8; quire_wire::tx_id::NONCE_BYTES] {
        random_nonce()
    }

    fn sign(&self, message: &[u8]) -> Bytes {
        self.0.sign(message)
    }
}

/// Fresh randomness from the operating system.
pub(crate) fn random_nonce() -> [u8; quire_wire::tx_id::NONCE_BYTES] {
    use ring::rand::SecureRandom as _;
    let mut nonce = [0; quire_wire::tx_id::NONCE_BYTES];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no key or nonce can be made"
    )]
    ring::rand::SystemRandom::new()
        .fill(&mut nonce)
        .expect("the operating system gives randomness");
    nonce
}
