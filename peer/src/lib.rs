//! What a node does with a channel: endorse, order, commit.
//!
//! ```text
//! caller's thread      endorse    the chaincode runs on a snapshot; the node signs what came of it
//!                      order      admitted, examined, into the channel's order; a full one turns away
//! committing thread    door       batches of the order become blocks, or blocks come from elsewhere
//!                      verify     who signed, and the endorsement policy
//!                      commit     link, judge, append (one fsync), follow
//!                      answer     whoever waits for a transaction learns its outcome
//! ```
//!
//! * [`peer`]: the two verbs, `endorse` and `order`. Read that first.
//! * [`submit`]: what a caller hands in, and its outcome.
//! * [`channel`]: one channel: what those who serve it see of it, and what appends to it.
//! * [`orderers`]: orderers that are elsewhere.
//! * [`config`]: what a channel's configuration means for this node.
//! * [`genesis`]: block 0 of a channel.
//! * [`Access`]: who may use what of a channel.
//! * [`discovery`]: who must endorse; [`Collector`] asks them.
//! * [`join`]: block 0 that somebody else made.
//!
//! Each channel has one committing thread, which owns the channel's [`Ledger`](quire_ledger::Ledger). The
//! time comes in from outside; what waits for orderers elsewhere has timers, which decide when they are asked again.

mod access;
mod callees;
mod chaincode_host;
pub mod channel;
mod clock;
mod collector;
mod committer;
pub mod config;
mod cut_here;
mod defined;
mod defining;
mod delivered;
mod deployed;
pub mod discovery;
mod elsewhere;
mod endorsed_here;
mod endorser;
pub mod genesis;
mod interest;
pub mod join;
mod local;
mod log_rules;
mod ordered_elsewhere;
pub mod orderers;
mod others;
mod outcomes;
mod package_indexes;
pub mod peer;
mod plan;
mod planned;
mod pool;
mod processes;
mod proposed;
mod read_only;
mod refused;
mod signed_outcome;
mod source;
mod start_error;
pub mod submit;
mod telling;
mod unendorsed;
mod unordered;
mod unpacked;
mod update;
mod watch;

pub use access::{Access, AccessError, SignedData};
pub use callees::{CHAINCODE_TO_CHAINCODE, Channels, Timer};
pub use chaincode_host::ChaincodeHost;
pub use channel::{Channel, OpenChannel};
pub use clock::Clock;
pub use collector::{Collected, Collector, First};
pub use delivered::{Deliveries, NotTaken};
pub use elsewhere::Ran;
pub use genesis::genesis_block;
pub use local::LocalPeer;
pub use others::{Asking, Ended, Endorsers, Failure, Nobody, NotAnswered, RemotePeer};
pub use package_indexes::MakeIndexes;
pub use peer::{Origin, Peer};
pub use plan::Plan;
pub use pool::{NotDone, Pool, PoolObserver, Thread, Threads};
pub use processes::{Attached, Processes};
pub use quire_ordering::{EnvelopeTooLarge, Refused};
pub use submit::{
    DECORATION, Evaluated, Outcome, Promised, Proposal, SubmitError, Submitted, Submitter, Wanted,
};
pub use unendorsed::{NoPlan, NotCollected, Unendorsed};
pub use unpacked::{
    HEADER_EXTENSION, MAX_ARGS, ProposalError, ProposalHeaders, SIGNATURE_HEADER, UnpackedProposal,
};
pub use update::UpdateRefused;
pub use watch::Watch;
