//! Why a transaction is not endorsed by all who must.

use crate::discovery::NoDescriptor;
use crate::others::Failure;

/// Why a transaction that others must endorse too is not endorsed by enough of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unendorsed {
    /// Nobody who could is known.
    #[error("nobody is known who could endorse it with this node")]
    Nobody(#[source] NoPlan),
    /// Peers were asked.
    #[error(transparent)]
    NotCollected(NotCollected),
}

/// Why nobody can say who is to endorse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    /// The channel's definitions cannot be read now.
    #[error("the channel's definitions cannot be read: {0}")]
    Read(String),
    /// No peers that are known suffice.
    #[error("{reason}")]
    NoPeers {
        /// Why.
        reason: NoDescriptor,
        /// Organisations of the channel of which no peer is known.
        without_peers: Vec<String>,
    },
}

/// Why there are not enough endorsements.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too few peers have endorsed the transaction{}", told(.0))]
pub struct NotCollected(pub Vec<Failure>);

fn told(failures: &[Failure]) -> String {
    let told: Vec<String> = failures.iter().map(ToString::to_string).collect();
    if told.is_empty() {
        return String::new();
    }
    format!(": {}", told.join("; "))
}
