//! The embedded engine, and the keyspaces that a channel has in it.

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use crate::error::OpenError;

/// fjall's handle, which has no `Debug` of its own.
#[derive(Clone)]
pub(crate) struct DebugDatabase(pub(crate) Database);

impl std::fmt::Debug for DebugDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

/// The keyspace of a channel with this suffix; it is made if it is missing.
pub(crate) fn keyspace(
    database: &Database,
    channel: &str,
    suffix: &str,
) -> Result<Keyspace, OpenError> {
    let name = format!("{channel}{suffix}");
    let keyspace = database.keyspace(&name, KeyspaceCreateOptions::default);
    keyspace.map_err(OpenError::Engine)
}
