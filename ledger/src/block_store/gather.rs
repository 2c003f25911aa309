//! Bytes for the disk, in pieces: bytes that were made for it, and shared envelopes, which only the file
//! system copies.

use std::io::IoSlice;
use std::ops::Range;

use bytes::Bytes;

use crate::checksum::crc32c_of;
use crate::codec::put_uvarint;

/// Shared bytes shorter than this are copied, which costs about as much as a piece of its own.
const WORTH_SHARING: usize = 512;

/// Pieces that follow one another. It is kept and [cleared](Gather::clear) between uses, because used memory
/// is faster to fill.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    made: Vec<u8>,
    pieces: Vec<Piece>,
    len: usize,
}

#[derive(Debug)]
enum Piece {
    /// A part of `made`. Two such parts never follow one another.
    Made(Range<usize>),
    Shared(Bytes),
}

/// A place between two bytes, from which to [read](Gather::checksum_from) or [cut](Gather::cut).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    made: usize,
    pieces: usize,
    len: usize,
}

impl Gather {
    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        self.made.clear();
        self.pieces.clear();
        self.len = 0;
    }

    /// The mark at the end.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            made: self.made.len(),
            pieces: self.pieces.len(),
            len: self.len,
        }
    }

    /// Drops what was put after the mark.
    pub(crate) fn cut(&mut self, mark: Mark) {
        self.made.truncate(mark.made);
        self.pieces.truncate(mark.pieces);
        if let Some(Piece::Made(last)) = self.pieces.last_mut() {
            last.end = mark.made;
        }
        self.len = mark.len;
    }

    /// Appends the bytes that `make` appends to its argument.
    pub(crate) fn make(&mut self, make: impl FnOnce(&mut Vec<u8>)) {
        let start = self.made.len();
        make(&mut self.made);
        let end = self.made.len();
        self.len += end - start;
        match self.pieces.last_mut() {
            Some(Piece::Made(last)) => last.end = end,
            Some(Piece::Shared(_)) | None => self.pieces.push(Piece::Made(start..end)),
        }
    }

    /// Appends the length of `bytes` as a uvarint, and the bytes.
    pub(crate) fn put(&mut self, bytes: &Bytes) {
        self.make(|out| {
            put_uvarint(out, bytes.len() as u64);
            if bytes.len() < WORTH_SHARING {
                out.extend_from_slice(bytes);
            }
        });
        if bytes.len() >= WORTH_SHARING {
            self.len += bytes.len();
            self.pieces.push(Piece::Shared(bytes.clone()));
        }
    }

    /// CRC32C of everything after the mark.
    pub(crate) fn checksum_from(&self, mark: Mark) -> u32 {
        let (before, since) = self
            .pieces
            .split_at_checked(mark.pieces)
            .unwrap_or_default();
        // The former last piece may have grown.
        let grown = match before.last() {
            Some(Piece::Made(last)) => self.made.get(mark.made..last.end).unwrap_or_default(),
            Some(Piece::Shared(_)) | None => &[],
        };
        let since = since.iter().map(|piece| self.bytes(piece));
        crc32c_of(std::iter::once(grown).chain(since))
    }

    /// Everything, as slices for one write.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        let pieces = self.pieces.iter();
        pieces
            .map(|piece| IoSlice::new(self.bytes(piece)))
            .collect()
    }

    fn bytes<'a>(&'a self, piece: &'a Piece) -> &'a [u8] {
        match piece {
            Piece::Made(range) => self.made.get(range.clone()).unwrap_or_default(),
            Piece::Shared(bytes) => bytes,
        }
    }

    /// Everything in one piece.
    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.pieces
            .iter()
            .flat_map(|piece| self.bytes(piece))
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::crc32c;

    #[test]
    fn pieces_are_the_bytes_that_were_put_and_a_cut_forgets_no_other() {
        let (short, long) = (
            Bytes::from_static(b"short"),
            Bytes::from(vec![7; WORTH_SHARING]),
        );
        let mut gather = Gather::default();
        let mut expected: Vec<u8> = Vec::new();
        // The mark is at the beginning, after made bytes, and after shared bytes.
        for before in [None, Some(&short), Some(&long)] {
            if let Some(before) = before {
                gather.put(before);
                put_uvarint(&mut expected, before.len() as u64);
                expected.extend_from_slice(before);
            }
            let mark = gather.mark();
            for bytes in [&short, &long, &short] {
                gather.put(bytes);
            }
            let since = gather.to_vec().split_off(expected.len());
            assert_eq!(since.len(), 6 + 2 + WORTH_SHARING + 6);
            assert_eq!(gather.checksum_from(mark), crc32c(&since));
            gather.cut(mark);
            assert_eq!(
                (gather.to_vec(), gather.len()),
                (expected.clone(), expected.len())
            );
        }
    }
}
