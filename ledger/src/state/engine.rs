//! What keeps the state of all channels of a data directory.

use std::fmt::Debug;
use std::sync::Arc;

use fjall::{Keyspace, Snapshot};
use quire_wire::hash::Hash;

use super::{StateDb, StateSnapshot};
use crate::error::{OpenError, ReadError};
use crate::query::registry::Registry;

/// Makes the registry of a channel's query indexes, whose entries are in this keyspace.
pub(crate) type OpenRegistry<'a> = dyn Fn(Keyspace) -> Result<Registry, OpenError> + 'a;

/// Tells the hash of a channel's block 0; none where it has none that is sound.
pub(crate) type Genesis<'a> = dyn Fn() -> Result<Option<Hash>, OpenError> + 'a;

/// A state engine, over the embedded engine of a data directory.
pub(crate) trait Engine: Send + Sync + Debug {
    /// Opens the state of a channel as soon as it can be, and its query indexes, which follow it.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open_channel(
        &self,
        channel: &str,
        registry: &OpenRegistry<'_>,
    ) -> Result<(Arc<dyn StateDb>, Registry), OpenError>;

    /// Where entries of a channel's query indexes are.
    ///
    /// # Errors
    /// The embedded engine failed.
    fn index_entries(&self, channel: &str) -> Result<Keyspace, OpenError>;

    /// Where the state is of a channel that is not open, which has this block 0. Changes nothing.
    ///
    /// # Errors
    /// The embedded engine failed.
    fn find(
        &self,
        channel: &str,
        view: &Snapshot,
        genesis: &Genesis<'_>,
    ) -> Result<Place, OpenError>;

    /// Removes what there is of a channel outside of the embedded engine, if it is of the chain with this
    /// block 0. Whether nothing is left of any chain.
    ///
    /// # Errors
    /// The engine failed, or it is not known whose it is.
    fn remove_channel(&self, channel: &str, genesis: &Genesis<'_>) -> Result<bool, OpenError>;

    /// The address of the server that keeps state; none where the embedded engine does.
    fn server(&self) -> Option<&str>;

    /// Whether each read of state is a question to another server.
    fn is_remote(&self) -> bool {
        self.server().is_some()
    }
}

/// Where a channel's state is.
pub(crate) enum Place {
    /// In the data directory.
    Embedded,
    /// On a server, at this height at least, as what is beside it tells; nobody said where that is.
    Unknown(u64),
    /// On the server at this address, which can be asked.
    Remote(String, Arc<dyn StateSnapshot>),
    /// On the server at this address, which cannot be asked for this reason.
    Away(String, ReadError),
}
