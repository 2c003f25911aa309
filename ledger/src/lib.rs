//! The storage engine of Quire: Hyperledger Fabric's ledger.
//!
//! ```text
//! ordered blocks --> link      are they children of the tip?
//!                --> judge     every transaction gets a code; reads only
//!                --> append    block files, one fsync: the commit point
//!                --> follow    state, index, history: derived, rebuilt from the blocks at will
//! ```
//!
//! [`Ledger::commit`] tells that story in four lines, and recovery runs its last line again on the blocks
//! that a follower missed. [`Ledgers`] is every channel of a data directory, and [`Reader`] is what any
//! number of threads may ask of a channel. There is no tokio and no HTTP: one thread owns a [`Ledger`].

mod base;
mod block_store;
mod chain;
mod checksum;
mod codec;
mod commit_hash;
mod creation;
mod damage;
mod derived;
mod end;
mod error;
mod follow;
mod followers;
mod form;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod golden;
mod id_store;
mod in_flight;
pub mod json;
mod judge;
mod keyspaces;
mod ledger;
mod ledgers;
mod lock;
#[doc(hidden)]
pub mod measure;
mod model;
mod modification;
mod observer;
mod offline;
mod ordered;
mod private_sets;
mod progress;
mod query;
mod reader;
mod recovery;
mod replay;
mod simulator;
mod snapshot;
mod state;
mod status;
mod stored;
mod strays;
mod validation;
mod view;
mod worker;

pub use base::Base;
pub use chain::CutTail;
pub use derived::Purpose;
pub use end::ChainEnd;
pub use error::{CommitError, Corruption, OpenError, ReadError, chain_of};
pub use follow::Committed;
pub use followers::Follower;
pub use followers::history::Order;
pub use followers::index::TxLocation;
pub use id_store::{ChannelRecord, CreateOptions, DEFAULT_SEGMENT_BYTES, Status};
pub use ledger::Ledger;
pub use ledgers::Ledgers;
pub use lock::DataLock;
pub use model::block::{Block, Height, NotAHeight};
pub use model::examined::{Content, Endorsed, Examined, NamespaceSet, Origin, ReadWriteSet};
pub use model::namespace::{CONFIG_KEY, CONFIG_NAMESPACE, LIFECYCLE};
pub use model::value::VersionedValue;
pub use modification::KeyModification;
pub use observer::{Event, Observer, Stage, StateCall};
pub use offline::check;
pub use offline::check::form::first_in_other_form;
pub use offline::import::{ImportError, has_own_blocks};
pub use offline::repair::{NotReplaced, RepairReport, Replaced};
pub use offline::truncate::{Loss, TruncateError};
pub use ordered::Ordered;
pub use private_sets::KeepError;
pub use progress::{Progress, ProgressFn};
pub use query::{
    Due, ExecutionStats, FindError, Found, Halt, IndexError, IndexListing, IndexRequest,
    IndexState, MAX_MIGRATION_BYTES, MAX_STEPS, Meter, MigrateError, Migrated, Migration,
    MigrationError, Query, QueryError, Room, Spent, Stop, StoredMigrateError, TooExpensive,
    stored_migrate,
};
pub use reader::{ChainInfo, Reader};
pub use recovery::OpenReport;
pub use simulator::{KeyMetadata, RangeReader, SimulationResults, Simulator};
pub use snapshot::Snapshot;
pub use state::engines::StateEngine;
pub use state::engines::couchdb::client::{
    CouchDbServer, CouchDbServerError, DEFAULT_CALL_TIMEOUT,
};
pub use state::{NamespaceSummary, RangeEnd};
pub use status::EngineStatus;
pub use stored::{BlocksFrom, Next, StoredBlocks, stored_channels};
pub use validation::trust::{Signatures, check_first_block};
pub use validation::{BlockVerifier, ENDORSEMENT_POLICY, IMPLICIT_COLLECTION};
