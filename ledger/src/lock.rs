//! The lock of a data directory.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::error::OpenError;
use crate::id_store::io_at;

/// Takes the lock that keeps a second process out. The kernel gives it back when the process ends,
/// however it ends.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path);
    lock_file(file.map_err(io_at(&path))?, dir)
}

/// The same without making the file: no process has a directory open that has none.
pub(crate) fn lock_if_there(dir: &Path) -> Result<Option<File>, OpenError> {
    let path = dir.join("lock");
    match File::options().write(true).open(&path) {
        Ok(file) => lock_file(file, dir).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at(&path)(error)),
    }
}

fn lock_file(file: File, dir: &Path) -> Result<File, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_at(&dir.join("lock"))(error)),
    }
}

/// The lock of a data directory, for who changes there what is none of the ledgers'.
#[derive(Debug)]
pub struct DataLock(#[expect(dead_code, reason = "the lock is held while this is open")] File);

impl DataLock {
    /// Takes it.
    ///
    /// # Errors
    /// [`OpenError::InUse`] where another process has the directory open.
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        lock(dir).map(Self)
    }
}
