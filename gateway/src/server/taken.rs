//! What of the answers over HTTP/2 a client has yet to take, and since when.
//!
//! Over HTTP/1 a client that takes nothing stops the [edge](super::edge) from writing. Over HTTP/2 it need not:
//! a window that stays shut leaves nothing to write, and the connection well. So each step that is the
//! client's to make is entered here, and the oldest of them tells whether it is cut off.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// The steps of one connection.
#[derive(Debug, Default)]
pub(super) struct Untaken {
    // Held for an insertion or a removal, never across an await.
    steps: Mutex<Steps>,
    /// Told of the first step.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Steps {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

impl Untaken {
    /// A step is the client's from now on, until what is returned goes.
    fn due(self: &Arc<Self>) -> Due {
        let mut steps = self.steps.lock();
        let number = steps.next;
        steps.next += 1;
        steps.since.insert(number, Instant::now());
        if number == 0 {
            self.begun.notify_one();
        }
        Due {
            untaken: Arc::clone(self),
            number,
        }
    }

    /// Comes back when the client has left a step alone for `stall`, at most half as long again.
    pub(super) async fn stalls(&self, stall: Duration) {
        // Never told, and never woken, over HTTP/1.
        self.begun.notified().await;
        loop {
            sleep(stall / 2).await;
            let oldest = self.steps.lock().since.values().next().copied();
            if oldest.is_some_and(|since| since.elapsed() >= stall) {
                return;
            }
        }
    }
}

/// A step that is the client's to make.
#[derive(Debug)]
struct Due {
    untaken: Arc<Untaken>,
    number: u64,
}

impl Drop for Due {
    fn drop(&mut self) {
        self.untaken.steps.lock().since.remove(&self.number);
    }
}

/// A piece of an answer that has not gone out yet.
struct Piece {
    bytes: Bytes,
    _due: Due,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of an answer over HTTP/2.
pub(super) struct Watched {
    body: Body,
    untaken: Arc<Untaken>,
    /// There while the next piece is the client's to ask for.
    due: Option<Due>,
}

impl Watched {
    pub(super) fn new(body: Body, untaken: &Arc<Untaken>) -> Self {
        let due = (!body.is_end_stream()).then(|| untaken.due());
        Self {
            body,
            untaken: Arc::clone(untaken),
            due,
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let watched = &mut *self;
        watched.due = None;
        let polled = pin!(&mut watched.body).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = polled else {
            return polled;
        };
        let untaken = &watched.untaken;
        let frame = frame.map_data(|bytes| {
            Bytes::from_owner(Piece {
                bytes,
                _due: untaken.due(),
            })
        });
        if !watched.body.is_end_stream() {
            watched.due = Some(untaken.due());
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
