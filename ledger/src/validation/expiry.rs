//! How long private keys live. A chaincode's definition may say that a collection's keys live for a number of
//! blocks: what block N wrote exists for the blocks through N + number + 1, and is gone after that. The block
//! that lets it expire does not mention it, and neither does its commit hash; only reads of later
//! transactions and snapshots show it.
//!
//! The end of a key follows from its version and its collection's definition, which are in state: nothing
//! else is kept.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use quire_wire::Message as _;

use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::namespace::{HashedKey, hashed_namespace};
use crate::model::updates::Updates;
use crate::state::RangeEnd;
use crate::validation::pending::Pending;

/// The namespace of definitions, and the prefix and suffix of the keys of their fields.
const LIFECYCLE: (&str, &str, &str) = ("_lifecycle", "namespaces/fields/", "/Collections");
/// The same for definitions before Fabric 2.
const LSCC: (&str, &str, &str) = ("lscc", "", "~collection");

/// The most rows of a namespace of definitions that are read: nobody has so many chaincodes, and a channel
/// that is not Fabric's may have any keys there.
const MOST_DEFINITIONS: usize = 1_000;
/// The most rows of a definition.
const FIELDS: usize = 4;
/// The most bytes of such rows that are read, for the same reason.
const MOST_BYTES: usize = 64 << 20;

/// Private keys that do not live for ever.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    /// The number of blocks that keys live, by namespace and collection.
    lives: BTreeMap<(String, String), u64>,
    /// Keys by the last block that sees them, unless they are written again.
    ends: BTreeMap<u64, BTreeSet<HashedKey>>,
}

/// `lifecycle.StateData`, of which only bytes matter here.
#[derive(Clone, PartialEq, prost::Message)]
struct StateData {
    #[prost(bytes = "bytes", tag = "2")]
    bytes: Bytes,
}

/// `peer.CollectionConfigPackage`.
#[derive(Clone, PartialEq, prost::Message)]
struct Collections {
    #[prost(message, repeated, tag = "1")]
    config: Vec<Collection>,
}

/// `peer.CollectionConfig`.
#[derive(Clone, PartialEq, prost::Message)]
struct Collection {
    #[prost(message, optional, tag = "1")]
    fixed: Option<FixedCollection>,
}

/// `peer.StaticCollectionConfig`, of which only this matters here.
#[derive(Clone, PartialEq, prost::Message)]
struct FixedCollection {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "5")]
    blocks_to_live: u64,
}

impl Expiry {
    /// Reads it from state after a block was judged.
    pub(crate) fn read(pending: &Pending<'_>) -> Result<Self, ReadError> {
        let mut expiry = Self::default();
        for place @ (namespace, from, _) in [LIFECYCLE, LSCC] {
            let mut keys = BTreeSet::new();
            let rows = pending.state.range(namespace, from, RangeEnd::Unbounded)?;
            let mut bytes = 0;
            for row in rows.take(MOST_DEFINITIONS * FIELDS) {
                let (key, value) = row?;
                bytes += value.value.len();
                // Keys are sorted, so no field of a definition comes after this.
                if !key.starts_with(from) || bytes > MOST_BYTES {
                    break;
                }
                keys.insert(key);
            }
            let changed = pending.changes(namespace);
            keys.extend(changed.into_keys().map(str::to_owned));
            for key in keys {
                if let Some(chaincode) = chaincode_of(&key, place)
                    && let Some(value) = pending.public(namespace, &key)?
                {
                    let is_lifecycle = place == LIFECYCLE;
                    let lives = lives(value.value, is_lifecycle).into_iter();
                    expiry.lives.extend(
                        lives.map(|(collection, blocks)| {
                            ((chaincode.to_owned(), collection), blocks)
                        }),
                    );
                }
            }
        }
        let collections: Vec<_> = expiry.lives.keys().cloned().collect();
        for (namespace, collection) in collections {
            let in_state = hashed_namespace(&namespace, &collection);
            let rows = pending.state.range(&in_state, "", RangeEnd::Unbounded)?;
            for row in rows {
                let (key, value) = row?;
                if let Ok(hash) = BASE64.decode(key) {
                    let key = (namespace.clone(), collection.clone(), hash.into());
                    expiry.add(key, value.version);
                }
            }
        }
        for updates in pending.layers() {
            expiry.note(updates);
        }
        Ok(expiry)
    }

    /// Notes the ends of the keys that changes write.
    pub(crate) fn note(&mut self, updates: &Updates) {
        if self.lives.is_empty() {
            return;
        }
        for (namespace, changes) in &updates.namespaces {
            for (collection, keys) in &changes.collections {
                for (key, update) in keys.iter().filter(|(_, update)| update.content.is_some()) {
                    let key = (namespace.clone(), collection.clone(), key.clone());
                    self.add(key, update.version);
                }
            }
        }
    }

    fn add(&mut self, key: HashedKey, version: Height) {
        if let Some(end) = self.end_of(&key.0, &key.1, version) {
            self.ends.entry(end).or_default().insert(key);
        }
    }

    /// The last block that sees what was written at this height; `None` if all blocks do.
    pub(crate) fn end_of(&self, namespace: &str, collection: &str, written: Height) -> Option<u64> {
        let lives = &self.lives;
        let blocks = lives.get(&(namespace.to_owned(), collection.to_owned()))?;
        written.block.checked_add(*blocks)?.checked_add(1)
    }

    /// Takes out the keys that may end with this block.
    pub(crate) fn due(&mut self, number: u64) -> BTreeSet<HashedKey> {
        let later = match number.checked_add(1) {
            Some(next) => self.ends.split_off(&next),
            None => BTreeMap::new(),
        };
        let due = std::mem::replace(&mut self.ends, later);
        due.into_values().flatten().collect()
    }
}

/// Whether changes define chaincodes, so that everything must be read again.
pub(crate) fn is_redefined_by(updates: &Updates) -> bool {
    [LIFECYCLE, LSCC].into_iter().any(|place| {
        let changes = updates.namespaces.get(place.0);
        let mut keys = changes
            .into_iter()
            .flat_map(|changes| changes.public.keys());
        keys.any(|key| chaincode_of(key, place).is_some())
    })
}

/// The chaincode whose collections a key defines.
fn chaincode_of<'a>(key: &'a str, (_, from, to): (&str, &str, &str)) -> Option<&'a str> {
    key.strip_prefix(from)?.strip_suffix(to)
}

/// The collections of a definition whose keys do not live for ever. A definition that does not parse has
/// none, and nothing could be written to its collections either.
fn lives(definition: Bytes, is_lifecycle: bool) -> Vec<(String, u64)> {
    let bytes = if is_lifecycle {
        StateData::decode(definition).map(|data| data.bytes)
    } else {
        Ok(definition)
    };
    let collections = bytes.and_then(Collections::decode).unwrap_or_default();
    let fixed = collections.config.into_iter().filter_map(|one| one.fixed);
    fixed
        .filter(|collection| collection.blocks_to_live > 0)
        .map(|collection| (collection.name, collection.blocks_to_live))
        .collect()
}
