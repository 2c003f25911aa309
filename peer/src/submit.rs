//! What a caller hands in, and its outcome.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quire_chaincode::{Call, ChaincodeError, Invocation, Reach};
use quire_identity::SigningIdentity;
use quire_ledger::Meter;
use quire_ordering::{EnvelopeTooLarge, NotOrdered, Refused};
use quire_wire::Code;
use quire_wire::deliver::status;
use quire_wire::peer::{ChaincodeEvent, ProposalResponse};
use quire_wire::tx_id::NONCE_BYTES;
use tokio::sync::oneshot;

use crate::unendorsed::Unendorsed;
use crate::unpacked::{ProposalError, UnpackedProposal};
use crate::update::UpdateRefused;
use crate::watch::Watch;

/// What becomes of a transaction that was put into the order: its outcome, once the block is durable and state has
/// followed, or why the order turned it away after all. A dropped sender means that this is not known here.
pub type Promised = oneshot::Receiver<Result<Outcome, SubmitError>>;

/// The name under which the gateway's record of an attempt travels in a proposal.
pub const DECORATION: &str = "quire";

/// Turns calls into ordered transactions.
pub trait Submitter: Send + Sync {
    /// Simulates, signs and orders. Usually blocks for less than a millisecond. If the chaincode waits for
    /// somebody else, nothing blocks, and the outcome [follows](Invocation).
    fn submit(self: Arc<Self>, proposal: Proposal) -> Invocation<Result<Submitted, SubmitError>>;

    /// Runs a call without ordering it. Blocks as long as the proposal's meter allows its queries.
    fn evaluate(&self, proposal: Proposal) -> Invocation<Result<Evaluated, ChaincodeError>>;

    /// Runs a proposal that somebody else has signed, and endorses the outcome if it is sound and that is wanted. The
    /// answer to a call that failed has a status of 400 or more, and no endorsement. Blocks as long as `meter` allows the
    /// call's queries; if the chaincode waits for somebody else, nothing blocks, and the answer
    /// [follows](Invocation).
    ///
    /// # Errors
    /// The proposal was not looked at; see [`ProposalError`].
    fn propose(
        self: Arc<Self>,
        proposal: &UnpackedProposal,
        wanted: Wanted,
        meter: Meter,
    ) -> Result<Invocation<ProposalResponse>, ProposalError>;

    /// Puts an envelope of somebody else into the channel's order, if the channel lets it in. It is a
    /// transaction, or an update of the configuration (`CONFIG_UPDATE`); the outcome of an update is that of
    /// the new configuration.
    ///
    /// # Errors
    /// Nothing was ordered; see [`SubmitError`].
    fn order(&self, envelope: Bytes) -> Result<Promised, SubmitError>;

    /// Whether what was ordered may still be lost until its outcome is known, because the order is not of this process.
    /// Whoever answers that it is ordered waits for that.
    fn orders_later(&self) -> bool;

    /// Whether the transaction was ordered here and has no final outcome yet.
    fn is_pending(&self, tx_id: &str) -> bool;

    /// Waits for a transaction from now on, whoever orders it. One that is committed already is not told of: look
    /// for it after this was asked.
    fn watch(&self, tx_id: &str) -> Watch;
}

/// What somebody wants of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// An endorsement, to order the transaction.
    Endorsement,
    /// The chaincode's answer alone.
    Answer,
}

/// A call that is to become a transaction.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The creator, who also signs.
    pub identity: Arc<SigningIdentity>,
    /// The nonce, which makes the transaction id together with the creator.
    pub nonce: [u8; NONCE_BYTES],
    /// The transaction id: [`tx_id`](quire_wire::tx_id::tx_id) of both.
    pub tx_id: String,
    /// The call to run.
    pub call: Call,
    /// Whether it is the initialisation of its chaincode.
    pub is_init: bool,
    /// Goes into `ChaincodeInput.decorations` under [`DECORATION`]: what the gateway remembers of the request.
    pub decoration: Option<Bytes>,
    /// Counts the work of its queries, and ends it.
    pub meter: Meter,
    /// The channels that it may have told of.
    pub reach: Reach,
}

/// A transaction that was ordered.
#[derive(Debug)]
pub struct Submitted {
    /// Its id.
    pub tx_id: String,
    /// What the chaincode answered, as the block will hold it.
    pub result: Bytes,
    /// What the chaincode tells those who listen, as the block will hold it.
    pub event: Option<ChaincodeEvent>,
    /// Its outcome, once there is one.
    pub outcome: Promised,
}

/// The place and the verdict of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Block number.
    pub block: u64,
    /// Position in the block.
    pub tx: u64,
    /// The verdict.
    pub code: Code,
    /// Whether it is the very envelope that was handed in here. Another node may have ordered another one with this
    /// id: whoever has a result of its own looks at what is in the block.
    pub is_ours: bool,
}

/// Why nothing was ordered.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The channel takes no writes.
    #[error("the channel is read-only")]
    ReadOnly,
    /// The queues are full. The caller tries again later.
    #[error("the node is overloaded")]
    Overloaded {
        /// The time until then.
        retry_after: Duration,
    },
    /// The node starts or stops. The caller tries again later.
    #[error("the node is not ready")]
    NotReady,
    /// The state database does not answer. The operator looks at it.
    #[error("the state database does not answer")]
    StateUnavailable,
    /// What holds the channel's order does not answer now. The caller tries again later.
    #[error("the channel's order cannot be reached: {0}")]
    OrdererUnavailable(String),
    /// The channel's orderers, who are elsewhere, do not let the transaction in.
    #[error("the channel's orderers refuse the transaction: {status}: {info}", status = status::name(*.status))]
    RefusedByOrderer {
        /// A [`status`].
        status: i32,
        /// Why, in the orderer's words.
        info: String,
    },
    /// A write to disk failed: the channel takes no more writes until it is reopened.
    #[error("storage failed")]
    StorageFailed,
    /// The transaction exceeds the channel's limit.
    #[error("the transaction is larger than the channel allows")]
    TooLarge(#[source] EnvelopeTooLarge),
    /// This transaction id is known or pending already.
    #[error("a transaction with this id exists")]
    Duplicate,
    /// The channel does not let the transaction in: usually its creator may not write.
    #[error("the channel does not let the transaction in")]
    Refused(#[source] Refused),
    /// The update of the configuration cannot be made.
    #[error(transparent)]
    Config(UpdateRefused),
    /// The chaincode refused.
    #[error(transparent)]
    Chaincode(ChaincodeError),
    /// Others must endorse it too, and do not.
    #[error(transparent)]
    Unendorsed(#[from] Unendorsed),
}

/// The time until a caller tries a full queue again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Refused> for SubmitError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooLarge(too_large) => Self::TooLarge(too_large),
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
            NotOrdered::Unavailable(reason) => Self::OrdererUnavailable(reason),
        }
    }
}

/// The outcome of a call that was not ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// JSON text.
    pub result: Bytes,
    /// The height that the call saw.
    pub height: u64,
}
