//! What the gRPC services ask of the node.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::Request;
use axum::middleware::map_request;
use quire_gateway::{Backend as _, ClientInfo, Limits, Server};
use quire_ledger::Room;
use quire_peer::{Channel, LocalPeer};
use quire_rpc::discovery::Itself;
use quire_rpc::stream_observer::StreamObserver;
use quire_rpc::{Backend, ShownCertificate};
use tokio::sync::watch;

use super::Node;
use crate::clock::SystemClock;

/// Bytes of a message, at most: what Fabric's peers take by default.
const MESSAGE_BYTES: usize = 100 << 20;
/// Streams of all connections, and of one.
const STREAMS: usize = 4096;
const STREAMS_OF_ONE: u32 = 1024;

/// The node as its gRPC services see it.
#[derive(Debug)]
struct Served {
    node: Arc<Node>,
    /// Answers proposals for no channel.
    local: Arc<LocalPeer>,
    /// Has the budget of what requests hold.
    api: Server,
}

/// A server of Fabric's services beside the API. `address` is where clients reach it.
pub(crate) fn server(node: &Arc<Node>, api: &Server, limits: Limits, address: String) -> Server {
    let served = Served {
        node: Arc::clone(node),
        local: Arc::new(LocalPeer::new(
            node.organization.msp(),
            &node.chaincode_host(),
            Arc::new(SystemClock),
        )),
        api: api.clone(),
    };
    let limits = quire_rpc::Limits {
        message_bytes: MESSAGE_BYTES,
        message_timeout: limits.body_timeout,
        calls: limits.requests,
        streams: STREAMS,
        query_timeout: limits.query_timeout,
        max_wait: limits.max_wait,
    };
    let calls = Arc::clone(&node.metrics.calls);
    let itself = Itself {
        identity: Arc::clone(&node.endorser),
        address,
        started: node.now(),
    };
    let (served, terms) = (Arc::new(served), (limits, api.threads()));
    let routes = if node.orders_only {
        quire_rpc::orderer_router(served, calls, terms, itself)
    } else {
        quire_rpc::router(served, calls, terms, itself)
    };
    let routes = routes.layer(map_request(|mut request: Request| async {
        let client = request.extensions().get::<ClientInfo>();
        let shown = client.and_then(|client| client.certificate_sha256);
        if let Some(shown) = shown {
            request.extensions_mut().insert(ShownCertificate(shown));
        }
        request
    }));
    api.beside(routes).with_streams(STREAMS_OF_ONE)
}

impl Backend for Served {
    fn channel(&self, name: &str) -> Option<Channel> {
        self.node.channel(name)
    }

    fn local(&self) -> Arc<LocalPeer> {
        Arc::clone(&self.local)
    }

    fn channels(&self) -> Vec<String> {
        self.node.channels()
    }

    fn msp_id(&self) -> String {
        self.node.organization().msp_id().to_owned()
    }

    fn now(&self) -> SystemTime {
        self.node.now()
    }

    fn stopping(&self) -> watch::Receiver<bool> {
        self.node.stopping()
    }

    fn room(&self, bytes: usize) -> Option<Room> {
        self.api.room(bytes)
    }

    fn stream_observer(&self) -> Arc<dyn StreamObserver> {
        Arc::clone(&self.node.metrics.streams) as Arc<_>
    }
}
