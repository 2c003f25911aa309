//! Where blocks and transactions lie. It follows the block files, and can be rebuilt from them at any time.
//!
//! | key | value |
//! |---|---|
//! | `n` OPV(block) | uvarint segment ‖ uvarint offset ‖ uvarint length of the record ‖ u32 its CRC32C, if it has no seal |
//! | `e` OPV(block) OPV(tx) | uvarint segment ‖ uvarint offset of the length of that envelope ‖ for it and up to 63 after it: uvarint length ‖ u32 CRC32C of its height ‖ its bytes |
//! | `h` block hash | OPV(block) |
//! | `t` 32 bytes, the transaction id | OPV(block) ‖ OPV(tx) ‖ validation code |
//! | `u` any other transaction id | the same |
//! | `s` | OPV(savepoint) ‖ hash of the block before it: blocks below it are in the index |
//!
//! An envelope is read alone from the place in `e`, and checked by its height and the checksum that it had
//! when its block was followed. If there is no such entry, or the bytes differ, the block is read whole: the
//! entry only saves reading the rest. Of several transactions with one id the valid one is kept, or the first
//! if none is valid: its outcome is the outcome of the id.

use std::collections::HashSet;
use std::sync::Arc;

use fjall::{Keyspace, OwnedWriteBatch, Readable as _, Slice, Snapshot};
use quire_wire::Code;

use super::savepoint::{self, Savepoint};
use super::{Entry, Follow, Follower};
use crate::block_store::record;
use crate::codec::{Cursor, Malformed, put_opv, put_uvarint, uvarint_len};
use crate::error::ReadError;
use crate::model::batch::Batch;
use crate::model::block::{Block, Height};
use crate::model::location::Location;

/// Where blocks and transactions lie.
pub(crate) const INDEX: Follower = Follower {
    name: "index",
    suffix: ".index",
    dependents: &[],
    open: |_, keyspace| Arc::new(Index::new(keyspace)),
    is_of_before,
};

/// The envelopes of one entry, which bounds the search for an envelope.
const PAGE: usize = 64;

/// The place and the verdict of a transaction.
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

    /// Where an envelope lies; `None` if its whole block must be read.
    pub(crate) fn envelope(
        &self,
        view: &Snapshot,
        height: Height,
    ) -> Result<Option<Location>, ReadError> {
        let in_page = height.tx % PAGE as u64;
        let key = envelope_key(height.block, height.tx - in_page);
        let Some(page) = view.get(&self.keyspace, key)? else {
            return Ok(None);
        };
        read(&page, "envelope location", |cursor| {
            get_envelope(cursor, in_page)
        })
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
        // As above, neighbouring keys follow one another.
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

impl Follow for Index {
    fn name(&self) -> &'static str {
        INDEX.name
    }

    fn savepoint(&self, view: &Snapshot) -> Result<Savepoint, ReadError> {
        savepoint::of(INDEX.name, view, &self.keyspace)
    }

    fn follow(
        &self,
        view: &Snapshot,
        writes: &mut OwnedWriteBatch,
        batch: &Batch,
    ) -> Result<(), ReadError> {
        let savepoint = self.savepoint(view)?;
        let mut new = Vec::new();
        for durable in batch
            .blocks
            .iter()
            .filter(|durable| durable.block.number >= savepoint.height)
        {
            let number = durable.block.number;
            writes.insert(
                &self.keyspace,
                number_key(number),
                put_location(durable.location),
            );
            for (first, page) in envelope_pages(&durable.block, durable.location) {
                writes.insert(&self.keyspace, envelope_key(number, first), page);
            }
            writes.insert(&self.keyspace, hash_key(&durable.hash), opv(number));
            for (tx, transaction) in durable.transactions.iter().enumerate() {
                if let Some(tx_id) = &transaction.tx_id {
                    let height = Height::new(number, tx as u64);
                    let code = durable.block.code(tx);
                    new.push((tx_key(tx_id), TxLocation { height, code }));
                }
            }
        }
        // They are sorted because ids are random, and the engine finds neighbouring keys faster. Transactions
        // of one id stay in their order.
        new.sort_by(|(one, _), (other, _)| one.cmp(other));
        for same in new.chunk_by(|(one, _), (other, _)| one == other) {
            // A valid transaction is the first of its id, or it would be a duplicate.
            let valid = same.iter().find(|(_, location)| location.code.is_valid());
            let Some((key, location)) = valid.or(same.first()) else {
                continue;
            };
            if valid.is_some() || !view.contains_key(&self.keyspace, key)? {
                writes.insert(&self.keyspace, key.clone(), put_transaction(*location));
            }
        }
        if let Some(savepoint) = savepoint.behind(&batch.blocks) {
            writes.insert(&self.keyspace, savepoint::KEY, savepoint.to_bytes());
        }
        Ok(())
    }
}

/// Whether places of envelopes are missing, so that their blocks are read whole, or a savepoint names no
/// block.
fn is_of_before(found: Option<&Entry>, replayed: Option<&Entry>) -> bool {
    match (found, replayed) {
        (None, Some((key, _))) => is_place(key),
        _ => savepoint::is_of_before(found, replayed),
    }
}

