//! The code in a package: packed from a folder, and unpacked into one.
//!
//! As Fabric's `peer lifecycle chaincode package` does, files stand below `src/` in a tar within a gzip, and those of
//! the folder's `META-INF` below `META-INF/`. The same folder gives the same bytes: entries are sorted, and have no
//! times and no owners.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use tar::{Archive, Builder, EntryType, Header};

/// Where code stands in a package.
const SOURCE: &str = "src";
/// A folder for whoever runs the code, such as indexes for CouchDB, beside it in a package.
const FOR_PEERS: &str = "META-INF";
/// Folders that are made of others, or are none of the chaincode's.
const LEFT_OUT: [&str; 4] = ["node_modules", ".git", "target", ".gradle"];
/// Most files of a chaincode, and most bytes of them in all.
const MAX_FILES: usize = 10_000;
const MAX_BYTES: u64 = 256 << 20;
/// Most folders within each other.
const MAX_DEPTH: usize = 32;

/// Why code is not packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// A file or folder cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The archive is none.
    #[error("the code is no tar within a gzip")]
    Archive(#[source] io::Error),
    /// An entry that is neither a file nor a folder, or that points out of the folder.
    #[error("{0:?} is no file that a chaincode may have")]
    Entry(String),
    /// There are more files, or they have more bytes, than a chaincode may have.
    #[error("a chaincode has at most {MAX_FILES} files, and {MAX_BYTES} bytes of them")]
    TooLarge,
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> CodeError + use<> {
    let path = path.to_owned();
    move |source| CodeError::Io { path, source }
}

/// Packs the files of a folder. Links are refused: what they lead to is not the same elsewhere.
///
/// # Errors
/// See [`CodeError`].
pub fn pack(dir: &Path) -> Result<Vec<u8>, CodeError> {
    let mut files = Vec::new();
    list(dir, Path::new(SOURCE), 0, &mut files)?;
    files.sort();
    let gzip = GzBuilder::new().write(Vec::new(), Compression::default());
    let mut tar = Builder::new(gzip);
    let mut bytes = 0;
    for (name, path) in files {
        let file = fs::File::open(&path).map_err(io_at(&path))?;
        let metadata = file.metadata().map_err(io_at(&path))?;
        let room = MAX_BYTES - bytes;
        if metadata.len() > room {
            return Err(CodeError::TooLarge);
        }
        // It may grow while it is read.
        let mut content = Vec::new();
        let read = file.take(room + 1).read_to_end(&mut content);
        read.map_err(io_at(&path))?;
        if content.len() as u64 > room {
            return Err(CodeError::TooLarge);
        }
        bytes += content.len() as u64;
        let is_executable = metadata.permissions().mode() & 0o111 != 0;
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(if is_executable { 0o755 } else { 0o644 });
        let appended = tar.append_data(&mut header, &name, &content[..]);
        appended.map_err(io_at(&path))?;
    }
    let gzip = tar.into_inner().map_err(CodeError::Archive)?;
    gzip.finish().map_err(CodeError::Archive)
}

fn list(
    dir: &Path,
    name: &Path,
    depth: usize,
    files: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), CodeError> {
    if depth > MAX_DEPTH {
        return Err(CodeError::TooLarge);
    }
    for entry in fs::read_dir(dir).map_err(io_at(dir))? {
        let entry = entry.map_err(io_at(dir))?;
        let (file_name, path) = (entry.file_name(), entry.path());
        let kind = entry.file_type().map_err(io_at(&path))?;
        let name = if depth == 0 && file_name == FOR_PEERS {
            PathBuf::from(FOR_PEERS)
        } else {
            name.join(&file_name)
        };
        if kind.is_dir() {
            if !LEFT_OUT.iter().any(|left_out| file_name == *left_out) {
                list(&path, &name, depth + 1, files)?;
            }
        } else if kind.is_file() {
            files.push((name, path));
            if files.len() > MAX_FILES {
                return Err(CodeError::TooLarge);
            }
        } else {
            return Err(CodeError::Entry(name.display().to_string()));
        }
    }
    Ok(())
}

/// Unpacks the files below `src/` into a new folder.
///
/// # Errors
/// See [`CodeError`].
pub fn unpack(code: &[u8], into: &Path) -> Result<(), CodeError> {
    fs::create_dir_all(into).map_err(io_at(into))?;
    // Headers count too: nothing is read beyond.
    let bounded = MultiGzDecoder::new(code).take(2 * MAX_BYTES);
    let mut archive = Archive::new(bounded);
    let (mut count, mut bytes) = (0, 0_u64);
    for entry in archive.entries().map_err(CodeError::Archive)? {
        let mut entry = entry.map_err(CodeError::Archive)?;
        count += 1;
        bytes = bytes.saturating_add(entry.size());
        if count > MAX_FILES || bytes > MAX_BYTES {
            return Err(CodeError::TooLarge);
        }
        let name = entry.path().map_err(CodeError::Archive)?.into_owned();
        let Some(below) = below_source(&name)? else {
            continue;
        };
        let path = into.join(below);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&path).map_err(io_at(&path))?,
            EntryType::Regular | EntryType::Continuous => {
                let dir = path.parent().unwrap_or(into);
                fs::create_dir_all(dir).map_err(io_at(dir))?;
                let is_executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
                let mut file = fs::File::options()
                    .write(true)
                    .create_new(true)
                    .mode(if is_executable { 0o700 } else { 0o600 })
                    .open(&path)
                    .map_err(io_at(&path))?;
                io::copy(&mut entry, &mut file).map_err(io_at(&path))?;
            }
            _ => return Err(CodeError::Entry(name.display().to_string())),
        }
    }
    Ok(())
}

