//! A node with channels, as its services see it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use quire_chaincode::Documents;
use quire_disk::OsDisk;
use quire_identity::config::{compute_update, edit, sign_update, update_envelope};
use quire_identity::{Organization, Role, SigningIdentity};
use quire_ledger::{Block, CreateOptions, Ledger, Ledgers, Purpose, Room};
use quire_ordering::{BlockSigner, Unobserved};
use quire_peer::channel::Host;
use quire_peer::config::in_state;
use quire_peer::genesis::BATCH_SIZE;
use quire_peer::{
    ChaincodeHost, Channel, Clock, Deliveries, Endorsers, LocalPeer, Nobody, OpenChannel, Pool,
    PoolObserver, Threads, genesis_block,
};
use quire_rpc::Backend;
use quire_rpc::Workers;
use quire_rpc::broadcast::Broadcast;
use quire_rpc::deliver::Deliver;
use quire_rpc::discovery::{Discovery, Itself};
use quire_rpc::stream_observer::{Event, StreamObserver};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, Header, Payload, SignatureHeader, header_type};
use quire_wire::config::{Config, ConfigUpdateEnvelope};
use quire_wire::deliver::SeekInfo;
use quire_wire::hash::sha256;
use tokio::sync::watch;

/// Counts the work that waits for a thread.
#[derive(Debug, Default)]
pub(crate) struct Waiting(AtomicUsize);

