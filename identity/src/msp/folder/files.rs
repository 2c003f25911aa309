//! Where the files of such a folder are: in one that somebody else made, which is read and nothing more, or in the data
//! directory.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use quire_disk::{Disk, FileError, read_file};

use super::{FolderError, MAX_FILES};

/// Most bytes of a file; revocation lists can be long.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Whose files they are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Files<'a> {
    /// Somebody else's.
    Given,
    /// This node's own.
    Kept(&'a dyn Disk),
}

impl Files<'_> {
    /// Names in a folder, sorted as Go sorts them; `None` if there is no folder.
    pub(super) fn names_in(self, folder: &Path) -> Result<Option<Vec<OsString>>, FolderError> {
        let Self::Kept(disk) = self else {
            return given_names_in(folder);
        };
        let is_there = disk.exists(folder);
        if !is_there.map_err(FileError::of("list", folder))? {
            return Ok(None);
        }
        let names = disk.list(folder).map_err(FileError::of("list", folder))?;
        let mut names: Vec<_> = names.into_iter().map(OsString::from).collect();
        names.sort();
        Ok(Some(names))
    }

    /// The content of a file; `None` for a folder.
    pub(super) fn read(self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        match self {
            Self::Given => read_given(path),
            Self::Kept(disk) => read_file(disk, path, MAX_FILE_BYTES).map(Some),
        }
    }
}

/// Names in a folder, sorted as Go sorts them; `None` if there is no folder.
fn given_names_in(folder: &Path) -> Result<Option<Vec<OsString>>, FolderError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(FileError::of("list", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries.take(MAX_FILES + 1) {
        names.push(entry.map_err(FileError::of("list", folder))?.file_name());
    }
    if names.len() > MAX_FILES {
        let path = folder.to_path_buf();
        return Err(FolderError::TooMany { path });
    }
    names.sort();
    Ok(Some(names))
}

/// The content of a file; `None` for a folder. Such a folder is often mounted without the right to
/// write, so the file is opened for reading alone.
fn read_given(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let read = || {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return Ok(None);
        }
        if metadata.len() > MAX_FILE_BYTES {
            let text = "larger than such a file can be";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        fs::read(path).map(Some)
    };
    read().map_err(FileError::of("read", path))
}
