//! Streams of blocks: Fabric's `protos.Deliver` of peers and `orderer.AtomicBroadcast/Deliver`.
//!
//! ```text
//! envelopes with orderer.SeekInfo ──▶ who asks, may they? ──▶ from where to where ──▶ blocks, then a status
//!                                       again whenever the channel's configuration has changed
//! ```
//!
//! * [`Service`]: which stream of blocks.
//! * `seek`: from where to where.
//! * `session`: who asks, and whether they still may.
//! * `content`: what is sent of a block; `filtered` and `private` are two of the kinds.
//! * `stream`: one stream. It reads a block when it is asked for one, and holds no other.
//!
//! Nothing here knows a connection: messages come in and go out as streams.

mod content;
mod filtered;
mod private;
mod seek;
mod service;
mod session;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream::unfold;
use quire_wire::deliver::DeliverResponse;
use quire_wire::hash::Hash;
use tonic::Status;

use crate::backend::Backend;
use crate::stream_observer::StreamObserver;
use crate::workers::Workers;
pub use service::Service;
use stream::Reading;

/// Serves streams of blocks.
#[derive(Clone, Debug)]
pub struct Deliver {
    backend: Arc<dyn Backend>,
    workers: Workers,
    observer: Arc<dyn StreamObserver>,
}

impl Deliver {
    /// Of the channels of a node.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, workers: Workers) -> Self {
        Self {
            observer: backend.stream_observer(),
            backend,
            workers,
        }
    }

    /// The answers to `requests`, each a serialized `common.Envelope`. Under mutual TLS `certificate` is the SHA-256
    /// of the client's certificate, to which each request must be bound.
    ///
    /// A block is read when the answer with it is asked for. The stream ends behind the first status other than 200;
    /// it fails where Fabric's fails, and when the node stops.
    pub fn serve<R>(
        &self,
        service: Service,
        certificate: Option<Hash>,
        requests: R,
    ) -> impl Stream<Item = Result<DeliverResponse, Status>> + Send + use<R>
    where
        R: Stream<Item = Result<Bytes, Status>> + Send + Unpin + 'static,
    {
        let reading = Reading::new(self.clone(), service, certificate, requests);
        unfold(reading, |mut reading| async move {
            let response = reading.next().await?;
            Some((response, reading))
        })
    }
}
