//! Blocks and heights: plain data, no I/O.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use quire_wire::common::{self, metadata_slot};
use quire_wire::hash::{Hash, block_hash, data_hash};
use quire_wire::rwset::Version;
use quire_wire::{Code, Message as _};

use crate::codec::{Cursor, Malformed, put_opv};

/// The place of a transaction in the chain, which is also the version of a key that it wrote.
///
/// Its text form is `"12.0"`: block number, full stop, position in the block, both decimal without
/// leading zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height {
    /// Block number.
    pub block: u64,
    /// Position of the transaction in the block, from 0.
    pub tx: u64,
}

impl Height {
    /// The height of transaction `tx` of block `block`.
    #[must_use]
    pub fn new(block: u64, tx: u64) -> Self {
        Self { block, tx }
    }

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        put_opv(out, self.block);
        put_opv(out, self.tx);
    }

    pub(crate) fn read(cursor: &mut Cursor) -> Result<Self, Malformed> {
        Ok(Self {
            block: cursor.opv()?,
            tx: cursor.opv()?,
        })
    }
}

impl From<Version> for Height {
    fn from(version: Version) -> Self {
        Self {
            block: version.block_num,
            tx: version.tx_num,
        }
    }
}

impl From<Height> for Version {
    fn from(height: Height) -> Self {
        Self {
            block_num: height.block,
            tx_num: height.tx,
        }
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.block, self.tx)
    }
}

/// The text is not a height: a height is two decimal numbers in shortest form around a full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version: expected <block>.<transaction>, for example 12.0")]
pub struct NotAHeight;

impl FromStr for Height {
    type Err = NotAHeight;

    fn from_str(text: &str) -> Result<Self, NotAHeight> {
        let (block, tx) = text.split_once('.').ok_or(NotAHeight)?;
        let number = |digits: &str| digits.parse().map_err(|_| NotAHeight);
        let height = Self {
            block: number(block)?,
            tx: number(tx)?,
        };
        // Only one text names a version: "+1.0" and "01.0" parse, but name nothing.
        if height.to_string() == text {
            Ok(height)
        } else {
            Err(NotAHeight)
        }
    }
}

/// A block: Fabric's content, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Position in the chain, from 0.
    pub number: u64,
    /// [`Block::hash`] of the block before; empty in block 0.
    pub previous_hash: Bytes,
    /// Hash over the envelopes.
    pub data_hash: Bytes,
    /// Serialized envelopes, in order.
    pub envelopes: Vec<Bytes>,
    /// The metadata slots: Fabric's five (four before Fabric 1.4.1), and a sixth if Quire wrote the block.
    pub metadata: Vec<Bytes>,
}

impl Block {
    /// The block's hash, which the next block names as its previous one.
    #[must_use]
    pub fn hash(&self) -> Hash {
        block_hash(self.number, &self.previous_hash, &self.data_hash)
    }

    /// What [`Block::data_hash`] must be.
    #[must_use]
    pub fn computed_data_hash(&self) -> Hash {
        data_hash(&self.envelopes)
    }

    /// The verdict on a transaction as stored in slot 2; `NOT_VALIDATED` if there is none.
    #[must_use]
    pub fn code(&self, tx: usize) -> Code {
        let codes = self.metadata.get(metadata_slot::TRANSACTIONS_FILTER);
        codes
            .and_then(|codes| codes.get(tx))
            .map_or(Code::NOT_VALIDATED, |code| Code(*code))
    }

    /// The commit hash as stored in slot 4; `None` if the block has none.
    #[must_use]
    pub fn commit_hash(&self) -> Option<Bytes> {
        let slot = self.metadata.get(metadata_slot::COMMIT_HASH)?;
        let value = common::Metadata::decode(slot.clone()).ok()?.value;
        (!value.is_empty()).then_some(value)
    }

    /// Fills missing slots up to `slot` with empty entries, and sets `slot`.
    pub(crate) fn set_metadata(&mut self, slot: usize, content: Bytes) {
        if self.metadata.len() <= slot {
            self.metadata.resize(slot + 1, Bytes::new());
        }
        if let Some(entry) = self.metadata.get_mut(slot) {
            *entry = content;
        }
    }

    /// The block as Fabric's tools exchange it.
    #[must_use]
    pub fn to_message(&self) -> common::Block {
        common::Block {
            header: Some(common::BlockHeader {
                number: self.number,
                previous_hash: self.previous_hash.clone(),
                data_hash: self.data_hash.clone(),
            }),
            data: Some(common::BlockData {
                data: self.envelopes.clone(),
            }),
            metadata: Some(common::BlockMetadata {
                metadata: self.metadata.clone(),
            }),
        }
    }
}

impl From<common::Block> for Block {
    fn from(message: common::Block) -> Self {
        let header = message.header.unwrap_or_default();
        Self {
            number: header.number,
            previous_hash: header.previous_hash,
            data_hash: header.data_hash,
            envelopes: message.data.unwrap_or_default().data,
            metadata: message.metadata.unwrap_or_default().metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_height_has_one_text() {
        assert_eq!("12.0".parse(), Ok(Height::new(12, 0)));
        assert_eq!(Height::new(12, 0).to_string(), "12.0");
        for text in [
            "",
            "12",
            "12.",
            ".0",
            "01.0",
            "+1.0",
            "1.0.0",
            "1.-0",
            "18446744073709551616.0",
        ] {
            assert_eq!(text.parse::<Height>(), Err(NotAHeight), "{text}");
        }
    }

    #[test]
    fn heights_have_the_bytes_of_fabric() {
        let mut bytes = Vec::new();
        Height::new(300, 2).put(&mut bytes);
        assert_eq!(hex::encode(&bytes), "02012c0102");
        assert_eq!(
            Height::read(&mut Cursor::new(bytes.into())),
            Ok(Height::new(300, 2))
        );
    }
}
