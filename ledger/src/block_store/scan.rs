//! Reads block files from some place to their end, and checks everything.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use quire_disk::DiskFile;
use quire_wire::hash::Hash;

use super::record::{self, Seal};
use super::segment::Segments;
use crate::base::Extent;
use crate::checksum::crc32c;
use crate::codec::peek_uvarint;
use crate::error::Corruption;
use crate::model::block::Block;
use crate::model::location::{Location, Position};

/// The bytes that are read at a time; a larger record is read whole.
const CHUNK_BYTES: u64 = 1 << 20;

/// A sound block and where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) block: Block,
    pub(crate) location: Location,
    pub(crate) seal: Option<Seal>,
}

/// What a scan found.
#[derive(Debug)]
pub(crate) enum Step {
    /// The next block, checked by its seal or its hashes, and a child of the one before.
    Block(Box<Stored>),
    /// No byte follows in any block file.
    End,
    /// The next bytes are not the next block. The scan goes no further.
    Damaged(Damage),
}

/// Bytes in the place of the next block that are not that block.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    /// Where the block should begin.
    pub(crate) at: Position,
    /// The number it should have.
    pub(crate) number: u64,
    /// What is wrong.
    pub(crate) corruption: Corruption,
}

/// Reads blocks in order.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    segments: &'a Segments,
    segment_count: u64,
    own_from: u64,
    position: Position,
    number: u64,
    previous_hash: Option<Hash>,
    checks_hashes: bool,
    window: Option<Window>,
}

/// The file under the scan, and the part of it that is in memory.
#[derive(Debug)]
struct Window {
    segment: u64,
    file: Arc<dyn DiskFile>,
    file_len: u64,
    start: u64,
    bytes: Bytes,
}

impl<'a> Scan<'a> {
    /// Begins at `position`, where block `number` is expected, as the child of a block with `previous_hash`
    /// (`None`: unknown). Blocks from `own_from` on must have a seal; earlier blocks are checked by their
    /// data hash.
    pub(crate) fn new(
        segments: &'a Segments,
        segment_count: u64,
        own_from: u64,
        position: Position,
        number: u64,
        previous_hash: Option<Hash>,
    ) -> Self {
        Self {
            segments,
            segment_count,
            own_from,
            position,
            number,
            previous_hash,
            checks_hashes: true,
            window: None,
        }
    }

    /// Begins with the first block of a chain.
    pub(crate) fn whole(segments: &'a Segments, segment_count: u64, extent: &Extent) -> Self {
        Self::new(
            segments,
            segment_count,
            extent.own_from,
            Position::START,
            extent.first(),
            extent.previous_hash(),
        )
    }

    /// Also returns blocks with wrong hashes, for a caller that reports everything that is wrong.
    pub(crate) fn without_hash_checks(mut self) -> Self {
        self.checks_hashes = false;
        self
    }

    /// Where the next block begins, or would.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The file in which the next block is, or would be.
    pub(crate) fn file(&self) -> PathBuf {
        self.segments.path(self.position.segment)
    }

    /// The number of the next block: the height of the chain once the scan met its end.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The hash of the last block read.
    pub(crate) fn previous_hash(&self) -> Option<Hash> {
        self.previous_hash
    }

    pub(crate) fn next(&mut self) -> io::Result<Step> {
        while self.position.segment < self.segment_count {
            let file_len = self.open_segment()?;
            if self.position.offset < file_len {
                return self.read_block();
            }
            if self.position.segment + 1 == self.segment_count {
                break;
            }
            // Another file follows only when a file is full.
            if file_len == 0 {
                return Ok(self.damaged("a block", "an empty file, although another follows"));
            }
            self.position = Position {
                segment: self.position.segment + 1,
                offset: 0,
            };
        }
        Ok(Step::End)
    }

