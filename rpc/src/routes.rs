//! Which method is handled by what.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use quire_peer::Threads;
use quire_wire::deliver::{BroadcastResponse, DeliverResponse};
use quire_wire::discovery::{Response as DiscoveryResponse, SignedRequest};
use tonic::Status;

use crate::backend::Backend;
use crate::call::{Answers, Caller, Requests, open, server_streaming, streaming, unary, unknown};
use crate::deliver::Service;
use crate::discovery::Itself;
use crate::observer::Observer;
use crate::services::{Limits, Services};
use crate::{endorser, gateway, health};

/// The answer to a call, as it is made.
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// The routes of Fabric's services, each `/package.Service/Method`. `itself` is the node as its clients see it. Work is
/// done on `threads`, which other doors may share.
pub fn router(
    backend: Arc<dyn Backend>,
    observer: Arc<dyn Observer>,
    (limits, threads): (Limits, Threads),
    itself: Itself,
) -> Router {
    let services = Services::new(backend, observer, (limits, threads), itself);
    routes(&Arc::new(services))
}

/// The same of an orderer alone, which has no state to ask for.
pub fn orderer_router(
    backend: Arc<dyn Backend>,
    observer: Arc<dyn Observer>,
    (limits, threads): (Limits, Threads),
    itself: Itself,
) -> Router {
    let services = Services::new(backend, observer, (limits, threads), itself);
    orderer_routes(&Arc::new(services))
}

/// A router of methods, each a path with the kind of its call and what handles it.
macro_rules! methods {
    ($services:ident: $($path:literal => $kind:ident $handle:expr;)*) => {
        Router::new()$(.route($path, {
            let services = Arc::clone($services);
            post(move |request: Request| -> Answering {
                match open(&services, request) {
                    Ok(call) => Box::pin($kind(services, call, $handle)),
                    Err(refused) => Box::pin(ready(*refused)),
                }
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

fn orderer_routes(services: &Arc<Services>) -> Router {
    let routes = methods! { services:
        "/orderer.AtomicBroadcast/Deliver" => streaming orderer_blocks;
        "/orderer.AtomicBroadcast/Broadcast" => streaming broadcast;
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
