//! A node with one organisation, and its callers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use quire_chaincode::{Call, Documents, Reach};
use quire_disk::OsDisk;
use quire_identity::config::{compute_update, sign_update, update_envelope};
use quire_identity::{Organization, Role, SigningIdentity};
use quire_ledger::{Block, CreateOptions, Ledger, Ledgers, Meter, Purpose, Reader};
use quire_ordering::{BlockSigner, Unobserved};
use quire_peer::channel::Host;
use quire_peer::config::in_state;
use quire_peer::genesis::BATCH_SIZE;
use quire_peer::{
    ChaincodeHost, Clock, Nobody, OpenChannel, Outcome, Peer, Promised, Proposal, ProposalError,
    SubmitError, Submitted, Submitter as _, UnpackedProposal, genesis_block,
};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Header, SignatureHeader, header_type};
use quire_wire::config::{BatchSize, ConfigGroup, ConfigUpdate, ConfigUpdateEnvelope};
use quire_wire::hash::sha256;
use quire_wire::peer::{
    ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeInvocationSpec,
    ChaincodeProposalPayload, ChaincodeSpec, Proposal as ProposalMessage, ProposalResponse,
    SignedProposal,
};
use quire_wire::transaction::{ProposalBytes, seal};
use quire_wire::tx_id::{NONCE_BYTES, tx_id};
use tokio::time::timeout;

pub(crate) const CHANNEL: &str = "main";
/// Longer than anything here takes.
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) fn beginning() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<SystemTime>);

impl TestClock {
    pub(crate) fn set(&self, now: SystemTime) {
        *self.0.lock() = now;
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        *self.0.lock()
    }

    fn sleep(&self, _: Duration) {
        std::thread::yield_now();
    }
}

/// No nonce comes twice.
pub(crate) fn nonce() -> [u8; NONCE_BYTES] {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let drawn = DRAWN.fetch_add(1, Ordering::SeqCst);
    let digest = sha256([drawn.to_be_bytes().as_slice()]);
    digest[..NONCE_BYTES].try_into().unwrap()
}

/// Signs blocks.
#[derive(Debug)]
pub(crate) struct Signer(pub(crate) Arc<SigningIdentity>);

impl BlockSigner for Signer {
    fn creator(&self) -> &Bytes {
        self.0.serialized()
    }

    fn nonce(&self) -> [u8; NONCE_BYTES] {
        nonce()
    }

    fn sign(&self, message: &[u8]) -> Bytes {
        self.0.sign(message)
    }
}

/// A data directory in use.
pub(crate) struct Node {
    pub(crate) organization: Organization,
    pub(crate) ledgers: Ledgers,
    pub(crate) orderer: Arc<SigningIdentity>,
    pub(crate) client: Arc<SigningIdentity>,
    /// An identity of another organisation.
    pub(crate) stranger: Arc<SigningIdentity>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) dir: Arc<tempfile::TempDir>,
}

