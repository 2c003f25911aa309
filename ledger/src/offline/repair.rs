//! Repairs block files from another copy of them: records that are proven bad are replaced in place by
//! records that are proven good.
//!
//! * *Bad*: the place of the next block has no sound record of it.
//! * *Good*: the copy has a record at the same place that is sound by its seal (or by its hashes, if a Fabric
//!   peer wrote it). Its block is the child of the block before and the parent of the sound block after it,
//!   and has the hash that the index knows, if the index knows the block.
//!
//! A sound record is never overwritten. What no hash covers is not proven: the verdicts of a Fabric peer's
//! block are taken from the copy, and `quire check` compares them with the commit hashes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quire_disk::Disk;
use quire_wire::hash::Hash;

use crate::base::Extent;
use crate::block_store::record::{self, find_sealed};
use crate::block_store::scan::{Scan, Step, Stored, data_hash_objection, previous_hash_objection};
use crate::block_store::segment::Segments;
use crate::codec::peek_uvarint;
use crate::error::{Corruption, OpenError};
use crate::followers::Follow as _;
use crate::followers::index::{INDEX, Index};
use crate::id_store::io_at;
use crate::keyspaces::keyspace;
use crate::ledgers::Ledgers;
use crate::model::block::Block;
use crate::model::location::{Location, Position};
use crate::progress::{Progress, ProgressFn};

/// A record that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The block.
    pub block: u64,
    /// The block file.
    pub file: PathBuf,
    /// The place in the file where the record begins.
    pub offset: u64,
    /// The length of the record.
    pub bytes: u64,
    /// The fault that was found before.
    pub found: String,
}

/// A block that is still damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReplaced {
    /// What is wrong with it.
    pub corruption: Corruption,
    /// Why the copy does not help.
    pub reason: String,
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Blocks that are sound in their place, including the replaced ones.
    pub sound: u64,
    /// Records that were replaced.
    pub replaced: Vec<Replaced>,
    /// Blocks for which the copy does not help.
    pub not_replaced: Vec<NotReplaced>,
    /// Whether the repair gave up at the last of these, because the place of the following blocks is not
    /// known.
    pub gave_up: bool,
}

impl Ledgers {
    /// Repairs the block files of a channel, which must not be open, from the block files in `from`.
    /// Every replaced record is durable on return.
    ///
    /// # Errors
    /// The files cannot be read or written. If the copy does not help, that is not an error; the report says
    /// so.
    pub fn repair(
        &self,
        channel: &str,
        from: &Path,
        progress: &mut ProgressFn<'_>,
    ) -> Result<RepairReport, OpenError> {
        let extent = self.existing(channel)?.extent();
        self.disk().list(from).map_err(io_at(from))?;
        let open = |dir: PathBuf| Segments::new(Arc::clone(self.disk()), dir);
        let index = keyspace(self.database(), channel, INDEX.suffix)?;
        let known = self.furthest_ahead_of(channel, 0);
        let repair = Repair {
            disk: self.disk(),
            own: open(self.channel_dir(channel)),
            copy: open(from.to_owned()),
            extent,
            index: Index::new(index),
            view: self.database().snapshot(),
            known_height: known.map_or(0, |witness| witness.height),
            report: RepairReport::default(),
        };
        repair.run(channel, progress)
    }
}

/// The place of the reading.
#[derive(Clone, Copy)]
struct At {
    end: Position,
    number: u64,
    hash: Option<Hash>,
}

/// A record of the copy that is proven good.
struct Good {
    bytes: Bytes,
    block: Block,
    location: Location,
}

struct Repair<'a> {
    disk: &'a Arc<dyn Disk>,
    own: Segments,
    copy: Segments,
    extent: Extent,
    index: Index,
    view: fjall::Snapshot,
    /// Followers know the blocks below this height.
    known_height: u64,
    report: RepairReport,
}

