//! The rest of a request's body, where its answer did not wait for it.
//!
//! Over HTTP/2 a body that nobody reads any more ends its stream with a reset, behind the answer, and
//! clients in common use take the one for the loss of the other. So what still comes is taken in, within
//! reason, while the answer is on its way.
//!
//! Over HTTP/1 a body that has not come yet when its answer is written ends the connection, though the
//! answer said nothing of that: a client that keeps it has its next request broken off. So what still
//! comes of a small body is taken in before the answer. Where more comes, the connection's
//! [edge](super::edge) hears it out.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long, and how much, is taken in of a body that nobody reads.
const REST: (Duration, usize) = (Duration::from_secs(5), 16 << 20);

/// A body of HTTP/2.
pub(super) struct Drained(Option<Incoming>);

impl Drained {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Body for Drained {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => pin!(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        // Without a runtime there is no connection either.
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(timeout(REST.0, take(rest)));
        }
    }
}

/// A body of HTTP/1, which leaves what nobody read of it.
pub(super) struct Leaving {
    body: Option<Incoming>,
    left: Arc<Mutex<Option<Incoming>>>,
}

impl Leaving {
    /// The second value has what is left once the first is dropped.
    pub(super) fn new(body: Incoming) -> (Self, Arc<Mutex<Option<Incoming>>>) {
        let left = Arc::default();
        let body = Self {
            body: Some(body),
            left: Arc::clone(&left),
        };
        (body, left)
    }
}

impl Body for Leaving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => pin!(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        *self.left.lock() = self.body.take().filter(|body| !body.is_end_stream());
    }
}

async fn take(mut body: Incoming) {
    let mut left = REST.1;
    while let Some(Ok(frame)) =
        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len));
        if left == 0 {
            return;
        }
    }
}
