//! Files of people: whole ones in, whole ones out.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Most bytes of a file that a tool reads.
const MOST: u64 = 256 << 20;

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {}: {source}", path.display())]
pub(crate) struct FileError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    fn new(verb: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self { verb, path, source }
    }
}

/// The content of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::new("reading", path, source);
    let mut file = fs::File::open(path).map_err(failed)?;
    read_all(&mut file).map_err(failed)
}

/// All that a stream has, if it is not too much.
pub(crate) fn read_all(stream: &mut (impl io::Read + ?Sized)) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    stream.take(MOST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST {
        let message = format!("more than {MOST} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(content)
}

/// Writes a file in place of what was there. A new one gets the mode.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(|source| FileError::new("writing", path, source))
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<(), FileError> {
    let result = DirBuilder::new().recursive(true).mode(mode).create(path);
    result.map_err(|source| FileError::new("making the folder", path, source))
}

/// Removes a folder and all that is in it; there may be none.
pub(crate) fn remove_folder(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError::new("removing", path, source))
        }
        _ => Ok(()),
    }
}
