//! Which transactions wrote a key. It has keys only; the values are in the blocks.
//!
//! | key | value |
//! |---|---|
//! | `h` namespace `00` OPV(key length) key `00` OPV(block) OPV(tx) | empty |
//! | `s` | OPV(savepoint) ‖ hash of the block before it |
//!
//! After its first byte the key is Fabric's. Only valid endorser transactions have entries, including
//! deletes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Keyspace, OwnedWriteBatch, Readable as _, Snapshot};

use super::savepoint::{self, Savepoint};
use super::{Follow, Follower};
use crate::codec::{Cursor, put_opv};
use crate::error::ReadError;
use crate::model::batch::Batch;
use crate::model::block::Height;
use crate::model::examined::Content;
use crate::model::namespace::queried;

/// Which transactions wrote a key.
pub(crate) const HISTORY: Follower = Follower {
    name: "history",
    suffix: ".hist",
    dependents: &[],
    open: |_, keyspace| Arc::new(History::new(keyspace)),
    is_of_before: savepoint::is_of_before,
};

const ENTRY: u8 = b'h';
/// fjall keeps a key's length in sixteen bits.
const MAX_KEY_BYTES: usize = u16::MAX as usize;
/// Bytes of the longest height.
const HEIGHT_BYTES: usize = 18;

/// The end of a key's history that comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Descending heights.
    NewestFirst,
    /// Ascending heights.
    OldestFirst,
}

/// The history of one channel.
#[derive(Clone)]
pub(crate) struct History {
    keyspace: Keyspace,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

impl History {
    pub(crate) fn new(keyspace: Keyspace) -> Self {
        Self { keyspace }
    }

    /// The writes of a key between two heights, which are excluded.
    pub(crate) fn writes<'a>(
        &'a self,
        view: &'a Snapshot,
        namespace: &str,
        key: &str,
        after: Option<Height>,
        before: Option<Height>,
        order: Order,
    ) -> Result<impl Iterator<Item = Result<Height, ReadError>> + use<'a>, ReadError> {
        let prefix = entry_prefix(namespace, key)?;
        let at = |height: Height| {
            let mut bound = prefix.clone();
            height.put(&mut bound);
            bound
        };
        // A height never starts with 0xff, and no height lies between another one and that one with a zero
        // byte after it.
        let start = after.map_or_else(|| prefix.clone(), |after| [at(after), vec![0]].concat());
        let end = before.map_or_else(|| [prefix.clone(), vec![0xff]].concat(), at);
        let mut rows = (start < end).then(|| view.range(&self.keyspace, start..end));
        let prefix_len = prefix.len();
        Ok(std::iter::from_fn(move || {
            let rows = rows.as_mut()?;
            let guard = match order {
                Order::NewestFirst => rows.next_back(),
                Order::OldestFirst => rows.next(),
            }?;
            Some(
                guard
                    .key()
                    .map_err(ReadError::from)
                    .and_then(|key| read_height(&key, prefix_len)),
            )
        }))
    }
}

impl Follow for History {
    fn name(&self) -> &'static str {
        HISTORY.name
    }

    fn savepoint(&self, view: &Snapshot) -> Result<Savepoint, ReadError> {
        savepoint::of(HISTORY.name, view, &self.keyspace)
    }

    fn follow(
        &self,
        view: &Snapshot,
        writes: &mut OwnedWriteBatch,
        batch: &Batch,
    ) -> Result<(), ReadError> {
        let savepoint = self.savepoint(view)?;
        let mut keys = Vec::new();
        for durable in batch
            .blocks
            .iter()
            .filter(|durable| durable.block.number >= savepoint.height)
        {
            for (tx, transaction) in durable.transactions.iter().enumerate() {
                let Content::Endorsed(endorsed) = &transaction.content else {
                    continue;
                };
                if !durable.block.code(tx).is_valid() {
                    continue;
                }
                let height = Height::new(durable.block.number, tx as u64);
                let sets = endorsed.read_write_set.namespaces.iter();
                for set in sets.filter(|set| queried(&set.namespace).is_none()) {
                    for write in &set.public.writes {
                        keys.push(entry_key(&set.namespace, &write.key, height)?);
                    }
                }
            }
        }
        // The engine finds neighbouring keys faster.
        keys.sort_unstable();
        for key in keys {
            writes.insert(&self.keyspace, key, []);
        }
        if let Some(savepoint) = savepoint.behind(&batch.blocks) {
            writes.insert(&self.keyspace, savepoint::KEY, savepoint.to_bytes());
        }
        Ok(())
    }
}

fn read_height(key: &[u8], prefix_len: usize) -> Result<Height, ReadError> {
    let mut cursor = Cursor::new(Bytes::copy_from_slice(
        key.get(prefix_len..).unwrap_or_default(),
    ));
    Height::read(&mut cursor).map_err(|rule| damaged("entry", rule.0))
}

fn damaged(what: &'static str, rule: &'static str) -> ReadError {
    ReadError::DerivedDamaged {
        follower: "history",
        what,
        rule,
    }
}

fn entry_prefix(namespace: &str, key: &str) -> Result<Vec<u8>, ReadError> {
    let mut prefix = Vec::with_capacity(namespace.len() + key.len() + HEIGHT_BYTES + 12);
    prefix.push(ENTRY);
    prefix.extend_from_slice(namespace.as_bytes());
    prefix.push(0);
    put_opv(&mut prefix, key.len() as u64);
    prefix.extend_from_slice(key.as_bytes());
    prefix.push(0);
    if prefix.len() + HEIGHT_BYTES + 1 > MAX_KEY_BYTES {
        return Err(ReadError::KeyTooLong(key.len()));
    }
    Ok(prefix)
}

fn entry_key(namespace: &str, key: &str, height: Height) -> Result<Vec<u8>, ReadError> {
    let mut entry = entry_prefix(namespace, key)?;
    height.put(&mut entry);
    Ok(entry)
}

/// Reads any bytes as an entry, and any text as a key.
#[cfg(test)]
pub(crate) fn fuzz(bytes: &[u8], namespace: &str, key: &str) {
    let height = read_height(bytes, 0).unwrap_or(Height::new(7, 3));
    if let Ok(entry) = entry_key(namespace, key, height) {
        let prefix = entry_prefix(namespace, key).unwrap();
        assert!(entry.starts_with(&prefix));
        assert_eq!(read_height(&entry, prefix.len()).unwrap(), height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_bytes_of_fabric_after_their_first() {
        let key = entry_key("cc", "k1", Height::new(300, 2)).unwrap();
        assert_eq!(key[0], ENTRY);
        assert_eq!(hex::encode(&key[1..]), "63630001026b310002012c0102");
    }
}
