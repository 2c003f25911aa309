//! Which block and transaction lies where. A follower of the block files, rebuilt from them at will.
//!
//! | key | value |
//! |---|---|
//! | `n` OPV(block) | uvarint segment ‖ uvarint offset ‖ uvarint length of the record ‖ u32 its CRC32C, where it has no seal |
//! | `h` block hash | OPV(block) |
//! | `t` 32 bytes, the transaction id | OPV(block) ‖ OPV(tx) ‖ validation code |
//! | `u` any other transaction id | the same |
//! | `s` | OPV(savepoint): blocks below it are in the index |
//!
//! Where a transaction lies in its block follows from the block. Of several transactions with one id
//! the valid one is kept, or the first where none is: its outcome is the id's.

use std::collections::HashSet;

use fjall::{Keyspace, OwnedWriteBatch, Readable as _, Slice, Snapshot};
use quire_wire::Code;

use super::segment::Location;
use crate::block::Height;
use crate::codec::{Cursor, Malformed, put_opv, put_uvarint};
use crate::error::ReadError;
use crate::follow::Durable;

const SAVEPOINT: &[u8] = b"s";

/// Where a transaction stands and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxLocation {
    /// Block and position in it.
    pub height: Height,
    /// The verdict.
    pub code: Code,
}

/// The index of one channel.
#[derive(Clone)]
pub(crate) struct Index {
    keyspace: Keyspace,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

impl Index {
    pub(crate) fn new(keyspace: Keyspace) -> Self {
        Self { keyspace }
    }

    /// Adds the blocks from the index's savepoint on to `batch`, and the new savepoint.
    pub(crate) fn follow(
        &self,
        view: &Snapshot,
        batch: &mut OwnedWriteBatch,
        blocks: &[Durable],
    ) -> Result<(), ReadError> {
        let savepoint = self.savepoint(view)?;
        let mut new = Vec::new();
        for durable in blocks
            .iter()
            .filter(|durable| durable.block.number >= savepoint)
        {
            let number = durable.block.number;
            batch.insert(
                &self.keyspace,
                number_key(number),
                put_location(durable.location),
            );
            batch.insert(&self.keyspace, hash_key(&durable.hash), opv(number));
            for (tx, transaction) in durable.transactions.iter().enumerate() {
                if let Some(tx_id) = &transaction.tx_id {
                    let height = Height::new(number, tx as u64);
                    let code = durable.block.code(tx);
                    new.push((tx_key(tx_id), TxLocation { height, code }));
                }
            }
        }
        // Sorted: ids are random, and the engine finds the places of neighbours sooner. Transactions of
        // one id stay in their order.
        new.sort_by(|(one, _), (other, _)| one.cmp(other));
        for same in new.chunk_by(|(one, _), (other, _)| one == other) {
            // A valid transaction is the first of its id, or it would be a duplicate.
            let valid = same.iter().find(|(_, location)| location.code.is_valid());
            let Some((key, location)) = valid.or(same.first()) else {
                continue;
            };
            if valid.is_some() || !view.contains_key(&self.keyspace, key)? {
                batch.insert(&self.keyspace, key.clone(), put_transaction(*location));
            }
        }
        if let Some(last) = blocks.last() {
            let height = (last.block.number + 1).max(savepoint);
            batch.insert(&self.keyspace, SAVEPOINT, opv(height));
        }
        Ok(())
    }

    /// Blocks below this are in the index.
    pub(crate) fn savepoint(&self, view: &Snapshot) -> Result<u64, ReadError> {
        let Some(value) = view.get(&self.keyspace, SAVEPOINT)? else {
            return Ok(0);
        };
        read(&value, "savepoint", Cursor::opv)
    }

    pub(crate) fn location(
        &self,
        view: &Snapshot,
        number: u64,
    ) -> Result<Option<Location>, ReadError> {
        let Some(value) = view.get(&self.keyspace, number_key(number))? else {
            return Ok(None);
        };
        let location = read(&value, "location", get_location)?;
        Ok(Some(location))
    }

    pub(crate) fn number_by_hash(
        &self,
        view: &Snapshot,
        hash: &[u8],
    ) -> Result<Option<u64>, ReadError> {
        let Some(value) = view.get(&self.keyspace, hash_key(hash))? else {
            return Ok(None);
        };
        read(&value, "block number", Cursor::opv).map(Some)
    }

    pub(crate) fn transaction(
        &self,
        view: &Snapshot,
        tx_id: &str,
    ) -> Result<Option<TxLocation>, ReadError> {
        let Some(value) = view.get(&self.keyspace, tx_key(tx_id))? else {
            return Ok(None);
        };
        let location = read(&value, "transaction", |cursor| {
            let height = Height::read(cursor)?;
            let code = cursor.take(1)?;
            Ok(TxLocation {
                height,
                code: Code(code.first().copied().unwrap_or_default()),
            })
        })?;
        Ok(Some(location))
    }

    pub(crate) fn has_transaction(&self, view: &Snapshot, tx_id: &str) -> Result<bool, ReadError> {
        Ok(view.contains_key(&self.keyspace, tx_key(tx_id))?)
    }

