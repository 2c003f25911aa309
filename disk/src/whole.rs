//! Files and folders that appear whole or not at all, however the process ends.
//!
//! ```text
//! <parent>/.<name>.new        written, and everything in it synced
//! <parent>/<name>             renamed, parent synced: from here on it exists
//! ```

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::Disk;

const TEMPORARY_SUFFIX: &str = ".new";

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried: `read`, `write`, `sync`.
    pub action: &'static str,
    /// The path.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl FileError {
    /// Makes a [`FileError`] of an error of the file system.
    pub fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self {
            action,
            path,
            source,
        }
    }

    /// Whether the file or folder is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Puts `content` in place of whatever `target` holds: readers and crashes see the old content or the new,
/// never a mixture. The new content is durable on return.
///
/// The caller makes sure that nobody else replaces it now.
///
/// # Errors
/// If this fails, `target` holds the old content, or the new content that is not yet durable.
pub fn replace_file(disk: &dyn Disk, target: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = temporary_of(target);
    // A temporary file that a crash left may have another mode, or be somebody else's, or a link.
    match disk.remove_file(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(FileError::of("remove", &temporary))?,
    }
    write_file(disk, &temporary, content)?;
    rename(disk, &temporary, target)?;
    sync_dir(disk, parent_of(target))
}

/// Removes what a crash left of the folder `target` while it was being made. Returns whether it left
/// anything.
///
/// # Errors
/// Fails if the file system does.
pub fn remove_leftover(disk: &dyn Disk, target: &Path) -> Result<bool, FileError> {
    remove(disk, &temporary_of(target))
}

/// Removes what a crash left of folders in `parent` that were being made. Returns their number.
///
/// # Errors
/// Fails if the file system does.
pub fn remove_leftovers(disk: &dyn Disk, parent: &Path) -> Result<usize, FileError> {
    let names = disk.list(parent).map_err(FileError::of("list", parent))?;
    let mut removed = 0;
    for name in names {
        let stem = name.strip_suffix(TEMPORARY_SUFFIX);
        if stem.is_some_and(|stem| stem.starts_with('.')) {
            removed += usize::from(remove(disk, &parent.join(name))?);
        }
    }
    Ok(removed)
}

/// Makes a directory and its ancestors, and makes all their names durable, even if an earlier process made
/// them and died before it could sync them.
///
/// # Errors
/// Fails if the file system does.
pub fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<(), FileError> {
    // `a/b` has the ancestors `a/b`, `a` and the empty path, which is the current directory.
    let named = dir.ancestors().filter(|dir| !dir.as_os_str().is_empty());
    let mut missing = Vec::new();
    for dir in named {
        match disk.list(dir) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(dir),
            Err(error) => return Err(FileError::of("list", dir)(error)),
        }
    }
    make_one_dir(disk, dir)?;
    let topmost = missing.last().copied().unwrap_or(dir);
    match topmost
        .parent()
        .map(|above| sync_dir(disk, in_current(above)))
    {
        // The existing directory may be somebody else's, and closed to us.
        Some(Err(error)) if error.source.kind() != io::ErrorKind::PermissionDenied => {
            return Err(error);
        }
        _ => {}
    }
    for made in missing.iter().skip(1).rev() {
        sync_dir(disk, made)?;
    }
    Ok(())
}

/// The whole content of a file of at most `limit` bytes.
///
/// # Errors
/// Fails if the file system does, also with [`FileError::is_not_found`]; a larger file is not read and gives
/// `FileTooLarge`.
pub fn read_file(disk: &dyn Disk, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let read = || {
        let file = disk.open(path, false)?;
        let len = file.len()?;
        if len > limit {
            let text = "larger than such a file can be";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let mut content = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    };
    read().map_err(FileError::of("read", path))
}

pub(crate) fn temporary_of(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(TEMPORARY_SUFFIX);
    target.with_file_name(name)
}

pub(crate) fn parent_of(target: &Path) -> &Path {
    in_current(target.parent().unwrap_or(Path::new(".")))
}

fn in_current(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    }
}

