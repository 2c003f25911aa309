//! Who may enrol, and what was issued: kept so that what was acknowledged survives.
//!
//! ```text
//! DATA/ca/registry      appended to by every change, replaced as a whole when it has grown; see [`file`]
//! ```
//!
//! Everything is in memory too. A change is looked at, written, synced, and only then met by others.

pub mod certificate;
mod file;
pub mod identity;
pub mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use quire_disk::{Disk, DiskFile, FileError, NewFile, create_folder, read_file, replace_file};

use crate::error::{ChangeError, OpenRegistryError, Refusal};
use state::{Change, State};

/// The folder of the data directory, and its file.
const FOLDER: &str = "ca";
const FILE: &str = "registry";

/// Most identities of a registry: all of them are in memory.
pub const MAX_IDENTITIES: usize = 50_000;
/// Most certificates that are remembered; expired ones make room.
pub const MAX_CERTIFICATES: usize = 100_000;
/// Most certificates of one identity that are remembered, revoked ones among them; expired ones make room.
pub const MAX_CERTIFICATES_OF_ONE: usize = 1_000;
/// Most affiliations.
pub const MAX_AFFILIATIONS: usize = 10_000;

/// What a file may grow by before it is replaced, beside its own size.
const GROWTH_BYTES: u64 = 4 << 20;

/// How large a file may be.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Bytes of a file without what was changed since; above, nothing more is registered or issued. What
    /// is left to the other bound is for revoking and the like.
    whole: u64,
    /// No change makes a file longer than this, but for one behind which it is replaced.
    longest: u64,
}

const BOUNDS: Bounds = Bounds {
    whole: 256 << 20,
    longest: 1 << 30,
};
/// What a start reads: more than the longest file, for one that a start wrote has a line for each thing in it.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// Identities, affiliations and certificates, durable.
#[derive(Debug)]
pub struct Registry {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    state: RwLock<State>,
    bounds: Bounds,
    /// Whether nothing more is registered or issued.
    is_full: AtomicBool,
    /// Held while a change is looked at and written: two must not overtake each other.
    tail: Mutex<Tail>,
}

/// The end of the file.
#[derive(Debug)]
struct Tail {
    file: Arc<dyn DiskFile>,
    len: u64,
    /// How long it was when it was last written as a whole.
    whole_len: u64,
    poisoned: bool,
}

impl Registry {
    /// Opens the registry of a data directory, which nobody else has open, and makes one where there is
    /// none. Durable on return. What a crash left of a change that was never acknowledged is cut off.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is damaged; it is not changed then.
    pub fn open(disk: &Arc<dyn Disk>, data_dir: &Path) -> Result<Self, OpenRegistryError> {
        Self::open_within(disk, data_dir, BOUNDS)
    }

    fn open_within(
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        bounds: Bounds,
    ) -> Result<Self, OpenRegistryError> {
        let folder = data_dir.join(FOLDER);
        let path = folder.join(FILE);
        let exists = |path: &Path| disk.exists(path).map_err(FileError::of("look at", path));
        let state = if exists(&path)? {
            let content = read_file(disk.as_ref(), &path, MAX_FILE_BYTES)?;
            let read = file::parse(&path, &content)?;
            if read.torn_bytes > 0 {
                let bytes = read.torn_bytes;
                tracing::warn!(
                    bytes,
                    "cut off the end of the CA's registry, which no change had"
                );
            }
            read.state
        } else if exists(&folder)? {
            return Err(OpenRegistryError::Missing(path));
        } else {
            let content = whole(&State::default(), &path)?;
            let content = String::from_utf8_lossy(&content);
            let new = NewFile {
                path: FILE,
                content: &content,
            };
            create_folder(disk.as_ref(), &folder, &[new])?;
            State::default()
        };
        // Bytes that were read may be in memory only, after a kill: what is answered from now on rests on
        // a file that was synced.
        let content = whole(&state, &path)?;
        replace_file(disk.as_ref(), &path, &content)?;
        let tail = Tail::open(disk.as_ref(), &path, content.len())?;
        Ok(Self {
            disk: Arc::clone(disk),
            path,
            state: RwLock::new(state),
            bounds,
            is_full: AtomicBool::new(tail.len > bounds.whole),
            tail: Mutex::new(tail),
        })
    }

