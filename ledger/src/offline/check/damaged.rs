//! Damage that a check met: whether it is torn or corrupt, and where the blocks go on.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use super::chain::Check;
use super::followers::Live;
use super::report::{CheckError, Finding, Kind};
use super::resume::{Next, Search};
use crate::block_store::scan::{Damage, Scan, Stored};
use crate::block_store::segment::file_name;
use crate::block_store::tail::{self, Verdict, Witness};
use crate::error::Corruption;
use crate::followers::Follow as _;
use crate::model::examined::Origin;
use crate::model::location::{Location, Position};
use crate::validation::trust::{Trust, Unusable};

/// What is in the place of the next block.
pub(super) enum Met {
    /// Something that is not the block.
    Damage(Damage),
    /// Bytes that the file system cannot read.
    Unreadable(Damage),
    /// Nothing: a block file is missing, but later files are there.
    Gap(Damage),
}

impl Met {
    pub(super) fn unreadable(scan: &Scan<'_>, error: &io::Error) -> Self {
        let found = format!("it cannot be read: {error}");
        Self::Unreadable(damage(scan, scan.position(), scan.file(), "a block", found))
    }

    /// The gap at the end of a file, if it is not the last.
    pub(super) fn gap(scan: &Scan<'_>, search: &Search<'_>) -> Option<Self> {
        let (segment, later) = search.gap_after(scan.position().segment)?;
        let at = Position { segment, offset: 0 };
        let found = format!("none, though {} follows", file_name(later));
        let file = search.path(segment);
        Some(Self::Gap(damage(scan, at, file, "a block file", found)))
    }

    pub(super) fn number(&self) -> u64 {
        let (Self::Damage(damage) | Self::Unreadable(damage) | Self::Gap(damage)) = self;
        damage.number
    }
}

fn damage(scan: &Scan<'_>, at: Position, file: PathBuf, expected: &str, found: String) -> Damage {
    Damage {
        at,
        number: scan.number(),
        corruption: Corruption {
            file,
            offset: at.offset,
            block: Some(scan.number()),
            expected: expected.to_owned(),
            found,
        },
    }
}

