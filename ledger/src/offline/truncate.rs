//! Accepts a loss: cuts a chain where its first damaged or missing block begins.
//!
//! What is cut is kept beside the data, and nothing is cut before it is kept:
//!
//! ```text
//! channels/main/cut-from-block-57/blockfile_000003.from-byte-9120   the end of the damaged file
//! channels/main/cut-from-block-57/blockfile_000004                  files after it, renamed
//! ```
//!
//! Then the damaged file is cut, and followers that knew of lost blocks are dropped, in this order: after a
//! crash in between the channel still refuses to open, and the same command finishes.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::block_store::scan::{Scan, Step};
use crate::block_store::segment::Segments;
use crate::block_store::tail;
use crate::block_store::tail::Witness;
use crate::derived;
use crate::error::{Corruption, OpenError};
use crate::followers::Follower;
use crate::followers::registry::ALL;
use crate::id_store::io_at;
use crate::ledgers::Ledgers;
use crate::model::location::Position;
use crate::progress::{Progress, ProgressFn};

/// What is lost with a chain's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The first block that is damaged or missing: everything from it on is lost.
    pub from_block: u64,
    /// The last block that is known to have existed; `None` if nothing tells.
    pub last_block: Option<u64>,
    /// What is wrong with the first block; `None` if it is only missing.
    pub corruption: Option<Corruption>,
    /// The block file that is cut.
    pub file: PathBuf,
    /// Where it is cut.
    pub offset: u64,
    /// Bytes that are cut off the file.
    pub bytes: u64,
    /// Later sound blocks, which are lost too: without the blocks before them they prove nothing.
    pub sound_blocks: Vec<u64>,
    /// Later block files, which are removed whole.
    pub later_files: Vec<PathBuf>,
    /// Followers that know lost blocks, and are made again.
    pub followers: Vec<Follower>,
    /// The place where cut bytes are kept; `None` before the cut, or if there was nothing to keep.
    pub kept: Option<PathBuf>,
}

