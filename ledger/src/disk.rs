//! The I/O seam: everything the ledger asks of a file system, and the write-temp, rename,
//! sync-parent dance, once.
//!
//! Block files and the id store go through [`Disk`], so that a test can put a failing one in its
//! place. fjall, which holds only what can be rebuilt, does its own I/O.
//!
//! What is assumed of the medium: after `sync_data` returned without error, the bytes written to
//! that file before survive power loss; after `sync_dir`, so do names created, renamed or removed
//! in that directory. Nothing is assumed of bytes whose sync has not returned, nor of any byte of a
//! file after a sync of it failed.

use std::fmt::Debug;
use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

/// A file system.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file for reading and writing; with `create`, makes it where it is missing, for its owner
    /// alone. A new name is durable after [`Disk::sync_dir`] of its directory.
    ///
    /// # Errors
    /// As the file system says.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// As the file system says; `NotFound` where there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory and those above it, for their owner alone. Durable after [`Disk::sync_dir`] of each parent.
    ///
    /// # Errors
    /// As the file system says.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file or directory another name, replacing a file of that name.
    ///
    /// # Errors
    /// As the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the file system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all in it; missing is fine.
    ///
    /// # Errors
    /// As the file system says.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the file system says; nothing is known about the names then.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
#[expect(
    clippy::len_without_is_empty,
    reason = "a file's length is asked to find its end"
)]
pub trait DiskFile: Send + Sync + Debug {
    /// Length in bytes.
    ///
    /// # Errors
    /// As the file system says.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file ends first.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. Nothing is durable before [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// As the file system says; any part of the bytes may have been written then.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all of `pieces`, one after the other, from `offset` on. Nothing is durable before
    /// [`DiskFile::sync_data`]. What `pieces` hold afterwards is of no use to anybody.
    ///
    /// # Errors
    /// As the file system says; any part of the bytes may have been written then.
    fn write_all_vectored_at(&self, pieces: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes all bytes written so far durable, and the length that reading them needs.
    ///
    /// # Errors
    /// As the file system says; nothing is known about unsynced bytes then, and a later success
    /// says nothing about them either.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file. Durable after [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// As the file system says.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// Makes a directory and those above it, and makes all their names durable, also where an earlier
/// process made them and died before it could.
///
/// # Errors
/// As the file system says.
pub fn make_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let exists = |dir: &Path| match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|_| true),
    };
    // `a/b` has the ancestors `a/b`, `a` and the empty path, which is the current directory.
    let named = dir.ancestors().filter(|dir| !dir.as_os_str().is_empty());
    let mut missing = Vec::new();
    for dir in named {
        if exists(dir)? {
            break;
        }
        missing.push(dir);
    }
    disk.create_dir_all(dir)?;
    let topmost = missing.last().copied().unwrap_or(dir);
    let above = topmost.parent().map(in_current);
    // The directory that was there already may be somebody else's, not to be read by us.
    match above.map(|above| disk.sync_dir(above)) {
        Some(Err(error)) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
        _ => {}
    }
    for made in missing.iter().skip(1).rev() {
        disk.sync_dir(made)?;
    }
    Ok(())
}

fn in_current(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    }
}

/// Puts `bytes` in place of whatever `path` holds: readers and crashes see the old content or the
/// new, never a mixture. Durable on return. `temporary` is a name in the same directory.
///
/// # Errors
/// As the file system says; the old content is still there then, or already the new.
pub fn replace_file(disk: &dyn Disk, path: &Path, temporary: &str, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let temporary = dir.join(temporary);
    let file = disk.open(&temporary, true)?;
    file.set_len(0)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(dir)
}

/// The whole content of a file.
///
/// # Errors
/// As the file system says; `NotFound` where there is no such file.
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, false)?;
    let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// What its owner may do with a file and a directory that are made; nobody else may do anything.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = fs::OpenOptions::new();
        let file = match options
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path)
        {
            // Somebody else's block files may be read-only, as may be the disk with a copy of ours, and
            // reading is all they need.
            Err(error) if is_read_only(&error) && !create => fs::File::open(path)?,
            other => other?,
        };
        Ok(Arc::new(OsFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        // A name that is not UTF-8 is none of ours.
        let names = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name()));
        let names: Vec<_> = names.collect::<io::Result<_>>()?;
        Ok(names
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(dir)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }
}

fn is_read_only(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(error.kind(), E::PermissionDenied | E::ReadOnlyFilesystem)
}

#[derive(Debug)]
struct OsFile(fs::File);

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn write_all_vectored_at(
        &self,
        mut pieces: &mut [IoSlice<'_>],
        mut offset: u64,
    ) -> io::Result<()> {
        // Without what is empty at the front, so that writing nothing means that nothing can be written.
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            // Of more pieces than the system takes at once, as many as it takes.
            match rustix::io::pwritev(&self.0, pieces, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut pieces, written);
                    offset += written as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        OsDisk.create_dir_all(&folder).unwrap();
        OsDisk.open(&folder.join("file"), true).unwrap();
        for (path, expected) in [("a", 0o700), ("a/b", 0o700), ("a/b/file", 0o600)] {
            let metadata = fs::metadata(dir.path().join(path)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, expected, "{path}");
        }
    }

    #[test]
    fn more_pieces_than_the_system_takes_at_once_are_all_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = OsDisk.open(&path, true).unwrap();
        // Empty ones among them, at the front and where the system stops taking more.
        let bytes = |n: usize| vec![n.to_le_bytes()[0]; n % 3];
        let pieces: Vec<Vec<u8>> = (0..5000).map(bytes).collect();
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        file.write_all_vectored_at(&mut slices, 10).unwrap();
        file.write_all_vectored_at(&mut [], 0).unwrap();
        file.write_all_vectored_at(&mut [IoSlice::new(b"")], 0)
            .unwrap();
        assert_eq!(
            read_file(&OsDisk, &path).unwrap(),
            [vec![0; 10], pieces.concat()].concat()
        );
    }
}
