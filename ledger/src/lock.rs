//! The lock of a data directory.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::error::OpenError;
use crate::id_store::io_at;

/// The lock of a data directory: it keeps a second process out. The kernel gives it back when the
/// process ends, however it ends.
#[derive(Debug)]
pub struct DataLock(File);

impl DataLock {
    /// Takes the lock, and makes the file if it is missing.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process has the directory open.
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        Self::of(file.map_err(io_at(&path))?, dir)
    }

    /// Takes the lock without making the file: a directory without the file is not open in any process.
    pub(crate) fn take_if_there(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join("lock");
        match File::options().write(true).open(&path) {
            Ok(file) => Self::of(file, dir).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at(&path)(error)),
        }
    }

    fn of(file: File, dir: &Path) -> Result<Self, OpenError> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(io_at(&dir.join("lock"))(error)),
        }
    }
}

impl Drop for DataLock {
    /// A file that is only closed stays locked while a child process has a copy of it, which every
    /// child does from its fork to its exec.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of the data directory is not given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_though_a_child_still_has_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataLock::take(dir.path()).unwrap();
        let childs = lock.0.try_clone().unwrap();
        assert!(matches!(
            DataLock::take(dir.path()),
            Err(OpenError::InUse(_))
        ));
        drop(lock);
        DataLock::take(dir.path()).unwrap();
        drop(childs);
    }
}
