//! A folder that is filled file by file, and appears under its name when all of it is durable.

use std::path::{Path, PathBuf};

use crate::Disk;
use crate::whole::{
    FileError, make_dir, make_one_dir, parent_of, remove_leftover, rename, sync_dir, temporary_of,
    write_file,
};

/// A file of a folder that is to appear.
#[derive(Debug)]
pub struct NewFile<'a> {
    /// The path in the folder; folders between are made.
    pub path: &'a str,
    /// The whole content.
    pub content: &'a str,
}

/// Makes the folder `target` with `files`. It is durable on return. What a crash left of an earlier attempt
/// is removed first.
///
/// The caller makes sure that `target` does not exist and that nobody else makes it now.
///
/// # Errors
/// If this fails, `target` does not exist, or exists whole but is not yet durable.
pub fn create_folder(
    disk: &dyn Disk,
    target: &Path,
    files: &[NewFile<'_>],
) -> Result<(), FileError> {
    let mut folder = GrowingFolder::begin(disk, target)?;
    for new in files {
        let path = folder.place(Path::new(new.path))?;
        write_file(disk, &path, new.content.as_bytes())?;
    }
    folder.finish()
}

/// A folder that is not there yet. Whoever fills it syncs the files. A folder that is not finished is what a
/// crash leaves: the next one of this name removes it.
#[derive(Debug)]
pub struct GrowingFolder<'a> {
    disk: &'a dyn Disk,
    target: PathBuf,
    temporary: PathBuf,
    /// Every folder that was made, the outer before the inner.
    folders: Vec<PathBuf>,
}

impl<'a> GrowingFolder<'a> {
    /// Begins the folder `target`, after removing what a crash left of an earlier attempt. Its parent is made
    /// if there is none. The caller makes sure that nobody else makes it now.
    ///
    /// # Errors
    /// Fails if the file system does.
    pub fn begin(disk: &'a dyn Disk, target: &Path) -> Result<Self, FileError> {
        make_dir(disk, parent_of(target))?;
        remove_leftover(disk, target)?;
        let temporary = temporary_of(target);
        // Not one that somebody else has put there since, and may look into.
        disk.create_dir(&temporary)
            .map_err(FileError::of("create", &temporary))?;
        Ok(Self {
            disk,
            target: target.to_owned(),
            folders: vec![temporary.clone()],
            temporary,
        })
    }

    /// Where it is while it is filled.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Where a file of this path in the folder is to be written; makes the folders between.
    ///
    /// # Errors
    /// Fails if the file system does.
    pub fn place(&mut self, path: &Path) -> Result<PathBuf, FileError> {
        let place = self.temporary.join(path);
        let within = place.ancestors().skip(1);
        let missing: Vec<_> = within
            .take_while(|folder| !self.folders.iter().any(|made| made == folder))
            .map(Path::to_path_buf)
            .collect();
        for folder in missing.into_iter().rev() {
            make_one_dir(self.disk, &folder)?;
            self.folders.push(folder);
        }
        Ok(place)
    }

    /// Makes the names of what was put in durable. What is put in afterwards needs another call.
    ///
    /// # Errors
    /// Fails if the file system does.
    pub fn sync(&self) -> Result<(), FileError> {
        // The innermost folder is synced first.
        let mut folders = self.folders.iter().rev();
        folders.try_for_each(|folder| sync_dir(self.disk, folder))
    }

    /// Gives the folder its name. It is durable on return. There must be nothing of that name, or an empty
    /// folder.
    ///
    /// # Errors
    /// If this fails, there is no such folder, or it is whole but not yet durable.
    pub fn finish(self) -> Result<(), FileError> {
        self.sync()?;
        rename(self.disk, &self.temporary, &self.target)?;
        sync_dir(self.disk, parent_of(&self.target))
    }
}