    /// Whether a data directory has one, or had one.
    ///
    /// # Errors
    /// As the file system says.
    pub fn exists(disk: &dyn Disk, data_dir: &Path) -> Result<bool, OpenRegistryError> {
        let folder = data_dir.join(FOLDER);
        let exists = disk.exists(&folder);
        Ok(exists.map_err(FileError::of("look at", &folder))?)
    }

    /// What the registry of a data directory holds; changes nothing, and needs nobody's leave.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn read(disk: &dyn Disk, data_dir: &Path) -> Result<State, OpenRegistryError> {
        let path = data_dir.join(FOLDER).join(FILE);
        let content = read_file(disk, &path, MAX_FILE_BYTES)?;
        Ok(file::parse(&path, &content)?.state)
    }

    /// What it holds now.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// Whether it has no room for anything new: what is there can be changed, revoked and forgotten.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Looks at what there is, and writes what comes of it; durable on return, and visible only then.
    ///
    /// # Errors
    /// What `look` says; or nothing is known of whether the change is durable, and none is taken before a
    /// restart.
    pub fn change<T>(
        &self,
        look: impl FnOnce(&State) -> Result<(T, Vec<Change>), Refusal>,
    ) -> Result<T, Refusal> {
        let mut tail = self.tail.lock();
        if tail.poisoned {
            return Err(ChangeError::Poisoned.into());
        }
        let (found, changes) = look(&self.state.read())?;
        if changes.is_empty() {
            return Ok(found);
        }
        let line = file::line(&changes)?;
        // What makes room is let in always: the file is replaced behind it.
        let makes_room = changes.iter().any(Change::forgets);
        if !makes_room && !tail.has_room(&line, self.bounds.longest) {
            return Err(ChangeError::Full.into());
        }
        tail.append(&line)?;
        let mut state = self.state.write();
        for change in changes {
            state.apply(change);
        }
        drop(state);
        if tail.has_grown() || (makes_room && self.is_full()) {
            self.shorten(&mut tail);
        }
        Ok(found)
    }

    /// Replaces the file by one without what was changed since. The change before is durable whether
    /// this succeeds or not.
    fn shorten(&self, tail: &mut Tail) {
        let content = file::snapshot(&self.state.read());
        let replaced = content.and_then(|content| {
            replace_file(self.disk.as_ref(), &self.path, &content)?;
            Ok(Tail::open(self.disk.as_ref(), &self.path, content.len())?)
        });
        match replaced {
            Ok(new) => {
                let is_full = new.len > self.bounds.whole;
                self.is_full.store(is_full, Ordering::Relaxed);
                *tail = new;
            }
            Err(error) => {
                // Which of the two files is there is not known.
                tail.poisoned = true;
                tracing::error!(%error, "the CA's registry takes no more changes");
            }
        }
    }
}

fn whole(state: &State, path: &Path) -> Result<Vec<u8>, OpenRegistryError> {
    file::snapshot(state).map_err(|_| OpenRegistryError::NotARegistry(path.to_owned()))
}

impl Tail {
    fn open(disk: &dyn Disk, path: &Path, len: usize) -> Result<Self, FileError> {
        let file = disk
            .open(path, false)
            .map_err(FileError::of("open", path))?;
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        Ok(Self {
            file,
            len,
            whole_len: len,
            poisoned: false,
        })
    }

    fn append(&mut self, line: &[u8]) -> Result<(), ChangeError> {
        let written = self.file.write_all_at(line, self.len);
        // After a sync that failed, a later one says nothing.
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            self.poisoned = true;
            return Err(ChangeError::Write(error));
        }
        self.len += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn has_room(&self, line: &[u8], longest: u64) -> bool {
        let line = u64::try_from(line.len()).unwrap_or(u64::MAX);
        self.len.saturating_add(line) <= longest
    }

    fn has_grown(&self) -> bool {
        self.len > self.whole_len * 2 + GROWTH_BYTES
    }
}

#[cfg(test)]
mod tests;
