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
//! the first is kept: its outcome is the id's.

use std::collections::BTreeMap;

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
        let mut new: BTreeMap<Slice, Vec<u8>> = BTreeMap::new();
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
                let Some(tx_id) = &transaction.tx_id else {
                    continue;
                };
                let key = Slice::from(tx_key(tx_id));
                let code = durable.block.code(tx);
                // A valid transaction is the first of its id, or it would be a duplicate.
                let first = code.is_valid()
                    || !(new.contains_key(&key) || view.contains_key(&self.keyspace, &key)?);
                if first {
                    let mut value = Vec::with_capacity(8);
                    Height::new(number, tx as u64).put(&mut value);
                    value.push(code.0);
                    new.insert(key, value);
                }
            }
        }
        // Sorted: ids are random, and the engine finds the places of neighbours sooner.
        for (key, value) in new {
            batch.insert(&self.keyspace, key, value);
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

fn number_key(number: u64) -> Vec<u8> {
    let mut key = vec![b'n'];
    put_opv(&mut key, number);
    key
}

fn hash_key(hash: &[u8]) -> Vec<u8> {
    [b"h", hash].concat()
}

/// Ids of Fabric's form take half their text's bytes; the others (old ledgers) are kept as text.
fn tx_key(tx_id: &str) -> Vec<u8> {
    let canonical = tx_id.len() == 64 && !tx_id.bytes().any(|byte| byte.is_ascii_uppercase());
    let mut raw = [0; 32];
    if canonical && hex::decode_to_slice(tx_id, &mut raw).is_ok() {
        [&b"t"[..], &raw].concat()
    } else {
        // Longer than any key may be: no such transaction can be indexed, see `examine`.
        let text = tx_id.as_bytes();
        [
            b"u",
            text.get(..text.len().min(1 << 15)).unwrap_or_default(),
        ]
        .concat()
    }
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

    #[test]
    fn transaction_ids_of_any_form_have_keys_of_their_own() {
        let id = "709184f9d24f6ade8fcd4d6521a6eef295fef6c2e67216c58b68ac15e8946492";
        assert_eq!(tx_key(id).len(), 33);
        assert_eq!(tx_key(&id.to_uppercase())[0], b'u');
        assert_ne!(tx_key(&id.to_uppercase()), tx_key(id));
        assert_eq!(tx_key("txid1"), b"utxid1");
        assert_eq!(tx_key(""), b"u");
    }
}
