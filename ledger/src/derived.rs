//! The embedded engine under index, state and history of every channel. All it holds can be made
//! anew from the blocks, so one that does not open is set aside, never repaired and never deleted.

use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, Snapshot};

use crate::block_store::index::Index;
use crate::disk::Disk;
use crate::error::{OpenError, ReadError};
use crate::history::History;
use crate::id_store::io_at;
use crate::ledgers::Purpose;
use crate::state::fjall::FjallState;

/// Most files kept open by the engine.
const MAX_OPEN_FILES: usize = 512;

/// The keyspaces of a channel.
#[derive(Clone)]
pub(crate) struct Keyspaces {
    pub(crate) index: Keyspace,
    pub(crate) state: Keyspace,
    pub(crate) history: Keyspace,
    /// Entries of query indexes.
    pub(crate) query: Keyspace,
}

/// What is derived from the blocks of a channel, and can be made again from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follower {
    /// Which block and transaction lies where.
    Index,
    /// The newest value of every key.
    State,
    /// Which transactions wrote a key.
    History,
}

impl Follower {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Index, Self::State, Self::History];

    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::State => "state",
            Self::History => "history",
        }
    }

    /// Suffix of its keyspace. A channel's name has at most 249 bytes, a keyspace's 255.
    fn suffix(self) -> &'static str {
        match self {
            Self::Index => ".index",
            Self::State => ".state",
            Self::History => ".hist",
        }
    }
}

/// Suffix of the keyspace of query indexes, which follow state in state's own batches.
const QUERY_SUFFIX: &str = ".query";

/// Opens the engine in `dir`; where that fails for any reason but a lock, the directory is renamed
/// and a new one begun. The second value is the new name of the old one.
pub(crate) fn open(
    disk: &dyn Disk,
    dir: &Path,
    cache_bytes: u64,
    purpose: Purpose,
) -> Result<(Database, Option<PathBuf>), OpenError> {
    let builder = || {
        Database::builder(dir)
            .cache_size(cache_bytes)
            .max_cached_files(Some(MAX_OPEN_FILES))
            .open()
    };
    match builder() {
        Ok(database) => Ok((database, None)),
        Err(fjall::Error::Locked) => Err(OpenError::InUse(dir.to_owned())),
        Err(error) if purpose == Purpose::Inspect || is_passing(&error) => {
            Err(OpenError::Engine(error))
        }
        Err(error) => {
            let aside = set_aside(disk, dir)?;
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                aside = %aside.display(),
                "the embedded engine did not open: set aside, and rebuilt from the blocks"
            );
            Ok((builder().map_err(OpenError::Engine)?, Some(aside)))
        }
    }
}

/// Whether an engine does not open for a reason that has nothing to do with what it holds: to begin
/// a new one would cost a replay of every block, and help nothing.
fn is_passing(error: &fjall::Error) -> bool {
    /// Linux's numbers for too many open files, of the system and of the process.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind as E;
            let files = error
                .raw_os_error()
                .is_some_and(|code| TOO_MANY_FILES.contains(&code));
            return files
                || matches!(
                    error.kind(),
                    E::StorageFull
                        | E::QuotaExceeded
                        | E::ReadOnlyFilesystem
                        | E::PermissionDenied
                        | E::OutOfMemory
                );
        }
        cause = error.source();
    }
    false
}

/// Renames the engine's directory to a name that is free.
pub(crate) fn set_aside(disk: &dyn Disk, dir: &Path) -> Result<PathBuf, OpenError> {
    let parent = dir.parent().unwrap_or(Path::new("."));
    let name = dir
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let taken = disk.list(parent).map_err(io_at(parent))?;
    let mut attempt = 1;
    while taken.contains(&format!("{name}.damaged-{attempt}")) {
        attempt += 1;
    }
    let aside = parent.join(format!("{name}.damaged-{attempt}"));
    let renamed = disk
        .rename(dir, &aside)
        .and_then(|()| disk.sync_dir(parent));
    renamed.map_err(io_at(dir))?;
    Ok(aside)
}

/// A channel's keyspaces, made where there are none.
pub(crate) fn keyspaces(database: &Database, channel: &str) -> Result<Keyspaces, OpenError> {
    let [index, state, history] = Follower::ALL.map(|follower| {
        let name = format!("{channel}{}", follower.suffix());
        database.keyspace(&name, KeyspaceCreateOptions::default)
    });
    let query = format!("{channel}{QUERY_SUFFIX}");
    let query = database.keyspace(&query, KeyspaceCreateOptions::default);
    let engine = OpenError::Engine;
    Ok(Keyspaces {
        index: index.map_err(engine)?,
        state: state.map_err(engine)?,
        history: history.map_err(engine)?,
        query: query.map_err(engine)?,
    })
}

/// Height up to which a follower of a channel has followed.
pub(crate) fn savepoint(
    database: &Database,
    view: &Snapshot,
    channel: &str,
    follower: Follower,
) -> Result<u64, ReadError> {
    let name = format!("{channel}{}", follower.suffix());
    let keyspace = database.keyspace(&name, KeyspaceCreateOptions::default)?;
    match follower {
        Follower::Index => Index::new(keyspace).savepoint(view),
        Follower::State => FjallState::savepoint_in(view, &keyspace),
        Follower::History => History::new(keyspace).savepoint(view),
    }
}

/// Removes whatever the engine holds of a channel.
pub(crate) fn drop_channel(database: &Database, channel: &str) -> Result<(), OpenError> {
    Follower::ALL
        .iter()
        .try_for_each(|follower| drop_follower(database, channel, *follower))
}

/// Removes what the engine holds of one follower of a channel.
pub(crate) fn drop_follower(
    database: &Database,
    channel: &str,
    follower: Follower,
) -> Result<(), OpenError> {
    // Indexes first: without state they would name documents that are not there.
    if follower == Follower::State {
        drop_keyspace(database, &format!("{channel}{QUERY_SUFFIX}"))?;
    }
    drop_keyspace(database, &format!("{channel}{}", follower.suffix()))
}

fn drop_keyspace(database: &Database, name: &str) -> Result<(), OpenError> {
    if database.keyspace_exists(name) {
        let keyspace = database.keyspace(name, KeyspaceCreateOptions::default);
        let deleted = keyspace.and_then(|keyspace| database.delete_keyspace(keyspace));
        deleted.map_err(OpenError::Engine)?;
    }
    Ok(())
}