    /// Which of these transaction ids are in the index.
    pub(crate) fn known<'a>(
        &self,
        view: &Snapshot,
        tx_ids: impl Iterator<Item = &'a str>,
    ) -> Result<HashSet<String>, ReadError> {
        let mut keys: Vec<_> = tx_ids.map(|tx_id| (tx_key(tx_id), tx_id)).collect();
        // As above: neighbours one after the other.
        keys.sort_unstable();
        let mut known = HashSet::new();
        for (key, tx_id) in keys {
            if view.contains_key(&self.keyspace, key)? {
                known.insert(tx_id.to_owned());
            }
        }
        Ok(known)
    }
}

fn read<T>(
    value: &[u8],
    what: &'static str,
    parse: impl FnOnce(&mut Cursor) -> Result<T, Malformed>,
) -> Result<T, ReadError> {
    let mut cursor = Cursor::new(bytes::Bytes::copy_from_slice(value));
    let damaged = |rule| ReadError::DerivedDamaged {
        follower: "index",
        what,
        rule,
    };
    let parsed = parse(&mut cursor).map_err(|malformed| damaged(malformed.0))?;
    if cursor.is_at_end() {
        Ok(parsed)
    } else {
        Err(damaged("bytes follow the value"))
    }
}

fn opv(number: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(9);
    put_opv(&mut value, number);
    value
}

fn get_location(cursor: &mut Cursor) -> Result<Location, Malformed> {
    let (segment, offset, len) = (cursor.uvarint()?, cursor.uvarint()?, cursor.uvarint()?);
    let checksum = if cursor.is_at_end() {
        None
    } else {
        let bytes = cursor.take(4)?;
        bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    };
    Ok(Location {
        segment,
        offset,
        len,
        checksum,
    })
}

fn put_location(location: Location) -> Vec<u8> {
    let mut value = Vec::with_capacity(16);
    put_uvarint(&mut value, location.segment);
    put_uvarint(&mut value, location.offset);
    put_uvarint(&mut value, location.len);
    if let Some(checksum) = location.checksum {
        value.extend_from_slice(&checksum.to_be_bytes());
    }
    value
}

fn put_transaction(location: TxLocation) -> Vec<u8> {
    let mut value = Vec::with_capacity(19);
    location.height.put(&mut value);
    value.push(location.code.0);
    value
}

fn number_key(number: u64) -> Vec<u8> {
    let mut key = vec![b'n'];
    put_opv(&mut key, number);
    key
}

fn hash_key(hash: &[u8]) -> Vec<u8> {
    [b"h", hash].concat()
}

/// Ids of Fabric's form take half their text's bytes; the others (old ledgers) are kept as text.
fn tx_key(tx_id: &str) -> Slice {
    let mut key = [b't'; 33];
    let (_, raw) = key.split_at_mut(1);
    let canonical = tx_id.len() == 64 && !tx_id.bytes().any(|byte| byte.is_ascii_uppercase());
    if canonical && hex::decode_to_slice(tx_id, raw).is_ok() {
        return key.into();
    }
    // Longer than any key may be: no such transaction can be indexed, see `examine`.
    let text = tx_id.as_bytes();
    let text = text.get(..text.len().min(1 << 15)).unwrap_or_default();
    [b"u", text].concat().into()
}

/// Any bytes as a location.
#[cfg(test)]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(location) = read(bytes, "location", get_location) {
        let again = read(&put_location(location), "location", get_location).unwrap();
        assert_eq!(again, location);
    }
    let _ = tx_key(&String::from_utf8_lossy(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::tests::durable;

    #[test]
    fn transaction_ids_of_any_form_have_keys_of_their_own() {
        let id = "709184f9d24f6ade8fcd4d6521a6eef295fef6c2e67216c58b68ac15e8946492";
        assert_eq!(tx_key(id).len(), 33);
        assert_eq!(tx_key(&id.to_uppercase())[0], b'u');
        assert_ne!(tx_key(&id.to_uppercase()), tx_key(id));
        assert_eq!(tx_key("txid1"), b"utxid1");
        assert_eq!(tx_key(""), b"u");
    }

    #[test]
    fn the_outcome_of_an_id_is_its_valid_transactions_or_its_firsts() {
        const BAD: Code = Code::BAD_CREATOR_SIGNATURE;
        let dir = tempfile::tempdir().unwrap();
        let database = fjall::Database::builder(dir.path()).open().unwrap();
        let keyspace = database
            .keyspace("index", fjall::KeyspaceCreateOptions::default)
            .unwrap();
        let index = Index::new(keyspace);
        let follow = |blocks: &[Durable]| {
            let mut batch = database.batch();
            let view = database.snapshot();
            index.follow(&view, &mut batch, blocks).unwrap();
            batch.commit().unwrap();
        };
        let together = [
            ("a", BAD),
            ("a", Code::VALID),
            ("b", BAD),
            ("b", BAD),
            ("c", BAD),
        ];
        follow(&[
            durable(0, &together),
            durable(1, &[("c", Code::VALID), ("d", BAD)]),
        ]);
        follow(&[durable(2, &[("a", BAD), ("b", BAD), ("d", Code::VALID)])]);
        let view = database.snapshot();
        let found = ["a", "b", "c", "d"].map(|tx_id| {
            let found = index.transaction(&view, tx_id).unwrap().unwrap();
            (found.height.block, found.height.tx, found.code)
        });
        let valid = |block, tx| (block, tx, Code::VALID);
        assert_eq!(found, [valid(0, 1), (0, 2, BAD), valid(1, 0), valid(2, 2)]);
    }
}
