//! The backend of the tests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use quire_chaincode::{Call, ChaincodeError, Chaincodes, Documents, Invocation, Piece, Weight};
use quire_disk::OsDisk;
use quire_gateway::backend::{
    AuthenticateError, Backend, BuildInfo, CreateChannelError, Credential, FailedCheck,
    InvalidLogSpec,
};
use quire_gateway::{Caller, ClientCertificate, Cors, Limits, router};
use quire_identity::{Organization, SigningIdentity, Token, Tokens};
use quire_ledger::{
    Block, CreateOptions, Ledger, Ledgers, Meter, Ordered, Purpose, Reader, Simulator,
};
use quire_peer::{
    Channel, Evaluated, Outcome, Promised, Proposal, ProposalError, SubmitError, Submitted,
    Submitter, UnpackedProposal, Wanted, Watch,
};
use quire_testkit::{Transaction, chain};
use quire_wire::Message;
use quire_wire::common::Timestamp;
use quire_wire::hash::sha256;
use quire_wire::peer::ProposalResponse;
use tokio::sync::{oneshot, watch};

use super::Client;

const CHANNEL: &str = "main";
/// The namespace of a chaincode that waits for somebody else.
pub(crate) const SLOW: &str = "slow";

/// A node with the channel `main`.
pub(crate) struct Node {
    pub(crate) orderer: Arc<Orderer>,
    chaincodes: Arc<Chaincodes>,
    identity: Arc<SigningIdentity>,
    pub(crate) tokens: Tokens,
    /// Whether every client certificate was revoked.
    pub(crate) revoked: AtomicBool,
    pub(crate) failed_checks: Mutex<Vec<FailedCheck>>,
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) clock: Mutex<SystemTime>,
    log_spec: Mutex<String>,
    drawn: AtomicU64,
    _dir: tempfile::TempDir,
}

/// Simulates at once, and commits at once unless it is held.
pub(crate) struct Orderer {
    inner: Mutex<Inner>,
    this: Weak<Self>,
    reader: Reader,
    heights: watch::Receiver<u64>,
    /// Whether [`SLOW`] is answered.
    slow: watch::Sender<bool>,
    /// Whether evaluations wait, and the signal that ends their wait.
    evaluations: (Mutex<bool>, Condvar),
    /// Every result that was handed out and is still kept shares it.
    results: Arc<()>,
}

/// Bytes that are counted as long as anybody has them.
struct Kept(
    Bytes,
    #[expect(dead_code, reason = "counted by being there")] Arc<()>,
);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

struct Inner {
    ledger: Ledger,
    heights: watch::Sender<u64>,
    waiting: Vec<Waiting>,
    held: bool,
    /// Refusals for the next proposals, oldest first.
    refusals: VecDeque<SubmitError>,
    submitted: u64,
}

struct Waiting {
    tx_id: String,
    envelope: Bytes,
    /// `None` once those who wait cannot get the outcome any more.
    outcome: Option<oneshot::Sender<Result<Outcome, SubmitError>>>,
}

impl Node {
    pub(crate) fn new() -> Arc<Self> {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let organization =
            Organization::open_or_create(&quire_disk::os(), dir.path(), "TestOrg", now).unwrap();
        let identity = organization.identity("client").unwrap().unwrap();
        let tokens = Tokens::open(&quire_disk::os(), dir.path()).unwrap();
        let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
        let genesis = block(0, Bytes::new(), vec!["no envelope".into()]);
        let ledger = ledgers
            .create(CHANNEL, genesis, CreateOptions::default())
            .unwrap();
        let (sender, heights) = watch::channel(1);
        Arc::new(Self {
            orderer: Arc::new_cyclic(|this| Orderer {
                this: Weak::clone(this),
                slow: watch::Sender::new(false),
                reader: ledger.reader(),
                heights,
                evaluations: (Mutex::new(false), Condvar::new()),
                results: Arc::new(()),
                inner: Mutex::new(Inner {
                    ledger,
                    heights: sender,
                    waiting: Vec::new(),
                    held: false,
                    refusals: VecDeque::new(),
                    submitted: 0,
                }),
            }),
            chaincodes: Arc::default(),
            identity,
            tokens,
            revoked: AtomicBool::new(false),
            failed_checks: Mutex::default(),
            stopping: watch::Sender::new(false),
            clock: Mutex::new(SystemTime::UNIX_EPOCH),
            log_spec: Mutex::new("info".to_owned()),
            drawn: AtomicU64::new(0),
            _dir: dir,
        })
    }

