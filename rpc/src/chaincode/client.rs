//! Chaincode as a service: the peer dials it.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use quire_chaincode::shim::Stream;
use quire_wire::shim::ChaincodeMessage;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::pump::{Outgoing, take_in};
use crate::tls::Tls;

/// Bytes of messages that are on their way in either direction without being taken: of a stream, and of a
/// connection.
const WINDOW_BYTES: u32 = 1 << 20;
/// A connection on which nothing is heard is asked as often whether it is alive, and given up after as long.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A chaincode that waits to be dialled.
#[derive(Clone, Debug)]
pub struct Server {
    /// `host:port`.
    pub address: String,
    /// How long dialling may take.
    pub dial_timeout: Duration,
    /// None for a connection in plain.
    pub tls: Option<Tls>,
    /// Bytes of a message from it, at most.
    pub message_bytes: usize,
}

/// Why a chaincode is not connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its address is none.
    #[error("{0:?} is no address of the form host:port")]
    Address(String),
    /// It does not answer, or not as a chaincode does.
    #[error("it cannot be reached")]
    Dial(#[source] tonic::transport::Error),
    /// It refuses the stream.
    #[error("it refuses the stream")]
    Refused(#[source] Box<Status>),
}

/// Dials a chaincode, and carries a stream's messages until the stream ends.
///
/// # Errors
/// See [`ConnectError`]; the stream has ended then. That a stream which was open ended is no error.
pub async fn connect(server: &Server, stream: Stream) -> Result<(), ConnectError> {
    let channel = dial(server).await?;
    let mut grpc = Grpc::new(channel)
        .max_decoding_message_size(server.message_bytes)
        .max_encoding_message_size(usize::MAX);
    grpc.ready().await.map_err(ConnectError::Dial)?;
    let stream = Arc::new(stream);
    let outgoing = Outgoing(Arc::clone(&stream));
    let path = PathAndQuery::from_static("/protos.Chaincode/Connect");
    let codec = ProstCodec::<ChaincodeMessage, ChaincodeMessage>::default();
    let answer = grpc.streaming(Request::new(outgoing), path, codec).await;
    let answer = answer.map_err(|status| ConnectError::Refused(Box::new(status)))?;
    take_in(answer.into_inner(), &stream).await;
    Ok(())
}

async fn dial(server: &Server) -> Result<Channel, ConnectError> {
    let bad_address = || ConnectError::Address(server.address.clone());
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address));
    let endpoint = endpoint
        .map_err(|_| bad_address())?
        .connect_timeout(server.dial_timeout)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    let has_port = endpoint.uri().port().is_some();
    if !has_port || endpoint.uri().path() != "/" {
        return Err(bad_address());
    }
    let connected = match server.tls.clone() {
        None => endpoint.connect().await,
        Some(tls) => {
            let connector = service_fn(move |uri: Uri| handshake(uri, tls.clone()));
            endpoint.connect_with_connector(connector).await
        }
    };
    connected.map_err(ConnectError::Dial)
}

async fn handshake(
    uri: Uri,
    tls: Tls,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let socket = TcpStream::connect(authority).await?;
    socket.set_nodelay(true)?;
    let connector = TlsConnector::from(tls.config);
    let stream = connector.connect(tls.name, socket).await?;
    Ok(TokioIo::new(stream))
}
