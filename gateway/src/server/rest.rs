//! The rest of a request's body, if its answer did not wait for it.
//!
//! Over HTTP/2 a body that nobody reads any more ends its stream with a reset after the answer, and common
//! clients take the reset for the loss of the answer. So what still comes is read, within bounds, while the
//! answer is on its way.
//!
//! Over HTTP/1 a body that has not come yet when its answer is written ends the connection, although the
//! answer did not say so: a client that keeps the connection loses its next request. So the rest of a small
//! body is read before the answer. If more comes, the connection's [edge](super::edge) reads it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long, and how much, is read of a body that no handler reads.
const REST: (Duration, usize) = (Duration::from_secs(5), 16 << 20);

/// The place for the part of a body that nobody read.
pub(super) type Left = Arc<Mutex<Option<Incoming>>>;

/// The body of a request, which takes care of its rest if nobody reads it to its end.
pub(super) struct Rest {
    body: Option<Incoming>,
    /// The place for the rest; if there is no place, the rest is read here.
    left: Option<Left>,
}

impl Rest {
    /// The body of a request over HTTP/2: its rest is read here.
    pub(super) fn taken_in(body: Incoming) -> Body {
        Self::of(body, None)
    }

    /// The body of a request over HTTP/1; the second value has its rest once the first is dropped, and is
    /// `None` for a request without a body.
    pub(super) fn left(body: Incoming) -> (Body, Option<Left>) {
        let left = (!body.is_end_stream()).then(Left::default);
        (Self::of(body, left.clone()), left)
    }

    fn of(body: Incoming, left: Option<Left>) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        let body = Some(body);
        Body::new(Self { body, left })
    }
}

impl HttpBody for Rest {
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
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(HttpBody::size_hint);
        hint.unwrap_or_default()
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let Some(rest) = self.body.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        if let Some(left) = &self.left {
            *left.lock() = Some(rest);
        } else if let Ok(runtime) = Handle::try_current() {
            // Without a runtime there is no connection either.
            runtime.spawn(timeout(REST.0, take(rest)));
        }
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
