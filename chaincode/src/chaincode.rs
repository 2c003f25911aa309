//! What a chaincode is, how it is called, and how it refuses.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use quire_ledger::{FindError, Height, KeepError, QueryError, ReadError, Simulator, TooExpensive};

use crate::condition::Expect;
use crate::hints::Hints;
use crate::invocation::{Invocation, Weight};
use crate::json::JsonError;
use crate::name::NameError;
use crate::proposed::Proposed;
use crate::shim::ShimError;

/// The logic that governs a namespace.
///
/// An implementation is a function of the call and of what it reads through the simulator: no
/// clock, no randomness, nothing of the node it runs on.
pub trait Chaincode: Send + Sync + Debug {
    /// Begins one call. One of this process is [done](Invocation::Done) when this returns; one that asks
    /// another process [waits](Invocation::wait) for it, and has the simulator with it meanwhile. What it needs
    /// of the transaction beside the call it asks `proposed` for, before it returns.
    fn invoke(
        &self,
        call: &Call,
        proposed: &dyn Proposed,
        simulator: Simulator,
    ) -> Invocation<Simulated>;

    /// The version that transactions name.
    fn version(&self) -> String {
        String::new()
    }

    /// What it costs to begin a call. Cheap: it is asked before every call.
    fn weight(&self, _call: &Call) -> Weight {
        Weight::Scan
    }

    /// Whether every argument is a JSON text, as for the built-in chaincode. Others get texts and bytes.
    fn takes_json(&self) -> bool {
        false
    }

    /// Whether this node has its code, or is told where it runs.
    fn has_package(&self) -> bool {
        true
    }

    /// What can be told of a call before it runs. May read all of its arguments.
    fn hints(&self, _call: &Call) -> Hints {
        Hints::default()
    }
}

/// What a call left behind.
#[derive(Debug)]
pub struct Simulated {
    /// With what the call read and wrote.
    pub simulator: Simulator,
    /// What the chaincode answered. Where it is an error, what was recorded is to be thrown away.
    pub answer: Result<Answer, ChaincodeError>,
}

/// The answer of a chaincode to a call that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Fabric's status, below 400.
    pub status: i32,
    /// What it says beside the result; mostly nothing.
    pub message: String,
    /// The result; of the built-in chaincode a JSON text.
    pub payload: Bytes,
    /// What it tells those who listen, once the transaction is in a block and valid. What a chaincode that
    /// was called by another tells, the caller passes on or does not; in Fabric it does not.
    pub event: Option<Event>,
}

/// What a chaincode tells those who listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// What it tells.
    pub payload: Bytes,
}

impl Answer {
    /// Fabric's status of a call that went well.
    pub const OK: i32 = 200;

    /// A result, without more.
    #[must_use]
    pub fn of(payload: Bytes) -> Self {
        Self {
            status: Self::OK,
            message: String::new(),
            payload,
            event: None,
        }
    }
}

/// One call of a function of a chaincode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The chaincode, which is also the namespace it governs.
    pub chaincode: String,
    /// What to do.
    pub function: String,
    /// With what; for the built-in chaincode every argument is a JSON text.
    pub args: Vec<Bytes>,
}