impl Repair<'_> {
    fn run(
        mut self,
        channel: &str,
        progress: &mut ProgressFn<'_>,
    ) -> Result<RepairReport, OpenError> {
        let dir = self.own.dir().to_owned();
        let mut at = At {
            end: Position::START,
            number: self.extent.first(),
            hash: self.extent.previous_hash(),
        };
        while let Some(corruption) = self.read_on(&mut at, channel, progress)? {
            let reason = match self.find_good(at).map_err(io_at(&dir))? {
                Ok(good) => {
                    self.replace(&good, &corruption).map_err(io_at(&dir))?;
                    // The record is read again: what is on disk is judged, not what was written.
                    continue;
                }
                Err(reason) => reason,
            };
            self.report
                .not_replaced
                .push(NotReplaced { corruption, reason });
            let place = self.index.location(&self.view, at.number).ok().flatten();
            let Some(place) = place else {
                self.report.gave_up = true;
                break;
            };
            at = At {
                end: place.end(),
                number: at.number + 1,
                hash: None,
            };
        }
        Ok(self.report)
    }

    /// Reads sound blocks. Returns what is wrong with the first other block, or `None` at the end of the
    /// chain.
    fn read_on(
        &mut self,
        at: &mut At,
        channel: &str,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Option<Corruption>, OpenError> {
        let dir = self.own.dir().to_owned();
        let (count, beyond) = self.own.before_gap().map_err(io_at(&dir))?;
        let mut scan = Scan::new(
            &self.own,
            count,
            self.extent.own_from,
            at.end,
            at.number,
            at.hash,
        );
        loop {
            match scan.next().map_err(io_at(&dir))? {
                Step::Block(stored) => {
                    let Stored {
                        block, location, ..
                    } = *stored;
                    *at = At {
                        end: location.end(),
                        number: block.number + 1,
                        hash: Some(block.hash()),
                    };
                    self.report.sound += 1;
                    progress(Progress {
                        stage: "reading block files",
                        subject: channel,
                        done: location.segment,
                        total: count,
                    });
                }
                Step::Damaged(damage) => return Ok(Some(damage.corruption)),
                Step::End if beyond.is_empty() && at.number >= self.known_height => {
                    return Ok(None);
                }
                Step::End => {
                    return Ok(Some(Corruption {
                        file: self.own.path(at.end.segment),
                        offset: at.end.offset,
                        block: Some(at.number),
                        expected: format!("block {}", at.number),
                        found: "the end of the block files".to_owned(),
                    }));
                }
            }
        }
    }

    /// The copy's record of the next block if it is proven good, or else the reason.
    fn find_good(&self, at: At) -> std::io::Result<Result<Good, String>> {
        let next_file = Position {
            segment: at.end.segment + 1,
            offset: 0,
        };
        let mut reason = String::new();
        for place in [at.end, next_file] {
            match self.prove(at, place)? {
                Ok(good) => return Ok(Ok(good)),
                Err(refused) if reason.is_empty() => reason = refused,
                Err(_) => {}
            }
        }
        Ok(Err(reason))
    }

    fn prove(&self, at: At, place: Position) -> std::io::Result<Result<Good, String>> {
        let Some(bytes) = read_record(&self.copy, place)? else {
            return Ok(Err("the copy has no record there".to_owned()));
        };
        let (block, seal) = match record::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(error) => return Ok(Err(format!("the copy's record is damaged too: {error}"))),
        };
        let objection = if block.number != at.number {
            Some((
                format!("block {}", at.number),
                format!("block {}", block.number),
            ))
        } else if seal.is_none() && block.number >= self.extent.own_from {
            Some(("a seal".to_owned(), "none".to_owned()))
        } else {
            let parent = at
                .hash
                .and_then(|hash| previous_hash_objection(&block, &hash));
            parent.or_else(|| data_hash_objection(&block))
        };
        if let Some((expected, found)) = objection {
            return Ok(Err(format!(
                "the copy's record is another: expected {expected}, found {found}"
            )));
        }
        let location = Location {
            segment: place.segment,
            offset: place.offset,
            len: bytes.len() as u64,
            checksum: None,
        };
        let good = Good {
            bytes,
            block,
            location,
        };
        Ok(match self.contradiction(&good)? {
            Some(reason) => Err(reason),
            None => Ok(good),
        })
    }

    /// Something sound here that contradicts a record of the copy.
    fn contradiction(&self, good: &Good) -> std::io::Result<Option<String>> {
        let (number, hash) = (good.block.number, good.block.hash());
        let savepoint = self.index.savepoint(&self.view).unwrap_or_default().height;
        if number < savepoint {
            let known = self.index.number_by_hash(&self.view, &hash).ok().flatten();
            if known != Some(number) {
                return Ok(Some("the index knows the block by another hash".to_owned()));
            }
        }
        let (count, _) = self.own.before_gap()?;
        if good.location.segment >= count {
            return Ok(None);
        }
        let end = good.location.end();
        let scan = Scan::new(
            &self.own,
            count,
            self.extent.own_from,
            end,
            number + 1,
            None,
        );
        let mut scan = scan.without_hash_checks();
        let within = end.offset <= self.own.file(end.segment)?.len()?;
        if within
            && let Step::Block(next) = scan.next()?
            && previous_hash_objection(&next.block, &hash).is_some()
        {
            let next = next.block.number;
            return Ok(Some(format!(
                "block {next}, which is sound, is not its child"
            )));
        }
        let file = self.own.file(good.location.segment)?;
        let len = file.len()?.saturating_sub(good.location.offset);
        let len = len.min(good.location.len);
        let mut bytes = vec![0; usize::try_from(len).map_err(std::io::Error::other)?];
        file.read_exact_at(&mut bytes, good.location.offset)?;
        let bytes = Bytes::from(bytes);
        let mut inside = (0..bytes.len()).filter_map(|offset| find_sealed(&bytes.slice(offset..)));
        Ok(inside
            .next()
            .map(|(number, _)| format!("it would be written over block {number}, which is sound")))
    }

    fn replace(&mut self, good: &Good, corruption: &Corruption) -> std::io::Result<()> {
        let path = self.own.path(good.location.segment);
        let file = self.disk.open(&path, true)?;
        file.write_all_at(&good.bytes, good.location.offset)?;
        file.sync_data()?;
        self.own.sync_dir()?;
        self.own.forget();
        self.report.replaced.push(Replaced {
            block: good.block.number,
            file: path,
            offset: good.location.offset,
            bytes: good.location.len,
            found: corruption.found.clone(),
        });
        Ok(())
    }
}

/// The bytes that claim to be one record; `None` if they do not fit into the file.
fn read_record(segments: &Segments, at: Position) -> std::io::Result<Option<Bytes>> {
    let file = match segments.file(at.segment) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let left = file.len()?.saturating_sub(at.offset);
    let mut head = vec![0; usize::try_from(left.min(10)).map_err(std::io::Error::other)?];
    file.read_exact_at(&mut head, at.offset)?;
    let Ok(Some((length, prefix))) = peek_uvarint(&head) else {
        return Ok(None);
    };
    let total = length.checked_add(prefix as u64);
    let Some(len) = total.filter(|total| *total <= left) else {
        return Ok(None);
    };
    let location = Location {
        segment: at.segment,
        offset: at.offset,
        len,
        checksum: None,
    };
    segments.read(location).map(Some)
}
