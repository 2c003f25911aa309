//! What a client has not taken yet of its answers over HTTP/2, and since when.
//!
//! Over HTTP/1 a client that takes nothing stops the [edge](super::edge) from writing. Over HTTP/2 it need
//! not: with a closed window there is nothing to write, and the connection is healthy. So each step that the
//! client must make is entered here, and each answer has a [`Pace`] of its own.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::pace::Pace;

/// How much of an answer is handed on in one step: it must be small to show that a large answer is taken
/// slowly.
const STEP_BYTES: usize = 64 << 10;

/// The answers of one connection.
#[derive(Debug)]
pub(super) struct Untaken {
    /// How long a client may let an answer wait.
    stall: Duration,
    // The lock is held for an insertion or a removal, never across an await.
    answers: Mutex<Answers>,
    /// Notified of the first answer.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Answers {
    next: u64,
    untaken: BTreeMap<u64, Taking>,
}

/// The progress of taking an answer.
#[derive(Debug)]
struct Taking {
    pace: Pace,
    /// The steps that the client must make.
    steps: usize,
}

impl Untaken {
    pub(super) fn new(stall: Duration) -> Self {
        Self {
            stall,
            answers: Mutex::default(),
            begun: Notify::new(),
        }
    }

    /// Enters an answer until the returned value is dropped.
    fn answer(self: &Arc<Self>) -> Arc<UntakenAnswer> {
        let mut answers = self.answers.lock();
        let number = answers.next;
        answers.next += 1;
        let taking = Taking {
            pace: Pace::new(self.stall),
            steps: 0,
        };
        answers.untaken.insert(number, taking);
        if number == 0 {
            self.begun.notify_one();
        }
        let untaken = Arc::clone(self);
        Arc::new(UntakenAnswer { untaken, number })
    }

    /// Returns when the client's time for one of its answers is over, at most `stall / 2` later.
    pub(super) async fn stalls(&self) {
        // Over HTTP/1 it is never notified, so this never wakes.
        self.begun.notified().await;
        loop {
            sleep(self.stall / 2).await;
            let now = Instant::now();
            let is_over = |taking: &Taking| taking.pace.deadline().is_some_and(|end| end <= now);
            if self.answers.lock().untaken.values().any(is_over) {
                return;
            }
        }
    }
}

/// An answer that is not wholly taken yet.
#[derive(Debug)]
struct UntakenAnswer {
    untaken: Arc<Untaken>,
    number: u64,
}

impl UntakenAnswer {
    /// From now on, until the returned value is dropped, the client must make a step: take this many bytes,
    /// or ask for more.
    fn due(self: &Arc<Self>, bytes: usize) -> Due {
        self.enter(|taking| {
            taking.steps += 1;
            taking.pace.wait();
        });
        Due {
            answer: Arc::clone(self),
            bytes,
        }
    }

    fn enter(&self, what: impl FnOnce(&mut Taking)) {
        let mut answers = self.untaken.answers.lock();
        // The entry exists as long as this does.
        answers.untaken.get_mut(&self.number).map(what);
    }
}

impl Drop for UntakenAnswer {
    fn drop(&mut self) {
        self.untaken.answers.lock().untaken.remove(&self.number);
    }
}

/// A step that the client must make.
#[derive(Debug)]
struct Due {
    answer: Arc<UntakenAnswer>,
    bytes: usize,
}

impl Drop for Due {
    fn drop(&mut self) {
        self.answer.enter(|taking| {
            taking.pace.moved(self.bytes);
            taking.steps -= 1;
            if taking.steps == 0 {
                taking.pace.stop();
            }
        });
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
    /// The bytes that have come and are not handed on yet.
    come: Bytes,
    answer: Arc<UntakenAnswer>,
    /// Set while the client must ask for the next piece.
    due: Option<Due>,
}

impl Watched {
    pub(super) fn new(body: Body, untaken: &Arc<Untaken>) -> Self {
        let answer = untaken.answer();
        let due = (!body.is_end_stream()).then(|| answer.due(0));
        Self {
            body,
            come: Bytes::new(),
            answer,
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
        if watched.come.is_empty() {
            let Some(frame) = ready!(pin!(&mut watched.body).poll_frame(context)) else {
                return Poll::Ready(None);
            };
            match frame?.into_data() {
                Ok(bytes) => watched.come = bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let bytes = watched.come.len().min(STEP_BYTES);
        let bytes = watched.come.split_to(bytes);
        let due = watched.answer.due(bytes.len());
        let piece = Bytes::from_owner(Piece { bytes, _due: due });
        if !watched.is_end_stream() {
            watched.due = Some(watched.answer.due(0));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.come.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (come, body) = (self.come.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + come);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + come);
        }
        hint
    }
}