    /// A gateway over the node; a second gateway is like a restarted node.
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        self.client_with(Limits::default(), Cors::default())
    }

    pub(crate) fn client_with(self: &Arc<Self>, limits: Limits, cors: Cors) -> Client {
        let backend = Arc::clone(self) as Arc<dyn Backend>;
        Client::new(router(backend, limits, cors))
    }
}

impl Orderer {
    /// Makes transactions wait for [`Self::release`] from now on.
    pub(crate) fn hold(&self) {
        self.inner.lock().held = true;
    }

    /// Makes evaluations wait on their threads for [`Self::release_evaluations`] from now on.
    pub(crate) fn hold_evaluations(&self) {
        *self.evaluations.0.lock() = true;
    }

    pub(crate) fn release_evaluations(&self) {
        *self.evaluations.0.lock() = false;
        self.evaluations.1.notify_all();
    }

    /// Commits what waits, in one block.
    pub(crate) fn release(&self) {
        let mut inner = self.inner.lock();
        inner.held = false;
        inner.commit();
    }

    /// Commits what waits but tells nobody, like a crash right after the fsync.
    pub(crate) fn release_silently(&self) {
        let mut inner = self.inner.lock();
        inner
            .waiting
            .iter_mut()
            .for_each(|waiting| drop(waiting.outcome.take()));
        inner.held = false;
        inner.commit();
    }

    /// Throws away what waits, like a crash before the fsync.
    pub(crate) fn lose(&self) {
        let mut inner = self.inner.lock();
        inner.held = false;
        inner.waiting.clear();
    }

    /// Refuses the next proposal with this.
    pub(crate) fn refuse(&self, error: SubmitError) {
        self.inner.lock().refusals.push_back(error);
    }

    /// How many transactions wait.
    pub(crate) fn waiting(&self) -> usize {
        self.inner.lock().waiting.len()
    }

    /// How many results of transactions somebody still keeps.
    pub(crate) fn results_kept(&self) -> usize {
        Arc::strong_count(&self.results) - 1
    }

    /// How many transactions were ordered since the start.
    pub(crate) fn submitted(&self) -> u64 {
        self.inner.lock().submitted
    }

    /// Waits until that many transactions wait.
    pub(crate) async fn until_waiting(&self, count: usize) {
        while self.waiting() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn simulate(&self, call: &Call, meter: Meter) -> Result<(Bytes, Simulator), ChaincodeError> {
        let mut simulator = Simulator::new(self.reader.snapshot()).with_meter(meter);
        let result = Documents::default().run(call, &mut simulator);
        Ok((result?, simulator))
    }
}

impl Inner {
    fn commit(&mut self) {
        if self.held || self.waiting.is_empty() {
            return;
        }
        let (number, hash) = self.ledger.tip();
        let waiting = std::mem::take(&mut self.waiting);
        let envelopes = waiting
            .iter()
            .map(|waiting| waiting.envelope.clone())
            .collect();
        let next = block(number, Bytes::copy_from_slice(&hash), envelopes);
        let committed = self
            .ledger
            .commit(vec![Ordered::new(next, CHANNEL)])
            .unwrap();
        self.heights.send_replace(number + 1);
        let outcomes = committed[0].transactions.iter().zip(0..);
        for (waiting, ((_, code), tx)) in waiting.into_iter().zip(outcomes) {
            let outcome = Outcome {
                block: number,
                tx,
                code: *code,
                is_ours: true,
            };
            if let Some(sender) = waiting.outcome {
                // The receiver may be gone.
                sender.send(Ok(outcome)).ok();
            }
        }
    }
}

impl Orderer {
    /// Lets the calls of [`SLOW`] go on.
    pub(crate) fn answer_slow_calls(&self) {
        self.slow.send_replace(true);
    }

