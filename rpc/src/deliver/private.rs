//! The private data behind a block's hashes, as far as this node has it, for somebody who may see it.

use std::sync::Arc;

use bytes::Bytes;
use quire_identity::{Identity, Policy};
use quire_ledger::{Block, Height, LIFECYCLE, Order, ReadError, Reader};
use quire_wire::collection::{CollectionConfigPackage, StaticCollectionConfig};
use quire_wire::deliver::PrivateDataEntry;
use quire_wire::hash::sha256;
use quire_wire::lifecycle::{StateData, StateValue};
use quire_wire::rwset::{
    CollectionHashedReadWriteSet, NsPvtReadWriteSet, NsReadWriteSet, TxPvtReadWriteSet,
    TxReadWriteSet,
};
use quire_wire::transaction::Opened;
use quire_wire::{Message as _, tolerant};

use super::content::NoContent;

/// The names of collections that every organisation has begin so. Everybody may read them, as in Fabric.
const IMPLICIT: &str = "_implicit_org_";

/// What a block's transactions wrote to private collections, valid or not, where the block has its hash. A collection
/// whose definition keeps it from others than its members is left out for these.
///
/// # Errors
/// See [`NoContent`].
pub(super) fn private_data(
    reader: &Reader,
    block: &Block,
    who: &Arc<Identity>,
    hold: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<PrivateDataEntry>, NoContent> {
    let mut entries = Vec::new();
    for (tx, envelope) in (0..).zip(&block.envelopes) {
        let Some((tx_id, results)) = results(envelope) else {
            continue;
        };
        let hashes = results.ns_rwset.iter();
        if hashes
            .map(|set| set.collection_hashed_rwset.len())
            .sum::<usize>()
            == 0
        {
            continue;
        }
        let Some(mut set) = reader.private_set(&tx_id) else {
            continue;
        };
        keep_committed(&mut set, &results);
        keep_readable(&mut set, reader, block.number, who)?;
        if !set.ns_pvt_rwset.is_empty() {
            if !hold(set.encoded_len()) {
                return Err(NoContent::NoRoom);
            }
            let (tx, set) = (Some(tx), Some(set));
            entries.push(PrivateDataEntry { tx, set });
        }
    }
    Ok(entries)
}

/// A transaction's id and what it did; none where it cannot be read.
fn results(envelope: &Bytes) -> Option<(String, TxReadWriteSet)> {
    let opened = Opened::read(envelope).ok()?;
    if !opened.is_endorser_transaction() {
        return None;
    }
    let results = opened.endorsed_call().ok()?.action.results;
    let results = tolerant::decode(results, tolerant::READ_WRITE_SET).ok()?;
    Some((opened.channel_header.tx_id, results))
}

/// Leaves what the transaction has the hash of: the node may have simulated it again, with another outcome.
fn keep_committed(set: &mut TxPvtReadWriteSet, results: &TxReadWriteSet) {
    for namespace in &mut set.ns_pvt_rwset {
        let name = &namespace.namespace;
        let of_namespace = |set: &&NsReadWriteSet| set.namespace == *name;
        let hashes = results.ns_rwset.iter().filter(of_namespace);
        let hashes: Vec<_> = hashes
            .flat_map(|set| &set.collection_hashed_rwset)
            .collect();
        namespace.collection_pvt_rwset.retain(|collection| {
            let digest = sha256([collection.rwset.as_ref()]);
            let is_it = |hash: &&&CollectionHashedReadWriteSet| {
                hash.collection_name == collection.collection_name
            };
            let hash = hashes.iter().find(is_it);
            hash.is_some_and(|hash| hash.pvt_rwset_hash == digest[..])
        });
    }
    drop_empty(set);
}

/// Leaves what somebody may read.
fn keep_readable(
    set: &mut TxPvtReadWriteSet,
    reader: &Reader,
    block: u64,
    who: &Arc<Identity>,
) -> Result<(), ReadError> {
    for namespace in &mut set.ns_pvt_rwset {
        let NsPvtReadWriteSet {
            namespace,
            collection_pvt_rwset,
        } = namespace;
        let mut defined = None;
        let mut readable = Vec::new();
        for collection in std::mem::take(collection_pvt_rwset) {
            let name = &collection.collection_name;
            if !name.starts_with(IMPLICIT) {
                let package = match &defined {
                    Some(package) => package,
                    None => defined.insert(collections_before(reader, namespace, block)?),
                };
                if !may_read(package, name, who) {
                    continue;
                }
            }
            readable.push(collection);
        }
        *collection_pvt_rwset = readable;
    }
    drop_empty(set);
    Ok(())
}

fn drop_empty(set: &mut TxPvtReadWriteSet) {
    set.ns_pvt_rwset
        .retain(|namespace| !namespace.collection_pvt_rwset.is_empty());
}

/// The collections of a chaincode as the blocks before `block` define them.
fn collections_before(
    reader: &Reader,
    chaincode: &str,
    block: u64,
) -> Result<CollectionConfigPackage, ReadError> {
    let key = format!("namespaces/fields/{chaincode}/Collections");
    let snapshot = reader.snapshot();
    let before = Some(Height::new(block, 0));
    let found = snapshot.history(LIFECYCLE, &key, Order::NewestFirst, before, 1)?;
    let Some(height) = found.first() else {
        return Ok(CollectionConfigPackage::default());
    };
    let value = snapshot.modification(LIFECYCLE, &key, *height)?.value;
    let data = value.and_then(|value| StateData::decode(value).ok());
    let package = match data.and_then(|data| data.r#type) {
        Some(StateValue::Bytes(package)) => CollectionConfigPackage::decode(package).ok(),
        _ => None,
    };
    Ok(package.unwrap_or_default())
}

fn may_read(package: &CollectionConfigPackage, name: &str, who: &Arc<Identity>) -> bool {
    let mut collections = package.config.iter();
    let found: Option<&StaticCollectionConfig> = collections.find_map(|one| {
        one.static_collection_config
            .as_ref()
            .filter(|one| one.name == name)
    });
    let Some(collection) = found else {
        return false;
    };
    if !collection.member_only_read {
        return true;
    }
    let members = collection.member_orgs_policy.as_ref();
    let members = members.and_then(|members| members.signature_policy.as_ref());
    let members = members.and_then(|members| Policy::from_envelope(members).ok());
    members.is_some_and(|members| members.is_satisfied_by(std::slice::from_ref(who)))
}
