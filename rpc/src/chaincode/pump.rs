//! Brings messages from a connection to a stream, and from the stream to the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream as FuturesStream;
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

/// The server's half.
pub(super) struct Answers(pub(super) Outgoing);

impl FuturesStream for Answers {
    type Item = Result<ChaincodeMessage, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(context).map(|message| message.map(Ok))
    }
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
