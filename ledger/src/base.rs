//! The beginning of a chain whose earlier blocks are not here.

use std::num::NonZeroU64;

use quire_wire::hash::Hash;
use serde::{Deserialize, Serialize};

use crate::id_store::ChannelRecord;

/// The first block of a chain that does not begin with block 0: the earlier blocks are somewhere else, or
/// lost. It holds what is needed of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "InRecord", into = "InRecord")]
pub struct Base {
    /// The number of the first block.
    pub block: NonZeroU64,
    /// The hash of the block before it.
    pub previous_hash: Hash,
    /// The commit hash of the block before it; `None` if that block has none.
    pub previous_commit_hash: Option<Hash>,
}

/// A [`Base`] in the channel's record, with hashes in hex.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InRecord {
    block: NonZeroU64,
    previous_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_commit_hash: Option<String>,
}

impl From<Base> for InRecord {
    fn from(base: Base) -> Self {
        Self {
            block: base.block,
            previous_hash: hex::encode(base.previous_hash),
            previous_commit_hash: base.previous_commit_hash.map(hex::encode),
        }
    }
}

impl TryFrom<InRecord> for Base {
    type Error = String;

    fn try_from(base: InRecord) -> Result<Self, String> {
        let hash = |text: &str| {
            let bytes = hex::decode(text).map_err(|error| error.to_string())?;
            Hash::try_from(bytes).map_err(|_| "a hash has 32 bytes".to_owned())
        };
        Ok(Self {
            block: base.block,
            previous_hash: hash(&base.previous_hash)?,
            previous_commit_hash: base.previous_commit_hash.as_deref().map(hash).transpose()?,
        })
    }
}

/// Which blocks a channel has, and which of them must have a seal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// `None` if the chain begins with block 0.
    pub(crate) base: Option<Base>,
    /// The first block that Quire wrote and sealed; `u64::MAX` if it wrote none. Earlier blocks are checked
    /// by their data hash.
    pub(crate) own_from: u64,
}

impl Extent {
    pub(crate) fn of(record: &ChannelRecord) -> Self {
        Self {
            base: record.base,
            own_from: record.first_own_block.unwrap_or(u64::MAX),
        }
    }

    /// The extent of a chain that others wrote, from block 0 on.
    pub(crate) const FOREIGN: Self = Self {
        base: None,
        own_from: u64::MAX,
    };

    /// The number of the first block.
    pub(crate) fn first(&self) -> u64 {
        self.base.map_or(0, |base| base.block.get())
    }

    /// The hash of the block before the first, if there is one.
    pub(crate) fn previous_hash(&self) -> Option<Hash> {
        self.base.map(|base| base.previous_hash)
    }

    /// The commit hash of the block before the first, if it has one.
    pub(crate) fn previous_commit_hash(&self) -> Option<bytes::Bytes> {
        let hash = self.base?.previous_commit_hash?;
        Some(bytes::Bytes::copy_from_slice(&hash))
    }
}