/// The place of an entry below `src/`; none where it stands elsewhere, as `META-INF` does.
fn below_source(name: &Path) -> Result<Option<PathBuf>, CodeError> {
    let mut below = PathBuf::new();
    let mut is_source = None;
    for component in name.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) if is_source.is_none() => is_source = Some(part == SOURCE),
            Component::Normal(part) => below.push(part),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(CodeError::Entry(name.display().to_string()));
            }
        }
    }
    let is_below = is_source == Some(true) && below.components().next().is_some();
    Ok(is_below.then_some(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>, bool)> {
        let mut listed = Vec::new();
        list(dir, Path::new(""), 0, &mut listed).unwrap();
        listed.sort();
        let files = listed.into_iter().map(|(name, path)| {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            (name, fs::read(&path).unwrap(), mode & 0o100 != 0)
        });
        files.collect()
    }

    #[test]
    fn what_is_packed_is_unpacked_and_what_can_be_made_again_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("lib/deep")).unwrap();
        fs::create_dir_all(dir.path().join("node_modules/x")).unwrap();
        fs::write(dir.path().join("node_modules/x/index.js"), "x").unwrap();
        fs::write(dir.path().join("package.json"), "{}").unwrap();
        fs::write(dir.path().join("lib/deep/a.js"), "a").unwrap();
        let run = dir.path().join("run");
        fs::write(&run, "#!/bin/sh").unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        let packed = pack(dir.path()).unwrap();
        assert_eq!(packed, pack(dir.path()).unwrap());

        let into = tempfile::tempdir().unwrap();
        let into = into.path().join("code");
        unpack(&packed, &into).unwrap();
        fs::remove_dir_all(dir.path().join("node_modules")).unwrap();
        assert_eq!(files(&into), files(dir.path()));
    }

    #[test]
    fn what_is_for_peers_stands_beside_the_code() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["META-INF/statedb", "lib/META-INF"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join("a.json"), "{}").unwrap();
        }
        let packed = pack(dir.path()).unwrap();
        let mut archive = Archive::new(MultiGzDecoder::new(&packed[..]));
        let entries = archive.entries().unwrap();
        let names: Vec<_> = entries
            .map(|entry| entry.unwrap().path().unwrap().into_owned())
            .collect();
        let expected = ["META-INF/statedb/a.json", "src/lib/META-INF/a.json"];
        assert_eq!(names, expected.map(PathBuf::from));
    }

    #[test]
    fn what_would_leave_the_folder_is_refused_and_a_bomb_too() {
        let refused = |name: &str, kind: EntryType, size: u64| {
            let mut tar = Builder::new(flate2::write::GzEncoder::new(
                Vec::new(),
                Compression::default(),
            ));
            let mut header = Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_mode(0o644);
            header.set_cksum();
            tar.append(&header, io::repeat(0).take(size)).unwrap();
            let packed = tar.into_inner().unwrap().finish().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let outcome = unpack(&packed, &dir.path().join("into"));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
            outcome
        };
        for name in ["../x", "src/../../x", "/src/x"] {
            let outcome = refused(name, EntryType::Regular, 1);
            assert!(
                matches!(outcome, Err(CodeError::Entry(_))),
                "{name}: {outcome:?}"
            );
        }
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Char,
            EntryType::Fifo,
        ] {
            let outcome = refused("src/x", kind, 0);
            assert!(
                matches!(outcome, Err(CodeError::Entry(_))),
                "{kind:?}: {outcome:?}"
            );
        }
        let outcome = refused("src/x", EntryType::Regular, MAX_BYTES + 1);
        assert!(matches!(outcome, Err(CodeError::TooLarge)), "{outcome:?}");
        assert!(refused("META-INF/x", EntryType::Regular, 1).is_ok());
        assert!(
            unpack(
                b"no archive",
                &tempfile::tempdir().unwrap().path().join("x")
            )
            .is_err()
        );
    }
}