/// Why a call came to nothing. All but [`Self::Read`] are for the caller to mend.
#[derive(Debug, thiserror::Error)]
pub enum ChaincodeError {
    /// An argument is missing, superfluous or of the wrong kind.
    #[error("{0}")]
    InvalidArgument(String),
    /// A text is not JSON, or not of the strict kind that Quire keeps.
    #[error("{0}")]
    InvalidJson(String),
    /// A namespace or key that cannot be written.
    #[error("{0}")]
    InvalidName(String),
    /// A value has a top-level member with this name, which is reserved.
    #[error("the top-level member {0:?} is reserved")]
    ReservedMember(String),
    /// A value, as given or as it came out of a merge, exceeds the limit.
    #[error("a value of {size_bytes} bytes, at most {limit_bytes} are allowed")]
    TooLarge {
        /// Bytes of the value.
        size_bytes: usize,
        /// The most it may have.
        limit_bytes: usize,
    },
    /// A key that has to exist does not.
    #[error("there is no key {key:?} in namespace {namespace:?}")]
    KeyNotFound {
        /// Where it was sought.
        namespace: String,
        /// What was sought.
        key: String,
    },
    /// What the caller demanded of a key's version does not hold.
    #[error("key {key:?} in namespace {namespace:?} {expected}, but {}", found_text(expected, *found))]
    PreconditionFailed {
        /// Which operation of the call demanded it, from 0.
        operation: usize,
        /// The key's namespace.
        namespace: String,
        /// The key.
        key: String,
        /// What was demanded.
        expected: Expect,
        /// The key's committed version; none where it does not exist. A `create` of a key that
        /// only an earlier operation of the same transaction wrote fails with none, too.
        found: Option<Height>,
    },
    /// The chaincode has no such function.
    #[error("chaincode {chaincode:?} has no function {function:?}; it has {}", functions.join(", "))]
    UnknownFunction {
        /// The chaincode that was called.
        chaincode: String,
        /// What was asked of it.
        function: String,
        /// The functions that it has.
        functions: &'static [&'static str],
    },
    /// A deployed chaincode said no; this is what it said.
    #[error("{message}")]
    Refused {
        /// Fabric's status, 400 or more.
        status: i32,
        /// Why not.
        message: String,
        /// What it gave all the same; mostly nothing.
        payload: Bytes,
    },
    /// A deployed chaincode was not run: its definition does not allow the call.
    #[error("{0}")]
    NotRun(String),
    /// The channel's configuration does not let the caller submit calls of the built-in chaincode.
    #[error("the channel takes no such call of the built-in chaincode from this caller: {0}")]
    NotAllowed(String),
    /// The process of a deployed chaincode is not there, went away, or did what its protocol forbids.
    #[error("chaincode {chaincode:?} is not available")]
    Unavailable {
        /// Which one.
        chaincode: String,
        /// What happened to it.
        source: ShimError,
    },
    /// A chaincode called one that the channel does not have.
    #[error("channel {channel:?} has no chaincode {chaincode:?}")]
    NotFound {
        /// The channel that was asked.
        channel: String,
        /// What it has not.
        chaincode: String,
    },
    /// A deployed chaincode did not come to an end in time.
    #[error("chaincode {chaincode:?} did not answer within {} seconds", timeout.as_secs_f32())]
    TimedOut {
        /// Which one.
        chaincode: String,
        /// How long it had.
        timeout: Duration,
    },
    /// A call wrote to a private collection that is not its organisation's own, the only one whose values this
    /// node keeps: nobody would have them.
    #[error(
        "the call writes to collection {collection:?} of namespace {namespace:?}: private data is not supported \
         yet, but for the implicit collection of this node's organisation"
    )]
    PrivateData {
        /// The namespace.
        namespace: String,
        /// The collection.
        collection: String,
    },
    /// What a call wrote to its organisation's collection cannot be kept.
    #[error(transparent)]
    NotKept(#[from] KeepError),
    /// A rich query that is not well-formed, or cannot be asked inside of a transaction.
    #[error(transparent)]
    InvalidQuery(#[from] QueryError),
    /// The rich queries of a call take too much work, or too long.
    #[error(transparent)]
    TooExpensive(#[from] TooExpensive),
    /// The ledger could not be read.
    #[error("the ledger could not be read")]
    Read(#[from] ReadError),
}

fn found_text(expected: &Expect, found: Option<Height>) -> String {
    match (expected, found) {
        (_, Some(version)) => format!("its version is {version}"),
        (Expect::Absent, None) => "an earlier operation writes it".to_owned(),
        (_, None) => "it does not exist".to_owned(),
    }
}

impl ChaincodeError {
    /// A deployed chaincode's plain no: Fabric's status 500.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused {
            status: 500,
            message: message.into(),
            payload: Bytes::new(),
        }
    }
}

impl From<JsonError> for ChaincodeError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::ReservedMember { name } => Self::ReservedMember(name),
            other => Self::InvalidJson(format!("not a JSON text that can be kept: {other}")),
        }
    }
}

impl From<FindError> for ChaincodeError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Query(error) => Self::InvalidQuery(error),
            FindError::Read(error) => Self::Read(error),
            FindError::TooExpensive(why) => Self::TooExpensive(why),
        }
    }
}

impl From<NameError> for ChaincodeError {
    fn from(error: NameError) -> Self {
        Self::InvalidName(error.to_string())
    }
}
