//! What one transaction asks of each key that it writes, in whatever way.
//!
//! A write set may name a key more than once: no chaincode makes such a set, but a client can, and Fabric's
//! peers commit it. Fabric notes what is asked of a key as flags, and **adds** them where it should join
//! them: two writes become the flag of a metadata update, two deletes become no flag. A ledger that joins the
//! flags would have other state and other commit hashes than every peer, so they are added here too.

use std::collections::BTreeMap;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::rwset::{HashedRwSet, KvMetadataEntry, KvMetadataWrite, KvRwSet};

use crate::error::ReadError;
use crate::model::examined::ReadWriteSet;
use crate::model::value::VersionedValue;

/// A namespace, a collection (`""` for public keys), and a key or the hash of one.
pub(crate) type Place<'a> = (&'a str, &'a str, &'a [u8]);

/// Value and metadata of a key; `None` if it is deleted.
pub(crate) type Content = Option<(Bytes, Bytes)>;

const WRITE: u8 = 1;
const METADATA_UPDATE: u8 = 2;
const METADATA_REMOVAL: u8 = 4;
const DELETE: u8 = 8;

/// Everything that a transaction asks of one key.
#[derive(Debug, Default)]
pub(crate) struct KeyWrites {
    /// The flags are a sum, see above.
    flags: u8,
    value: Option<Bytes>,
    metadata: Bytes,
}

/// What a transaction asks of every key that it writes, sorted.
pub(crate) fn asked(set: &ReadWriteSet) -> BTreeMap<Place<'_>, KeyWrites> {
    let mut all = BTreeMap::new();
    for namespace in &set.namespaces {
        let name = namespace.namespace.as_str();
        public(name, &namespace.public, &mut all);
        for (collection, set) in &namespace.collections {
            hashed(name, collection, set, &mut all);
        }
    }
    all
}

/// The public keys that a transaction names among what it writes, with their namespaces.
pub(crate) fn public_keys(set: &ReadWriteSet) -> impl Iterator<Item = (&str, &str)> {
    set.namespaces.iter().flat_map(|namespace| {
        let name = namespace.namespace.as_str();
        let KvRwSet {
            writes,
            metadata_writes,
            ..
        } = &namespace.public;
        let public = writes.iter().map(|write| write.key.as_str());
        let public = public.chain(metadata_writes.iter().map(|write| write.key.as_str()));
        // For Fabric a collection without a name means the public keys.
        let collections = namespace.collections.iter();
        let nameless = collections.filter(|(collection, _)| collection.is_empty());
        let hashed = nameless.flat_map(|(_, set)| {
            let writes = set.hashed_writes.iter().map(|write| &write.key_hash);
            writes.chain(set.metadata_writes.iter().map(|write| &write.key_hash))
        });
        let hashed = hashed.filter_map(|key| std::str::from_utf8(key).ok());
        public.chain(hashed).map(move |key| (name, key))
    })
}

fn public<'a>(namespace: &'a str, set: &'a KvRwSet, all: &mut BTreeMap<Place<'a>, KeyWrites>) {
    for write in &set.writes {
        let asked = all.entry((namespace, "", write.key.as_bytes()));
        asked.or_default().write(write.deletes(), &write.value);
    }
    for write in &set.metadata_writes {
        let asked = all.entry((namespace, "", write.key.as_bytes()));
        asked.or_default().write_metadata(&write.entries);
    }
}

fn hashed<'a>(
    namespace: &'a str,
    collection: &'a str,
    set: &'a HashedRwSet,
    all: &mut BTreeMap<Place<'a>, KeyWrites>,
) {
    for write in &set.hashed_writes {
        let asked = all.entry((namespace, collection, &write.key_hash[..]));
        asked.or_default().write(write.deletes(), &write.value_hash);
    }
    for write in &set.metadata_writes {
        let asked = all.entry((namespace, collection, &write.key_hash[..]));
        asked.or_default().write_metadata(&write.entries);
    }
}

impl KeyWrites {
    fn write(&mut self, deletes: bool, value: &Bytes) {
        if deletes {
            self.add(DELETE);
        } else {
            self.add(WRITE);
            self.value = Some(value.clone());
        }
    }

    fn write_metadata(&mut self, entries: &[KvMetadataEntry]) {
        if entries.is_empty() {
            self.add(METADATA_REMOVAL);
        } else {
            self.add(METADATA_UPDATE);
            self.metadata = encode(entries);
        }
    }

