//! The embedded engine under index, state and history of every channel. All that it holds can be made again
//! from the blocks, so an engine that does not open is set aside, never repaired and never deleted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, Snapshot};
use quire_disk::Disk;
use tempfile::TempDir;

use crate::error::{OpenError, ReadError};
use crate::followers::registry::ALL;
use crate::followers::{Follow, Follower};
use crate::id_store::io_at;
use crate::keyspaces::{self, keyspace};

/// The prefix of the names of folders with scratch engines.
pub(crate) const SCRATCH_PREFIX: &str = "check-";

/// The most files that the engine keeps open.
const MAX_OPEN_FILES: usize = 512;

/// The purpose of opening a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It will be used: channels that were half made or half deleted are removed, and an embedded engine that
    /// does not open is set aside.
    Use,
    /// It will only be read: nothing is repaired.
    Inspect,
}

/// A follower of a channel, and the keyspace of its content.
pub(crate) struct Opened {
    pub(crate) kind: Follower,
    pub(crate) keyspace: Keyspace,
    pub(crate) follower: Arc<dyn Follow>,
}

/// The place of the engine, and how to open it.
pub(crate) struct Embedded<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
    pub(crate) cache_bytes: u64,
    pub(crate) purpose: Purpose,
}

/// Why an engine cannot be used.
enum Unusable {
    Failed(fjall::Error),
    /// fjall panics on some of the damage it meets.
    Panicked,
    /// It opens, but cannot be read.
    Unreadable(ReadError),
}

impl Embedded<'_> {
    /// Opens the engine. If it does not open, or cannot tell how far the followers of `channels` are, for any
    /// reason but a lock, its directory is renamed and a new one begun. The second value is the new name of
    /// the old directory.
    pub(crate) fn open(&self, channels: &[&str]) -> Result<(Database, Option<PathBuf>), OpenError> {
        let unusable = match self.attempt(channels) {
            Ok(database) => return Ok((database, None)),
            Err(Unusable::Failed(fjall::Error::Locked)) => {
                return Err(OpenError::InUse(self.dir.to_owned()));
            }
            Err(unusable) => unusable,
        };
        if let Unusable::Failed(error) = &unusable
            && is_passing(error)
            && let Unusable::Failed(error) = unusable
        {
            return Err(OpenError::Engine(error));
        }
        let reason = match &unusable {
            Unusable::Failed(error) => error.to_string(),
            Unusable::Panicked => "it panicked".to_owned(),
            Unusable::Unreadable(error) => error.to_string(),
        };
        if self.purpose == Purpose::Inspect {
            return Err(match unusable {
                Unusable::Failed(error) => OpenError::Engine(error),
                Unusable::Panicked | Unusable::Unreadable(_) => OpenError::EngineDamaged(reason),
            });
        }
        let aside = set_aside(self.disk, self.dir)?;
        tracing::warn!(
            reason,
            aside = %aside.display(),
            "the embedded engine cannot be used: it was set aside, and is rebuilt from the blocks"
        );
        match self.attempt(&[]) {
            Ok(database) => Ok((database, Some(aside))),
            Err(Unusable::Failed(error)) => Err(OpenError::Engine(error)),
            Err(_) => Err(OpenError::EngineDamaged(reason)),
        }
    }

    fn attempt(&self, channels: &[&str]) -> Result<Database, Unusable> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder(self.dir)
                .cache_size(self.cache_bytes)
                .max_cached_files(Some(MAX_OPEN_FILES))
                .open()
                .map_err(Unusable::Failed)?;
            keyspaces::pass_unfinished_change(&database).map_err(Unusable::Failed)?;
            for channel in channels {
                probe(&database, channel)?;
            }
            Ok(database)
        }));
        opened.unwrap_or(Err(Unusable::Panicked))
    }
}

/// An empty engine in a folder of its own below `dir`. The second value removes the folder when it is
/// dropped.
pub(crate) fn stand_in(dir: &Path) -> Result<(Database, TempDir), OpenError> {
    let folder = tempfile::Builder::new()
        .prefix(SCRATCH_PREFIX)
        .tempdir_in(dir)
        .map_err(io_at(dir))?;
    let database = Database::builder(folder.path()).open();
    Ok((database.map_err(OpenError::Engine)?, folder))
}

/// Reads the savepoints of a channel's followers.
fn probe(database: &Database, channel: &str) -> Result<(), Unusable> {
    let followers = followers(database, channel).map_err(|error| match error {
        OpenError::Engine(error) => Unusable::Failed(error),
        other => Unusable::Unreadable(ReadError::Missing(other.to_string())),
    })?;
    let view = database.snapshot();
    for opened in followers {
        let savepoint = opened.follower.savepoint(&view);
        savepoint.map_err(Unusable::Unreadable)?;
    }
    Ok(())
}

/// Whether the reason why an engine does not open is independent of its content: a new engine would cost a
/// replay of every block, and not help.
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

/// A channel's followers as the engine has them; missing ones are made.
pub(crate) fn followers(database: &Database, channel: &str) -> Result<Vec<Opened>, OpenError> {
    let opened = ALL.iter().map(|kind| {
        let keyspace = keyspace(database, channel, kind.suffix)?;
        Ok(Opened {
            kind: *kind,
            follower: (kind.open)(database, keyspace.clone()),
            keyspace,
        })
    });
    opened.collect()
}

/// Height up to which a follower of a channel has followed.
pub(crate) fn savepoint(
    database: &Database,
    view: &Snapshot,
    channel: &str,
    follower: Follower,
) -> Result<u64, ReadError> {
    let name = format!("{channel}{}", follower.suffix);
    let keyspace = database.keyspace(&name, KeyspaceCreateOptions::default)?;
    let follower = (follower.open)(database, keyspace);
    Ok(follower.savepoint(view)?.height)
}

/// Removes whatever the engine holds of a channel.
pub(crate) fn drop_channel(database: &Database, channel: &str) -> Result<(), OpenError> {
    ALL.iter()
        .try_for_each(|follower| drop_follower(database, channel, *follower))
}

/// Removes what the engine holds of one follower of a channel.
pub(crate) fn drop_follower(
    database: &Database,
    channel: &str,
    follower: Follower,
) -> Result<(), OpenError> {
    for suffix in follower.dependents.iter().chain([&follower.suffix]) {
        keyspaces::remove(database, &format!("{channel}{suffix}"))?;
    }
    Ok(())
}
