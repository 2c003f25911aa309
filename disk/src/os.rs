//! The operating system's file system.

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use crate::{Disk, DiskFile};

/// What the owner may do with a new file or directory; nobody else may do anything.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

/// [`OsDisk`] as a shared [`Disk`].
#[must_use]
pub fn os() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}

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
            // Block files of somebody else, or the disk with a copy of ours, may be read-only, and they
            // are only read.
            Err(error) if is_read_only(&error) && !create => fs::File::open(path)?,
            other => other?,
        };
        Ok(Arc::new(OsFile(file)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = options.mode(FILE_MODE).open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        // Quire makes no names that are not UTF-8.
        let names = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name()));
        let names: Vec<_> = names.collect::<io::Result<_>>()?;
        Ok(names
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(DIR_MODE).create(dir)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
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
        // Empty pieces at the front are skipped, so that writing nothing means that nothing can be
        // written.
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            // The system takes a limited number of pieces at once.
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
        // Some pieces are empty: at the front, and where the system stops taking more.
        let bytes = |n: usize| vec![n.to_le_bytes()[0]; n % 3];
        let pieces: Vec<Vec<u8>> = (0..5000).map(bytes).collect();
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        file.write_all_vectored_at(&mut slices, 10).unwrap();
        file.write_all_vectored_at(&mut [], 0).unwrap();
        file.write_all_vectored_at(&mut [IoSlice::new(b"")], 0)
            .unwrap();
        assert_eq!(
            fs::read(&path).unwrap(),
            [vec![0; 10], pieces.concat()].concat()
        );
    }
}
