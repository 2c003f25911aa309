//! Append-only block files: the only truth.
//!
//! [`BlockStore`] is the writer's end, in the ledger's [`appender`]; [`BlockFiles`] is the end that readers
//! share. The [index](crate::followers::index) knows where each block lies.

pub(crate) mod appender;
mod gather;
pub(crate) mod record;
pub(crate) mod scan;
pub(crate) mod segment;
pub(crate) mod tail;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quire_disk::Disk;

use crate::checksum::crc32c;
use crate::error::{Corruption, ReadError};
use crate::model::block::{Block, Height};
use crate::model::location::{Location, Position};
use crate::observer::{Event, Observed, Stage};
use gather::Gather;
use record::Seal;
use segment::Segments;

/// Bytes of recently read or written blocks kept in memory, per channel.
const CACHE_BYTES: u64 = 64 << 20;

/// The block files as readers see them: any number of threads may read, without a lock.
#[derive(Debug)]
pub(crate) struct BlockFiles {
    pub(crate) segments: Segments,
    pub(crate) observed: Observed,
    cache: quick_cache::sync::Cache<u64, Arc<Cached>, ByBytes>,
}

#[derive(Debug)]
struct Cached {
    block: Arc<Block>,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<u64, Arc<Cached>> for ByBytes {
    fn weight(&self, _number: &u64, cached: &Arc<Cached>) -> u64 {
        cached.bytes
    }
}

impl BlockFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, observed: Observed) -> Self {
        let cache = quick_cache::sync::Cache::with_weighter(1024, CACHE_BYTES, ByBytes);
        Self {
            segments: Segments::new(disk, dir),
            observed,
            cache,
        }
    }

    /// Block `number`, which the index says lies at `location`. The returned block was checked by its seal,
    /// or by its data hash if a Fabric peer wrote it.
    pub(crate) fn read(
        &self,
        number: u64,
        location: Location,
        own_from: u64,
    ) -> Result<Arc<Block>, ReadError> {
        let cached = self.cache.get(&number);
        self.observed.tell(&Event::Read {
            cached: cached.is_some(),
        });
        if let Some(cached) = cached {
            return Ok(Arc::clone(&cached.block));
        }
        let (block, seal) = self.read_record(number, location)?;
        if seal.is_none() {
            self.check_unsealed(&block, location, own_from)?;
        }
        let block = Arc::new(block);
        self.remember(&block, location);
        Ok(block)
    }

    /// Whether a block need not be read from disk.
    pub(crate) fn is_cached(&self, number: u64) -> bool {
        self.cache.contains_key(&number)
    }

    /// An envelope alone, checked by the checksum that it had when its block was followed. It is `None` if
    /// these bytes are not there; then [`Self::read`] tells what is wrong with the block, if anything.
    pub(crate) fn read_envelope(&self, height: Height, location: Location) -> Option<Bytes> {
        let bytes = self.segments.read(location).ok()?;
        if location.checksum != Some(record::envelope_checksum(height, &bytes)) {
            return None;
        }
        self.observed.tell(&Event::Read { cached: false });
        Some(bytes)
    }

    fn remember(&self, block: &Arc<Block>, location: Location) {
        let cached = Cached {
            block: Arc::clone(block),
            bytes: location.len,
        };
        self.cache.insert(block.number, Arc::new(cached));
    }

    pub(crate) fn read_record(
        &self,
        number: u64,
        location: Location,
    ) -> Result<(Block, Option<Seal>), ReadError> {
        let corrupt = |found: String| self.corrupt(location, number, "a sound record", found);
        let bytes = match self.segments.read(location) {
            Err(error) if is_missing(&error) => return Err(corrupt(error.to_string())),
            other => other.map_err(|source| ReadError::Io {
                file: self.segments.path(location.segment),
                source,
            })?,
        };
        if let Some(expected) = location.checksum {
            let found = crc32c(&bytes);
            if found != expected {
                let expected = format!("bytes with checksum {expected:08x}, as when indexed");
                return Err(self.corrupt(location, number, &expected, format!("{found:08x}")));
            }
        }
        let (block, seal) = record::decode(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if block.number != number {
            return Err(corrupt(format!("block {}", block.number)));
        }
        Ok((block, seal))
    }

    fn check_unsealed(
        &self,
        block: &Block,
        location: Location,
        own_from: u64,
    ) -> Result<(), ReadError> {
        if block.number >= own_from {
            let expected = "a seal in metadata slot 5";
            return Err(self.corrupt(location, block.number, expected, "none".to_owned()));
        }
        match scan::data_hash_objection(block) {
            None => Ok(()),
            Some((expected, found)) => Err(self.corrupt(location, block.number, &expected, found)),
        }
    }

    fn corrupt(&self, location: Location, number: u64, expected: &str, found: String) -> ReadError {
        self.observed.tell(&Event::Damaged);
        ReadError::Corrupt(Corruption {
            file: self.segments.path(location.segment),
            offset: location.offset,
            block: Some(number),
            expected: expected.to_owned(),
            found,
        })
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    )
}

