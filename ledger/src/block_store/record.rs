//! One block in a block file: Fabric's framing, and the seal that Quire adds.
//!
//! ```text
//! record  = uvarint length ‖ payload
//! payload = uvarint number ‖ bytes data_hash ‖ bytes previous_hash      (data hash first)
//!         ‖ uvarint count ‖ count × bytes envelope
//!         ‖ uvarint count ‖ count × bytes metadata slot                 (bytes = uvarint length ‖ raw)
//!
//! slot 5  = 0x01 ‖ u64 first block of the fsync batch ‖ u32 CRC32C      (big-endian, 13 bytes)
//! ```
//!
//! The seal is always the last slot, so its checksum is the last four bytes of the record; it covers every
//! earlier byte of the record, including the length prefix. `docs/format.md` has the details.

use std::ops::Range;

use bytes::Bytes;

use super::gather::Gather;
use crate::checksum::{crc32c, crc32c_of};
use crate::codec::{Cursor, Malformed, peek_uvarint, put_uvarint, uvarint_len};
use crate::model::block::{Block, Height};

/// The slot of the seal.
const SEAL_SLOT: usize = 5;
/// Bytes of the seal.
const SEAL_LEN: u8 = 13;
/// The only version of the seal.
const SEAL_VERSION: u8 = 1;
/// Bytes of the checksum at the seal's end.
const CHECKSUM_LEN: usize = 4;

/// What Quire adds to a block that it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Number of the first block that was made durable by the same fsync.
    pub(crate) batch_start: u64,
}

/// Why bytes are not a sound record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// The framing is broken.
    #[error("{0}")]
    Malformed(&'static str),
    /// The checksum is not that of the bytes.
    #[error("checksum is {found:08x}, the bytes give {expected:08x}")]
    Checksum {
        /// The checksum of the bytes.
        expected: u32,
        /// The checksum in the record.
        found: u32,
    },
}

impl From<Malformed> for RecordError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}

/// Appends the record of `block`, sealed as part of the batch that starts at `batch_start`, and puts that
/// seal into the block, which then equals the block that [`decode`] reads.
///
/// A sixth slot that the block may already have is replaced.
pub(crate) fn encode(out: &mut Gather, block: &mut Block, batch_start: u64) {
    assert!(
        batch_start <= block.number,
        "a batch starts at or before each of its blocks"
    );
    block.set_metadata(SEAL_SLOT, Bytes::new());
    block.metadata.truncate(SEAL_SLOT);
    let sized = |bytes: &Bytes| uvarint_len(bytes.len() as u64) + bytes.len();
    let length = uvarint_len(block.number)
        + sized(&block.data_hash)
        + sized(&block.previous_hash)
        + uvarint_len(block.envelopes.len() as u64)
        + block.envelopes.iter().map(sized).sum::<usize>()
        + 1
        + block.metadata.iter().map(sized).sum::<usize>()
        + 1
        + usize::from(SEAL_LEN);

    let start = out.mark();
    out.make(|out| put_uvarint(out, length as u64));
    let end = out.len() + length;
    out.make(|out| put_uvarint(out, block.number));
    out.put(&block.data_hash);
    out.put(&block.previous_hash);
    out.make(|out| put_uvarint(out, block.envelopes.len() as u64));
    for envelope in &block.envelopes {
        out.put(envelope);
    }
    out.make(|out| put_uvarint(out, SEAL_SLOT as u64 + 1));
    for slot in &block.metadata {
        out.put(slot);
    }
    let mut seal = vec![SEAL_VERSION];
    seal.extend_from_slice(&batch_start.to_be_bytes());
    out.make(|out| {
        out.push(SEAL_LEN);
        out.extend_from_slice(&seal);
    });
    let checksum = out.checksum_from(start).to_be_bytes();
    seal.extend_from_slice(&checksum);
    out.make(|out| out.extend_from_slice(&checksum));
    assert_eq!(out.len(), end, "the length was known before the payload");
    block.set_metadata(SEAL_SLOT, seal.into());
}

/// The number of bytes before the first envelope's length in the block's record, which has `record_len`
/// bytes. This is right for records of [`encode`] or Fabric; in a record with longer forms of numbers the
/// envelopes lie elsewhere.
pub(crate) fn before_envelopes(block: &Block, record_len: u64) -> u64 {
    let sized = |bytes: &Bytes| uvarint_len(bytes.len() as u64) + bytes.len();
    // The length prefix and the payload together are the whole record.
    let prefix = (1..=10_usize).find(|prefix| {
        let payload = record_len.checked_sub(*prefix as u64);
        payload.is_some_and(|payload| uvarint_len(payload) == *prefix)
    });
    let before = prefix.unwrap_or_default()
        + uvarint_len(block.number)
        + sized(&block.data_hash)
        + sized(&block.previous_hash)
        + uvarint_len(block.envelopes.len() as u64);
    before as u64
}

