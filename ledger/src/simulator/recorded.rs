//! What a transaction did in one namespace and in its private collections, and the messages for it.
//!
//! The block has only hashes of a private key. What was written goes in a separate message to those who may
//! see it, and the block has the hash of this message. Within a collection everything is in the order of the
//! keys themselves, as in Fabric, and not of their hashes.

use std::collections::BTreeMap;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::hash::sha256;
use quire_wire::rwset::{
    CollectionHashedReadWriteSet, CollectionPvtReadWriteSet, HashedRwSet, KvMetadataEntry,
    KvMetadataWrite, KvMetadataWriteHash, KvRead, KvReadHash, KvRwSet, KvWrite, KvWriteHash,
    NsPvtReadWriteSet, NsReadWriteSet, RangeQueryInfo,
};

use super::range;
use crate::model::block::Height;
use crate::query::find::Seen;

/// The members of a key's metadata by name.
pub type KeyMetadata = BTreeMap<String, Bytes>;

/// What happened in a namespace.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) reads: BTreeMap<String, Option<Height>>,
    /// In the order in which they were opened.
    pub(super) ranges: Vec<range::Seen>,
    pub(super) writes: BTreeMap<String, Option<Bytes>>,
    /// The whole metadata that keys have from now on.
    pub(super) metadata: BTreeMap<String, KeyMetadata>,
    pub(super) queries: Vec<Seen>,
    /// The queries of another namespace, in the form of the block.
    pub(super) asked: Vec<RangeQueryInfo>,
    pub(super) collections: BTreeMap<String, Collection>,
}

/// What happened in a private collection.
#[derive(Debug, Default)]
pub(super) struct Collection {
    pub(super) reads: BTreeMap<String, Option<Height>>,
    pub(super) writes: BTreeMap<String, PrivateWrite>,
    pub(super) metadata: BTreeMap<String, KeyMetadata>,
}

/// The change of a private key.
#[derive(Debug)]
pub(super) enum PrivateWrite {
    Put(Bytes),
    Delete,
    /// It is removed with its past.
    Purge,
}

impl Recorded {
    /// Whether anything changes.
    pub(super) fn is_writing(&self) -> bool {
        let is_writing = !self.writes.is_empty() || !self.metadata.is_empty();
        is_writing || self.collections.values().any(Collection::is_writing)
    }

    /// Whether there is nothing but queries, which are recorded elsewhere.
    pub(super) fn is_empty(&self) -> bool {
        let is_read = !self.reads.is_empty() || !self.ranges.is_empty() || !self.asked.is_empty();
        !is_read && !self.is_writing() && self.collections.is_empty()
    }

    /// The message for the block, and the message for those who may see the values.
    pub(super) fn into_messages(
        self,
        namespace: String,
    ) -> (NsReadWriteSet, Option<NsPvtReadWriteSet>) {
        let set = KvRwSet {
            reads: self.reads.into_iter().map(read).collect(),
            range_queries_info: self
                .ranges
                .into_iter()
                .map(range::Seen::into_info)
                .chain(self.asked)
                .collect(),
            writes: self.writes.into_iter().map(write).collect(),
            metadata_writes: self.metadata.into_iter().map(metadata_write).collect(),
        };
        let mut hashed = Vec::new();
        let mut private = Vec::new();
        for (name, collection) in self.collections {
            let written = collection.private(name.clone());
            let hash = written.as_ref().map(|set| sha256([set.rwset.as_ref()]));
            hashed.push(collection.hashed(name, hash));
            private.extend(written);
        }
        let private = (!private.is_empty()).then(|| NsPvtReadWriteSet {
            namespace: namespace.clone(),
            collection_pvt_rwset: private,
        });
        let public = NsReadWriteSet {
            namespace,
            rwset: set.encode_to_vec().into(),
            collection_hashed_rwset: hashed,
        };
        (public, private)
    }
}

impl Collection {
    pub(super) fn is_writing(&self) -> bool {
        !self.writes.is_empty() || !self.metadata.is_empty()
    }

    /// What was written; `None` if nothing was written.
    fn private(&self, collection_name: String) -> Option<CollectionPvtReadWriteSet> {
        if !self.is_writing() {
            return None;
        }
        let writes = self.writes.iter().map(|(key, written)| {
            let value = match written {
                PrivateWrite::Put(value) => Some(value.clone()),
                PrivateWrite::Delete | PrivateWrite::Purge => None,
            };
            write((key.clone(), value))
        });
        // The message names the keys whose metadata changed; the metadata itself is in the block.
        let metadata_writes = self.metadata.keys().map(|key| KvMetadataWrite {
            key: key.clone(),
            entries: Vec::new(),
        });
        let set = KvRwSet {
            writes: writes.collect(),
            metadata_writes: metadata_writes.collect(),
            ..KvRwSet::default()
        };
        Some(CollectionPvtReadWriteSet {
            collection_name,
            rwset: set.encode_to_vec().into(),
        })
    }

    fn hashed(
        self,
        collection_name: String,
        private_hash: Option<[u8; 32]>,
    ) -> CollectionHashedReadWriteSet {
        let reads = self.reads.into_iter().map(|(key, version)| KvReadHash {
            key_hash: hash(key.as_bytes()),
            version: version.map(Into::into),
        });
        let writes = self.writes.into_iter().map(|(key, written)| {
            let value_hash = match &written {
                PrivateWrite::Put(value) if !value.is_empty() => Some(hash(value)),
                _ => None,
            };
            KvWriteHash {
                key_hash: hash(key.as_bytes()),
                is_delete: value_hash.is_none(),
                value_hash: value_hash.unwrap_or_default(),
                is_purge: matches!(written, PrivateWrite::Purge),
            }
        });
        let metadata = self.metadata.into_iter();
        let metadata = metadata.map(|(key, metadata)| KvMetadataWriteHash {
            key_hash: hash(key.as_bytes()),
            entries: entries(metadata),
        });
        let set = HashedRwSet {
            hashed_reads: reads.collect(),
            hashed_writes: writes.collect(),
            metadata_writes: metadata.collect(),
        };
        CollectionHashedReadWriteSet {
            collection_name,
            hashed_rwset: set.encode_to_vec().into(),
            pvt_rwset_hash: private_hash.map_or_else(Bytes::new, |hash| hash.to_vec().into()),
        }
    }
}

fn read((key, version): (String, Option<Height>)) -> KvRead {
    KvRead {
        key,
        version: version.map(Into::into),
    }
}

fn write((key, value): (String, Option<Bytes>)) -> KvWrite {
    KvWrite {
        key,
        is_delete: value.as_ref().is_none_or(Bytes::is_empty),
        value: value.unwrap_or_default(),
    }
}

fn metadata_write((key, metadata): (String, KeyMetadata)) -> KvMetadataWrite {
    KvMetadataWrite {
        key,
        entries: entries(metadata),
    }
}

fn entries(metadata: KeyMetadata) -> Vec<KvMetadataEntry> {
    let metadata = metadata.into_iter();
    metadata
        .map(|(name, value)| KvMetadataEntry { name, value })
        .collect()
}

fn hash(bytes: &[u8]) -> Bytes {
    sha256([bytes]).to_vec().into()
}
