//! What the services of a listener share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quire_ledger::chain_of;
use quire_peer::{Channel, SignedData};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::backend::Backend;
use crate::broadcast::Broadcast;
use crate::call::Threads;
use crate::deliver::Deliver;
use crate::discovery::{Discovery, Itself};
use crate::gateway::Told;
use crate::observer::{CallKind, Observer};
use crate::workers::Workers;

/// Bytes of the name of a channel or a chaincode, at most. Fabric's channels have no longer ones; the texts of errors
/// have names in them.
pub(crate) const MAX_NAME: usize = 249;
/// Bytes of a request that has no proposal and no transaction in it, at most.
const SMALL_BYTES: usize = 1 << 20;
/// Requests that may arrive at a time.
const ARRIVING: usize = 16_384;
/// Questions for the health of the node at a time, which have places of their own.
const HEALTH: usize = 64;

/// Bounds on what callers may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request message, at most, where it may have a proposal or a transaction in it.
    pub message_bytes: usize,
    /// How long a request may take to arrive.
    pub message_timeout: Duration,
    /// Calls with one answer that are worked on at a time, at most.
    pub calls: usize,
    /// Streams that are open at a time, at most.
    pub streams: usize,
    /// How long the queries of a call may take.
    pub query_timeout: Duration,
    /// How long a call waits for a transaction at most, whatever its caller allows.
    pub max_wait: Duration,
}

/// The services of a node.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) limits: Limits,
    pub(crate) threads: Threads,
    /// Requests that arrive.
    pub(crate) arriving: Places,
    calls: Places,
    /// Calls that wait for a transaction.
    waits: Places,
    health: Places,
    streams: Places,
    /// Where clients reach this node: the address that details of errors name.
    pub(crate) address: String,
    pub(crate) told: Told,
    pub(crate) deliver: Deliver,
    pub(crate) broadcast: Broadcast,
    pub(crate) discovery: Discovery,
}

impl Services {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        observer: Arc<dyn Observer>,
        (limits, threads): (Limits, quire_peer::Threads),
        itself: Itself,
    ) -> Self {
        let workers = Workers::new(threads.work.clone());
        Self {
            threads: Threads::new(threads, limits.query_timeout),
            arriving: Places::new(CallKind::Unary, ARRIVING),
            calls: Places::new(CallKind::Unary, limits.calls),
            waits: Places::new(CallKind::Unary, limits.calls),
            health: Places::new(CallKind::Unary, HEALTH),
            streams: Places::new(CallKind::Stream, limits.streams),
            observer,
            limits,
            address: itself.address.clone(),
            told: Told::new(),
            deliver: Deliver::new(Arc::clone(&backend), workers.clone()),
            broadcast: Broadcast::new(Arc::clone(&backend), workers.clone()),
            discovery: Discovery::new(Arc::clone(&backend), workers, itself),
            backend,
        }
    }

    /// The places for calls of a method, and how many bytes its requests may have.
    pub(crate) fn terms(&self, path: &str) -> (&Places, usize) {
        let large = self.limits.message_bytes;
        match path {
            "/grpc.health.v1.Health/Check" => (&self.health, SMALL_BYTES),
            "/gateway.Gateway/CommitStatus" => (&self.waits, SMALL_BYTES),
            "/discovery.Discovery/Discover" => (&self.calls, SMALL_BYTES),
            "/orderer.AtomicBroadcast/Broadcast" => (&self.streams, large),
            "/gateway.Gateway/ChaincodeEvents"
            | "/grpc.health.v1.Health/Watch"
            | "/orderer.AtomicBroadcast/Deliver" => (&self.streams, SMALL_BYTES),
            path if path.starts_with("/protos.Deliver/") => (&self.streams, SMALL_BYTES),
            _ => (&self.calls, large),
        }
    }

    /// A channel whose resource somebody may use who has signed that they want to. A channel that there is not is
    /// told like one that they may not use.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(crate) fn permitted(
        &self,
        channel: &str,
        resource: &str,
        signed: SignedData<'_>,
    ) -> Result<Channel, Status> {
        if channel.len() > MAX_NAME {
            let text = "Failed to get policy manager: the name of the channel is too long";
            return Err(Status::permission_denied(text));
        }
        let found = self.backend.channel(channel);
        let found = found.filter(|found| found.access.is_some());
        let found = found.ok_or_else(|| {
            let text = format!("Failed to get policy manager for channel [{channel}]");
            Status::permission_denied(text)
        })?;
        let checked = found
            .access
            .as_ref()
            .map(|access| access.check(resource, signed));
        match checked {
            Some(Err(error)) => Err(Status::permission_denied(format!(
                "Failed evaluating policy on signed data during check policy on channel [{channel}]: {}",
                chain_of(&error)
            ))),
            _ => Ok(found),
        }
    }
}

/// The SHA-256 of the certificate that a client showed for its connection: an extension of its requests. Requests for
/// blocks are bound to it, so that nobody uses those of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownCertificate(pub [u8; 32]);

/// Places for calls of one kind. A cheap clone.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) kind: CallKind,
    all: usize,
    free: Arc<Semaphore>,
}

impl Places {
    fn new(kind: CallKind, all: usize) -> Self {
        Self {
            kind,
            all,
            free: Arc::new(Semaphore::new(all)),
        }
    }

    /// A place.
    ///
    /// # Errors
    /// All are taken: `RESOURCE_EXHAUSTED`.
    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.free).try_acquire_owned();
        place.map_err(|_| {
            let all = self.all;
            Status::resource_exhausted(format!(
                "too many requests, exceeding concurrency limit ({all})"
            ))
        })
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.free.available_permits(), self.all)
    }
}
