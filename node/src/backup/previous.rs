//! The backup before: what has not changed since is not copied again, but gets a second name.
//!
//! | file | is the same when |
//! |---|---|
//! | block file | in both it is followed by another, so that nobody writes to it any more; it is as long; it begins and ends with the same bytes, and so does the beginning of the file after it. The first record there names the hash of the last block here |
//! | private set, package of a chaincode | its bytes are the same: such a file is replaced whole, never written to |
//!
//! Everything else is small, and is copied.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use quire_disk::Disk;

use super::manifest::{FileRow, Manifest};
use super::pump::sha256;

/// The bytes of the beginning and of the end of a block file that are compared. A record's beginning names the
/// block before it, its end has the checksum of the whole.
const COMPARED: u64 = 4096;
/// The most bytes of a file that is compared as a whole.
const SMALL: u64 = 16 << 20;

/// A backup that was made before.
#[derive(Debug)]
pub(super) struct Previous {
    folder: PathBuf,
    files: HashMap<String, FileRow>,
}

impl Previous {
    pub(super) fn of(folder: &Path, manifest: Manifest) -> Self {
        let files = manifest.files.into_iter();
        Self {
            folder: folder.to_owned(),
            files: files.map(|file| (file.path.clone(), file)).collect(),
        }
    }

    /// The file of it that has the bytes of a file of `data`, of which the first `bytes` are copied; `next` is
    /// the block file after it. What cannot be read is not the same.
    pub(super) fn same(
        &self,
        disk: &dyn Disk,
        data: &Path,
        (path, bytes): (&str, u64),
        next: Option<&str>,
    ) -> Option<(&FileRow, PathBuf)> {
        let row = self.files.get(path).filter(|row| row.bytes == bytes)?;
        let here = row.at(&self.folder);
        let is_same = if is_block_file(path) {
            let next = self.files.get(next?)?;
            let compared = bytes.min(COMPARED);
            let ends = [
                (path, 0, compared),
                (path, bytes - compared, compared),
                // It may have grown since.
                (next.path.as_str(), 0, next.bytes.min(COMPARED)),
            ];
            ends.iter().all(|(path, from, len)| {
                let read = |folder: &Path| read(disk, &folder.join(path), *from, *len);
                matches!((read(data), read(&self.folder)), (Ok(one), Ok(other)) if one == other)
            })
        } else if is_replaced_whole(path) && bytes <= SMALL {
            let content = read(disk, &data.join(path), 0, bytes).ok()?;
            hex::encode(sha256(&content)) == row.sha256
        } else {
            false
        };
        is_same.then_some((row, here))
    }
}

pub(super) fn is_block_file(path: &str) -> bool {
    let mut names = path.split('/');
    let is_of_channel = names.next() == Some("channels");
    is_of_channel
        && names
            .nth(1)
            .is_some_and(|name| name.starts_with("blockfile_"))
}

fn is_replaced_whole(path: &str) -> bool {
    let names: Vec<&str> = path.split('/').collect();
    matches!(
        *names,
        ["channels", _, "private", _] | ["chaincodes", "packages", _]
    )
}

/// At most `len` bytes of a file.
fn read(disk: &dyn Disk, path: &Path, from: u64, len: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path, false)?;
    let len = file.len()?.saturating_sub(from).min(len);
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}