impl Node {
    pub(crate) fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let data = dir.path().join("data");
        let opened = |path: &Path, name| {
            Organization::open_or_create(&quire_disk::os(), path, name, beginning())
        };
        let organization = opened(&data, "Org1MSP").unwrap();
        let other = opened(&dir.path().join("other"), "OtherMSP").unwrap();
        let stranger = other.create_identity("stranger", Role::Client, beginning());
        Self {
            ledgers: ledgers(&data),
            orderer: organization.identity("orderer").unwrap().unwrap(),
            client: organization.identity("client").unwrap().unwrap(),
            stranger: stranger.unwrap(),
            organization,
            clock: Arc::new(TestClock(Mutex::new(beginning()))),
            dir,
        }
    }

    pub(crate) fn host(&self) -> Host {
        Host {
            endorser: self.organization.identity("node").unwrap().unwrap(),
            signer: Arc::new(Signer(Arc::clone(&self.orderer))),
            documents: Documents::default(),
            clock: Arc::clone(&self.clock) as Arc<_>,
            chaincode: ChaincodeHost::idle(),
            endorsers: Arc::new(Nobody),
        }
    }

    /// Block 0 of a channel with blocks of `max_message_count` transactions.
    pub(crate) fn genesis(&self, max_message_count: u32) -> Block {
        let batch_size = BatchSize {
            max_message_count,
            ..BATCH_SIZE
        };
        let signer = Signer(Arc::clone(&self.orderer));
        genesis_block(
            CHANNEL,
            batch_size,
            &self.organization,
            &signer,
            beginning(),
        )
    }

    /// A new channel with blocks of `max_message_count` transactions.
    pub(crate) fn channel(&self, max_message_count: u32, options: CreateOptions) -> Running {
        let genesis = self.genesis(max_message_count);
        self.open(self.ledgers.create(CHANNEL, genesis, options).unwrap())
    }

    pub(crate) fn open(&self, ledger: Ledger) -> Running {
        Running(OpenChannel::ordered_here(ledger, &self.host(), Arc::new(Unobserved)).unwrap())
    }

    /// The organisation's administrator.
    pub(crate) fn admin(&self) -> Arc<SigningIdentity> {
        self.organization.administrator(beginning()).unwrap()
    }

    pub(crate) fn identity(&self, name: &str, role: Role) -> Arc<SigningIdentity> {
        let made = self.organization.create_identity(name, role, beginning());
        made.unwrap()
    }

    /// The envelope of an update that leads to the configuration after `change`, signed by these.
    pub(crate) fn update(
        &self,
        channel: &Running,
        change: impl FnOnce(&mut ConfigGroup),
        signers: &[&SigningIdentity],
    ) -> Bytes {
        let update = Self::computed(channel, change);
        self.signed(update.encode_to_vec().into(), signers)
    }

    /// The update that leads to the configuration after `change`.
    pub(crate) fn computed(
        channel: &Running,
        change: impl FnOnce(&mut ConfigGroup),
    ) -> ConfigUpdate {
        let current = in_state(channel.reader()).unwrap().unwrap().config;
        let mut changed = current.clone();
        change(changed.channel_group.as_mut().unwrap());
        let mut update = compute_update(&current, &changed).unwrap();
        CHANNEL.clone_into(&mut update.channel_id);
        update
    }

    /// The envelope of a serialized `ConfigUpdate`, signed by these.
    pub(crate) fn signed(&self, update: Bytes, signers: &[&SigningIdentity]) -> Bytes {
        let mut update = ConfigUpdateEnvelope {
            config_update: update,
            signatures: Vec::new(),
        };
        for signer in signers {
            sign_update(&mut update, signer, &nonce());
        }
        update_envelope(CHANNEL, &update, &self.client, &nonce(), beginning())
    }

    pub(crate) fn submit(&self, channel: &Running, n: u64) -> Result<Submitted, SubmitError> {
        channel.submit_as(&self.client, n)
    }
}

pub(crate) fn ledgers(data: &Path) -> Ledgers {
    Ledgers::open(Arc::new(OsDisk), data, Purpose::Use).unwrap()
}

/// What an identity proposes.
pub(crate) fn proposal(identity: &Arc<SigningIdentity>, call: Call) -> Proposal {
    let nonce = nonce();
    Proposal {
        identity: Arc::clone(identity),
        nonce,
        tx_id: tx_id(&nonce, identity.serialized()),
        call,
        is_init: false,
        decoration: None,
        meter: Meter::default(),
        reach: Reach::default(),
    }
}

/// A channel that is open.
pub(crate) struct Running(pub(crate) OpenChannel);

impl Running {
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        self.0.peer().unwrap()
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.0.channel.reader
    }

    pub(crate) fn submit_as(
        &self,
        identity: &Arc<SigningIdentity>,
        n: u64,
    ) -> Result<Submitted, SubmitError> {
        let submitted = Arc::clone(self.peer()).submit(proposal(identity, put(n)));
        submitted.done().expect("a chaincode that waits for nobody")
    }

    /// What the peer says of a proposal whose chaincode waits for nobody.
    pub(crate) fn endorse(
        &self,
        proposal: &SignedProposal,
    ) -> Result<ProposalResponse, ProposalError> {
        let proposal = UnpackedProposal::read(proposal.clone())?;
        let answer = self.peer().endorse(&proposal, Meter::default())?;
        Ok(answer.done().expect("a chaincode that waits for nobody"))
    }

    pub(crate) fn stop(self) {
        self.0.stop().unwrap();
    }
}

/// A call that puts `n` under one of seven keys.
pub(crate) fn put(n: u64) -> Call {
    Call {
        chaincode: "orders".to_owned(),
        function: "put".to_owned(),
        args: vec![format!("\"{}\"", n % 7).into(), format!("{n}").into()],
    }
}

