//! The other end of a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What is known of the other end of a connection. It goes with every request of the connection,
/// as an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The common name of the client certificate, if it showed a valid one.
    pub certificate: Option<Arc<str>>,
    /// Its address, for the log; the server knows it of every connection that it has taken itself.
    pub address: Option<SocketAddr>,
}

/// What happens between the network and HTTP: nothing, or TLS.
pub trait Handshake: Clone + Send + Sync + 'static {
    /// What HTTP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes a stream of a fresh connection. Is given as long as the head of a request; an error
    /// ends the connection.
    fn shake(
        &self,
        tcp: TcpStream,
    ) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}