    /// Works on a call: at once, or when [`SLOW`] is answered.
    fn begin<T: Send + 'static>(
        &self,
        chaincode: &str,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Invocation<T> {
        if chaincode != SLOW {
            return Invocation::Done(work(self));
        }
        let this = self.this.upgrade().unwrap();
        let mut answered = self.slow.subscribe();
        Invocation::wait(async move {
            answered.wait_for(|answered| *answered).await.unwrap();
            Piece::new(Weight::Brief, |patience| {
                assert!(patience.is_none());
                Invocation::wait(std::future::ready(Piece::new(
                    Weight::Scan,
                    move |patience| {
                        assert!(patience.is_some_and(|patience| patience.stop().is_none()));
                        Invocation::Done(work(&this))
                    },
                )))
            })
        })
    }

    fn order(&self, proposal: Proposal) -> Result<Submitted, SubmitError> {
        if let Some(refusal) = self.inner.lock().refusals.pop_front() {
            return Err(refusal);
        }
        let simulated = self.simulate(&proposal.call, proposal.meter.clone());
        let (result, simulator) = simulated.map_err(SubmitError::Chaincode)?;
        let envelope = envelope(&proposal, result.clone(), simulator);
        let tx_id = proposal.tx_id;
        let mut inner = self.inner.lock();
        let known = self.reader.transaction(&tx_id).unwrap().is_some();
        if known || inner.waiting.iter().any(|waiting| waiting.tx_id == tx_id) {
            return Err(SubmitError::Duplicate);
        }
        let (sender, outcome) = oneshot::channel();
        inner.submitted += 1;
        inner.waiting.push(Waiting {
            tx_id: tx_id.clone(),
            envelope,
            outcome: Some(sender),
        });
        inner.commit();
        Ok(Submitted {
            tx_id,
            result: Bytes::from_owner(Kept(result, Arc::clone(&self.results))),
            event: None,
            outcome,
        })
    }

    fn answer(&self, call: &Call, meter: Meter) -> Result<Evaluated, ChaincodeError> {
        let mut held = self.evaluations.0.lock();
        self.evaluations.1.wait_while(&mut held, |held| *held);
        drop(held);
        let (result, simulator) = self.simulate(call, meter)?;
        Ok(Evaluated {
            result,
            height: simulator.snapshot().height(),
        })
    }
}

impl Submitter for Orderer {
    fn submit(self: Arc<Self>, proposal: Proposal) -> Invocation<Result<Submitted, SubmitError>> {
        let chaincode = proposal.call.chaincode.clone();
        self.begin(&chaincode, move |orderer| orderer.order(proposal))
    }

    fn evaluate(&self, proposal: Proposal) -> Invocation<Result<Evaluated, ChaincodeError>> {
        let chaincode = proposal.call.chaincode.clone();
        self.begin(&chaincode, move |orderer| {
            orderer.answer(&proposal.call, proposal.meter)
        })
    }

    fn propose(
        self: Arc<Self>,
        _: &UnpackedProposal,
        _: Wanted,
        _: Meter,
    ) -> Result<Invocation<ProposalResponse>, ProposalError> {
        Err(ProposalError::Channel(SubmitError::ReadOnly))
    }

    fn order(&self, _: Bytes) -> Result<Promised, SubmitError> {
        Err(SubmitError::ReadOnly)
    }

    fn orders_later(&self) -> bool {
        false
    }

    fn is_pending(&self, tx_id: &str) -> bool {
        let inner = self.inner.lock();
        inner.waiting.iter().any(|waiting| waiting.tx_id == tx_id)
    }