/// Why blocks were not made durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// A write or sync failed. Whether the blocks are durable is not known: reopen to find out.
    #[error("cannot write {file}")]
    Io {
        /// The block file.
        file: PathBuf,
        /// The file system's error.
        source: io::Error,
    },
    /// An earlier write or sync failed, so nothing is known about the file until it is reopened.
    #[error("an earlier write failed")]
    Poisoned,
}

/// Durable blocks, and where they lie.
pub(crate) type Written = Vec<(Arc<Block>, Location)>;

/// Why not all of some blocks were made durable.
#[derive(Debug)]
pub(crate) struct NotAppended {
    /// The first blocks, in earlier files, which were synced before the error.
    pub(crate) durable: Written,
    pub(crate) error: AppendError,
}

/// The one writer of a channel's block files.
#[derive(Debug)]
pub(crate) struct BlockStore {
    files: Arc<BlockFiles>,
    segment_bytes: u64,
    /// Where the next record goes.
    tail: Position,
    /// Whether the file at the tail exists.
    tail_exists: bool,
    poisoned: bool,
    /// The buffer is kept between batches.
    buffer: Gather,
}

impl BlockStore {
    /// Continues at `tail`, after recovery has made everything before it durable.
    pub(crate) fn new(
        files: Arc<BlockFiles>,
        segment_bytes: u64,
        tail: Position,
        tail_exists: bool,
    ) -> Self {
        Self {
            files,
            segment_bytes,
            tail,
            tail_exists,
            poisoned: false,
            buffer: Gather::default(),
        }
    }

    pub(crate) fn files(&self) -> &Arc<BlockFiles> {
        &self.files
    }

    /// Writes blocks with one sync, or more syncs if they do not fit into one file. On return they are
    /// durable. After an error only the blocks that it names are durable, nothing is known of the others, and
    /// nothing more will be written.
    pub(crate) fn append(&mut self, blocks: Vec<Block>) -> Result<Written, NotAppended> {
        let mut durable = Vec::with_capacity(blocks.len());
        match self.append_each(blocks, &mut durable) {
            Ok(()) => Ok(durable),
            Err(error) => Err(NotAppended { durable, error }),
        }
    }