fn read<T>(
    value: &[u8],
    what: &'static str,
    parse: impl FnOnce(&mut Cursor) -> Result<T, Malformed>,
) -> Result<T, ReadError> {
    let mut cursor = Cursor::new(bytes::Bytes::copy_from_slice(value));
    let parsed = parse(&mut cursor).map_err(|malformed| damaged(what, malformed.0))?;
    if cursor.is_at_end() {
        Ok(parsed)
    } else {
        Err(damaged(what, "bytes follow the value"))
    }
}

fn damaged(what: &'static str, rule: &'static str) -> ReadError {
    ReadError::DerivedDamaged {
        follower: "index",
        what,
        rule,
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

/// The entries of a block's envelopes: each page with the position of its first envelope.
fn envelope_pages(block: &Block, record: Location) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let mut offset = record.offset + record::before_envelopes(block, record.len);
    let pages = (0..).step_by(PAGE).zip(block.envelopes.chunks(PAGE));
    let number = block.number;
    pages.map(move |(first, envelopes)| {
        let mut page = Vec::with_capacity(16 + 7 * envelopes.len());
        put_uvarint(&mut page, record.segment);
        put_uvarint(&mut page, offset);
        for (tx, envelope) in (first..).zip(envelopes) {
            let len = envelope.len() as u64;
            put_uvarint(&mut page, len);
            let checksum = record::envelope_checksum(Height::new(number, tx), envelope);
            page.extend_from_slice(&checksum.to_be_bytes());
            offset += uvarint_len(len) as u64 + len;
        }
        (first, page)
    })
}

/// The envelope at this place of a page, if the page has it.
fn get_envelope(cursor: &mut Cursor, in_page: u64) -> Result<Option<Location>, Malformed> {
    const TOO_LARGE: Malformed = Malformed("an offset is not a 64-bit number");
    let (segment, mut offset) = (cursor.uvarint()?, cursor.uvarint()?);
    let mut found = None;
    let mut place = 0;
    while !cursor.is_at_end() {
        let len = cursor.uvarint()?;
        let checksum = cursor.take(4)?;
        offset = offset
            .checked_add(uvarint_len(len) as u64)
            .ok_or(TOO_LARGE)?;
        if place == in_page {
            let checksum = checksum.first_chunk();
            found = Some(Location {
                segment,
                offset,
                len,
                checksum: checksum.map(|bytes| u32::from_be_bytes(*bytes)),
            });
        }
        offset = offset.checked_add(len).ok_or(TOO_LARGE)?;
        place += 1;
    }
    Ok(found)
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

/// Whether a key belongs to an entry with the places of envelopes, which an earlier version's index lacks.
fn is_place(key: &[u8]) -> bool {
    key.first() == Some(&b'e')
}

fn envelope_key(number: u64, first: u64) -> Vec<u8> {
    let mut key = vec![b'e'];
    Height::new(number, first).put(&mut key);
    key
}

fn hash_key(hash: &[u8]) -> Vec<u8> {
    [b"h", hash].concat()
}

/// Ids in Fabric's form take half the bytes of their text; others (of old ledgers) are kept as text.
fn tx_key(tx_id: &str) -> Slice {
    let mut key = [b't'; 33];
    let (_, raw) = key.split_at_mut(1);
    let canonical = tx_id.len() == 64 && !tx_id.bytes().any(|byte| byte.is_ascii_uppercase());
    if canonical && hex::decode_to_slice(tx_id, raw).is_ok() {
        return key.into();
    }
    // It is longer than any key may be: no such transaction can be indexed, see `examine`.
    let text = tx_id.as_bytes();
    let text = text.get(..text.len().min(1 << 15)).unwrap_or_default();
    [b"u", text].concat().into()
}

/// Reads any bytes as a location.
#[cfg(test)]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(location) = read(bytes, "location", get_location) {
        let again = read(&put_location(location), "location", get_location).unwrap();
        assert_eq!(again, location);
    }
    if let Ok(Some(envelope)) = read(bytes, "envelope location", |cursor| get_envelope(cursor, 0)) {
        assert!(envelope.offset.checked_add(envelope.len).is_some());
    }
    let _ = tx_key(&String::from_utf8_lossy(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::batch::Durable;
    use crate::model::batch::tests::durable;

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
        let follow = |blocks: Vec<Durable>| {
            let mut writes = database.batch();
            let view = database.snapshot();
            let batch = Batch {
                blocks,
                changes: Arc::default(),
            };
            index.follow(&view, &mut writes, &batch).unwrap();
            writes.commit().unwrap();
        };
        let together = [
            ("a", BAD),
            ("a", Code::VALID),
            ("b", BAD),
            ("b", BAD),
            ("c", BAD),
        ];
        follow(vec![
            durable(0, &together),
            durable(1, &[("c", Code::VALID), ("d", BAD)]),
        ]);
        follow(vec![durable(
            2,
            &[("a", BAD), ("b", BAD), ("d", Code::VALID)],
        )]);
        let view = database.snapshot();
        let found = ["a", "b", "c", "d"].map(|tx_id| {
            let found = index.transaction(&view, tx_id).unwrap().unwrap();
            (found.height.block, found.height.tx, found.code)
        });
        let valid = |block, tx| (block, tx, Code::VALID);
        assert_eq!(found, [valid(0, 1), (0, 2, BAD), valid(1, 0), valid(2, 2)]);
    }
}
