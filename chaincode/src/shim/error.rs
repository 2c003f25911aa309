//! Why the process of a chaincode can serve no call.

use std::time::Duration;

use quire_wire::DecodeError;
use quire_wire::shim::MessageType;

/// What happened to the process of a chaincode, or to what was sent to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShimError {
    /// It has not registered, or its stream is gone.
    #[error("its process is not connected")]
    NotConnected,
    /// It dialled, and did not register in time.
    #[error("its process did not register within {0:?}")]
    Unregistered(Duration),
    /// The stream ended with the call under way. The text ends as that of Fabric's peers, by which gateways know it.
    #[error("its process went away: chaincode stream terminated")]
    Gone,
    /// It sent what cannot be read.
    #[error("its process sent a message that cannot be read")]
    Malformed(#[source] DecodeError),
    /// It sent a message that does not belong where it came.
    #[error("its process sent {} while its stream was {state}", message.name())]
    OutOfTurn {
        /// What it sent.
        message: MessageType,
        /// What it had said before.
        state: &'static str,
    },
    /// It sent a message of a type that nobody knows.
    #[error("its process sent a message of type {0}")]
    UnknownType(i32),
    /// It registered under another name than it should have.
    #[error("its process registered as {found:?} in place of {expected:?}")]
    OtherName {
        /// Which name it should have.
        expected: String,
        /// Which name it gave.
        found: String,
    },
    /// It sent a message that is too large.
    #[error("its process sent {size_bytes} bytes, at most {limit_bytes} are allowed")]
    TooLarge {
        /// How large.
        size_bytes: usize,
        /// How large it may be.
        limit_bytes: usize,
    },
    /// It asks faster than it takes the answers, or for transactions that are not its own.
    #[error("its process sends more than it takes")]
    Flood,
    /// More waits for it, or is held for its calls, than may be.
    #[error("more than {0} bytes wait for its process or are held for its calls")]
    Overfull(usize),
    /// It has as many calls under way as it may.
    #[error("its process has {0} calls under way, which is the most")]
    Crowded(usize),
    /// A call of that transaction is under way in it.
    #[error("its process has a call of that transaction already")]
    SameTransaction,
}
