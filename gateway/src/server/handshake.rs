//! What happens between the network and HTTP.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::client_info::ClientInfo;

/// What happens between the network and HTTP: nothing, or TLS.
pub trait Handshake: Clone + Send + Sync + 'static {
    /// The stream for HTTP.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes a stream of a new connection. It has as much time as the head of a request; an error ends the
    /// connection.
    fn shake(
        &self,
        tcp: TcpStream,
    ) -> impl Future<Output = io::Result<(Self::Stream, ClientInfo)>> + Send;
}
