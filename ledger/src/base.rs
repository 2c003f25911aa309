//! Where a chain begins whose blocks before are not here.

use std::num::NonZeroU64;

use quire_wire::hash::Hash;
use serde::{Deserialize, Serialize};

use crate::id_store::ChannelRecord;

/// The block that a chain begins with, where that is not block 0: those before are somewhere else, or
/// nowhere any more. What they left behind is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "InRecord", into = "InRecord")]
pub struct Base {
    /// The number of the first block.
    pub block: NonZeroU64,
    /// The hash of the block before it.
    pub previous_hash: Hash,
    /// The commit hash of the block before it; none where that has none.
    pub previous_commit_hash: Option<Hash>,
}

/// The same in the channel's record: hashes are hex.
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
    /// None where the chain begins with block 0.
    pub(crate) base: Option<Base>,
    /// The first block that Quire wrote and sealed; `u64::MAX` where it wrote none. Those before are checked
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

    /// That of a chain of others, from block 0 on.
    pub(crate) const FOREIGN: Self = Self {
        base: None,
        own_from: u64::MAX,
    };

    /// The number of the first block.
    pub(crate) fn first(&self) -> u64 {
        self.base.map_or(0, |base| base.block.get())
    }

    /// The hash of the block before the first, where there is one.
    pub(crate) fn previous_hash(&self) -> Option<Hash> {
        self.base.map(|base| base.previous_hash)
    }

    /// The commit hash of the block before the first, where it has one.
    pub(crate) fn previous_commit_hash(&self) -> Option<bytes::Bytes> {
        let hash = self.base?.previous_commit_hash?;
        Some(bytes::Bytes::copy_from_slice(&hash))
    }
}
