//! Distinguishes a torn batch, which was never acknowledged, from corruption.
//!
//! ```text
//! segment:  ... | block 7 | block 8 | ###damaged### | block 10 | end
//!                                          9            ^ a sound record further on
//! ```
//!
//! * A follower has reached block 9: it was acknowledged. This is corruption.
//! * A later segment exists: it was made after the batch of block 9 was synced. This is corruption.
//! * A later sound record's batch began after 9, so the batch of 9 had been synced. This is corruption.
//! * A later sound record's batch began at or before 9: they share a sync that never returned. It is torn.
//! * Nothing sound follows (zeros, garbage, half a record, half a batch): it is torn.
//!
//! All later records count: blocks 7 to 9 may have shared a sync, and block 10 may prove that it returned.

use std::io;

use bytes::Bytes;

use super::record::find_sealed;
use super::scan::Damage;
use super::segment::Segments;
use crate::codec::peek_uvarint;
use crate::error::Corruption;
use crate::model::location::Position;

/// The height of a follower, as evidence that earlier blocks were durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Witness {
    /// `index`, `state` or `history`.
    pub(crate) follower: &'static str,
    /// Its savepoint: blocks below it were acknowledged.
    pub(crate) height: u64,
}

/// What to do about damage at the end of the block files.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The blocks were never acknowledged: the file is cut at the damage.
    Torn {
        /// The bytes that are cut.
        bytes: u64,
    },
    /// The blocks were acknowledged, or may have been: nothing is changed.
    Corrupt {
        /// The damage, with the evidence added to what was found.
        corruption: Corruption,
        /// The last block known to have been acknowledged; at least the damaged one.
        last_block: u64,
    },
}

/// Judges damage that a scan met. `own_from` is the first block written by Quire: what a Fabric
/// peer wrote was durable before it was imported.
pub(crate) fn judge(
    segments: &Segments,
    segment_count: u64,
    own_from: u64,
    damage: &Damage,
    witness: Option<Witness>,
) -> io::Result<Verdict> {
    judge_with(segment_count, own_from, damage, witness, || {
        let rest = read_rest(segments, damage.at)?;
        Ok((rest.len() as u64, sound_records(&rest)))
    })
}

/// Judges by `rest`, the end of the file: its bytes from the damage on, and the sound records in them.
pub(crate) fn judge_with(
    segment_count: u64,
    own_from: u64,
    damage: &Damage,
    witness: Option<Witness>,
    rest: impl FnOnce() -> io::Result<(u64, Vec<(usize, Found)>)>,
) -> io::Result<Verdict> {
    let corrupt = |evidence: String, last_block: u64| {
        let mut corruption = damage.corruption.clone();
        corruption.found = format!("{}; {evidence}", corruption.found);
        Ok(Verdict::Corrupt {
            corruption,
            last_block: last_block.max(damage.number),
        })
    };
    if let Some(witness) = witness.filter(|witness| witness.height > damage.number) {
        let Witness { follower, height } = witness;
        return corrupt(
            format!("the block was acknowledged: {follower} has followed to height {height}"),
            height - 1,
        );
    }
    if damage.number < own_from {
        return corrupt("the block was imported whole".to_owned(), damage.number);
    }
    if damage.at.segment + 1 < segment_count {
        return corrupt(
            "the block was acknowledged: a later block file exists".into(),
            0,
        );
    }
    let (bytes, sound) = rest()?;
    for (offset, found) in sound {
        let same_batch = found.batch_start <= damage.number && offset > 0;
        if found.number > damage.number && same_batch {
            continue;
        }
        return corrupt(
            format!(
                "the block was acknowledged: block {} follows at byte {}, and its batch began at \
                 block {}",
                found.number,
                damage.at.offset + offset as u64,
                found.batch_start
            ),
            found.number,
        );
    }
    Ok(Verdict::Torn { bytes })
}

/// A sound, sealed record found after damage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(crate) batch_start: u64,
}

/// The sound, sealed records in bytes that begin with damage, and where each begins.
///
/// What a client wrote is part of a record, and could imitate a record. So the inside of records is not
/// searched: neither of those that are found, nor of the damaged record if its length prefix still leads to a
/// sound record or to the end of the file.
pub(crate) fn sound_records(bytes: &Bytes) -> Vec<(usize, Found)> {
    let mut found = Vec::new();
    let mut offset = after_damaged(bytes).unwrap_or(0);
    while offset < bytes.len() {
        let record = bytes.slice(offset..);
        match find_sealed(&record).zip(record_len(&record)) {
            Some(((number, seal), len)) => {
                found.push((
                    offset,
                    Found {
                        number,
                        batch_start: seal.batch_start,
                    },
                ));
                offset += len;
            }
            None => offset += 1,
        }
    }
    found
}

/// The end of the damaged record at the start, if its length prefix can be trusted.
pub(crate) fn after_damaged(bytes: &Bytes) -> Option<usize> {
    let end = record_len(bytes)?;
    let believed = end == bytes.len() || find_sealed(&bytes.slice(end..)).is_some();
    // The search begins with a damaged record; if that record is sound, it is in the wrong place, and counts.
    (believed && find_sealed(bytes).is_none()).then_some(end)
}

/// The length of the record at the start, including its length prefix, if the bytes hold all of it.
pub(crate) fn record_len(bytes: &Bytes) -> Option<usize> {
    let (length, prefix) = peek_uvarint(bytes).ok()??;
    let end = usize::try_from(length).ok()?.checked_add(prefix)?;
    (length > 0 && end <= bytes.len()).then_some(end)
}

/// All bytes of a block file from some place on.
pub(crate) fn read_rest(segments: &Segments, from: Position) -> io::Result<Bytes> {
    let file = segments.file(from.segment)?;
    let len = usize::try_from(file.len()?.saturating_sub(from.offset));
    let mut rest = vec![0; len.map_err(io::Error::other)?];
    file.read_exact_at(&mut rest, from.offset)?;
    Ok(rest.into())
}
