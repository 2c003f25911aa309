//! What is asked of a [`Disk`] here, with errors that say of what.

use std::io;
use std::path::Path;

use quire_disk::{Disk, FileError};

/// Names in a folder, sorted; none if the folder is missing.
pub(crate) fn names_in(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, FileError> {
    let mut names = match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names.map_err(FileError::of("list", folder))?,
    };
    names.sort();
    Ok(names)
}

/// Whether there is something at `path`.
pub(crate) fn exists(disk: &dyn Disk, path: &Path) -> Result<bool, FileError> {
    disk.exists(path).map_err(FileError::of("look for", path))
}
