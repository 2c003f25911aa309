//! Folders that appear whole or not at all, and files that change so, however the process ends.
//!
//! ```text
//! <parent>/.<name>.new/...    written, every file and folder fsynced
//! <parent>/<name>/...         renamed, parent fsynced: from here on it exists
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const TEMPORARY_SUFFIX: &str = ".new";

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried: `read`, `write`, `sync`.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// A file to come into being, for its owner's eyes only.
#[derive(Debug)]
pub(crate) struct NewFile<'a> {
    /// Relative to the folder.
    pub(crate) path: &'static str,
    pub(crate) content: &'a str,
}

/// Makes the folder `target` with `files`; durable on return. If there is an error, `target` does
/// not exist, or exists whole but is not yet durable.
///
/// The caller makes sure that `target` does not exist and that nobody else makes it now.
pub(crate) fn create_folder(target: &Path, files: &[NewFile<'_>]) -> Result<(), FileError> {
    let parent = target.parent().unwrap_or(Path::new("."));
    ensure_folder(parent)?;
    let temporary = temporary_of(target);
    remove(&temporary)?;
    create_one_folder(&temporary)?;
    for file in files {
        write_new(&temporary, file)?;
    }
    sync_tree(&temporary)?;
    rename(&temporary, target)?;
    sync_folder(parent)
}

/// Puts `content`, for the owner's eyes only, in place of whatever `target` holds: readers and
/// crashes see the old content or the new. Durable on return. If there is an error, `target` holds
/// the old content, or the new that is not yet durable.
///
/// The caller makes sure that nobody else replaces it now.
pub(crate) fn replace_file(target: &Path, content: &[u8]) -> Result<(), FileError> {
    let parent = target.parent().unwrap_or(Path::new("."));
    let temporary = temporary_of(target);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(failed("remove", &temporary))?,
    }
    let mut file = create_file(&temporary)?;
    file.write_all(content)
        .map_err(failed("write", &temporary))?;
    file.sync_all().map_err(failed("sync", &temporary))?;
    rename(&temporary, target)?;
    sync_folder(parent)
}

/// Removes what a crash left of `target` while it was being made. Answers whether there was any.
pub(crate) fn remove_leftover(target: &Path) -> Result<bool, FileError> {
    remove(&temporary_of(target))
}

/// Removes what a crash left of folders in `parent` that were being made. Answers how many.
pub(crate) fn remove_leftovers(parent: &Path) -> Result<usize, FileError> {
    let mut removed = 0;
    for name in names_in(parent)? {
        let stem = name.strip_suffix(TEMPORARY_SUFFIX);
        if stem.is_some_and(|stem| stem.starts_with('.')) {
            removed += usize::from(remove(&parent.join(name))?);
        }
    }
    Ok(removed)
}

/// Makes a folder and those above it, durably, where they are missing.
pub(crate) fn ensure_folder(path: &Path) -> Result<(), FileError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    ensure_folder(parent)?;
    create_one_folder(path)?;
    sync_folder(parent)
}

/// Names in a folder, sorted; none if the folder is missing. Names that are not UTF-8 are not ours.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", folder))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Whether there is something at `path`.
pub(crate) fn exists(path: &Path) -> Result<bool, FileError> {
    path.try_exists().map_err(failed("look for", path))
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(failed("read", path))?;
    file.take(limit + 1)
        .read_to_end(&mut content)
        .map_err(failed("read", path))?;
    if content.len() as u64 > limit {
        let error = io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than such a file can be",
        );
        return Err(failed("read", path)(error));
    }
    Ok(content)
}

fn temporary_of(target: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(TEMPORARY_SUFFIX);
    target.with_file_name(name)
}

fn remove(folder: &Path) -> Result<bool, FileError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).map_err(failed("remove", folder)),
    }
}

fn write_new(folder: &Path, new: &NewFile<'_>) -> Result<(), FileError> {
    let path = folder.join(new.path);
    if let Some(parent) = path.parent() {
        for missing in missing_folders(parent) {
            create_one_folder(&missing)?;
        }
    }
    let mut file = create_file(&path)?;
    file.write_all(new.content.as_bytes())
        .map_err(failed("write", &path))?;
    file.sync_all().map_err(failed("sync", &path))
}

/// Makes a file that is not there yet, readable by the owner alone.
fn create_file(path: &Path) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(failed("create", path))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place where this crate renames, and its callers sync the parent"
)]
fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(failed("rename to", to))
}

/// `folder` and those above it that do not exist, the topmost first.
fn missing_folders(folder: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<_> = folder
        .ancestors()
        .take_while(|ancestor| !ancestor.is_dir())
        .map(Path::to_path_buf)
        .collect();
    missing.reverse();
    missing
}

/// Makes a folder that the owner alone may enter.
fn create_one_folder(path: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(failed("create", path))
}

/// Syncs every folder in `folder` and itself, the innermost first.
fn sync_tree(folder: &Path) -> Result<(), FileError> {
    for name in names_in(folder)? {
        let path = folder.join(name);
        if path.is_dir() {
            sync_tree(&path)?;
        }
    }
    sync_folder(folder)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_path_buf();
    move |source| FileError {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_folder_appears_with_all_its_files() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("x/y/folder");
        create_folder(&target, &FILES).unwrap();
        assert_eq!(read(&target.join("a/b/public"), 1).unwrap(), b"1");
        assert_eq!(read(&target.join("a/secret"), 1).unwrap(), b"2");
        assert_eq!(names_in(&root.path().join("x/y")).unwrap(), ["folder"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path| {
                fs::metadata(target.join(path))
                    .unwrap()
                    .permissions()
                    .mode()
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
    }

    #[test]
    fn what_a_crash_left_is_in_nobodys_way() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("folder");
        fs::create_dir_all(root.path().join(".folder.new/a")).unwrap();
        fs::write(root.path().join(".folder.new/a/secret"), "half").unwrap();
        create_folder(&target, &FILES).unwrap();
        assert_eq!(read(&target.join("a/secret"), 9).unwrap(), b"2");

        fs::create_dir_all(root.path().join(".other.new")).unwrap();
        assert_eq!(remove_leftovers(root.path()).unwrap(), 1);
        assert_eq!(names_in(root.path()).unwrap(), ["folder"]);
    }

    #[test]
    fn a_file_beyond_its_limit_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        let error = read(&path, 4).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().starts_with("cannot read /"), "{error}");
    }
}
