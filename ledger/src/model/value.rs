//! The value of a key, with metadata and version.

use bytes::Bytes;

use super::block::Height;

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedValue {
    /// Byte for byte as it was written.
    pub value: Bytes,
    /// Fabric's key-level metadata (a `KVMetadataWrite` without key), which is usually empty.
    pub metadata: Bytes,
    /// The transaction that wrote it.
    pub version: Height,
}
