//! The embedded engine, and the keyspaces that a channel has in it.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;

use crate::error::OpenError;

/// fjall's handle, which has no `Debug` of its own.
#[derive(Clone)]
pub(crate) struct DebugDatabase(pub(crate) Database);

impl std::fmt::Debug for DebugDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

/// The keyspace that tells whether a change of the list of keyspaces was finished. No channel's name begins with a dot.
const CHANGES: &str = ".changes";
/// The one key in it.
const STATE: &str = "state";
const BEGUN: &str = "begun";
const ENDED: &str = "ended";
/// More sequence numbers than a change of the list takes.
const OF_A_CHANGE: usize = 64;

/// Changes of the list follow one another.
static CHANGING: Mutex<()> = Mutex::new(());

/// Makes sure that the engine's next sequence number is higher than all that its list of keyspaces has.
///
/// When it opens, fjall takes the highest number of its tables and journals, but does not look into that list, which is
/// written past the journal. After keyspaces were made or removed and the process was killed, a new entry of the list
/// could then have a lower number than the entry that it replaces, and one keyspace would be opened as another. So
/// every change is marked in the journal before and after it, and a change that was not finished is passed by here.
pub(crate) fn pass_unfinished_change(database: &Database) -> Result<(), fjall::Error> {
    let _one = CHANGING.lock();
    let changes = database.keyspace(CHANGES, KeyspaceCreateOptions::default)?;
    if changes.get(STATE)?.as_deref() == Some(ENDED.as_bytes()) {
        return Ok(());
    }
    for _ in 0..OF_A_CHANGE {
        changes.insert(STATE, BEGUN)?;
    }
    changes.insert(STATE, ENDED)?;
    database.persist(PersistMode::SyncAll)
}

/// Runs a change of the list of keyspaces.
fn changed<T>(
    database: &Database,
    change: impl FnOnce() -> Result<T, fjall::Error>,
) -> Result<T, fjall::Error> {
    let _one = CHANGING.lock();
    let changes = database.keyspace(CHANGES, KeyspaceCreateOptions::default)?;
    let mark = |state| {
        changes.insert(STATE, state)?;
        database.persist(PersistMode::SyncAll)
    };
    mark(BEGUN)?;
    let done = change()?;
    mark(ENDED)?;
    Ok(done)
}

/// The keyspace of a channel with this suffix; it is made if it is missing.
pub(crate) fn keyspace(
    database: &Database,
    channel: &str,
    suffix: &str,
) -> Result<Keyspace, OpenError> {
    let name = format!("{channel}{suffix}");
    let open = || database.keyspace(&name, KeyspaceCreateOptions::default);
    let keyspace = if database.keyspace_exists(&name) {
        open()
    } else {
        changed(database, open)
    };
    keyspace.map_err(OpenError::Engine)
}

/// Removes a keyspace with all that it holds, if it exists.
pub(crate) fn remove(database: &Database, name: &str) -> Result<(), OpenError> {
    if !database.keyspace_exists(name) {
        return Ok(());
    }
    let removed = changed(database, || {
        let keyspace = database.keyspace(name, KeyspaceCreateOptions::default)?;
        database.delete_keyspace(keyspace)
    });
    removed.map_err(OpenError::Engine)
}

#[cfg(test)]
mod tests {
    use fjall::Readable as _;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn no_keyspace_is_taken_for_another_after_some_were_removed() {
        const SUFFIXES: [&str; 3] = [".index", ".state", ".hist"];
        for turn in 0..3 {
            let dir = TempDir::new().unwrap();
            let open = || {
                let database = Database::builder(dir.path()).open().unwrap();
                pass_unfinished_change(&database).unwrap();
                database
            };
            {
                let database = open();
                for suffix in SUFFIXES {
                    keyspace(&database, "main", suffix).unwrap();
                }
            }
            {
                let database = open();
                for suffix in SUFFIXES {
                    remove(&database, &format!("main{suffix}")).unwrap();
                }
            }
            let mut order = SUFFIXES;
            order.rotate_left(turn);
            {
                let database = open();
                for suffix in order {
                    let keyspace = keyspace(&database, "main", suffix).unwrap();
                    keyspace.insert("name", suffix).unwrap();
                }
                database.persist(PersistMode::Buffer).unwrap();
            }
            let database = open();
            let view = database.snapshot();
            let found = order.map(|suffix| {
                let keyspace = keyspace(&database, "main", suffix).unwrap();
                let name = view.get(&keyspace, "name").unwrap();
                name.map(|name| String::from_utf8_lossy(&name).into_owned())
            });
            assert_eq!(found, order.map(|suffix| Some(suffix.to_owned())));
        }
    }
}