impl Waiting {
    /// Returns when there is some.
    pub(crate) async fn some(&self) {
        while self.0.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

impl PoolObserver for Waiting {
    fn busy(&self, _: bool) {}

    fn waiting(&self, is_more: bool) {
        if is_more {
            self.0.fetch_add(1, Ordering::SeqCst);
        } else {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The address under which clients know the node.
pub(crate) const ADDRESS: &str = "peer.example.com:7051";

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

#[derive(Debug)]
struct Signer(Arc<SigningIdentity>);

impl BlockSigner for Signer {
    fn creator(&self) -> &Bytes {
        self.0.serialized()
    }

    fn nonce(&self) -> [u8; 24] {
        // The id of a configuration is made of it, and none comes twice.
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let drawn = DRAWN.fetch_add(1, Ordering::SeqCst);
        let digest = sha256([drawn.to_be_bytes().as_slice()]);
        digest[..24].try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> Bytes {
        self.0.sign(message)
    }
}

/// A node of an organisation that it made itself, `Org1MSP` for most.
pub(crate) struct Node {
    pub(crate) organization: Organization,
    pub(crate) ledgers: Ledgers,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) client: Arc<SigningIdentity>,
    channels: Arc<Channels>,
    stop: watch::Sender<bool>,
    workers: Workers,
    /// What other doors would share.
    pub(crate) threads: Threads,
    /// How much work waits for one of them.
    pub(crate) waiting: Arc<Waiting>,
    endorsers: Arc<dyn Endorsers>,
    _dir: tempfile::TempDir,
}

/// Counts nothing.
#[derive(Debug)]
struct Uncounted;

impl quire_rpc::Observer for Uncounted {
    fn began(&self, _: quire_rpc::CallKind, _: &str, _: &str) {}
    fn ended(&self, _: quire_rpc::CallKind, _: &str, _: &str, _: quire_rpc::Code, _: Duration) {}
    fn message(&self, _: &str, _: &str, _: bool) {}
}

/// The channels that are open.
#[derive(Debug)]
struct Channels {
    open: Mutex<BTreeMap<String, Arc<OpenChannel>>>,
    clock: Arc<TestClock>,
    stopping: watch::Receiver<bool>,
    organization: String,
    told: Arc<Told>,
    /// The most that somebody can make the node hold.
    room_bytes: AtomicUsize,
    local: Arc<LocalPeer>,
}

/// What services told of their work.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl StreamObserver for Told {
    fn observe(&self, event: &Event<'_>) {
        let told = match event {
            Event::Broadcast(one) => format!("{} {} {}", one.channel, one.kind, one.status),
            other => format!("{other:?}"),
        };
        self.0.lock().push(told);
    }
}

impl Backend for Channels {
    fn channel(&self, name: &str) -> Option<Channel> {
        Some(self.open.lock().get(name)?.channel.clone())
    }

    fn local(&self) -> Arc<LocalPeer> {
        Arc::clone(&self.local)
    }

    fn channels(&self) -> Vec<String> {
        self.open.lock().keys().cloned().collect()
    }

    fn msp_id(&self) -> String {
        self.organization.clone()
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn room(&self, bytes: usize) -> Option<Room> {
        (bytes <= self.room_bytes.load(Ordering::SeqCst)).then(|| Box::new(()) as Room)
    }

    fn stream_observer(&self) -> Arc<dyn StreamObserver> {
        Arc::clone(&self.told) as Arc<_>
    }

    fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.clone()
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::of("Org1MSP", Arc::new(Nobody))
    }

    /// Of the organisation with this MSP id, which it makes. Others are asked by `endorsers`.
    pub(crate) fn of(msp_id: &str, endorsers: Arc<dyn Endorsers>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let organization =
            Organization::open_or_create(&quire_disk::os(), &data, msp_id, beginning()).unwrap();
        let clock = Arc::new(TestClock(Mutex::new(beginning())));
        let (stop, stopping) = watch::channel(false);
        let waiting = Arc::new(Waiting::default());
        let pool = |threads| Pool::new(threads, Arc::clone(&waiting) as Arc<_>);
        let threads = Threads {
            work: pool(2),
            queries: pool(1),
        };
        let idle = ChaincodeHost::idle();
        let local = LocalPeer::new(organization.msp(), &idle, Arc::clone(&clock) as Arc<_>);
        Self {
            client: organization.identity("client").unwrap().unwrap(),
            ledgers: Ledgers::open(Arc::new(OsDisk), &data, Purpose::Use).unwrap(),
            channels: Arc::new(Channels {
                open: Mutex::default(),
                clock: Arc::clone(&clock),
                stopping,
                organization: organization.msp_id().to_owned(),
                told: Arc::default(),
                room_bytes: AtomicUsize::new(usize::MAX),
                local: Arc::new(local),
            }),
            organization,
            clock,
            stop,
            workers: Workers::new(threads.work.clone()),
            threads,
            waiting,
            endorsers,
            _dir: dir,
        }
    }

    fn host(&self) -> Host {
        let orderer = self.organization.identity("orderer").unwrap().unwrap();
        Host {
            endorser: self.endorser(),
            signer: Arc::new(Signer(orderer)),
            documents: Documents::default(),
            clock: Arc::clone(&self.clock) as Arc<_>,
            chaincode: ChaincodeHost::idle(),
            endorsers: Arc::clone(&self.endorsers),
        }
    }

    pub(crate) fn endorser(&self) -> Arc<SigningIdentity> {
        self.organization.identity("node").unwrap().unwrap()
    }

    pub(crate) fn identity(&self, name: &str, role: Role) -> Arc<SigningIdentity> {
        let made = self.organization.create_identity(name, role, beginning());
        made.unwrap()
    }

    /// A new channel of this node's organisation alone.
    pub(crate) fn create(&self, channel: &str) -> Arc<OpenChannel> {
        let orderer = self.organization.identity("orderer").unwrap().unwrap();
        let genesis = genesis_block(
            channel,
            BATCH_SIZE,
            &self.organization,
            &Signer(orderer),
            beginning(),
        );
        let ledger = self
            .ledgers
            .create(channel, genesis, CreateOptions::default());
        self.open(ledger.unwrap())
    }

    /// A channel that is read from block files, and goes on here.
    pub(crate) fn import(&self, channel: &str, files: &Path) -> Arc<OpenChannel> {
        let (ledger, report) = self
            .ledgers
            .import(channel, files, false, &mut |_| {})
            .unwrap();
        assert!(report.is_sound());
        self.open(ledger)
    }

    /// A channel whose block 0 is this, and whose further blocks are handed in.
    pub(crate) fn join(&self, channel: &str, genesis: Block) -> (Arc<OpenChannel>, Deliveries) {
        let ledger = self
            .ledgers
            .create(channel, genesis, CreateOptions::default());
        let joined = OpenChannel::delivered(ledger.unwrap(), &self.host());
        let (open, deliveries) = joined.unwrap();
        (self.opened(open), deliveries)
    }

    fn open(&self, ledger: Ledger) -> Arc<OpenChannel> {
        let open = OpenChannel::ordered_here(ledger, &self.host(), Arc::new(Unobserved)).unwrap();
        self.opened(open)
    }

    fn opened(&self, open: OpenChannel) -> Arc<OpenChannel> {
        let open = Arc::new(open);
        let name = open.channel.name.to_string();
        let mut channels = self.channels.open.lock();
        channels.insert(name, Arc::clone(&open));
        open
    }

    pub(crate) fn deliver(&self) -> Deliver {
        Deliver::new(Arc::clone(&self.channels) as Arc<_>, self.workers.clone())
    }

    /// All services as routes.
    pub(crate) fn router(&self) -> axum::Router {
        let limits = quire_rpc::Limits {
            message_bytes: 16 << 20,
            message_timeout: Duration::from_secs(10),
            calls: 100,
            streams: 100,
            query_timeout: Duration::from_secs(10),
            max_wait: Duration::from_secs(300),
        };
        let itself = Itself {
            identity: self.endorser(),
            address: "127.0.0.1:21151".to_owned(),
            started: beginning(),
        };
        let channels = Arc::clone(&self.channels) as Arc<_>;
        let shared = (limits, self.threads.clone());
        quire_rpc::router(channels, Arc::new(Uncounted), shared, itself)
    }

    pub(crate) fn broadcast(&self) -> Broadcast {
        Broadcast::new(Arc::clone(&self.channels) as Arc<_>, self.workers.clone())
    }

    pub(crate) fn discovery(&self) -> Discovery {
        let itself = Itself {
            identity: self.endorser(),
            address: ADDRESS.to_owned(),
            started: beginning(),
        };
        let backend = Arc::clone(&self.channels) as Arc<_>;
        Discovery::new(backend, self.workers.clone(), itself)
    }

    /// Leaves this much memory for what callers make the node hold.
    pub(crate) fn leave_room(&self, bytes: usize) {
        self.channels.room_bytes.store(bytes, Ordering::SeqCst);
    }

    /// What services told of their work, since this was asked last.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.channels.told.0.lock())
    }

    /// Tells everybody that the node stops.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// An envelope of this node's client.
    pub(crate) fn envelope(&self, header_type: i32, channel: &str, data: Vec<u8>) -> Bytes {
        self.envelope_of(&self.client, header_type, channel, data)
    }

    /// An envelope that somebody signed now.
    pub(crate) fn envelope_of(
        &self,
        who: &SigningIdentity,
        header_type: i32,
        channel: &str,
        data: Vec<u8>,
    ) -> Bytes {
        let channel_header = self.channel_header(header_type, channel);
        Self::signed(who, &channel_header, data)
    }

    fn channel_header(&self, header_type: i32, channel: &str) -> ChannelHeader {
        ChannelHeader {
            r#type: header_type,
            timestamp: Some(self.clock.now().into()),
            channel_id: channel.to_owned(),
            ..ChannelHeader::default()
        }
    }

    fn signed(who: &SigningIdentity, channel_header: &ChannelHeader, data: Vec<u8>) -> Bytes {
        let signature_header = SignatureHeader {
            creator: who.serialized().clone(),
            nonce: Bytes::copy_from_slice(&sha256([&data[..]])[..24]),
        };
        let payload = Payload {
            header: Some(Header {
                channel_header: channel_header.encode_to_vec().into(),
                signature_header: signature_header.encode_to_vec().into(),
            }),
            data: data.into(),
        };
        let payload = payload.encode_to_vec();
        let signature = who.sign(&payload);
        let envelope = Envelope {
            payload: payload.into(),
            signature,
        };
        envelope.encode_to_vec().into()
    }

    pub(crate) fn seek(&self, channel: &str, info: &SeekInfo) -> Bytes {
        self.envelope(
            header_type::DELIVER_SEEK_INFO,
            channel,
            info.encode_to_vec(),
        )
    }

    /// The envelope of an update that lets only those read blocks who satisfy a policy of the application group.
    pub(crate) fn keep_blocks_for(&self, open: &OpenChannel, policy: &str) -> Bytes {
        self.update(open, |config| {
            edit::set(config, "acl.event/Block", policy).unwrap();
        })
    }

    /// The envelope of an update that changes the configuration so.
    pub(crate) fn update(&self, open: &OpenChannel, change: impl FnOnce(&mut Config)) -> Bytes {
        let current = in_state(&open.channel.reader).unwrap().unwrap().config;
        let mut changed = current.clone();
        change(&mut changed);
        let mut update = compute_update(&current, &changed).unwrap();
        (*open.channel.name).clone_into(&mut update.channel_id);
        let mut update = ConfigUpdateEnvelope {
            config_update: update.encode_to_vec().into(),
            signatures: Vec::new(),
        };
        let administrator = self.organization.administrator(beginning()).unwrap();
        sign_update(&mut update, &administrator, &[1; 24]);
        let now = self.clock.now();
        update_envelope(&open.channel.name, &update, &self.client, &[2; 24], now)
    }

    /// [`Self::seek`] from a client with a TLS certificate of this digest.
    pub(crate) fn bound_seek(
        &self,
        channel: &str,
        info: &SeekInfo,
        certificate: [u8; 32],
    ) -> Bytes {
        let channel_header = ChannelHeader {
            tls_cert_hash: Bytes::copy_from_slice(&certificate),
            ..self.channel_header(header_type::DELIVER_SEEK_INFO, channel)
        };
        Self::signed(&self.client, &channel_header, info.encode_to_vec())
    }
}