/// The checksum of an envelope at its height. No other envelope's bytes have it, even if they are sound.
pub(crate) fn envelope_checksum(height: Height, envelope: &[u8]) -> u32 {
    let mut place = Vec::with_capacity(18);
    height.put(&mut place);
    crc32c_of([&place[..], envelope].into_iter())
}

/// The record alone, in one piece.
#[cfg(test)]
pub(crate) fn encoded(block: &mut Block, batch_start: u64) -> Vec<u8> {
    let mut record = Gather::default();
    encode(&mut record, block, batch_start);
    record.to_vec()
}

/// Takes one whole record (length prefix included) apart.
///
/// A record with a seal is accepted only if its checksum is right. A record without a seal (Fabric's) is only
/// taken apart: the caller must check its hashes.
pub(crate) fn decode(record: &Bytes) -> Result<(Block, Option<Seal>), RecordError> {
    let mut cursor = Cursor::new(record.clone());
    let length = cursor.uvarint()?;
    if length != (record.len() - cursor.position()) as u64 {
        return Err(RecordError::Malformed(
            "the length is not that of the record",
        ));
    }
    let number = cursor.uvarint()?;
    let data_hash = cursor.length_prefixed()?;
    let previous_hash = cursor.length_prefixed()?;
    let envelopes = list(&mut cursor, record.len())?;
    let metadata = list(&mut cursor, record.len())?;
    if !cursor.is_at_end() {
        return Err(RecordError::Malformed(
            "bytes follow the last metadata slot",
        ));
    }
    let seal = match metadata.get(SEAL_SLOT) {
        None => None,
        Some(slot) => {
            if metadata.len() != SEAL_SLOT + 1 {
                return Err(RecordError::Malformed("slots follow the seal"));
            }
            Some(open_seal(record, slot, number)?)
        }
    };
    Ok((
        Block {
            number,
            previous_hash,
            data_hash,
            envelopes,
            metadata,
        },
        seal,
    ))
}

fn list(cursor: &mut Cursor, record_len: usize) -> Result<Vec<Bytes>, RecordError> {
    let count = cursor.uvarint()?;
    // Each entry takes at least a byte, so no more entries than bytes are allocated for.
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= record_len);
    let count = count.ok_or(RecordError::Malformed("a count exceeds the record"))?;
    (0..count).map(|_| Ok(cursor.length_prefixed()?)).collect()
}

fn open_seal(record: &[u8], slot: &[u8], number: u64) -> Result<Seal, RecordError> {
    let malformed = RecordError::Malformed("slot 5 is no seal");
    let [version, seal @ ..] = slot else {
        return Err(malformed);
    };
    if *version != SEAL_VERSION {
        return Err(RecordError::Malformed(
            "slot 5 is a seal of an unknown version",
        ));
    }
    let (Some(start), Some(checksum)) = (seal.first_chunk::<8>(), seal.get(8..)) else {
        return Err(malformed);
    };
    let checksum = <[u8; CHECKSUM_LEN]>::try_from(checksum).map_err(|_| malformed)?;
    let found = u32::from_be_bytes(checksum);
    let covered = record
        .split_last_chunk::<CHECKSUM_LEN>()
        .map_or(&[][..], |(covered, _)| covered);
    let expected = crc32c(covered);
    if found != expected {
        return Err(RecordError::Checksum { expected, found });
    }
    let batch_start = u64::from_be_bytes(*start);
    if batch_start > number {
        return Err(RecordError::Malformed("the batch starts after the block"));
    }
    Ok(Seal { batch_start })
}

/// Number and seal of the sealed, sound record that starts at `bytes`, if there is one.
///
/// It can be called at every offset of a damaged file: it reads the seal's place first, and computes a
/// checksum only if there is a seal.
pub(crate) fn find_sealed(bytes: &Bytes) -> Option<(u64, Seal)> {
    let (length, prefix) = peek_uvarint(bytes).ok()??;
    let end = usize::try_from(length).ok()?.checked_add(prefix)?;
    let seal_at = end.checked_sub(usize::from(SEAL_LEN) + 1)?;
    let mark = bytes.get(seal_at..end)?.first_chunk::<2>()?;
    if *mark != [SEAL_LEN, SEAL_VERSION] {
        return None;
    }
    let (block, seal) = decode(&bytes.slice(..end)).ok()?;
    let is_block = !block.envelopes.is_empty() && block.data_hash[..] == block.computed_data_hash();
    is_block.then_some((block.number, seal?))
}

