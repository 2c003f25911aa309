//! CRC32C (Castagnoli), as in RFC 3720: it detects bytes that a disk or a server changed.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of pieces that follow one another.
pub(crate) fn crc32c_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for piece in pieces {
        digest.update(piece);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "32 bits in the crate's widest integer"
    )]
    let checksum = digest.finalize() as u32;
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of RFC 3720, B.4, and the catalogue's check value.
    #[test]
    fn checksums_are_those_of_the_standard_in_one_piece_or_more() {
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, expected) in [
            (&b"123456789"[..], 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
        ] {
            assert_eq!(crc32c(bytes), expected);
            for split in 0..=bytes.len() {
                let (first, second) = bytes.split_at(split);
                assert_eq!(crc32c_of([first, second].into_iter()), expected);
            }
        }
    }

    /// Computes it bit by bit, with the polynomial of the standard, mirrored.
    fn by_definition(bytes: &[u8]) -> u32 {
        let folded = bytes.iter().fold(u32::MAX, |checksum, byte| {
            (0..8).fold(checksum ^ u32::from(*byte), |checksum, _| {
                (checksum >> 1) ^ (0x82f6_3b78 * (checksum & 1))
            })
        });
        !folded
    }

    /// The wide instructions are used from some hundred bytes on.
    #[test]
    fn long_checksums_are_those_of_the_definition_whole_and_in_pieces() {
        let bytes: Vec<u8> = (0..70_003_u64).map(|n| (n * n).to_le_bytes()[1]).collect();
        for length in (0..600).chain([1_023, 4_103, 16_384, 70_003]) {
            let bytes = &bytes[..length];
            let expected = by_definition(bytes);
            assert_eq!(crc32c(bytes), expected, "{length} bytes");
            for piece in [1, 255, 256, 257, 3_500] {
                assert_eq!(
                    crc32c_of(bytes.chunks(piece)),
                    expected,
                    "{length} bytes, {piece} a piece"
                );
            }
        }
    }
}
