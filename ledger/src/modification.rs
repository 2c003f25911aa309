//! What one transaction did to one key, read from its block.

use bytes::Bytes;
use quire_wire::common::Timestamp;

use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::examined::{Content, Examined};
use crate::reader::Reader;

/// A write or delete of a key; Fabric's `KeyModification`. It shares no memory with its transaction,
/// which may be a thousand times as large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyModification {
    /// The place of the transaction.
    pub height: Height,
    /// Its id.
    pub tx_id: String,
    /// When its creator says that it made it.
    pub timestamp: Option<Timestamp>,
    /// The creator: a serialized identity from the envelope. Whether it signed was judged at commit.
    pub creator: Bytes,
    /// The new value; `None` if the key was deleted.
    pub value: Option<Bytes>,
}

impl KeyModification {
    pub(crate) fn read(
        reader: &Reader,
        namespace: &str,
        key: &str,
        height: Height,
    ) -> Result<Self, ReadError> {
        let missing =
            || ReadError::Missing(format!("the write of {namespace:?}/{key:?} at {height}"));
        let envelope = reader.envelope(height)?.ok_or_else(missing)?;
        let Content::Endorsed(endorsed) = Examined::read(&envelope).content else {
            return Err(missing());
        };
        let sets = endorsed.read_write_set.namespaces.iter();
        let sets = sets.filter(|set| set.namespace == namespace);
        let mut writes = sets.flat_map(|set| &set.public.writes);
        let write = writes.find(|write| write.key == key).ok_or_else(missing)?;
        Ok(Self {
            height,
            tx_id: endorsed.opened.indexed_tx_id(),
            timestamp: endorsed.timestamp(),
            creator: Bytes::copy_from_slice(&endorsed.opened.signature_header.creator),
            value: (!write.deletes()).then(|| Bytes::copy_from_slice(&write.value)),
        })
    }
}
