//! What is known of the other end of a connection.

use std::sync::Arc;

/// The other end of a connection, as the listener found out. It goes with every request of the
/// connection, as an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The common name of the client certificate, if it showed a valid one.
    pub certificate: Option<Arc<str>>,
}
