//! The client at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

/// What is known of the client of a connection. It goes with every request of the connection, as an
/// extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The common name of the client certificate, if it showed a valid one.
    pub certificate: Option<Arc<str>>,
    /// Its address, for the log; the server knows it of every connection that it has taken itself.
    pub address: Option<SocketAddr>,
}