/// The outcome of a transaction; `None` if nobody will tell it any more.
pub(crate) fn outcome(waiting: Promised) -> Option<Outcome> {
    let mut clock = tokio::runtime::Builder::new_current_thread();
    let clock = clock.enable_time().build().unwrap();
    let outcome = clock.block_on(async { timeout(LONGEST, waiting).await });
    let told = outcome.expect("an answer in time").ok();
    told.map(|told| told.expect("an order that keeps what it took"))
}

/// A client with a key of its own, and what it says in a proposal.
pub(crate) struct Client<'a> {
    pub(crate) identity: &'a SigningIdentity,
    pub(crate) header: ChannelHeader,
    pub(crate) signature_header: SignatureHeader,
    pub(crate) extension: ChaincodeHeaderExtension,
    pub(crate) spec: Option<ChaincodeSpec>,
    pub(crate) transient: Vec<u8>,
}

impl<'a> Client<'a> {
    /// A client that asks for a call.
    pub(crate) fn new(identity: &'a SigningIdentity, call: &Call) -> Self {
        let nonce = nonce();
        let chaincode_id = Some(ChaincodeId {
            name: call.chaincode.clone(),
            ..ChaincodeId::default()
        });
        let function = Bytes::from(call.function.clone());
        let args = std::iter::once(function).chain(call.args.iter().cloned());
        Self {
            identity,
            header: ChannelHeader {
                r#type: header_type::ENDORSER_TRANSACTION,
                channel_id: CHANNEL.to_owned(),
                tx_id: tx_id(&nonce, identity.serialized()),
                timestamp: Some(beginning().into()),
                ..ChannelHeader::default()
            },
            signature_header: SignatureHeader {
                creator: identity.serialized().clone(),
                nonce: Bytes::copy_from_slice(&nonce),
            },
            extension: ChaincodeHeaderExtension {
                chaincode_id: chaincode_id.clone(),
            },
            spec: Some(ChaincodeSpec {
                r#type: 1,
                chaincode_id,
                input: Some(ChaincodeInput {
                    args: args.collect(),
                    ..ChaincodeInput::default()
                }),
                timeout: 0,
            }),
            transient: Vec::new(),
        }
    }

    fn headers(&self) -> (Bytes, Bytes) {
        let header = ChannelHeader {
            extension: self.extension.encode_to_vec().into(),
            ..self.header.clone()
        };
        let signature_header = self.signature_header.encode_to_vec();
        (header.encode_to_vec().into(), signature_header.into())
    }

    fn payload(&self) -> ChaincodeProposalPayload {
        let invocation = ChaincodeInvocationSpec {
            chaincode_spec: self.spec.clone(),
        };
        ChaincodeProposalPayload {
            input: invocation.encode_to_vec().into(),
            ..ChaincodeProposalPayload::default()
        }
    }

    /// The proposal, signed.
    pub(crate) fn proposal(&self) -> SignedProposal {
        let (channel_header, signature_header) = self.headers();
        let header = Header {
            channel_header,
            signature_header,
        };
        let mut payload = self.payload();
        if !self.transient.is_empty() {
            let transient = ("secret".to_owned(), self.transient.clone());
            payload.transient_map = [transient].into();
        }
        let proposal = ProposalMessage {
            header: header.encode_to_vec().into(),
            payload: payload.encode_to_vec().into(),
            extension: Bytes::new(),
        };
        let proposal_bytes = Bytes::from(proposal.encode_to_vec());
        SignedProposal {
            signature: self.identity.sign(&proposal_bytes),
            proposal_bytes,
        }
    }

    /// The transaction's payload, made of an answer to the proposal.
    pub(crate) fn transaction(&self, response: &ProposalResponse) -> Bytes {
        let (channel_header, signature_header) = self.headers();
        let proposal = ProposalBytes {
            channel_header,
            signature_header,
            payload: self.payload().encode_to_vec().into(),
        };
        let endorsement = response.endorsement.clone().unwrap();
        proposal.transaction_payload(response.payload.clone(), vec![endorsement])
    }

    /// The transaction, signed.
    pub(crate) fn envelope(&self, response: &ProposalResponse) -> Bytes {
        let payload = self.transaction(response);
        let signature = self.identity.sign(&payload);
        seal(payload, signature)
    }
}