fn remove(disk: &dyn Disk, folder: &Path) -> Result<bool, FileError> {
    let existed = disk
        .exists(folder)
        .map_err(FileError::of("look for", folder))?;
    disk.remove_dir_all(folder)
        .map_err(FileError::of("remove", folder))?;
    Ok(existed)
}

/// Writes a file. On return its bytes are durable, but not its name.
pub(crate) fn write_file(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), FileError> {
    let file = disk
        .open(path, true)
        .map_err(FileError::of("create", path))?;
    let written = file.set_len(0).and_then(|()| file.write_all_at(content, 0));
    written.map_err(FileError::of("write", path))?;
    file.sync_data().map_err(FileError::of("sync", path))
}

pub(crate) fn make_one_dir(disk: &dyn Disk, path: &Path) -> Result<(), FileError> {
    disk.create_dir_all(path)
        .map_err(FileError::of("create", path))
}

pub(crate) fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), FileError> {
    disk.rename(from, to)
        .map_err(FileError::of("rename to", to))
}

pub(crate) fn sync_dir(disk: &dyn Disk, path: &Path) -> Result<(), FileError> {
    disk.sync_dir(path).map_err(FileError::of("sync", path))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{NewFile, OsDisk, create_folder};

    const FILES: [NewFile<'_>; 2] = [
        NewFile {
            path: "a/b/public",
            content: "1",
        },
        NewFile {
            path: "a/secret",
            content: "2",
        },
    ];

    fn names_in(dir: &Path) -> Vec<String> {
        OsDisk.list(dir).unwrap()
    }

    #[test]
    fn a_folder_appears_with_all_its_files() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("x/y/folder");
        create_folder(&OsDisk, &target, &FILES).unwrap();
        let read = |path| read_file(&OsDisk, &target.join(path), 1).unwrap();
        assert_eq!(read("a/b/public"), b"1");
        assert_eq!(read("a/secret"), b"2");
        assert_eq!(names_in(&root.path().join("x/y")), ["folder"]);
        let mode = |path| {
            let metadata = fs::metadata(target.join(path)).unwrap();
            metadata.permissions().mode()
        };
        for (path, expected) in [
            ("", 0o700),
            ("a", 0o700),
            ("a/b", 0o700),
            ("a/secret", 0o600),
            ("a/b/public", 0o600),
        ] {
            assert_eq!(mode(path) & 0o777, expected, "{path}");
        }
    }

    #[test]
    fn what_a_crash_left_is_in_nobodys_way() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("folder");
        fs::create_dir_all(root.path().join(".folder.new/a")).unwrap();
        fs::write(root.path().join(".folder.new/a/secret"), "half").unwrap();
        create_folder(&OsDisk, &target, &FILES).unwrap();
        let secret = read_file(&OsDisk, &target.join("a/secret"), 9).unwrap();
        assert_eq!(secret, b"2");

        fs::create_dir_all(root.path().join(".other.new")).unwrap();
        assert_eq!(remove_leftovers(&OsDisk, root.path()).unwrap(), 1);
        assert_eq!(names_in(root.path()), ["folder"]);

        let file = root.path().join("file");
        fs::write(root.path().join(".file.new"), "half of a longer content").unwrap();
        replace_file(&OsDisk, &file, b"new").unwrap();
        assert_eq!(read_file(&OsDisk, &file, 3).unwrap(), b"new");

        // Somebody waits for what is written through the link.
        let elsewhere = root.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, root.path().join(".file.new")).unwrap();
        replace_file(&OsDisk, &file, b"newer").unwrap();
        assert!(!fs::symlink_metadata(&file).unwrap().is_symlink());
        assert!(!elsewhere.exists());
    }

    #[test]
    fn a_file_beyond_its_limit_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_file(&OsDisk, &path, 5).unwrap(), b"12345");
        let error = read_file(&OsDisk, &path, 4).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().starts_with("cannot read /"), "{error}");
        assert!(
            read_file(&OsDisk, root.path().join("none").as_path(), 4)
                .unwrap_err()
                .is_not_found()
        );
    }
}
