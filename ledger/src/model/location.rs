//! Places in the block files.

/// The place of a record, or of an envelope in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Number of the block file.
    pub(crate) segment: u64,
    /// The first byte: a record's length prefix, or the byte after an envelope's length prefix.
    pub(crate) offset: u64,
    /// Bytes of the record, including its length prefix, or of the envelope alone.
    pub(crate) len: u64,
    /// CRC32C of the bytes as they were when the block was followed. A record without a seal has it because
    /// Fabric's hashes do not cover all its bytes; an envelope's checksum includes its height.
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
