//! Places in the block files.

/// Where a record lies, or an envelope in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Number of the block file.
    pub(crate) segment: u64,
    /// First byte: of a record its length prefix, of an envelope what follows its own.
    pub(crate) offset: u64,
    /// Bytes of the record, its length prefix included, or of the envelope alone.
    pub(crate) len: u64,
    /// CRC32C of the bytes as they were when the block was followed: of a record that has no seal of its
    /// own, as Fabric's hashes leave some of its bytes uncovered; of an envelope with its height before it.
    pub(crate) checksum: Option<u32>,
}

impl Location {
    /// Where the next record begins, if it is in the same file.
    pub(crate) fn end(self) -> Position {
        Position {
            segment: self.segment,
            offset: self.offset + self.len,
        }
    }
}

/// A byte in the block files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Number of the block file.
    pub(crate) segment: u64,
    /// Byte in the file.
    pub(crate) offset: u64,
}

impl Position {
    pub(crate) const START: Self = Self {
        segment: 0,
        offset: 0,
    };
}
