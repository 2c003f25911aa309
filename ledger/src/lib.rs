//! The storage engine of Quire: Hyperledger Fabric's ledger.
//!
//! ```text
//! ordered blocks --> link      are they children of the tip?
//!                --> judge     every transaction gets a code; reads only
//!                --> append    block files, one fsync: the commit point
//!                --> follow    state, index, history: derived, rebuilt from the blocks at will
//! ```
//!
//! [`Ledger::commit`] tells that story in four lines, and recovery is its last line run again on the
//! blocks that a follower missed. [`Ledgers`] is every channel of a data directory, [`Reader`] what
//! any number of threads may ask of one. No tokio, no HTTP: one thread owns a [`Ledger`].

mod block;
mod block_store;
pub mod check;
mod checksum;
mod codec;
mod commit_hash;
mod damage;
mod derived;
mod error;
mod follow;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod golden;
mod history;
mod id_store;
mod import;
pub mod json;
mod ledger;
mod ledgers;
#[doc(hidden)]
pub mod measure;
mod modification;
mod observer;
mod progress;
mod query;
mod reader;
mod rebuild;
mod recovery;
mod repair;
mod replay;
mod savepoint;
mod simulator;
mod state;
mod stored;
mod truncate;
mod validation;
mod worker;

pub use block::{Block, Height, NotAHeight};
pub use block_store::index::TxLocation;
pub use derived::Follower;
pub use error::{CommitError, Corruption, OpenError, ReadError, chain_of};
pub use history::Order;
pub use id_store::{ChannelRecord, Status};
pub use import::{ImportError, has_own_blocks};
pub use ledger::{Committed, Ledger, Ordered};
pub use ledgers::{
    CreateOptions, DEFAULT_SEGMENT_BYTES, DataLock, EngineStatus, Ledgers, Purpose, StateEngine,
};
pub use modification::KeyModification;
pub use observer::{Event, Observer, Stage, StateCall};
pub use progress::{Progress, ProgressFn};
pub use query::{
    Due, ExecutionStats, FindError, Found, Halt, IndexError, IndexListing, IndexRequest,
    IndexState, MAX_MIGRATION_BYTES, MAX_STEPS, Meter, MigrateError, Migrated, Migration,
    MigrationError, Query, QueryError, Room, Spent, Stop, StoredMigrateError, TooExpensive,
    stored_migrate,
};
pub use reader::{ChainInfo, Reader, Snapshot};
pub use recovery::{CutTail, OpenReport};
pub use repair::{NotReplaced, RepairReport, Replaced};
pub use simulator::Simulator;
pub use state::couchdb::client::{CouchDbServer, CouchDbServerError, DEFAULT_CALL_TIMEOUT};
pub use state::{NamespaceSummary, RangeEnd, VersionedValue};
pub use stored::{BlocksFrom, Next, StoredBlocks, stored_channels};
pub use truncate::{Loss, TruncateError};
pub use validation::ENDORSEMENT_POLICY;
pub use validation::examine::{Content, Endorsed, Examined, NamespaceSet, Origin, ReadWriteSet};
pub use validation::trust::Signatures;
pub use validation::updates::{CONFIG_KEY, CONFIG_NAMESPACE};
