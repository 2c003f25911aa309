//! The client at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

/// A valid certificate, as its issuer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The serial number in the certificate.
    pub serial: Vec<u8>,
    /// The certificate's name for the key that signed it; empty if it has none.
    pub authority_key_id: Vec<u8>,
}

/// The certificate that a client showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The common name of its certificate.
    pub common_name: Arc<str>,
    /// Its certificate, and the certificates that it showed between this one and an authority.
    pub chain: Vec<IssuedCertificate>,
}

/// What is known of the client of a connection. Every request of the connection has it as an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client certificate, if it showed a valid one that names one identity.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The SHA-256 of the certificate that it showed, if that was valid, whomever it names.
    pub certificate_sha256: Option<[u8; 32]>,
    /// Its address, for the log. The server knows the address of every connection that it accepted itself.
    pub address: Option<SocketAddr>,
}
