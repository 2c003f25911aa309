//! What the gateway asks of the node.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quire_chaincode::{Call, ChaincodeError};
use quire_identity::token::NotAuthenticated;
use quire_identity::{SigningIdentity, Token};
use quire_ledger::{Meter, ReadError, Reader};
use quire_wire::Code;
use quire_wire::tx_id::NONCE_BYTES;
use tokio::sync::{oneshot, watch};

use crate::access::Caller;

/// The node behind the gateway.
pub trait Backend: Send + Sync + 'static {
    /// What runs.
    fn build(&self) -> BuildInfo;

    /// The names of all channels, sorted.
    fn channels(&self) -> Vec<String>;

    /// A channel by its name. Never blocks.
    fn channel(&self, name: &str) -> Option<Channel>;

    /// The channels that did not open when the node started, by name, each with why. They are not among
    /// [`Self::channels`], which are served all the same.
    fn closed_channels(&self) -> Vec<FailedCheck> {
        Vec::new()
    }

    /// Creates a channel; it is durable and open when this returns. Blocks.
    ///
    /// # Errors
    /// See [`CreateChannelError`].
    fn create_channel(&self, name: &str) -> Result<(), CreateChannelError>;

    /// What keeps the node from its work now; empty when nothing does.
    fn failed_checks(&self) -> Vec<FailedCheck>;

    /// The channels in which reads have met damaged blocks, each with which and what to do about it. Those
    /// blocks are refused, and everything else is served.
    fn damaged_blocks(&self) -> Vec<FailedCheck> {
        Vec::new()
    }

    /// Whether the node takes requests: false while it starts and while it stops.
    fn ready(&self) -> bool;

    /// Becomes true when the node is asked to stop: streams end, and nobody waits for long.
    fn stopping(&self) -> watch::Receiver<bool>;

    /// Which levels are logged, in Fabric's notation: `info`, `gateway=debug:warn`.
    fn log_spec(&self) -> String;

    /// Changes at once which levels are logged.
    ///
    /// # Errors
    /// The text is none of that notation.
    fn set_log_spec(&self, spec: &str) -> Result<(), InvalidLogSpec>;

    /// The identity of callers that show no credential.
    fn default_identity(&self) -> Arc<SigningIdentity>;

    /// Whether callers must show a credential: once a token was made.
    fn authentication_required(&self) -> bool;

    /// Whose credential this is, and what it is good for. Reads a few files the first time an
    /// identity is met.
    ///
    /// # Errors
    /// See [`AuthenticateError`].
    fn authenticate(&self, credential: Credential<'_>) -> Result<Caller, AuthenticateError>;

    /// Whether a token that [`Self::authenticate`] gave is still good: neither revoked, nor rotated,
    /// nor expired since. Never blocks: what stays open asks before each piece.
    fn still_holds(&self, token: &Arc<Token>) -> bool;

    /// Where the gateway puts its metrics, and what `/metrics` shows.
    fn registry(&self) -> prometheus::Registry {
        prometheus::Registry::new()
    }

    /// Whether requests are counted; where not, `/metrics` is not found.
    fn counts(&self) -> bool {
        true
    }

    /// The clock.
    fn now(&self) -> SystemTime;

    /// Fresh randomness, for nonces and request ids.
    fn random_nonce(&self) -> [u8; NONCE_BYTES];
}

/// What a caller shows of who it is.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A token.
    Token(&'a str),
    /// The common name of a valid client certificate.
    Certificate(&'a str),
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(..)"),
            Self::Certificate(name) => f.debug_tuple("Certificate").field(name).finish(),
        }
    }
}

/// Why a credential lets nobody in.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// It is not good, or no longer. The caller gets another one.
    #[error(transparent)]
    Not(#[from] NotAuthenticated),
    /// The certificate is good, but nobody said what its identity may do. The operator makes a
    /// token for it.
    #[error("no token was made for certificates of {0}")]
    NoRights(String),
    /// The identity's files failed. The operator looks at them.
    #[error("the identity of a token cannot be used")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What `/version` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The release, as `1.2.3`.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
}

/// A reason why the node is not healthy, in Fabric's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCheck {
    /// What is not well, as `channel main`.
    pub component: String,
    /// Why.
    pub reason: String,
}

/// What is wrong with a log specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLogSpec(pub String);

/// Why a channel was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateChannelError {
    /// There is one of that name. The caller picks another.
    #[error("channel {0} exists")]
    Exists(String),
    /// The name breaks the rules for names. The caller picks another.
    #[error("{0}")]
    InvalidName(String),
    /// The state database is away, or cannot be used. The operator looks at it.
    #[error("channel {name} could not be begun")]
    State {
        /// The channel.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// The disk failed. The operator looks at the log.
    #[error("channel {name} could not be stored")]
    StorageFailed {
        /// The channel.
        name: String,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One channel: its reads and its writes. A cheap clone.
#[derive(Clone)]
pub struct Channel {
    /// Its name.
    pub name: Arc<str>,
    /// All reads.
    pub reader: Reader,
    /// All writes.
    pub submitter: Arc<dyn Submitter>,
    /// Whether it refuses writes, as imported channels do.
    pub read_only: bool,
    /// How many blocks can be read, told after each commit. It closes when no commit will follow.
    pub heights: watch::Receiver<u64>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// Turns calls into ordered transactions.
pub trait Submitter: Send + Sync {
    /// Simulates, signs and orders. Blocks for less than a millisecond as a rule.
    ///
    /// # Errors
    /// Nothing was ordered; see [`SubmitError`].
    fn submit(&self, proposal: Proposal) -> Result<Submitted, SubmitError>;

    /// Runs a call without ordering it. Blocks, for as long as `meter` lets its queries.
    ///
    /// # Errors
    /// See [`EvaluateError`].
    fn evaluate(&self, call: &Call, meter: Meter) -> Result<Evaluated, EvaluateError>;

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
    /// Goes into `ChaincodeInput.decorations["quire"]`, see [`crate::idempotency`].
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
    /// The chaincode refused.
    #[error(transparent)]
    Chaincode(ChaincodeError),
}

/// What a call gave without being ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// JSON text.
    pub result: Bytes,
    /// The height that the call saw.
    pub height: u64,
}

/// Why a call could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// Too many calls at a time. The caller comes back later.
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
    /// The chaincode refused.
    #[error(transparent)]
    Chaincode(ChaincodeError),
}
