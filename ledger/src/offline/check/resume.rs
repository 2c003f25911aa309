//! Finds where the blocks go on after damage.
//!
//! 1. At the place of the next block in the index, if the index was right about the damaged block.
//! 2. At the first sound record of a later block, in the same file or a later one. Nothing inside a record,
//!    as far as its length prefix reaches, is taken for a record, see [`tail`].

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;

use crate::block_store::record::find_unsealed;
use crate::block_store::scan::Damage;
use crate::block_store::segment::Segments;
use crate::block_store::tail::{self, Found};
use crate::followers::index::Index;
use crate::model::location::{Location, Position};

/// The first block after damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) at: Position,
    pub(super) number: u64,
}

/// Looks for blocks after damage.
pub(super) struct Search<'a> {
    segments: &'a Segments,
    /// Numbers of the existing block files, in order.
    files: Vec<u64>,
    own_from: u64,
    index: Option<(&'a Index, &'a fjall::Snapshot)>,
    /// The end of the file that was searched last.
    rest: Option<Rest>,
}

/// The bytes of a file from its first damage on.
struct Rest {
    from: Position,
    bytes: Bytes,
    sealed: Vec<(usize, Found)>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        segments: &'a Segments,
        files: Vec<u64>,
        own_from: u64,
        index: Option<(&'a Index, &'a fjall::Snapshot)>,
    ) -> Self {
        Self {
            segments,
            files,
            own_from,
            index,
            rest: None,
        }
    }

    /// How many block files there are, including missing ones before the last.
    pub(super) fn count(&self) -> u64 {
        self.files.last().map_or(0, |last| last + 1)
    }

    /// The number after the last file that follows `segment` without a gap.
    pub(super) fn count_without_gap(&self, segment: u64) -> u64 {
        let from = self.files.iter().filter(|file| **file >= segment);
        let without_gap = (segment..).zip(from).take_while(|(one, file)| one == *file);
        segment + without_gap.count() as u64
    }

    /// The first missing file after `segment`, and the first file after the gap.
    pub(super) fn gap_after(&self, segment: u64) -> Option<(u64, u64)> {
        let missing = self.count_without_gap(segment);
        let mut later = self.files.iter().filter(|file| **file > missing);
        later.next().map(|later| (missing, *later))
    }

    pub(super) fn path(&self, segment: u64) -> PathBuf {
        self.segments.path(segment)
    }

    /// The bytes of the file from the damage on, and the sound, sealed records in them.
    pub(super) fn sealed_after(&mut self, at: Position) -> io::Result<(u64, Vec<(usize, Found)>)> {
        let rest = self.rest_of(at)?;
        let start = rest.offset_of(at);
        let len = rest.bytes.len().saturating_sub(start) as u64;
        let skipped = rest.skipped_at(start);
        let sealed = rest.sealed.iter().filter(|(offset, _)| *offset >= skipped);
        let sealed = sealed.map(|(offset, found)| (offset - start, *found));
        Ok((len, sealed.collect()))
    }

    /// Where the blocks go on; `None` if nothing sound follows. Unreadable bytes are skipped.
    pub(super) fn after(&mut self, damage: &Damage) -> Option<Next> {
        self.by_index(damage).or_else(|| self.by_search(damage))
    }

    /// Damaged blocks are reported one by one if the index was right about each, and its record led to the
    /// next.
    fn by_index(&self, damage: &Damage) -> Option<Next> {
        let (index, view) = self.index?;
        let place = |number| index.location(view, number).ok().flatten();
        let here: Location = place(damage.number)?;
        let number = damage.number.checked_add(1)?;
        let next: Location = place(number)?;
        let at = Position {
            segment: next.segment,
            offset: next.offset,
        };
        let is_here = (here.segment, here.offset) == (damage.at.segment, damage.at.offset);
        let starts_a_file = at.segment == here.segment + 1 && at.offset == 0;
        let is_next = at == here.end() || starts_a_file;
        if !is_here || !is_next || !self.files.contains(&at.segment) {
            return None;
        }
        let len = self.segments.file(at.segment).and_then(|file| file.len());
        len.is_ok_and(|len| at.offset < len)
            .then_some(Next { at, number })
    }

    fn by_search(&mut self, damage: &Damage) -> Option<Next> {
        let first = damage.number.checked_add(1)?;
        let later = self.files.iter().copied();
        let later = later.filter(|segment| *segment > damage.at.segment);
        let starts = later.map(|segment| Position { segment, offset: 0 });
        let starts: Vec<_> = std::iter::once(damage.at).chain(starts).collect();
        for from in starts {
            let own_from = self.own_from;
            let Ok(rest) = self.rest_of(from) else {
                continue;
            };
            // Every record takes at least a byte, so no block has a number beyond this.
            let last = first.saturating_add(rest.bytes.len() as u64);
            if let Some((offset, number)) = rest.first_of(from, &(first..last), own_from) {
                let at = Position {
                    segment: from.segment,
                    offset: rest.from.offset + offset as u64,
                };
                return Some(Next { at, number });
            }
        }
        None
    }

    fn rest_of(&mut self, at: Position) -> io::Result<&Rest> {
        let is_read =
            |rest: &Rest| rest.from.segment == at.segment && rest.from.offset <= at.offset;
        let rest = if let Some(rest) = self.rest.take().filter(is_read) {
            rest
        } else {
            let bytes = tail::read_rest(self.segments, at)?;
            let sealed = tail::sound_records(&bytes);
            Rest {
                from: at,
                bytes,
                sealed,
            }
        };
        Ok(self.rest.insert(rest))
    }
}

impl Rest {
    fn offset_of(&self, at: Position) -> usize {
        usize::try_from(at.offset.saturating_sub(self.from.offset)).unwrap_or(usize::MAX)
    }

    /// Where a search from `start` begins: after the damaged record, if its length can be trusted.
    fn skipped_at(&self, start: usize) -> usize {
        let bytes = self.bytes.slice(start.min(self.bytes.len())..);
        start + tail::after_damaged(&bytes).unwrap_or(0)
    }

    /// The first sound record of one of these blocks.
    fn first_of(
        &self,
        from: Position,
        numbers: &Range<u64>,
        own_from: u64,
    ) -> Option<(usize, u64)> {
        let start = self.offset_of(from);
        let skipped = self.skipped_at(start);
        let first = self.sealed.partition_point(|(offset, _)| *offset < skipped);
        let mut sealed = self.sealed.get(first..).unwrap_or_default().iter();
        let sealed = sealed
            .find(|(_, found)| numbers.contains(&found.number))
            .map(|(offset, found)| (*offset, found.number));
        if numbers.start >= own_from {
            return sealed;
        }
        // Records of a Fabric peer have no seals by which they can be found.
        let end = sealed.map_or(self.bytes.len(), |(offset, _)| offset);
        let unsealed = self.unsealed_from(start, end, numbers);
        unsealed.or(sealed)
    }

    fn unsealed_from(
        &self,
        start: usize,
        end: usize,
        numbers: &Range<u64>,
    ) -> Option<(usize, u64)> {
        let at = |offset: usize| {
            let bytes = self.bytes.slice(offset.min(self.bytes.len())..);
            find_unsealed(&bytes, numbers).map(|number| (offset, number))
        };
        if let Some(here) = at(start) {
            return Some(here);
        }
        // The place after the damaged record's length is tried before places inside it.
        let len = tail::record_len(&self.bytes.slice(start.min(self.bytes.len())..));
        let behind = len.and_then(|len| at(start + len));
        behind.or_else(|| (start..end).find_map(at))
    }
}
