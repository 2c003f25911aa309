//! Reads the block files of a channel that is being opened to their end, and decides about that end.

use std::path::PathBuf;

use bytes::Bytes;
use quire_disk::{Disk, replace_file};
use quire_wire::hash::Hash;

use crate::block_store::record::Seal;
use crate::block_store::scan::{Damage, Scan, Step};
use crate::block_store::segment::{Segments, file_name};
use crate::block_store::tail::{self, Verdict, Witness};
use crate::error::{Corruption, OpenError};
use crate::followers::savepoints::Savepoints;
use crate::id_store::{ChannelRecord, Status, io_at};
use crate::model::location::{Location, Position};

/// The prefix of the names of files that hold what was cut.
pub(crate) const CUT_PREFIX: &str = "cut.";

/// A batch that was never acknowledged. It was cut, and is kept beside the block files as
/// `cut.<block file>.from-byte-<offset>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTail {
    /// The block file that was cut.
    pub file: PathBuf,
    /// The place of the cut, which is the file's length now.
    pub offset: u64,
    /// The number of bytes that were cut.
    pub bytes: u64,
    /// The number that the next block will have.
    pub block: u64,
}

/// What is kept of the last block. It shares no memory with the bytes that were read.
pub(crate) struct LastBlock {
    location: Location,
    seal: Option<Seal>,
    pub(crate) commit_hash: Option<Bytes>,
}

/// The block files after they were read to their end.
pub(crate) struct Chain {
    /// The end of the last sound block.
    pub(crate) tail: Position,
    pub(crate) segment_count: u64,
    pub(crate) height: u64,
    pub(crate) hash: Option<Hash>,
    pub(crate) last: Option<LastBlock>,
    /// Hashes of the blocks before savepoints, as far as they were read, each with its height.
    pub(crate) at_savepoints: Vec<(u64, Hash)>,
    /// The beginning of the newest batch that began in the part that was read.
    batch_start: Option<(u64, Location)>,
    pub(crate) cut: Option<(CutTail, Position)>,
}

impl Chain {
    /// Reads from what the index knows to the end, and judges bytes there that are not a block. `from` is the
    /// place and the block where the reading begins; without it, that is the first block.
    pub(crate) fn read(
        segments: &Segments,
        record: &ChannelRecord,
        from: Option<(Position, u64)>,
        savepoints: &Savepoints,
    ) -> Result<Self, OpenError> {
        let extent = record.extent();
        let io_error = |error| io_at(segments.dir())(error);
        let count = segments.count().map_err(io_error)?;
        let last_known = savepoints
            .witness()
            .map_or(extent.first(), |witness| witness.height.saturating_sub(1));
        let segment_count = count.map_err(|corruption| OpenError::Corrupt {
            channel: record.name.clone(),
            blocks: extent.first()..=last_known,
            corruption: Box::new(corruption),
        })?;

        let mut scan = match from {
            Some((from, number)) => {
                Scan::new(segments, segment_count, extent.own_from, from, number, None)
            }
            None => Scan::whole(segments, segment_count, &extent),
        };
        let mut last = None;
        let mut batch_start = None;
        let mut at_savepoints = Vec::new();
        let damage = loop {
            match scan.next().map_err(io_error)? {
                Step::Block(stored) => {
                    let number = stored.block.number;
                    if savepoints.heights().any(|height| height == number + 1) {
                        at_savepoints.extend(scan.previous_hash().map(|hash| (number + 1, hash)));
                    }
                    if stored.seal.is_some_and(|seal| seal.batch_start == number) {
                        batch_start = Some((number, stored.location));
                    }
                    last = Some(LastBlock {
                        location: stored.location,
                        seal: stored.seal,
                        commit_hash: stored
                            .block
                            .commit_hash()
                            .map(|hash| Bytes::copy_from_slice(&hash)),
                    });
                }
                Step::End => break None,
                Step::Damaged(damage) => break Some(damage),
            }
        };
        let mut chain = Self {
            tail: scan.position(),
            segment_count,
            height: scan.number(),
            hash: scan.previous_hash(),
            last,
            at_savepoints,
            batch_start,
            cut: None,
        };
        chain.judge_end(segments, record, damage, savepoints.witness())?;
        chain.expect_blocks(segments, record)?;
        Ok(chain)
    }

