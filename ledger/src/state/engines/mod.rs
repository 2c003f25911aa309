//! The state engines.

pub(crate) mod couchdb;
pub(crate) mod fjall;

use std::sync::Arc;

use ::fjall::Database;

use super::NAME;
use super::engine::Engine;
use crate::error::OpenError;
use crate::followers::{Follower, savepoint};
use couchdb::client::{Couch, CouchDbServer};
use couchdb::engine::CouchEngine;
use fjall::{FjallEngine, FjallState};

/// The newest value of every key in the embedded engine. What state on a server keeps in the embedded engine
/// is dropped with it.
pub(crate) const STATE: Follower = Follower {
    name: NAME,
    suffix: fjall::SUFFIX,
    // Otherwise query indexes would name documents that do not exist.
    dependents: &[
        fjall::QUERY_SUFFIX,
        couchdb::engine::QUERY_SUFFIX,
        couchdb::engine::UNDO_SUFFIX,
    ],
    open: |database, keyspace| Arc::new(FjallState::new(database.clone(), keyspace)),
    is_of_before: savepoint::is_of_before,
};

/// The engine that keeps current state.
#[derive(Clone, Debug, Default)]
pub enum StateEngine {
    /// The embedded engine, which also keeps index and history.
    #[default]
    Fjall,
    /// A CouchDB server.
    CouchDb(CouchDbServer),
}

/// Starts an engine over the embedded one.
pub(crate) type Start = Box<dyn FnOnce(&Database) -> Arc<dyn Engine>>;

impl StateEngine {
    /// Prepares the engine. No server is called.
    ///
    /// # Errors
    /// [`OpenError::StateEngine`]
    pub(crate) fn prepare(&self) -> Result<Start, OpenError> {
        match self {
            Self::Fjall => Ok(Box::new(|database| {
                Arc::new(FjallEngine::new(database.clone()))
            })),
            Self::CouchDb(server) => {
                let couch = Couch::new(server);
                let couch = couch.map_err(|error| OpenError::StateEngine(error.into()))?;
                Ok(Box::new(|database| {
                    Arc::new(CouchEngine::new(Arc::new(couch), database.clone()))
                }))
            }
        }
    }
}
