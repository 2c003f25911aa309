//! The services that share a listener, and what they share.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use quire_ledger::chain_of;
use quire_peer::{Channel, SignedData};
use quire_wire::deliver::{BroadcastResponse, DeliverResponse};
use quire_wire::discovery::{Response as DiscoveryResponse, SignedRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::backend::Backend;
use crate::broadcast::Broadcast;
use crate::call::{
    Answers, Caller, Requests, Threads, server_streaming, streaming, unary, unknown,
};
use crate::deliver::{Deliver, Service};
use crate::discovery::{Discovery, Itself};
use crate::observer::{CallKind, Observer};
use crate::workers::Workers;
use crate::{endorser, gateway, health};

/// The answer to a call, as it is made.
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Bounds on what callers may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request message, at most.
    pub message_bytes: usize,
    /// Calls with one answer that are worked on at a time, at most.
    pub calls: usize,
    /// Streams that are open at a time, at most.
    pub streams: usize,
    /// How long the queries of a call may take.
    pub query_timeout: Duration,
    /// How long a call waits for a transaction at most, whatever its caller allows.
    pub max_wait: Duration,
    /// Threads for work that waits for the disk.
    pub work_threads: usize,
    /// Threads for work that scans.
    pub scan_threads: usize,
}

/// The services of a node.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) limits: Limits,
    pub(crate) threads: Threads,
    pub(crate) calls: Places,
    pub(crate) streams: Places,
    /// Where clients reach this node: the address that details of errors name.
    pub(crate) address: String,
    pub(crate) deliver: Deliver,
    pub(crate) broadcast: Broadcast,
    pub(crate) discovery: Discovery,
}

/// The routes of Fabric's services, each `/package.Service/Method`. `itself` is the node as its clients see it.
pub fn router(
    backend: Arc<dyn Backend>,
    observer: Arc<dyn Observer>,
    limits: Limits,
    itself: Itself,
) -> Router {
    let workers = Workers::new(limits.work_threads);
    let services = Arc::new(Services {
        threads: Threads::new(
            limits.work_threads,
            limits.scan_threads,
            limits.query_timeout,
        ),
        calls: Places::new(CallKind::Unary, limits.calls),
        streams: Places::new(CallKind::Stream, limits.streams),
        observer,
        limits,
        address: itself.address.clone(),
        deliver: Deliver::new(Arc::clone(&backend), workers.clone()),
        broadcast: Broadcast::new(Arc::clone(&backend), workers.clone()),
        discovery: Discovery::new(Arc::clone(&backend), workers, itself),
        backend,
    });
    routes(&services)
}

/// A router of methods, each a path with the kind of its call and what handles it.
macro_rules! methods {
    ($services:ident: $($path:literal => $kind:ident $handle:expr;)*) => {
        Router::new()$(.route($path, {
            let services = Arc::clone($services);
            post(move |request: Request| -> Answering {
                Box::pin($kind(services, request, $handle))
            })
        }))*
    };
}

fn routes(services: &Arc<Services>) -> Router {
    let routes = methods! { services:
        "/gateway.Gateway/Evaluate" => unary gateway::evaluate;
        "/gateway.Gateway/Endorse" => unary gateway::endorse;
        "/gateway.Gateway/Submit" => unary gateway::submit;
        "/gateway.Gateway/CommitStatus" => unary gateway::commit_status;
        "/gateway.Gateway/ChaincodeEvents" => server_streaming gateway::chaincode_events;
        "/protos.Endorser/ProcessProposal" => unary endorser::process_proposal;
        "/protos.Deliver/Deliver" => streaming blocks;
        "/protos.Deliver/DeliverFiltered" => streaming filtered;
        "/protos.Deliver/DeliverWithPrivateData" => streaming with_private_data;
        "/orderer.AtomicBroadcast/Deliver" => streaming orderer_blocks;
        "/orderer.AtomicBroadcast/Broadcast" => streaming broadcast;
        "/discovery.Discovery/Discover" => unary discover;
        "/grpc.health.v1.Health/Check" => unary health::check;
        "/grpc.health.v1.Health/Watch" => server_streaming health::watch;
    };
    routes.fallback(|request: Request| async move { unknown(request.uri().path()) })
}

fn deliver(services: &Services, service: Service, requests: Requests) -> Answers<DeliverResponse> {
    let certificate = requests.certificate;
    Answers::new(services.deliver.serve(service, certificate, requests))
}

fn blocks(services: &Services, requests: Requests) -> Answers<DeliverResponse> {
    deliver(services, Service::Blocks, requests)
}

fn filtered(services: &Services, requests: Requests) -> Answers<DeliverResponse> {
    deliver(services, Service::Filtered, requests)
}

fn with_private_data(services: &Services, requests: Requests) -> Answers<DeliverResponse> {
    deliver(services, Service::WithPrivateData, requests)
}

fn orderer_blocks(services: &Services, requests: Requests) -> Answers<DeliverResponse> {
    deliver(services, Service::Orderer, requests)
}

fn broadcast(services: &Services, requests: Requests) -> Answers<BroadcastResponse> {
    Answers::new(services.broadcast.serve(requests))
}

async fn discover(
    services: Arc<Services>,
    request: SignedRequest,
    caller: Caller,
) -> Result<DiscoveryResponse, Status> {
    services
        .discovery
        .discover(caller.certificate, request)
        .await
}

impl Services {
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

/// Places for calls of one kind.
pub(crate) struct Places {
    pub(crate) kind: CallKind,
    pub(crate) all: usize,
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

    /// A place; `None` if all are taken.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.free.available_permits(), self.all)
    }
}