    fn watch(&self, _: &str) -> Watch {
        Watch::in_vain()
    }
}

impl Backend for Node {
    fn build(&self) -> BuildInfo {
        BuildInfo {
            version: "1.2.3".into(),
            commit: "abc".into(),
        }
    }

    fn channels(&self) -> Vec<String> {
        vec![CHANNEL.to_owned()]
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        (name == CHANNEL).then(|| Channel {
            name: CHANNEL.into(),
            reader: self.orderer.reader.clone(),
            chaincodes: Arc::clone(&self.chaincodes),
            submitter: Arc::clone(&self.orderer) as Arc<dyn Submitter>,
            access: None,
            read_only: false,
            collector: None,
            heights: self.orderer.heights.clone(),
        })
    }

    fn create_channel(&self, name: &str) -> Result<(), CreateChannelError> {
        if name == CHANNEL {
            return Err(CreateChannelError::Exists(name.to_owned()));
        }
        Err(CreateChannelError::StorageFailed {
            name: name.to_owned(),
            source: "a secret of the disk".into(),
        })
    }

    fn failed_checks(&self) -> Vec<FailedCheck> {
        self.failed_checks.lock().clone()
    }

    fn ready(&self) -> bool {
        self.failed_checks.lock().is_empty()
    }

    fn log_spec(&self) -> String {
        self.log_spec.lock().clone()
    }

    fn set_log_spec(&self, spec: &str) -> Result<(), InvalidLogSpec> {
        if spec.is_empty() {
            return Err(InvalidLogSpec("nothing".to_owned()));
        }
        spec.clone_into(&mut self.log_spec.lock());
        Ok(())
    }

    fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    fn default_identity(&self) -> Arc<SigningIdentity> {
        Arc::clone(&self.identity)
    }

    fn authentication_required(&self) -> bool {
        self.tokens.are_required()
    }

    fn authenticate(&self, credential: Credential<'_>) -> Result<Caller, AuthenticateError> {
        let token = match credential {
            Credential::Token(token) => self.tokens.authenticate(token, self.now())?,
            Credential::Certificate(name) => self.tokens.of_certificate(name, self.now())?,
        };
        Ok(Caller {
            identity: Arc::clone(&self.identity),
            token: Some(token),
            certificate: None,
        })
    }

    fn has_revoked(&self, _certificate: &ClientCertificate) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    fn still_holds(&self, token: &Arc<Token>) -> bool {
        self.tokens.still_hold(token, self.now())
    }

    fn now(&self) -> SystemTime {
        *self.clock.lock()
    }

    fn random_nonce(&self) -> [u8; 24] {
        let drawn = self.drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        let digest = sha256([b"nonce".as_slice(), &drawn]);
        digest[..24].try_into().unwrap()
    }
}

fn block(number: u64, previous_hash: Bytes, envelopes: Vec<Bytes>) -> Block {
    chain::block(number, previous_hash, envelopes).into()
}

/// The transaction of a proposal, unsigned and not endorsed: the ledger does not check that.
fn envelope(proposal: &Proposal, result: Bytes, simulator: Simulator) -> Bytes {
    let call = &proposal.call;
    let function = Bytes::from(call.function.clone());
    let decoration = proposal.decoration.iter();
    let transaction = Transaction {
        creator: proposal.identity.serialized().clone(),
        tx_id: Some(proposal.tx_id.clone()),
        timestamp: Some(Timestamp {
            seconds: 1_800_000_000,
            nanos: 0,
        }),
        args: std::iter::once(function)
            .chain(call.args.iter().cloned())
            .collect(),
        decorations: decoration
            .map(|decoration| ("quire".to_owned(), decoration.clone()))
            .collect(),
        results: simulator.into_read_write_set().encode_to_vec().into(),
        result,
        ..Transaction::new(CHANNEL, &call.chaincode, proposal.nonce)
    };
    transaction.envelope()
}
