//! Chaincode as a service: the peer dials it.

use std::sync::Arc;

use http::uri::PathAndQuery;
use quire_chaincode::shim::Stream;
use quire_wire::shim::ChaincodeMessage;
use tonic::client::Grpc;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::pump::{Outgoing, take_in};
use crate::dial::{DialError, Target};

/// A chaincode that waits to be dialled.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// Bytes of a message from it, at most.
    pub message_bytes: usize,
}

/// Why a chaincode is not connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It cannot be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It refuses the stream.
    #[error("it refuses the stream")]
    Refused(#[source] Box<Status>),
}

/// Dials a chaincode, and carries a stream's messages until the stream ends.
///
/// # Errors
/// See [`ConnectError`]; the stream has ended then. That a stream which was open ended is no error.
pub async fn connect(server: &Server, stream: Stream) -> Result<(), ConnectError> {
    let channel = server.target.dial().await?;
    let mut grpc = Grpc::new(channel)
        .max_decoding_message_size(server.message_bytes)
        .max_encoding_message_size(usize::MAX);
    grpc.ready().await.map_err(DialError::Unreachable)?;
    let stream = Arc::new(stream);
    let outgoing = Outgoing(Arc::clone(&stream));
    let path = PathAndQuery::from_static("/protos.Chaincode/Connect");
    let codec = ProstCodec::<ChaincodeMessage, ChaincodeMessage>::default();
    let answer = grpc.streaming(Request::new(outgoing), path, codec).await;
    let answer = answer.map_err(|status| ConnectError::Refused(Box::new(status)))?;
    take_in(answer.into_inner(), &stream).await;
    Ok(())
}
