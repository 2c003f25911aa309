//! The client at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

/// A certificate that was found valid, as whoever has issued it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Its number, as it stands in the certificate.
    pub serial: Vec<u8>,
    /// What it calls the key that signed it; empty where it says nothing.
    pub authority_key_id: Vec<u8>,
}

/// What a client showed for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The common name of its certificate.
    pub common_name: Arc<str>,
    /// Its certificate, and those between that and an authority as far as it showed them.
    pub chain: Vec<IssuedCertificate>,
}

/// What is known of the client of a connection. It goes with every request of the connection, as an
/// extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client certificate, if it showed a valid one that names one identity.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Its address, for the log; the server knows it of every connection that it has taken itself.
    pub address: Option<SocketAddr>,
}