    fn read_block(&mut self) -> io::Result<Step> {
        let Some(bytes) = self.next_record()? else {
            return Ok(self.damaged("a whole record", "a length beyond the end of the file"));
        };
        let len = bytes.len() as u64;
        let (block, seal) = match record::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(error) => return Ok(self.damaged("a sound record", &error.to_string())),
        };
        if let Some((expected, found)) = self.objection(&block, seal) {
            return Ok(self.damaged(&expected, &found));
        }
        let location = Location {
            segment: self.position.segment,
            offset: self.position.offset,
            len,
            checksum: seal.is_none().then(|| crc32c(&bytes)),
        };
        self.position = location.end();
        self.number += 1;
        self.previous_hash = Some(block.hash());
        Ok(Step::Block(Box::new(Stored {
            block,
            location,
            seal,
        })))
    }

    /// Why a readable record is not the next block: what was expected, and what was found.
    fn objection(&self, block: &Block, seal: Option<Seal>) -> Option<(String, String)> {
        if block.number != self.number {
            return Some((
                format!("block {}", self.number),
                format!("block {}", block.number),
            ));
        }
        if seal.is_none() && block.number >= self.own_from {
            return Some(("a seal in metadata slot 5".to_owned(), "none".to_owned()));
        }
        if !self.checks_hashes {
            return None;
        }
        // The checksum of a sealed record covers what the data hash covers.
        let unchecked = seal.is_none();
        let previous = self
            .previous_hash
            .and_then(|hash| previous_hash_objection(block, &hash));
        previous.or_else(|| unchecked.then(|| data_hash_objection(block)).flatten())
    }

    fn damaged(&self, expected: &str, found: &str) -> Step {
        Step::Damaged(Damage {
            at: self.position,
            number: self.number,
            corruption: Corruption {
                file: self.segments.path(self.position.segment),
                offset: self.position.offset,
                block: Some(self.number),
                expected: expected.to_owned(),
                found: found.to_owned(),
            },
        })
    }

    /// Makes the window show the file of `position`, and returns its length.
    fn open_segment(&mut self) -> io::Result<u64> {
        let segment = self.position.segment;
        match &self.window {
            Some(window) if window.segment == segment => Ok(window.file_len),
            _ => {
                let file = self.segments.file(segment)?;
                let file_len = file.len()?;
                let bytes = Bytes::new();
                self.window = Some(Window {
                    segment,
                    file,
                    file_len,
                    start: 0,
                    bytes,
                });
                Ok(file_len)
            }
        }
    }

    /// The bytes of the record at `position`; `None` if the file ends inside it.
    fn next_record(&mut self) -> io::Result<Option<Bytes>> {
        let offset = self.position.offset;
        let Some(window) = &mut self.window else {
            return Ok(None);
        };
        // A length prefix has ten bytes at most.
        let head = window.read(offset, 10)?;
        let Ok(Some((length, prefix))) = peek_uvarint(&head) else {
            return Ok(None);
        };
        let Some(total) = length.checked_add(prefix as u64) else {
            return Ok(None);
        };
        if total > window.file_len - offset {
            return Ok(None);
        }
        window.read(offset, total).map(Some)
    }
}

/// The identity of a chain: the hash of its first block, if that is sound, or of the block before its base.
pub(crate) fn identity(segments: &Segments, extent: &Extent) -> std::io::Result<Option<Hash>> {
    if let Some(hash) = extent.previous_hash() {
        return Ok(Some(hash));
    }
    let mut scan = Scan::whole(segments, 1, extent);
    Ok(match scan.next()? {
        Step::Block(stored) => Some(stored.block.hash()),
        Step::End | Step::Damaged(_) => None,
    })
}

/// What is expected and found if a block is not a child of the block with hash `previous`.
pub(crate) fn previous_hash_objection(block: &Block, previous: &Hash) -> Option<(String, String)> {
    (block.previous_hash[..] != *previous).then(|| {
        let found = hex::encode(&block.previous_hash);
        let found = if found.is_empty() {
            "none".to_owned()
        } else {
            found
        };
        (format!("previous hash {}", hex::encode(previous)), found)
    })
}

/// What is expected and found if a block's data hash is not that of its envelopes.
pub(crate) fn data_hash_objection(block: &Block) -> Option<(String, String)> {
    let data_hash = block.computed_data_hash();
    (block.data_hash[..] != data_hash).then(|| {
        (
            format!(
                "data hash {} as in the header",
                hex::encode(&block.data_hash)
            ),
            format!("{} over the envelopes", hex::encode(data_hash)),
        )
    })
}

impl Window {
    /// Up to `len` bytes from `offset` on, fewer only at the end of the file.
    fn read(&mut self, offset: u64, len: u64) -> io::Result<Bytes> {
        let len = len.min(self.file_len - offset);
        let end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + len > end {
            let wanted = len.max(CHUNK_BYTES).min(self.file_len - offset);
            // The memory is used again if no block still shares it.
            let former = std::mem::take(&mut self.bytes).try_into_mut();
            let mut bytes = former.unwrap_or_default();
            bytes.resize(usize::try_from(wanted).map_err(io::Error::other)?, 0);
            self.file.read_exact_at(&mut bytes, offset)?;
            self.start = offset;
            self.bytes = bytes.freeze();
        }
        let from = usize::try_from(offset - self.start).map_err(io::Error::other)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        Ok(self.bytes.slice(from..from + len))
    }
}
