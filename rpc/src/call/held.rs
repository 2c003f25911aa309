//! What a call holds in memory of its requests, out of the node's budget.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use quire_ledger::Room;
use tonic::Status;

use crate::backend::Backend;

/// The memory of one call. Its rooms are given back with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    backend: Arc<dyn Backend>,
    rooms: Arc<Mutex<Vec<Room>>>,
}

impl Held {
    pub(crate) fn new(backend: &Arc<dyn Backend>) -> Self {
        Self {
            backend: Arc::clone(backend),
            rooms: Arc::default(),
        }
    }

    /// Holds so many bytes more.
    ///
    /// # Errors
    /// There is no room: `RESOURCE_EXHAUSTED`.
    fn hold(&self, bytes: usize) -> Result<(), Status> {
        let room = self.backend.room(bytes);
        let room = room.ok_or_else(|| {
            Status::resource_exhausted("the memory for requests (--memory-budget) is used up")
        })?;
        self.rooms.lock().push(room);
        Ok(())
    }
}

/// The body of a request, whose bytes are held.
#[derive(Debug)]
pub(crate) struct Counted<B> {
    pub(crate) body: B,
    pub(crate) held: Held,
}

impl<B> Body for Counted<B>
where
    B: Body + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        if let Some(data) = frame.data_ref() {
            self.held.hold(data.remaining())?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