    /// A channel is active only when its first blocks are durable.
    fn expect_blocks(&self, segments: &Segments, record: &ChannelRecord) -> Result<(), OpenError> {
        let durable = record.durable_height();
        if record.status == Status::UnderConstruction || self.height >= durable {
            return Ok(());
        }
        let file = segments.path(self.tail.segment);
        let corruption = Corruption::no_beginning(file, self.tail.offset, self.height);
        Err(OpenError::Corrupt {
            channel: record.name.clone(),
            blocks: self.height..=durable - 1,
            corruption: Box::new(corruption),
        })
    }

    /// Decides whether the end of the block files is cut or refused.
    fn judge_end(
        &mut self,
        segments: &Segments,
        record: &ChannelRecord,
        damage: Option<Damage>,
        witness: Option<Witness>,
    ) -> Result<(), OpenError> {
        let channel = || record.name.clone();
        let Some(damage) = damage else {
            let ahead = witness.filter(|witness| witness.height > self.height);
            return ahead.map_or(
                Ok(()),
                |Witness {
                     follower,
                     height: savepoint,
                 }| {
                    let height = self.height;
                    Err(OpenError::Ahead {
                        channel: channel(),
                        follower,
                        savepoint,
                        height,
                    })
                },
            );
        };
        let own_from = record.extent().own_from;
        let verdict = tail::judge(segments, self.segment_count, own_from, &damage, witness);
        match verdict.map_err(io_at(segments.dir()))? {
            Verdict::Corrupt {
                corruption,
                last_block,
            } => Err(OpenError::Corrupt {
                channel: channel(),
                blocks: damage.number..=last_block,
                corruption: Box::new(corruption),
            }),
            Verdict::Torn { bytes } => {
                let (file, offset) = (damage.corruption.file, damage.at.offset);
                let cut = CutTail {
                    file,
                    offset,
                    bytes,
                    block: damage.number,
                };
                self.cut = Some((cut, damage.at));
                Ok(())
            }
        }
    }

    /// Cuts a torn batch, and makes sure that what is left is durable.
    pub(crate) fn cut_and_sync(
        &self,
        disk: &dyn Disk,
        segments: &Segments,
    ) -> Result<(), OpenError> {
        let synced = (|| {
            if let Some((cut, at)) = &self.cut {
                let file = segments.file(at.segment)?;
                keep_aside(disk, segments, cut, at.segment)?;
                file.set_len(cut.offset)?;
                file.sync_data()?;
            }
            if let Some(LastBlock {
                location,
                seal: Some(seal),
                ..
            }) = &self.last
            {
                let start = self
                    .batch_start
                    // A batch never crosses a segment, so a seal that says so is wrong.
                    .filter(|(number, at)| {
                        *number == seal.batch_start && at.segment == location.segment
                    })
                    .map_or(*location, |(_, location)| location);
                write_again(segments, start, location.end())?;
            }
            if self.segment_count > 0 {
                segments.sync_dir()
            } else {
                Ok(())
            }
        })();
        synced.map_err(io_at(segments.dir()))
    }
}

/// Copies what will be cut into a file beside the block files, which is durable on return: if the verdict is
/// wrong, nothing is lost.
fn keep_aside(
    disk: &dyn Disk,
    segments: &Segments,
    cut: &CutTail,
    segment: u64,
) -> std::io::Result<()> {
    let len = usize::try_from(cut.bytes).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; len];
    segments
        .file(segment)?
        .read_exact_at(&mut bytes, cut.offset)?;
    // Zeros need not be kept.
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let name = format!(
        "{CUT_PREFIX}{}.from-byte-{}",
        file_name(segment),
        cut.offset
    );
    replace_file(disk, &segments.dir().join(name), &bytes).map_err(|error| error.source)
}

/// Writes the bytes of the last batch over themselves, and syncs them: a page that a failed or
/// missing sync left clean in memory but absent on disk becomes dirty, and is written.
fn write_again(segments: &Segments, start: Location, end: Position) -> std::io::Result<()> {
    let file = segments.file(end.segment)?;
    let len = end.offset.saturating_sub(start.offset);
    let mut bytes = vec![0; usize::try_from(len).map_err(std::io::Error::other)?];
    file.read_exact_at(&mut bytes, start.offset)?;
    file.write_all_at(&bytes, start.offset)?;
    file.sync_data()
}
