//! What a call holds in memory of its requests and answers, out of the node's budget.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use quire_ledger::Room;
use tonic::Status;

use crate::backend::Backend;

/// What a call may hold before its memory is taken in [larger pieces](PIECE): a part of the budget is kept for calls
/// that hold no more.
const SMALL: usize = 64 << 10;
/// What a call takes at a time that holds more.
const PIECE: usize = 256 << 10;

/// The room that a stream gives back after each message.
const KEPT: usize = 1 << 20;

/// The memory of one call. It is given back with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    backend: Arc<dyn Backend>,
    rooms: Arc<Mutex<Rooms>>,
}

#[derive(Debug, Default)]
struct Rooms {
    taken: Vec<Room>,
    /// Bytes that there is room for, and bytes that are held.
    all: usize,
    used: usize,
}

impl Held {
    pub(crate) fn new(backend: &Arc<dyn Backend>) -> Self {
        Self {
            backend: Arc::clone(backend),
            rooms: Arc::default(),
        }
    }

    /// Gives back what was held so far. A stream that had a large message keeps the room for it: so does its buffer.
    pub(super) fn release(&self) {
        let mut rooms = self.rooms.lock();
        if rooms.all > KEPT {
            rooms.used = 0;
        } else {
            *rooms = Rooms::default();
        }
    }

    /// Whether anything is held.
    pub(super) fn is_used(&self) -> bool {
        self.rooms.lock().used > 0
    }

    /// Holds so many bytes more.
    ///
    /// # Errors
    /// There is no room: `RESOURCE_EXHAUSTED`.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), Status> {
        let mut rooms = self.rooms.lock();
        let used = rooms.used + bytes;
        if used > rooms.all {
            let lacking = used - rooms.all;
            let more = if used <= SMALL {
                lacking
            } else {
                lacking.max(PIECE)
            };
            let room = self.backend.room(more).ok_or_else(|| {
                Status::resource_exhausted("the memory for requests (--memory-budget) is used up")
            })?;
            rooms.taken.push(room);
            rooms.all += more;
        }
        rooms.used = used;
        Ok(())
    }
}

/// The body of an answer, whose bytes are held until it is gone.
#[derive(Debug)]
pub(crate) struct HeldBody<B> {
    pub(crate) body: B,
    pub(crate) _held: Held,
}

impl<B: Body + Unpin> Body for HeldBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
