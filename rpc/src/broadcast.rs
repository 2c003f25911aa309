//! Envelopes for a channel's order: Fabric's `orderer.AtomicBroadcast/Broadcast`.
//!
//! A status of 200 says that the envelope is in the channel's order, and not that it is in a block.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use quire_wire::common::header_type;
use quire_wire::deliver::{BroadcastResponse, status};
use quire_wire::tolerant;
use tokio::sync::watch;
use tonic::Status;

use crate::backend::Backend;
use crate::failure::{stopped, stops, unreadable};
use crate::ordered::{NotOrdered, order};
use crate::stream_observer::{Broadcasted, Event, StreamObserver};
use crate::workers::Workers;

/// What stands for a channel that there is not, and for what was not seen.
const UNKNOWN: &str = "unknown";

/// Takes envelopes for the channels of a node.
#[derive(Clone, Debug)]
pub struct Broadcast {
    backend: Arc<dyn Backend>,
    workers: Workers,
    observer: Arc<dyn StreamObserver>,
}

/// Somebody who sends envelopes.
struct Sending<R> {
    broadcast: Broadcast,
    requests: R,
    stopping: watch::Receiver<bool>,
    has_ended: bool,
}

impl Broadcast {
    /// To the channels of a node.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, workers: Workers) -> Self {
        Self {
            observer: backend.stream_observer(),
            backend,
            workers,
        }
    }

    /// The answers to `requests`, each a serialized `common.Envelope`. The next request is taken when the answer to the
    /// one before was. The stream ends behind the first status other than 200; it fails where Fabric's fails, and when
    /// the node stops.
    pub fn serve<R>(
        &self,
        requests: R,
    ) -> impl Stream<Item = Result<BroadcastResponse, Status>> + Send + use<R>
    where
        R: Stream<Item = Result<Bytes, Status>> + Send + Unpin + 'static,
    {
        let sending = Sending {
            broadcast: self.clone(),
            requests,
            stopping: self.backend.stopping(),
            has_ended: false,
        };
        unfold(sending, |mut sending| async move {
            let response = sending.next().await?;
            Some((response, sending))
        })
    }

    /// Orders an envelope, and tells that it was answered.
    async fn answer(&self, envelope: Bytes) -> Result<BroadcastResponse, Status> {
        let began = Instant::now();
        let backend = Arc::clone(&self.backend);
        let attempt = self.workers.run(move || {
            // As Go writes it that has read it: so it stands in blocks.
            let envelope = tolerant::canonical_envelope(envelope).map_err(|_| unreadable())?;
            Ok(order(&*backend, envelope))
        });
        let attempt = attempt.await.and_then(|attempt| attempt)?;
        let placed = match attempt.outcome {
            Ok(handed) => handed.wait().await,
            Err(refused) => Err(refused),
        };
        let (status, info) = match placed {
            Ok(()) => (status::SUCCESS, String::new()),
            Err(NotOrdered { status, info }) => (status, info),
        };
        self.observer.observe(&Event::Broadcast(&Broadcasted {
            channel: attempt.channel.as_deref().unwrap_or(UNKNOWN),
            kind: attempt.header_type.map_or(UNKNOWN, header_type::name),
            status: status::name(status),
            took: began.elapsed(),
        }));
        Ok(BroadcastResponse { status, info })
    }
}

impl<R> Sending<R>
where
    R: Stream<Item = Result<Bytes, Status>> + Unpin,
{
    /// The answer to the next request; none where the stream has ended.
    async fn next(&mut self) -> Option<Result<BroadcastResponse, Status>> {
        if self.has_ended {
            return None;
        }
        let envelope = tokio::select! {
            biased;
            () = stops(&mut self.stopping) => Err(stopped()),
            envelope = self.requests.next() => envelope?,
        };
        let answer = match envelope {
            Ok(envelope) => self.broadcast.answer(envelope).await,
            Err(status) => Err(status),
        };
        let succeeded = answer.as_ref();
        self.has_ended = !succeeded.is_ok_and(|answer| answer.status == status::SUCCESS);
        Some(answer)
    }
}