    fn add(&mut self, flag: u8) {
        self.flags = self.flags.wrapping_add(flag);
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The key's new content, with `None` inside if it is deleted; `None` if nothing changes. `latest` is its
    /// content before; metadata is read from it only if `keep_metadata`.
    ///
    /// A sum of flags may ask for a value without bringing one, which stops a peer of Fabric. Here the key is
    /// deleted, like a key without a value.
    pub(crate) fn grant(
        self,
        keep_metadata: bool,
        latest: impl FnOnce() -> Result<Option<VersionedValue>, ReadError>,
    ) -> Result<Option<Content>, ReadError> {
        if self.has(DELETE) {
            return Ok(Some(None));
        }
        if self.has(WRITE) && self.has(METADATA_UPDATE | METADATA_REMOVAL) {
            return Ok(Some(self.value.map(|value| (value, self.metadata))));
        }
        if self.flags & !WRITE == 0 {
            let latest = if keep_metadata { latest()? } else { None };
            let metadata = latest.map(|latest| latest.metadata).unwrap_or_default();
            return Ok(Some(self.value.map(|value| (value, metadata))));
        }
        // Metadata of a key that does not exist is lost.
        Ok(latest()?.map(|latest| Some((latest.value, self.metadata))))
    }
}

/// A key's metadata as in Fabric's state: a `KVMetadataWrite` without its key.
fn encode(entries: &[KvMetadataEntry]) -> Bytes {
    KvMetadataWrite {
        key: String::new(),
        entries: entries.to_vec(),
    }
    .encode_to_vec()
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::block::Height;

    /// The outcome for a key with value `old` and metadata, or for a missing key.
    fn outcome(ops: &str, is_there: bool) -> Option<Content> {
        let mut asked = KeyWrites::default();
        for op in ops.chars() {
            match op {
                'w' => asked.write(false, &Bytes::from_static(b"new")),
                'd' => asked.write(true, &Bytes::new()),
                'm' => asked.write_metadata(&[KvMetadataEntry::default()]),
                'r' => asked.write_metadata(&[]),
                other => unreachable!("{other}"),
            }
        }
        let before = VersionedValue {
            value: "old".into(),
            metadata: "before".into(),
            version: Height::new(1, 0),
        };
        asked
            .grant(true, || Ok(is_there.then_some(before)))
            .unwrap()
    }

    /// Every outcome is that of Fabric's `prepareTxOps` for the same writes, except for those that stop it.
    #[test]
    fn what_is_asked_more_than_once_adds_up_as_it_does_in_fabric() {
        let new_metadata = encode(&[KvMetadataEntry::default()]);
        let put = |value: &'static str, metadata: &Bytes| {
            Some(Some((Bytes::from(value), metadata.clone())))
        };
        let (none, before) = (Bytes::new(), Bytes::from("before"));
        let old = put("old", &none);
        let eight: String = "w".repeat(8);
        let cases = [
            // One write of each kind has the expected outcome.
            ("w", put("new", &before), put("new", &none)),
            ("d", Some(None), Some(None)),
            ("m", put("old", &new_metadata), None),
            ("r", old.clone(), None),
            ("wm", put("new", &new_metadata), put("new", &new_metadata)),
            ("wr", put("new", &none), put("new", &none)),
            ("dm", Some(None), Some(None)),
            ("wd", Some(None), Some(None)),
            // Two writes are a metadata update to nothing, and two deletes ask for nothing.
            ("ww", old.clone(), None),
            ("dd", old.clone(), None),
            ("mm", put("old", &new_metadata), None),
            ("rr", Some(None), Some(None)),
            ("www", put("new", &none), put("new", &none)),
            ("wwm", put("old", &new_metadata), None),
            ("wwd", Some(None), Some(None)),
            ("ddw", old.clone(), None),
            ("wwww", old.clone(), None),
            (&eight, Some(None), Some(None)),
            ("mmmm", Some(None), Some(None)),
        ];
        for (ops, there, missing) in cases {
            assert_eq!(outcome(ops, true), there, "{ops}, the key is there");
            assert_eq!(outcome(ops, false), missing, "{ops}, it is not");
        }
        // Flags are eight bits.
        assert_eq!(outcome(&"w".repeat(256), true), put("new", &before));
    }

    #[test]
    fn a_sum_that_asks_for_a_value_and_brings_none_deletes() {
        // 32 deletes add up to a write without a value, which stops a peer of Fabric.
        assert_eq!(outcome(&"d".repeat(32), true), Some(None));
        assert_eq!(outcome(&"d".repeat(32), false), Some(None));
    }
}
