//! The commit hash: one number that two nodes share only while they agree on every verdict and every
//! change since block 1. Fabric's rule, kept in metadata slot 4.
//!
//! `h(n) = sha256(uvarint(length of codes) ‖ codes ‖ changes ‖ h(n-1))`, where `changes` is a protobuf
//! message with every key that changed: namespaces sorted, in each its public keys sorted, then its
//! collections sorted with their key hashes sorted.

use bytes::Bytes;
use prost::Message as _;
use quire_wire::common::Metadata;
use quire_wire::hash::{Hash, sha256};

use crate::codec::put_uvarint;
use crate::validation::updates::{Update, Updates};

#[derive(Clone, PartialEq, prost::Message)]
struct Changes {
    #[prost(message, repeated, tag = "1")]
    changes: Vec<Change>,
}

/// Namespace and collection stand only in the first change of their run.
#[derive(Clone, PartialEq, prost::Message)]
struct Change {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    collection: String,
    #[prost(bytes = "bytes", tag = "3")]
    key: Bytes,
    #[prost(bool, tag = "4")]
    is_delete: bool,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    version: Bytes,
}

/// The commit hash of block `number`, or `None` where its chain has none: block 0 never has, and a
/// later block only when the one before it had (`previous`), or when it is block 1.
pub(crate) fn next(
    number: u64,
    codes: &[u8],
    updates: &Updates,
    previous: Option<&[u8]>,
) -> Option<Hash> {
    if number != 1 && previous.is_none() {
        return None;
    }
    let mut length = Vec::new();
    put_uvarint(&mut length, codes.len() as u64);
    let changes = changes(updates).encode_to_vec();
    Some(sha256([
        &length,
        codes,
        &changes,
        previous.unwrap_or_default(),
    ]))
}

/// The content of slot 4.
pub(crate) fn slot(hash: Hash) -> Bytes {
    Metadata {
        value: Bytes::copy_from_slice(&hash),
        signatures: Vec::new(),
    }
    .encode_to_vec()
    .into()
}

fn changes(updates: &Updates) -> Changes {
    let mut all = Vec::new();
    // The empty namespace holds the configuration, which the hash leaves out.
    for (name, namespace) in updates
        .namespaces
        .iter()
        .filter(|(name, _)| !name.is_empty())
    {
        let first_of_namespace = all.len();
        all.extend(
            namespace
                .public
                .iter()
                .map(|(key, update)| change(Bytes::copy_from_slice(key.as_bytes()), update)),
        );
        for (collection, keys) in &namespace.collections {
            let first_of_collection = all.len();
            all.extend(keys.iter().map(|(key, update)| change(key.clone(), update)));
            if let Some(first) = all.get_mut(first_of_collection) {
                first.collection.clone_from(collection);
            }
        }
        if let Some(first) = all.get_mut(first_of_namespace) {
            first.namespace.clone_from(name);
        }
    }
    Changes { changes: all }
}

fn change(key: Bytes, update: &Update) -> Change {
    let mut version = Vec::with_capacity(18);
    update.version.put(&mut version);
    Change {
        namespace: String::new(),
        collection: String::new(),
        key,
        is_delete: update.content.is_none(),
        value: update
            .content
            .as_ref()
            .map(|(value, _)| value.clone())
            .unwrap_or_default(),
        version: version.into(),
    }
}
