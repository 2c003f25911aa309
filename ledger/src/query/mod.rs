//! Rich queries: CouchDB's Mango, over the state of a namespace.
//!
//! ```text
//! body --> request    members checked, in CouchDB's words
//!      --> normalize  one form for every selector     --> selector  does a document match?
//!      --> plan       which index serves, and where   --> find      candidates, matched, shown
//! ```
//!
//! An index only makes a query fast: every candidate is matched against the whole selector.

pub(crate) mod asked;
mod bookmark;
pub(crate) mod builder;
mod collation;
mod comparison;
mod definitions;
pub(crate) mod document;
pub(crate) mod entries;
mod erlang;
mod error;
mod fields;
pub(crate) mod find;
mod found;
mod graphemes;
pub(crate) mod index;
mod migration;
mod normalize;
mod number;
mod path;
mod plan;
mod planner;
mod query_index;
mod regex;
pub(crate) mod registry;
mod request;
mod selector;
mod size;
mod stored;
mod version;
pub(crate) mod work;

pub use error::QueryError;
pub use found::{ExecutionStats, FindError, Found};
pub use index::IndexRequest;
pub use migration::{MAX_MIGRATION_BYTES, MigrateError, Migrated, Migration, MigrationError};
pub use query_index::{IndexError, IndexState};
pub use request::Query;
pub use stored::{Due, StoredMigrateError, stored_migrate};
pub use work::{Halt, MAX_STEPS, Meter, Room, Spent, Stop, TooExpensive};

use serde_json::Value;

/// An index as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexListing {
    /// The definition as CouchDB shows it: `ddoc`, `name`, `type`, `partitioned`, `def`.
    pub definition: Value,
    /// Its state.
    pub state: IndexState,
}

/// `_all_docs`, which always exists.
#[must_use]
pub(crate) fn all_documents() -> IndexListing {
    IndexListing {
        definition: plan::all_documents_json(),
        state: IndexState::Ready,
    }
}
