//! The block files of one channel: `blockfile_000000`, `blockfile_000001` and so on without a gap.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use quire_disk::{Disk, DiskFile};

use crate::error::Corruption;
use crate::model::location::Location;

/// Up to this size, bytes are read without first checking the file's length.
const SMALL_READ: u64 = 1 << 20;
/// The most block files of a channel that are kept open; others are opened again when they are read.
const MAX_OPEN_FILES: usize = 64;

/// The block files of a channel, open for reading by many and writing by one.
#[derive(Debug)]
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    open: RwLock<HashMap<u64, Arc<dyn DiskFile>>>,
}

/// The name of a block file. Six digits are a minimum: file 1,000,000 has seven.
pub(crate) fn file_name(segment: u64) -> String {
    format!("blockfile_{segment:06}")
}

fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("blockfile_")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

impl Segments {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self {
            disk,
            dir,
            open: RwLock::default(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(file_name(segment))
    }

    /// The numbers of the block files that are there, in order. Files with other names are ignored.
    pub(crate) fn numbers(&self) -> io::Result<Vec<u64>> {
        let names = match self.disk.list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| segment_number(name))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// How many block files there are before the first that is missing, and the numbers of those
    /// after it.
    pub(crate) fn before_gap(&self) -> io::Result<(u64, Vec<u64>)> {
        let numbers = self.numbers()?;
        let count = (0..)
            .zip(&numbers)
            .take_while(|(expected, found)| expected == *found)
            .count();
        let beyond = numbers.get(count..).unwrap_or_default().to_vec();
        Ok((count as u64, beyond))
    }

    /// How many block files there are.
    ///
    /// A missing number between others is corruption: its blocks are gone.
    pub(crate) fn count(&self) -> io::Result<Result<u64, Corruption>> {
        let (count, beyond) = self.before_gap()?;
        Ok(match beyond.first() {
            None => Ok(count),
            Some(later) => Err(Corruption {
                file: self.path(count),
                offset: 0,
                block: None,
                expected: "a block file".to_owned(),
                found: format!("none, though {} follows", file_name(*later)),
            }),
        })
    }

    pub(crate) fn file(&self, segment: u64) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.open.read().get(&segment) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.path(segment), false)?;
        let mut open = self.open.write();
        while open.len() >= MAX_OPEN_FILES
            && let Some(other) = open.keys().next().copied()
        {
            open.remove(&other);
        }
        open.insert(segment, Arc::clone(&file));
        Ok(file)
    }

    /// Makes an empty block file. Its name is durable on return.
    pub(crate) fn create(&self, segment: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(&self.path(segment), true)?;
        self.disk.sync_dir(&self.dir)?;
        self.open.write().insert(segment, Arc::clone(&file));
        Ok(file)
    }

    /// Forgets open files, after some were renamed.
    pub(crate) fn forget(&self) {
        self.open.write().clear();
    }

    pub(crate) fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.dir)
    }

    pub(crate) fn read(&self, location: Location) -> io::Result<Bytes> {
        let len = usize::try_from(location.len).map_err(io::Error::other)?;
        let file = self.file(location.segment)?;
        // This avoids allocating for a wrong length in a damaged index.
        if location.len > SMALL_READ {
            let (end, file_len) = (location.offset.checked_add(location.len), file.len()?);
            if end.is_none_or(|end| end > file_len) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, location.offset)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_belong_together_beyond_six_digits() {
        for segment in [0, 7, 999_999, 1_000_000, 12_345_678] {
            assert_eq!(segment_number(&file_name(segment)), Some(segment));
        }
        assert_eq!(file_name(1_000_000), "blockfile_1000000");
        for name in [
            "blockfile_1",
            "blockfile_0000001",
            "blockfile_+00001",
            "blockfile_",
            "other",
        ] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }
}
