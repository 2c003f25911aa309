//! Brings messages from a connection to a stream, and from the stream to the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream as FuturesStream;
use futures_util::FutureExt as _;
use quire_chaincode::shim::{ShimError, Stream};
use quire_wire::shim::ChaincodeMessage;
use tonic::{Status, Streaming};

/// The messages for a process, as the body of a call or of its answer. When the connection drops it, the stream
/// ends.
pub(super) struct Outgoing(pub(super) Arc<Stream>);

impl Outgoing {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<ChaincodeMessage>> {
        self.0.poll_next(context)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.0.end(&ShimError::Gone);
    }
}

/// The client's half of a call.
impl FuturesStream for Outgoing {
    type Item = ChaincodeMessage;

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<ChaincodeMessage>> {
        self.poll(context)
    }
}

/// The server's half: it says why the stream ends, where that is the process's doing.
pub(super) struct Answers {
    outgoing: Outgoing,
    has_ended: bool,
}

impl Answers {
    pub(super) fn new(outgoing: Outgoing) -> Self {
        Self {
            outgoing,
            has_ended: false,
        }
    }
}

impl FuturesStream for Answers {
    type Item = Result<ChaincodeMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let next = match self.outgoing.poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(next) => next,
        };
        if let Some(message) = next {
            return Poll::Ready(Some(Ok(message)));
        }
        self.has_ended = true;
        let why = self.outgoing.0.process().ended().now_or_never();
        Poll::Ready(why.and_then(|why| status(&why)).map(Err))
    }
}

/// What a process is told about the end of its stream; nothing where the stream has just ended.
fn status(why: &ShimError) -> Option<Status> {
    let text = why.to_string();
    Some(match why {
        ShimError::Gone | ShimError::NotConnected => return None,
        ShimError::Unregistered(_) => Status::deadline_exceeded(text),
        ShimError::OtherName { .. } => Status::permission_denied(text),
        ShimError::TooLarge { .. }
        | ShimError::Flood
        | ShimError::Overfull(_)
        | ShimError::Crowded(_) => Status::resource_exhausted(text),
        ShimError::Malformed(_)
        | ShimError::OutOfTurn { .. }
        | ShimError::UnknownType(_)
        | ShimError::SameTransaction => Status::invalid_argument(text),
    })
}

/// Takes in what a process sends until either side ends the stream.
pub(super) async fn take_in(mut incoming: Streaming<ChaincodeMessage>, stream: &Stream) {
    loop {
        let why = match incoming.message().await {
            Ok(Some(message)) => match stream.take(message) {
                Ok(()) => continue,
                // The stream has ended itself.
                Err(_) => return,
            },
            Ok(None) => ShimError::Gone,
            Err(status) => {
                tracing::debug!(%status, "the stream of a chaincode broke off");
                ShimError::Gone
            }
        };
        stream.end(&why);
        return;
    }
}
