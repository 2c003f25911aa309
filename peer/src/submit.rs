//! What a caller hands in, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quire_chaincode::{Call, ChaincodeError, Invocation};
use quire_identity::SigningIdentity;
use quire_ledger::Meter;
use quire_ordering::{NotOrdered, Refused};
use quire_wire::Code;
use quire_wire::tx_id::NONCE_BYTES;
use tokio::sync::oneshot;

use crate::update::UpdateRefused;

/// The name under which the gateway's record of an attempt travels in a proposal.
pub const DECORATION: &str = "quire";

/// Turns calls into ordered transactions.
pub trait Submitter: Send + Sync {
    /// Simulates, signs and orders. Blocks for less than a millisecond as a rule; where the chaincode waits
    /// for somebody else, nothing blocks, and what comes of it [follows](Invocation).
    fn submit(self: Arc<Self>, proposal: Proposal) -> Invocation<Result<Submitted, SubmitError>>;

    /// Runs a call without ordering it. Blocks, for as long as `meter` lets its queries.
    fn evaluate(&self, call: &Call, meter: Meter) -> Invocation<Result<Evaluated, ChaincodeError>>;

    /// Puts an envelope into the channel's order that somebody else made, if the channel lets it in: a
    /// transaction, or an update of the configuration (`CONFIG_UPDATE`), of which the outcome is that of the
    /// configuration it leads to.
    ///
    /// # Errors
    /// Nothing was ordered; see [`SubmitError`].
    fn order(&self, envelope: Bytes) -> Result<oneshot::Receiver<Outcome>, SubmitError>;

    /// Whether the transaction was ordered here and has no final outcome yet.
    fn is_pending(&self, tx_id: &str) -> bool;
}

/// A call on its way to becoming a transaction.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Who asks: the creator, which also signs.
    pub identity: Arc<SigningIdentity>,
    /// Makes the transaction id, together with the creator.
    pub nonce: [u8; NONCE_BYTES],
    /// The transaction id: [`tx_id`](quire_wire::tx_id::tx_id) of both.
    pub tx_id: String,
    /// What to run.
    pub call: Call,
    /// Goes into `ChaincodeInput.decorations` under [`DECORATION`]: what the gateway remembers of the request.
    pub decoration: Option<Bytes>,
    /// Counts the work of its queries, and ends it.
    pub meter: Meter,
}

/// A transaction that was ordered.
#[derive(Debug)]
pub struct Submitted {
    /// Its id.
    pub tx_id: String,
    /// What the chaincode answered, as it will stand in the block.
    pub result: Bytes,
    /// Its outcome, once the block is durable and state has followed. A dropped sender means that
    /// the outcome is not known here.
    pub outcome: oneshot::Receiver<Outcome>,
}

/// Where a transaction ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Block number.
    pub block: u64,
    /// Position in the block.
    pub tx: u64,
    /// The verdict.
    pub code: Code,
}

/// Why nothing was ordered.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The channel takes no writes.
    #[error("the channel is read-only")]
    ReadOnly,
    /// Queues are full. The caller comes back later.
    #[error("the node is overloaded")]
    Overloaded {
        /// When.
        retry_after: Duration,
    },
    /// The node starts or stops. The caller comes back later.
    #[error("the node is not ready")]
    NotReady,
    /// The state database does not answer. The operator looks at it.
    #[error("the state database does not answer")]
    StateUnavailable,
    /// A write to disk failed: the channel takes no more until it is reopened.
    #[error("storage failed")]
    StorageFailed,
    /// The transaction exceeds the channel's limit.
    #[error("the transaction is larger than the channel allows")]
    TooLarge,
    /// This transaction id is known or pending already.
    #[error("a transaction with this id exists")]
    Duplicate,
    /// The channel does not let the transaction in: its creator may not write, mostly.
    #[error("the channel does not let the transaction in")]
    Refused(#[source] Refused),
    /// The update of the configuration cannot be made.
    #[error(transparent)]
    Config(UpdateRefused),
    /// The chaincode refused.
    #[error(transparent)]
    Chaincode(ChaincodeError),
}

/// When to come back to a full queue.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Refused> for SubmitError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooLarge(_) => Self::TooLarge,
            refused => Self::Refused(refused),
        }
    }
}

impl From<NotOrdered> for SubmitError {
    fn from(error: NotOrdered) -> Self {
        match error {
            NotOrdered::Full => Self::Overloaded {
                retry_after: RETRY_AFTER,
            },
            NotOrdered::Closed => Self::NotReady,
            NotOrdered::Broken => Self::StorageFailed,
            NotOrdered::Elsewhere => Self::ReadOnly,
        }
    }
}

/// What a call gave without being ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// JSON text.
    pub result: Bytes,
    /// The height that the call saw.
    pub height: u64,
}
