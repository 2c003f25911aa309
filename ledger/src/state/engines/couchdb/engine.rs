//! CouchDB as the state engine of a data directory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fjall::{Database, Keyspace, Snapshot};
use quire_wire::hash::Hash;

use super::client::Couch;
use super::server::load;
use super::undo::Undo;
use super::{CouchState, database, names};
use crate::error::{OpenError, ReadError};
use crate::keyspaces::keyspace;
use crate::query::registry::Registry;
use crate::state::engine::{Engine, Genesis, OpenRegistry, Place};
use crate::state::{StateDb, StateSnapshot};

/// Suffixes of keyspaces in the embedded engine: entries of query indexes, and replaced values.
pub(in crate::state::engines) const QUERY_SUFFIX: &str = ".cquer";
pub(in crate::state::engines) const UNDO_SUFFIX: &str = ".cundo";

/// Pauses between attempts to reach a state database when a channel is opened: each is twice as long as the
/// one before, and all take about two minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(64);

/// What a channel has in the embedded engine when its state is on CouchDB.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) database: Database,
    /// Entries of query indexes.
    pub(crate) entries: Keyspace,
    pub(crate) undo: Keyspace,
}

/// State on one server.
pub(in crate::state::engines) struct CouchEngine {
    couch: Arc<Couch>,
    embedded: Database,
}

impl fmt::Debug for CouchEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CouchEngine").finish_non_exhaustive()
    }
}

impl CouchEngine {
    pub(in crate::state::engines) fn new(couch: Arc<Couch>, embedded: Database) -> Self {
        Self { couch, embedded }
    }

    /// What a channel keeps in the embedded engine; missing keyspaces are made.
    fn local(&self, channel: &str) -> Result<Local, OpenError> {
        Ok(Local {
            database: self.embedded.clone(),
            entries: self.index_entries(channel)?,
            undo: keyspace(&self.embedded, channel, UNDO_SUFFIX)?,
        })
    }

    /// Begins with what CouchDB has of a channel, as soon as CouchDB can be asked.
    fn open_patiently(&self, channel: &str, local: &Local) -> Result<CouchState, OpenError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match CouchState::open(Arc::clone(&self.couch), channel, local.clone()) {
                Ok(state) => return Ok(state),
                // A refusal must be corrected by somebody: waiting would not help, and another attempt could
                // lock the account.
                Err(source @ ReadError::StateUnavailable(_)) if pause <= LAST_PAUSE => {
                    tracing::warn!(channel, %source, "waiting for the state database");
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                Err(source) => {
                    return Err(OpenError::Follow {
                        channel: channel.to_owned(),
                        on_couchdb: true,
                        source,
                    });
                }
            }
        }
    }

    /// A view of what the server has of the chain with this block 0. Changes nothing.
    fn inspect(
        &self,
        channel: &str,
        local: Local,
        genesis: Option<&Hash>,
    ) -> Result<Arc<dyn StateSnapshot>, ReadError> {
        let (state, _) = CouchState::connect(Arc::clone(&self.couch), channel, local)?;
        if let Some(genesis) = genesis {
            state.identify(genesis)?;
        }
        state.snapshot()
    }
}

impl Engine for CouchEngine {
    fn open_channel(
        &self,
        channel: &str,
        registry: &OpenRegistry<'_>,
    ) -> Result<(Arc<dyn StateDb>, Registry), OpenError> {
        let local = self.local(channel)?;
        let state = self.open_patiently(channel, &local)?;
        let registry = registry(local.entries)?;
        let indexes = Arc::clone(registry.builder());
        Ok((Arc::new(state.with_indexes(indexes)), registry))
    }

    fn index_entries(&self, channel: &str) -> Result<Keyspace, OpenError> {
        keyspace(&self.embedded, channel, QUERY_SUFFIX)
    }

    fn find(
        &self,
        channel: &str,
        _view: &Snapshot,
        genesis: &Genesis<'_>,
    ) -> Result<Place, OpenError> {
        let local = self.local(channel)?;
        // If block 0 is damaged, it is not known whose state this should be.
        let genesis = genesis().unwrap_or_default();
        let url = self.couch.url().to_owned();
        Ok(match self.inspect(channel, local, genesis.as_ref()) {
            Ok(view) => Place::Remote(url, view),
            Err(reason) => Place::Away(url, reason),
        })
    }

    fn remove_channel(&self, channel: &str, genesis: &Genesis<'_>) -> Result<bool, OpenError> {
        let removed = remove(&self.couch, channel, genesis()?.as_ref());
        removed.map_err(|source| OpenError::Follow {
            channel: channel.to_owned(),
            on_couchdb: true,
            source,
        })
    }

    fn server(&self) -> Option<&str> {
        Some(self.couch.url())
    }
}

/// The height that state on a server has reached at least, according to data kept here.
pub(in crate::state::engines) fn followed(
    view: &Snapshot,
    undo: &Keyspace,
) -> Result<u64, ReadError> {
    Undo::indexed(view, undo)
}

/// Removes the databases of a channel, if they belong to the chain with this block 0. Returns whether none
/// are left of any chain.
fn remove(couch: &Couch, channel: &str, genesis: Option<&Hash>) -> Result<bool, ReadError> {
    let own = names::metadata_database(channel);
    let genesis = genesis.map(hex::encode);
    couch.run(|calls| async move {
        let (metadata, savepoint) = load(&calls, &own).await?;
        let Some(metadata) = metadata else {
            return Ok(savepoint.is_none());
        };
        if genesis.is_none_or(|genesis| genesis != metadata.genesis) {
            return Ok(false);
        }
        // The list is removed last, so that the databases in it can be found again.
        for namespace in metadata.namespaces.values() {
            if namespace.database != own {
                database::remove(&calls, &namespace.database).await?;
            }
        }
        database::remove(&calls, &own).await?;
        Ok(true)
    })
}