/// Why a chain was not cut. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TruncateError {
    /// No block is damaged or missing.
    #[error(
        "channel {channel} has {height} blocks, and none is damaged or missing: nothing to cut"
    )]
    Sound {
        /// The channel.
        channel: String,
        /// How many blocks it has.
        height: u64,
    },
    /// The named block is sound.
    #[error(
        "block {named} is sound, and so are those up to block {}: the first to lose is block {}",
        loss.from_block.saturating_sub(1), loss.from_block
    )]
    TooEarly {
        /// The block that was named.
        named: u64,
        /// What could be cut.
        loss: Box<Loss>,
    },
    /// A block before the named block is damaged or missing too.
    #[error(
        "block {}, before block {named}, is damaged or missing too: nothing after it can be kept",
        loss.from_block
    )]
    TooLate {
        /// The block that was named.
        named: u64,
        /// What could be cut.
        loss: Box<Loss>,
    },
    /// The channel or its files cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Ledgers {
    /// What would be lost by cutting a channel, which must not be open, at its first damaged or missing
    /// block. It changes nothing, and reads every block.
    ///
    /// # Errors
    /// [`TruncateError::Sound`], or the files cannot be read.
    pub fn loss(
        &self,
        channel: &str,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Loss, TruncateError> {
        let record = self.existing(channel)?;
        let dir = self.channel_dir(channel);
        let segments = Segments::new(Arc::clone(self.disk()), dir.clone());
        let (count, beyond) = segments.before_gap().map_err(io_at(&dir))?;
        let mut later = beyond;
        let mut scan = Scan::whole(&segments, count, &record.extent());
        let mut end = Position::START;
        let damage = loop {
            match scan.next().map_err(io_at(&dir))? {
                Step::Block(stored) => end = stored.location.end(),
                Step::End => break None,
                Step::Damaged(damage) => break Some(damage),
            }
            progress(Progress {
                stage: "reading blocks",
                subject: channel,
                done: end.segment,
                total: count,
            });
        };
        if let Some(damage) = &damage {
            end = damage.at;
            later.extend(end.segment + 1..count);
            later.sort_unstable();
        }
        let from_block = scan.number();
        let ahead = self.ahead_of(channel, from_block);
        if damage.is_none() && later.is_empty() && ahead.is_empty() {
            let channel = channel.to_owned();
            let height = from_block;
            return Err(TruncateError::Sound { channel, height });
        }
        let (bytes, mut sound_blocks) = if end.segment < count {
            rest(&segments, end).map_err(io_at(&dir))?
        } else {
            (0, Vec::new())
        };
        for segment in &later {
            let start = Position {
                segment: *segment,
                offset: 0,
            };
            sound_blocks.extend(rest(&segments, start).map_err(io_at(&dir))?.1);
        }
        let known = ahead
            .iter()
            .filter_map(|(_, savepoint)| savepoint.map(|height| height - 1));
        Ok(Loss {
            from_block,
            last_block: known.chain(sound_blocks.last().copied()).max(),
            corruption: damage.map(|damage| damage.corruption),
            file: segments.path(end.segment),
            offset: end.offset,
            bytes,
            sound_blocks,
            later_files: later.iter().map(|later| segments.path(*later)).collect(),
            followers: ahead.into_iter().map(|(follower, _)| follower).collect(),
            kept: None,
        })
    }

    /// Cuts a channel, which must not be open, from block `from_block` on, which must be its first damaged or
    /// missing block. This is durable on return; the next opening makes dropped followers again.
    ///
    /// # Errors
    /// See [`TruncateError`]. Nothing was changed, unless the file system failed half-way; then the same call
    /// finishes.
    pub fn truncate_tail(
        &self,
        channel: &str,
        from_block: u64,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Loss, TruncateError> {
        let mut loss = self.loss(channel, progress)?;
        let named = from_block;
        if named != loss.from_block {
            let early = named < loss.from_block;
            let loss = Box::new(loss);
            return Err(if early {
                TruncateError::TooEarly { named, loss }
            } else {
                TruncateError::TooLate { named, loss }
            });
        }
        if loss.bytes > 0 || !loss.later_files.is_empty() {
            loss.kept = Some(self.set_aside_tail(channel, &loss)?);
        }
        for follower in &loss.followers {
            derived::drop_follower(self.database(), channel, *follower)?;
        }
        let mut record = self.existing(channel)?;
        if record.first_own_block.is_some_and(|own| own > from_block) {
            record.first_own_block = Some(from_block);
            self.id_store().put(&record)?;
        }
        Ok(loss)
    }

    /// Keeps what is cut, then cuts it.
    fn set_aside_tail(&self, channel: &str, loss: &Loss) -> Result<PathBuf, OpenError> {
        let disk = self.disk();
        let dir = self.channel_dir(channel);
        let taken = disk.list(&dir).map_err(io_at(&dir))?;
        let name = format!("cut-from-block-{}", loss.from_block);
        let free = (2..).map(|attempt| format!("{name}-{attempt}"));
        let mut names = std::iter::once(name.clone()).chain(free);
        let name = names.find(|name| !taken.contains(name)).unwrap_or(name);
        let aside = dir.join(name);
        let done = (|| {
            disk.create_dir_all(&aside)?;
            disk.sync_dir(&dir)?;
            if loss.bytes > 0 {
                let file = disk.open(&loss.file, false)?;
                let cut = loss.file.file_name().unwrap_or_default().to_string_lossy();
                let kept = aside.join(format!("{cut}.from-byte-{}", loss.offset));
                let kept = disk.open(&kept, true)?;
                crate::offline::import::copy_bytes(file.as_ref(), loss.offset, kept.as_ref())?;
                disk.sync_dir(&aside)?;
            }
            // The last file goes first, so that the rest has no gap whenever this stops.
            for later in loss.later_files.iter().rev() {
                disk.rename(later, &aside.join(later.file_name().unwrap_or_default()))?;
                disk.sync_dir(&aside)?;
                disk.sync_dir(&dir)?;
            }
            if loss.bytes > 0 {
                let file = disk.open(&loss.file, false)?;
                file.set_len(loss.offset)?;
                file.sync_data()?;
            }
            Ok(())
        })();
        done.map_err(io_at(&dir))?;
        Ok(aside)
    }

    /// The followers beyond `height`, each with its savepoint, or `None` if its savepoint is damaged.
    pub(crate) fn ahead_of(&self, channel: &str, height: u64) -> Vec<(Follower, Option<u64>)> {
        let view = self.database().snapshot();
        let savepoint =
            |follower| derived::savepoint(self.database(), &view, channel, follower).ok();
        let all = ALL.iter().copied();
        let all = all.map(|follower| (follower, savepoint(follower)));
        let ahead = |savepoint: &Option<u64>| savepoint.is_none_or(|savepoint| savepoint > height);
        all.filter(|(_, savepoint)| ahead(savepoint)).collect()
    }

    /// The follower among them that proves most blocks.
    pub(crate) fn furthest_ahead_of(&self, channel: &str, height: u64) -> Option<Witness> {
        let ahead = self.ahead_of(channel, height).into_iter();
        let known = ahead.filter_map(|(follower, savepoint)| Some((follower, savepoint?)));
        let (follower, height) = known.max_by_key(|(_, savepoint)| *savepoint)?;
        Some(Witness {
            follower: follower.name(),
            height,
        })
    }
}

/// How many bytes follow in a block file, and the sound, sealed blocks in them.
fn rest(segments: &Segments, from: Position) -> std::io::Result<(u64, Vec<u64>)> {
    let file = segments.file(from.segment)?;
    let len = file.len()?.saturating_sub(from.offset);
    let mut bytes = vec![0; usize::try_from(len).map_err(std::io::Error::other)?];
    file.read_exact_at(&mut bytes, from.offset)?;
    let bytes = Bytes::from(bytes);
    let sealed = tail::sound_records(&bytes).into_iter();
    Ok((len, sealed.map(|(_, found)| found.number).collect()))
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.from_block;
        match self.last_block {
            Some(last) if last > first => write!(f, "blocks {first} to {last}")?,
            _ => write!(f, "block {first} and what follows")?,
        }
        write!(
            f,
            ": {} bytes of {} from byte {}",
            self.bytes,
            self.file.display(),
            self.offset
        )?;
        if let Some(corruption) = &self.corruption {
            let Corruption {
                expected, found, ..
            } = corruption;
            write!(f, " (expected {expected}, found {found})")?;
        }
        for later in &self.later_files {
            let name = later.file_name().unwrap_or_default().to_string_lossy();
            write!(f, ", all of {name}")?;
        }
        if !self.sound_blocks.is_empty() {
            write!(f, "; {} sound blocks among them", self.sound_blocks.len())?;
        }
        let followers: Vec<_> = self.followers.iter().map(|one| one.name()).collect();
        if !followers.is_empty() {
            write!(f, "; made again: {}", followers.join(", "))?;
        }
        Ok(())
    }
}