    /// Does that, and adds blocks that have become durable to `durable`.
    fn append_each(
        &mut self,
        blocks: Vec<Block>,
        durable: &mut Written,
    ) -> Result<(), AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        let mut blocks = blocks.into_iter().peekable();
        let mut records = std::mem::take(&mut self.buffer);
        while let Some(mut first) = blocks.next() {
            let batch_start = first.number;
            records.clear();
            record::encode(&mut records, &mut first, batch_start);
            self.roll_over(records.len())?;
            let mut batch = vec![(first, records.len())];
            // A batch never crosses into another file, so that damage can be distinguished from tearing.
            while let Some(next) = blocks.peek_mut() {
                let (before, len) = (records.mark(), records.len());
                record::encode(&mut records, next, batch_start);
                if self.tail.offset + records.len() as u64 > self.segment_bytes {
                    records.cut(before);
                    break;
                }
                batch.extend(blocks.next().map(|next| (next, records.len() - len)));
            }
            self.write_and_sync(&records)?;
            self.collect(batch, durable);
        }
        records.clear();
        self.buffer = records;
        Ok(())
    }

    /// Moves to a new file if `len` more bytes would exceed the segment size. A record larger than that gets
    /// a file of its own.
    fn roll_over(&mut self, len: usize) -> Result<(), AppendError> {
        let full = self.tail.offset + len as u64 > self.segment_bytes;
        if self.tail.offset > 0 && full {
            self.tail = Position {
                segment: self.tail.segment + 1,
                offset: 0,
            };
            self.tail_exists = false;
        }
        if !self.tail_exists {
            let created = self.files.segments.create(self.tail.segment);
            created.map_err(|source| self.poison(source))?;
            self.tail_exists = true;
        }
        Ok(())
    }

    fn write_and_sync(&mut self, records: &Gather) -> Result<(), AppendError> {
        let written = self
            .files
            .segments
            .file(self.tail.segment)
            .and_then(|file| {
                file.write_all_vectored_at(&mut records.slices(), self.tail.offset)?;
                let _syncing = self.files.observed.stopwatch(Stage::Sync);
                // The commit point: what is in `records` is durable when this returns.
                file.sync_data()
            });
        written.map_err(|source| self.poison(source))
    }

    fn poison(&mut self, source: io::Error) -> AppendError {
        self.poisoned = true;
        AppendError::Io {
            file: self.files.segments.path(self.tail.segment),
            source,
        }
    }

    /// Notes where the written blocks lie, and moves the tail after them.
    fn collect(&mut self, batch: Vec<(Block, usize)>, durable: &mut Written) {
        for (block, len) in batch {
            let location = Location {
                segment: self.tail.segment,
                offset: self.tail.offset,
                len: len as u64,
                checksum: None,
            };
            self.tail = location.end();
            let block = Arc::new(block);
            self.files.remember(&block, location);
            durable.push((block, location));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;

    use super::scan::{Scan, Step};
    use super::*;
    use quire_disk::OsDisk;

    fn block(number: u64, len: usize) -> Block {
        Block {
            number,
            previous_hash: Bytes::new(),
            data_hash: Bytes::new(),
            envelopes: vec![vec![1; len].into()],
            metadata: Vec::new(),
        }
    }

    fn store(dir: &std::path::Path, segment: u64) -> BlockStore {
        let files = BlockFiles::new(Arc::new(OsDisk), dir.to_owned(), Observed::by_nobody());
        let tail = Position { segment, offset: 0 };
        BlockStore::new(Arc::new(files), 1000, tail, false)
    }

    #[test]
    fn file_numbers_go_on_beyond_six_digits() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(dir.path(), 999_998);
        let blocks = (0..4).map(|number| block(number, 600)).collect();
        store.append(blocks).unwrap();
        for name in ["blockfile_999998", "blockfile_999999", "blockfile_1000000"] {
            assert!(dir.path().join(name).exists(), "{name}");
        }
        let start = Position {
            segment: 999_998,
            offset: 0,
        };
        let segments = &store.files().segments;
        let mut scan = Scan::new(segments, 1_000_002, 0, start, 0, None).without_hash_checks();
        let mut found = Vec::new();
        while let Step::Block(stored) = scan.next().unwrap() {
            found.push(stored.location.segment);
        }
        assert_eq!(found, [999_998, 999_999, 1_000_000, 1_000_001]);
    }

    #[test]
    fn a_block_larger_than_a_file_has_one_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(dir.path(), 0);
        let sizes = [100, 100, 5000, 100, 100, 7000, 7000];
        let blocks = (0..).zip(sizes).map(|(number, len)| block(number, len));
        let durable = store.append(blocks.collect()).unwrap();
        let files: Vec<_> = durable.iter().map(|(_, at)| at.segment).collect();
        assert_eq!(files, [0, 0, 1, 2, 2, 3, 4]);
        let len = |segment| {
            fs::metadata(store.files().segments.path(segment))
                .unwrap()
                .len()
        };
        assert_eq!(len(1), durable[2].1.len);
    }
}
