//! Packages `rwset` and `kvrwset` of Fabric: what a transaction read and wrote.

use bytes::Bytes;

use crate::hash::sha256;

/// The read-write sets of a transaction, one for each namespace.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TxReadWriteSet {
    /// 0 is key-value, the only data model.
    #[prost(int32, tag = "1")]
    pub data_model: i32,
    /// Sorted by namespace.
    #[prost(message, repeated, tag = "2")]
    pub ns_rwset: Vec<NsReadWriteSet>,
}

/// What happened in one namespace.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NsReadWriteSet {
    /// The namespace.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// A serialized [`KvRwSet`].
    #[prost(bytes = "bytes", tag = "2")]
    pub rwset: Bytes,
    /// Hashes of what happened in private collections, sorted by collection.
    #[prost(message, repeated, tag = "3")]
    pub collection_hashed_rwset: Vec<CollectionHashedReadWriteSet>,
}

/// What happened in one private collection, as hashes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CollectionHashedReadWriteSet {
    /// The collection.
    #[prost(string, tag = "1")]
    pub collection_name: String,
    /// A serialized [`HashedRwSet`].
    #[prost(bytes = "bytes", tag = "2")]
    pub hashed_rwset: Bytes,
    /// Hash of the private read-write set, which is kept elsewhere.
    #[prost(bytes = "bytes", tag = "3")]
    pub pvt_rwset_hash: Bytes,
}

/// What a transaction wrote to private collections, by namespace.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TxPvtReadWriteSet {
    /// 0 is key-value, the only data model.
    #[prost(int32, tag = "1")]
    pub data_model: i32,
    /// Sorted by namespace.
    #[prost(message, repeated, tag = "2")]
    pub ns_pvt_rwset: Vec<NsPvtReadWriteSet>,
}

/// What was written to the private collections of one namespace.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NsPvtReadWriteSet {
    /// The namespace.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Sorted by collection.
    #[prost(message, repeated, tag = "2")]
    pub collection_pvt_rwset: Vec<CollectionPvtReadWriteSet>,
}

/// What was written to one private collection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CollectionPvtReadWriteSet {
    /// The collection.
    #[prost(string, tag = "1")]
    pub collection_name: String,
    /// A serialized [`KvRwSet`] without reads.
    #[prost(bytes = "bytes", tag = "2")]
    pub rwset: Bytes,
}

/// Reads and writes of public keys.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KvRwSet {
    /// Sorted by key.
    #[prost(message, repeated, tag = "1")]
    pub reads: Vec<KvRead>,
    /// In the order in which they were asked.
    #[prost(message, repeated, tag = "2")]
    pub range_queries_info: Vec<RangeQueryInfo>,
    /// Sorted by key; each key occurs once.
    #[prost(message, repeated, tag = "3")]
    pub writes: Vec<KvWrite>,
    /// Sorted by key; each key occurs once.
    #[prost(message, repeated, tag = "4")]
    pub metadata_writes: Vec<KvMetadataWrite>,
}

/// A key that was read.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KvRead {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The version that was seen; `None` if the key did not exist.
    #[prost(message, optional, tag = "2")]
    pub version: Option<Version>,
}

/// A key that was written.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KvWrite {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Whether the key was deleted.
    #[prost(bool, tag = "2")]
    pub is_delete: bool,
    /// The new value.
    #[prost(bytes = "bytes", tag = "3")]
    pub value: Bytes,
}

impl KvWrite {
    /// Whether this deletes the key: for Fabric a value of no bytes is no value.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.is_delete || self.value.is_empty()
    }
}

/// A change of a key's metadata, such as its endorsement policy.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KvMetadataWrite {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The new metadata; an empty list removes it.
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<KvMetadataEntry>,
}

/// One member of a key's metadata.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KvMetadataEntry {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// The place where a value was written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct Version {
    /// Block number.
    #[prost(uint64, tag = "1")]
    pub block_num: u64,
    /// Position of the transaction in the block.
    #[prost(uint64, tag = "2")]
    pub tx_num: u64,
}

/// A range that was read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RangeQueryInfo {
    /// First key, inclusive; empty for the namespace's first.
    #[prost(string, tag = "1")]
    pub start_key: String,
    /// The exclusive end if the iterator was exhausted, otherwise the last key seen, inclusive.
    #[prost(string, tag = "2")]
    pub end_key: String,
    /// Whether the reader saw the end of the range.
    #[prost(bool, tag = "3")]
    pub itr_exhausted: bool,
    /// What was seen.
    #[prost(oneof = "ReadsInfo", tags = "4, 5")]
    pub reads_info: Option<ReadsInfo>,
}

/// The rows of a range, or a summary of them.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum ReadsInfo {
    /// Every row.
    #[prost(message, tag = "4")]
    RawReads(QueryReads),
    /// Hashes over the rows.
    #[prost(message, tag = "5")]
    ReadsMerkleHashes(QueryReadsMerkleSummary),
}

/// The rows of a range.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryReads {
    /// In key order.
    #[prost(message, repeated, tag = "1")]
    pub kv_reads: Vec<KvRead>,
}

/// Hashes over the rows of a range.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryReadsMerkleSummary {
    /// The most children of an inner node.
    #[prost(uint32, tag = "1")]
    pub max_degree: u32,
    /// Level of `max_level_hashes`; leaves are level 1.
    #[prost(uint32, tag = "2")]
    pub max_level: u32,
    /// Hashes of the highest level.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub max_level_hashes: Vec<Bytes>,
}

/// Reads and writes of private keys, as hashes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HashedRwSet {
    /// Sorted by the keys themselves.
    #[prost(message, repeated, tag = "1")]
    pub hashed_reads: Vec<KvReadHash>,
    /// Sorted by the keys themselves.
    #[prost(message, repeated, tag = "2")]
    pub hashed_writes: Vec<KvWriteHash>,
    /// Sorted by the keys themselves.
    #[prost(message, repeated, tag = "3")]
    pub metadata_writes: Vec<KvMetadataWriteHash>,
}

/// A private key that was read.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KvReadHash {
    /// SHA-256 of the key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key_hash: Bytes,
    /// The version that was seen; `None` if the key did not exist.
    #[prost(message, optional, tag = "2")]
    pub version: Option<Version>,
}

/// A private key that was written.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KvWriteHash {
    /// SHA-256 of the key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key_hash: Bytes,
    /// Whether the key was deleted.
    #[prost(bool, tag = "2")]
    pub is_delete: bool,
    /// SHA-256 of the value.
    #[prost(bytes = "bytes", tag = "3")]
    pub value_hash: Bytes,
    /// Whether the key was purged with its past.
    #[prost(bool, tag = "4")]
    pub is_purge: bool,
}

impl KvWriteHash {
    /// Whether this deletes the key: the hash of no bytes stands for no value. A purge also sets
    /// `is_delete`; `is_purge` alone does nothing to state.
    #[must_use]
    pub fn deletes(&self) -> bool {
        let is_of_nothing = || self.value_hash[..] == sha256([]);
        self.is_delete || self.value_hash.is_empty() || is_of_nothing()
    }
}

/// A change of a private key's metadata.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KvMetadataWriteHash {
    /// SHA-256 of the key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key_hash: Bytes,
    /// The new metadata; an empty list removes it.
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<KvMetadataEntry>,
}
