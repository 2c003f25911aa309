//! The engine that keeps the state of all channels of a data directory.

use std::fmt::Debug;
use std::sync::Arc;

use fjall::{Keyspace, Snapshot};
use quire_wire::hash::Hash;

use super::{StateDb, StateSnapshot};
use crate::error::{OpenError, ReadError};
use crate::query::registry::Registry;

/// Makes the registry of a channel's query indexes, which have their entries in this keyspace.
pub(crate) type OpenRegistry<'a> = dyn Fn(Keyspace) -> Result<Registry, OpenError> + 'a;

/// Returns the hash of a channel's block 0; `None` if it has no sound block 0.
pub(crate) type Genesis<'a> = dyn Fn() -> Result<Option<Hash>, OpenError> + 'a;

/// A state engine, over the embedded engine of a data directory.
pub(crate) trait Engine: Send + Sync + Debug {
    /// Opens the state of a channel as soon as possible, and its query indexes, which follow it.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open_channel(
        &self,
        channel: &str,
        registry: &OpenRegistry<'_>,
    ) -> Result<(Arc<dyn StateDb>, Registry), OpenError>;

    /// The keyspace of the entries of a channel's query indexes.
    ///
    /// # Errors
    /// The embedded engine failed.
    fn index_entries(&self, channel: &str) -> Result<Keyspace, OpenError>;

    /// Finds the state of a channel that is not open and has this block 0. Changes nothing.
    ///
    /// # Errors
    /// The embedded engine failed.
    fn find(
        &self,
        channel: &str,
        view: &Snapshot,
        genesis: &Genesis<'_>,
    ) -> Result<Place, OpenError>;

    /// Removes everything of a channel outside the embedded engine, if it belongs to the chain with this
    /// block 0. Returns whether nothing is left of any chain.
    ///
    /// # Errors
    /// The engine failed, or its owner is not known.
    fn remove_channel(&self, channel: &str, genesis: &Genesis<'_>) -> Result<bool, OpenError>;

    /// The address of the server that keeps state; `None` if the embedded engine does.
    fn server(&self) -> Option<&str>;

    /// Whether each read of state is a request to another server.
    fn is_remote(&self) -> bool {
        self.server().is_some()
    }
}

/// The place of a channel's state.
pub(crate) enum Place {
    /// It is in the data directory.
    Embedded,
    /// It is on an unnamed server, at this height at least, according to data kept here.
    Unknown(u64),
    /// It is on the server at this address, which can be asked.
    Remote(String, Arc<dyn StateSnapshot>),
    /// It is on the server at this address, which cannot be asked for this reason.
    Away(String, ReadError),
}