/// The number of the block, if a record of a block in `numbers` starts at `bytes` as Fabric writes it: no
/// seal covers it, so its data hash must be right.
///
/// It too can be called at every offset of a damaged file: it reads the number and the lengths of the two
/// hashes first.
pub(crate) fn find_unsealed(bytes: &Bytes, numbers: &Range<u64>) -> Option<u64> {
    const HASH_LEN: u8 = 32;
    let (length, prefix) = peek_uvarint(bytes).ok()??;
    let end = usize::try_from(length).ok()?.checked_add(prefix)?;
    let payload = bytes.get(prefix..end)?;
    let (number, at) = peek_uvarint(payload).ok()??;
    let is_likely = numbers.contains(&number) && payload.get(at) == Some(&HASH_LEN);
    if !is_likely {
        return None;
    }
    let (block, seal) = decode(&bytes.slice(..end)).ok()?;
    let is_block = seal.is_none() && block.data_hash[..] == block.computed_data_hash();
    is_block.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden_block() -> Block {
        let envelope = |text: &str| Bytes::from(hex::decode(text).unwrap());
        Block {
            number: 300,
            previous_hash: Bytes::from_static(&[0xaa, 0xbb]),
            data_hash: hex::decode(
                "86e3807ca239063fe9e380f796acbe128d6ab3e5844e2a97a2bb7cd185adfaf9",
            )
            .unwrap()
            .into(),
            envelopes: vec![
                envelope(
                    "0a2b0a260a12080322096d796368616e6e656c2a0374783012100a0763726561746f7212056e\
                     6f6e63651201641203736967",
                ),
                envelope(
                    "0a260a210a0d080322096d796368616e6e656c12100a0763726561746f7212056e6f6e636512\
                     01641203736967",
                ),
            ],
            metadata: [&b"s"[..], b"", b"\x00\x0b", b"", b"c"]
                .map(Bytes::from_static)
                .to_vec(),
        }
    }

    /// The payload that Fabric's own serializer gives the golden block.
    const GOLDEN_PAYLOAD: &str = "ac022086e3807ca239063fe9e380f796acbe128d6ab3e5844e2a97a2bb7cd185adfaf9\
        02aabb02320a2b0a260a12080322096d796368616e6e656c2a0374783012100a0763726561746f7212056e6f6e63\
        6512016412037369672d0a260a210a0d080322096d796368616e6e656c12100a0763726561746f7212056e6f6e63\
        65120164120373696705017300020\
        00b000163";

    #[test]
    fn a_record_of_fabric_is_read_and_has_no_seal() {
        let payload = hex::decode(GOLDEN_PAYLOAD).unwrap();
        assert_eq!(payload.len(), 146);
        let mut record = vec![0x92, 0x01];
        record.extend(payload);
        assert_eq!(decode(&record.into()), Ok((golden_block(), None)));
    }

    #[test]
    fn a_sealed_record_differs_from_fabrics_only_in_length_count_and_last_slot() {
        let mut sealed_block = golden_block();
        let record = encoded(&mut sealed_block, 299);
        let fabric = hex::decode(GOLDEN_PAYLOAD).unwrap();
        let (slots_at, sealed) = (146 - 10, record[2..].to_vec());
        assert_eq!(sealed[..slots_at], fabric[..slots_at]);
        assert_eq!((fabric[slots_at], sealed[slots_at]), (5, 6));
        assert_eq!(sealed[slots_at + 1..146], fabric[slots_at + 1..]);
        assert_eq!(hex::encode(&sealed[146..156]), "0d01000000000000012b");
        assert_eq!(
            sealed[156..],
            crc32c(&record[..record.len() - 4]).to_be_bytes()
        );

        let (block, seal) = decode(&record.into()).unwrap();
        assert_eq!(seal, Some(Seal { batch_start: 299 }));
        assert_eq!(block.metadata[..5], golden_block().metadata);
        assert_eq!(block, sealed_block);
    }

    #[test]
    fn envelopes_lie_where_the_lengths_before_them_say() {
        // These are sizes around those at which the record's own length takes one more byte.
        for len in (0..300).chain([16_100, 16_200, 16_300, 16_400]) {
            let mut block = golden_block();
            block.envelopes.insert(0, vec![7; len].into());
            let record = encoded(&mut block, 299);
            let at = before_envelopes(&block, record.len() as u64);
            let mut cursor = Cursor::new(record.into());
            cursor.take(at).unwrap();
            assert_eq!(cursor.length_prefixed().unwrap(), vec![7; len], "{len}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_sealed_record_is_noticed() {
        let record = encoded(&mut golden_block(), 300);
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // A bit flip that hides the seal leaves a record that claims to be Fabric's.
            let sealed = decode(&damaged.into()).is_ok_and(|(_, seal)| seal.is_some());
            assert!(!sealed, "bit {bit}");
        }
    }

    #[test]
    fn no_cut_of_a_record_is_a_record() {
        let record = encoded(&mut golden_block(), 300);
        for length in 0..record.len() {
            assert!(
                decode(&Bytes::copy_from_slice(&record[..length])).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn a_sealed_record_is_found_where_it_starts_and_nowhere_else() {
        let mut file = vec![7; 50];
        file.extend(encoded(&mut golden_block(), 298));
        file.extend([0; 30]);
        let file = Bytes::from(file);
        let found: Vec<_> = (0..file.len())
            .filter_map(|offset| Some((offset, find_sealed(&file.slice(offset..))?)))
            .collect();
        assert_eq!(found, [(50, (300, Seal { batch_start: 298 }))]);
    }
}
