//! The commit hash: two nodes have the same one only while they agree on every verdict and every change since
//! block 1. It follows Fabric's rule, and is kept in metadata slot 4.
//!
//! `h(n) = sha256(uvarint(length of codes) ‖ codes ‖ changes ‖ h(n-1))`, where `changes` is a protobuf
//! message with every changed key, in sorted order: namespaces, in each its public keys, then its collections
//! with their key hashes.

use bytes::Bytes;
use prost::Message as _;
use quire_wire::common::Metadata;
use quire_wire::hash::{Hash, sha256};

use crate::codec::{put_field, put_message, put_uvarint};
use crate::model::updates::{Update, Updates};

/// The commit hash of block `number`, or `None` if its chain has none. Block 0 never has one, and a later
/// block has one only if the block before it had one (`previous`), or if it is block 1.
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
    let changes = changes(updates);
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

/// The protobuf message `{ repeated Change changes = 1; }`.
fn changes(updates: &Updates) -> Vec<u8> {
    let mut all = Vec::new();
    let mut one = Vec::new();
    // The empty namespace holds the configuration, which the hash leaves out.
    let namespaces = updates.namespaces.iter();
    for (name, namespace) in namespaces.filter(|(name, _)| !name.is_empty()) {
        // Only the first change of a run names its namespace and collection.
        let mut name = name.as_str();
        for (key, update) in &namespace.public {
            change(
                &mut one,
                std::mem::take(&mut name),
                "",
                key.as_bytes(),
                update,
            );
            put_message(&mut all, 1, &one);
        }
        for (collection, keys) in &namespace.collections {
            let mut collection = collection.as_str();
            for (key, update) in keys {
                let (name, collection) =
                    (std::mem::take(&mut name), std::mem::take(&mut collection));
                change(&mut one, name, collection, key, update);
                put_message(&mut all, 1, &one);
            }
        }
    }
    all
}

/// The protobuf message
/// `Change { string namespace = 1; string collection = 2; bytes key = 3; bool is_delete = 4; bytes value = 5; bytes version = 6; }`,
/// replacing what `out` held.
fn change(out: &mut Vec<u8>, namespace: &str, collection: &str, key: &[u8], update: &Update) {
    /// The key of field 4, a varint, and `true`.
    const IS_DELETE: [u8; 2] = [4 << 3, 1];
    let mut version = Vec::with_capacity(18);
    update.version.put(&mut version);
    out.clear();
    put_field(out, 1, namespace.as_bytes());
    put_field(out, 2, collection.as_bytes());
    put_field(out, 3, key);
    match &update.content {
        None => out.extend_from_slice(&IS_DELETE),
        Some((value, _)) => put_field(out, 5, value),
    }
    put_field(out, 6, &version);
}