impl Check<'_> {
    /// Reports what is damaged, and returns where the blocks go on. Damage at the end that was never
    /// acknowledged is a note; any other damage is a finding.
    pub(super) fn judge(
        &mut self,
        met: Met,
        search: &mut Search<'_>,
        live: Option<&Live>,
    ) -> Option<Next> {
        let (damage, corruption, last_block) = match met {
            Met::Gap(damage) | Met::Unreadable(damage) => {
                let (corruption, number) = (damage.corruption.clone(), damage.number);
                (damage, corruption, number)
            }
            Met::Damage(damage) => {
                let witness = live.and_then(Live::witness);
                let (count, own_from) = (search.count(), self.extent.own_from);
                let verdict = tail::judge_with(count, own_from, &damage, witness, || {
                    search.sealed_after(damage.at)
                });
                match verdict {
                    Ok(Verdict::Torn { bytes }) if live.is_some() => {
                        self.note_torn(bytes, &damage);
                        return None;
                    }
                    Ok(Verdict::Corrupt {
                        corruption,
                        last_block,
                    }) => (damage, corruption, last_block),
                    // Bytes that cannot be read to be judged count as damaged.
                    Ok(Verdict::Torn { .. }) | Err(_) => {
                        let (corruption, number) = (damage.corruption.clone(), damage.number);
                        (damage, corruption, number)
                    }
                }
            }
        };
        let next = search.after(&damage);
        self.tell_damage(&damage, corruption, next);
        if next.is_none() && last_block > damage.number {
            let (first, last) = (damage.number, last_block);
            let note = format!("blocks {first} to {last} are damaged or lost");
            self.report.notes.push(note);
        }
        next
    }

    fn note_torn(&mut self, bytes: u64, damage: &Damage) {
        self.report.notes.push(format!(
            "the last {bytes} bytes of {} are of a batch that was never acknowledged: they will be \
             cut at the next start",
            damage.corruption.file.display()
        ));
    }

    fn tell_damage(&mut self, damage: &Damage, mut corruption: Corruption, next: Option<Next>) {
        corruption.block = Some(damage.number);
        let found = &mut corruption.found;
        match next {
            Some(next) => {
                if next.number > damage.number + 1 {
                    let (first, last) = (damage.number, next.number - 1);
                    *found = format!("{found}; blocks {first} to {last} are damaged or lost");
                }
                let place = if next.at.segment == damage.at.segment {
                    format!("byte {}", next.at.offset)
                } else {
                    format!("byte {} of {}", next.at.offset, file_name(next.at.segment))
                };
                *found = format!("{found}; block {} is expected at {place}", next.number);
            }
            None => *found = format!("{found}; no sound block follows"),
        }
        self.find_corruption(corruption);
    }

    /// Checks that a sound block after damage is the one that the index names, if the index has it.
    pub(super) fn compare_with_index(
        &mut self,
        stored: &Stored,
        live: Option<&Live>,
    ) -> Result<(), CheckError> {
        let Some((index, view)) = live.map(Live::index) else {
            return Ok(());
        };
        let number = stored.block.number;
        if number >= index.savepoint(view)?.height {
            return Ok(());
        }
        let hash = stored.block.hash();
        let place = |location: Location| {
            let file = file_name(location.segment);
            format!(
                "{} bytes at byte {} of {file}",
                location.len, location.offset
            )
        };
        let found = index.location(view, number)?;
        let mut objection = None;
        if found != Some(stored.location) {
            let found = found.map_or("none".to_owned(), place);
            objection = Some((format!("index entry: {}", place(stored.location)), found));
        } else if index.number_by_hash(view, &hash)? != Some(number) {
            let expected = format!(
                "index entry: block {number} by its hash {}",
                hex::encode(hash)
            );
            objection = Some((expected, "none, or another block".to_owned()));
        }
        if let Some(objection) = objection {
            self.find(Kind::Follower, number, stored.location, objection);
        }
        Ok(())
    }

    /// Reports that the blocks end at `end` although a follower has come further.
    pub(super) fn find_ahead(&mut self, height: u64, end: Position, witness: Option<Witness>) {
        if let Some(witness) = witness.filter(|witness| witness.height > height) {
            self.tell_finding(Finding {
                block: Some(height),
                file: Some(self.segments.path(end.segment)),
                offset: Some(end.offset),
                ..Finding::new(
                    Kind::Follower,
                    format!("{} at height {height} at most", witness.follower),
                    format!("height {}: it is ahead of the blocks", witness.height),
                )
            });
        }
    }

    /// Checks that the first blocks exist: a channel is active only when they are durable.
    pub(super) fn expect_beginning(&mut self, height: u64, end: Position) {
        if height >= self.durable || !self.is_replayable() {
            return;
        }
        self.find_corruption(Corruption::no_beginning(
            self.segments.path(end.segment),
            end.offset,
            height,
        ));
    }

    /// Checks that a node that takes transactions can use the channel's newest configuration.
    pub(super) fn expect_usable(&mut self, number: u64, config: Bytes) {
        let judged = Trust::new(&self.channel(), config, Origin::Quire);
        if let Err(Unusable(reason)) = judged {
            self.tell_finding(Finding {
                block: Some(number),
                ..Finding::new(
                    Kind::Config,
                    "a configuration by which transactions can be judged".to_owned(),
                    reason,
                )
            });
        }
    }

    pub(super) fn find_unreadable(&mut self, path: PathBuf, error: &io::Error) {
        self.tell_finding(Finding {
            file: Some(path),
            ..Finding::new(
                Kind::File,
                "a folder of block files".to_owned(),
                error.to_string(),
            )
        });
    }

    fn find_corruption(&mut self, corruption: Corruption) {
        self.tell_finding(corruption.into());
    }
}
