//! Reads the files of a data directory without opening it: nothing is locked, made or changed, and a node may
//! run on it. That works because block files are only appended to, and records are replaced whole.

use std::io;
use std::path::Path;
use std::sync::Arc;

use quire_disk::Disk;

use crate::base::Extent;
use crate::block_store::scan::{Scan, Step};
use crate::block_store::segment::Segments;
use crate::codec::peek_uvarint;
use crate::error::{Corruption, OpenError};
use crate::id_store::{ChannelRecord, IdStore, Status, io_at};
use crate::model::block::Block;
use crate::model::location::Position;

/// The most bytes of a record's length and of its block's number.
const HEAD_BYTES: u64 = 20;

/// The channels of a data directory, by name.
///
/// # Errors
/// A record cannot be read.
pub fn stored_channels(disk: Arc<dyn Disk>, data: &Path) -> Result<Vec<ChannelRecord>, OpenError> {
    IdStore::at(disk, data.join("id-store")).list()
}

/// The block files of a channel, which are read front to back.
#[derive(Debug)]
pub struct StoredBlocks {
    channel: String,
    segments: Segments,
    /// The number of files before the first missing one.
    count: u64,
    /// A missing file between others.
    gap: Option<Corruption>,
    extent: Extent,
}

/// What follows in the block files.
#[derive(Debug)]
pub enum Next {
    /// The next block, checked as by [`Reader::block`](crate::Reader::block).
    Block(Box<Block>),
    /// No byte follows.
    End,
    /// What follows is not the next block. If a node is running, or was killed, it may be blocks that are not
    /// acknowledged yet.
    Damaged(Corruption),
}

impl StoredBlocks {
    /// Opens the block files of a channel.
    ///
    /// # Errors
    /// [`OpenError::NoSuchChannel`], also while it is being made; or the files cannot be read.
    pub fn open(disk: &Arc<dyn Disk>, data: &Path, channel: &str) -> Result<Self, OpenError> {
        let id_store = IdStore::at(Arc::clone(disk), data.join("id-store"));
        let record = id_store
            .get(channel)?
            .filter(|record| matches!(record.status, Status::Active | Status::Inactive));
        let record = record.ok_or_else(|| OpenError::NoSuchChannel(channel.to_owned()))?;
        let extent = record.extent();
        let dir = data.join("channels").join(channel);
        let segments = Segments::new(Arc::clone(disk), dir.clone());
        let gap = segments.count().map_err(io_at(&dir))?.err();
        let (count, _) = segments.before_gap().map_err(io_at(&dir))?;
        Ok(Self {
            channel: record.name,
            segments,
            count,
            gap,
            extent,
        })
    }

    /// The number of the first block, even if it does not exist yet.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.extent.first()
    }

    /// Reads from block `number` on. Earlier files than the one with this block are not read.
    ///
    /// # Errors
    /// [`OpenError::BelowBase`] below [`StoredBlocks::base`], or the files cannot be read.
    pub fn from(&self, number: u64) -> Result<BlocksFrom<'_>, OpenError> {
        let base = self.base();
        if number < base {
            return Err(OpenError::BelowBase {
                channel: self.channel.clone(),
                number,
                base,
            });
        }
        let (position, first) = self.start_of(number).map_err(io_at(self.segments.dir()))?;
        let mut blocks = BlocksFrom {
            stored: self,
            scan: Scan::new(
                &self.segments,
                self.count,
                self.extent.own_from,
                position,
                first,
                None,
            ),
            looked_at: None,
        };
        while blocks.scan.number() < number {
            let next = blocks.step()?;
            if !matches!(next, Next::Block(_)) {
                blocks.looked_at = Some(next);
                break;
            }
        }
        Ok(blocks)
    }

    /// The newest block, or `None` if there is none, and what is wrong after it.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn newest(&self) -> Result<(Option<Block>, Option<Corruption>), OpenError> {
        let mut blocks = self.from(u64::MAX)?;
        let end = blocks.next()?;
        let number = blocks.scan.number();
        let damage = match end {
            Next::Damaged(corruption) => Some(corruption),
            Next::Block(_) | Next::End => None,
        };
        let newest = number.checked_sub(1);
        let Some(newest) = newest.filter(|newest| *newest >= self.base()) else {
            return Ok((None, damage));
        };
        Ok(match self.from(newest)?.next()? {
            Next::Block(block) => (Some(*block), damage),
            Next::End => (None, damage),
            Next::Damaged(corruption) => (None, Some(corruption)),
        })
    }

    /// The place from which to read for a block, and the block there: the last file that begins with this
    /// block or an earlier one, or the first file if the files' heads do not tell.
    fn start_of(&self, number: u64) -> io::Result<(Position, u64)> {
        let (mut low, mut found) = (0, (Position::START, self.extent.first()));
        let mut high = self.count;
        while low < high {
            let segment = low.midpoint(high);
            let Some(first) = self.first_of(segment)? else {
                // An empty file is the newest.
                high = segment;
                continue;
            };
            if first > number {
                high = segment;
            } else {
                found = (Position { segment, offset: 0 }, first);
                low = segment + 1;
            }
        }
        Ok(found)
    }

    /// The number in the first record of a file.
    fn first_of(&self, segment: u64) -> io::Result<Option<u64>> {
        let file = self.segments.file(segment)?;
        let len = usize::try_from(file.len()?.min(HEAD_BYTES)).map_err(io::Error::other)?;
        let mut head = vec![0; len];
        file.read_exact_at(&mut head, 0)?;
        let Ok(Some((_, prefix))) = peek_uvarint(&head) else {
            return Ok(None);
        };
        let rest = head.get(prefix..).unwrap_or_default();
        Ok(peek_uvarint(rest).ok().flatten().map(|(number, _)| number))
    }
}

/// Blocks in order.
#[derive(Debug)]
pub struct BlocksFrom<'a> {
    stored: &'a StoredBlocks,
    scan: Scan<'a>,
    /// What was found in the place of the first block.
    looked_at: Option<Next>,
}

impl BlocksFrom<'_> {
    /// The number of the next block; at the end this is the number of blocks.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.scan.number()
    }

    /// The next block, or why there is none.
    ///
    /// # Errors
    /// The files cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would hide that damage is the end"
    )]
    pub fn next(&mut self) -> Result<Next, OpenError> {
        match self.looked_at.take() {
            Some(next) => Ok(next),
            None => self.step(),
        }
    }

    fn step(&mut self) -> Result<Next, OpenError> {
        let dir = self.stored.segments.dir();
        Ok(match self.scan.next().map_err(io_at(dir))? {
            Step::Block(stored) => Next::Block(Box::new(stored.block)),
            Step::Damaged(damage) => Next::Damaged(damage.corruption),
            Step::End => match &self.stored.gap {
                Some(corruption) => Next::Damaged(corruption.clone()),
                None => Next::End,
            },
        })
    }
}
