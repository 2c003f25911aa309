//! What a batch replaces. It is on disk while its documents are written: see [`super::undo`] for the form.

use bytes::Bytes;
use fjall::{Keyspace, Readable as _, Snapshot};

use crate::codec::{Cursor, put_uvarint};
use crate::error::ReadError;
use crate::model::value::VersionedValue;
use crate::state::value::{data_key, decode, encode, split_data_key};

pub(super) const BATCH: &[u8] = b"u";
pub(super) const SLOT: u8 = b'v';
/// The key of an earlier version's batch; everything in such a batch sorts below it.
pub(super) const FORMER_BATCH: &[u8] = b"b";
const AFTER_FORMER: &[u8] = b"e";

/// A namespace and a key.
pub(super) type Name = (String, String);

/// The part of a batch that is on disk.
pub(super) struct HalfWritten {
    pub(super) savepoint: u64,
    pub(super) end: u64,
    pub(super) replaced: Vec<(Name, Option<VersionedValue>)>,
    pub(super) slots: u32,
    pub(super) former: Vec<Vec<u8>>,
}

impl HalfWritten {
    /// Reads the part of a batch on disk that may be half written.
    pub(super) fn read(view: &Snapshot, keyspace: &Keyspace) -> Result<Option<Self>, ReadError> {
        let get = |key: &[u8]| view.get(keyspace, key);
        let opv = |cursor: &mut Cursor| cursor.opv().map_err(|rule| damaged(rule.0));
        let Some(batch) = get(BATCH)? else {
            return Self::read_former(view, keyspace);
        };
        let mut batch = Cursor::new(Bytes::copy_from_slice(&batch));
        let (savepoint, end) = (opv(&mut batch)?, opv(&mut batch)?);
        let slots = u32::try_from(opv(&mut batch)?);
        let slots = slots.map_err(|_| damaged("it has too many slots"))?;
        let mut replaced = Vec::new();
        for slot in 0..slots {
            let stored = get(&slot_key(slot))?.ok_or_else(|| damaged("a slot is missing"))?;
            replaced.push(decode_slot(&stored)?);
        }
        Ok(Some(Self {
            savepoint,
            end,
            replaced,
            slots,
            former: Vec::new(),
        }))
    }

    /// The same in the form of an earlier version.
    fn read_former(view: &Snapshot, keyspace: &Keyspace) -> Result<Option<Self>, ReadError> {
        let opv = |cursor: &mut Cursor| cursor.opv().map_err(|rule| damaged(rule.0));
        let Some(batch) = view.get(keyspace, FORMER_BATCH)? else {
            return Ok(None);
        };
        let mut batch = Cursor::new(Bytes::copy_from_slice(&batch));
        let (savepoint, end) = (opv(&mut batch)?, opv(&mut batch)?);
        let mut replaced = Vec::new();
        let mut former = vec![FORMER_BATCH.to_vec()];
        for guard in view.range(keyspace, &b"d"[..]..AFTER_FORMER) {
            let (key, value) = guard.into_inner()?;
            let name = split_data_key(&key).ok_or_else(|| damaged("a key has no form"))?;
            let value = (!value.is_empty()).then(|| decode(&value)).transpose()?;
            replaced.push((name, value));
            former.push(key.to_vec());
        }
        Ok(Some(Self {
            savepoint,
            end,
            replaced,
            slots: 0,
            former,
        }))
    }
}

pub(super) fn damaged(rule: &'static str) -> ReadError {
    ReadError::DerivedDamaged {
        follower: "state",
        what: "record of what a batch replaces",
        rule,
    }
}

pub(super) fn slot_key(slot: u32) -> Vec<u8> {
    [&[SLOT][..], &slot.to_be_bytes()].concat()
}

pub(super) fn encode_slot(
    name: &Name,
    value: Option<&VersionedValue>,
) -> Result<Vec<u8>, ReadError> {
    let key = data_key(&name.0, &name.1)?;
    let stored = value.map(|old| encode(old.version, &old.value, &old.metadata));
    let stored = stored.unwrap_or_default();
    let mut slot = Vec::with_capacity(key.len() + stored.len() + 3);
    put_uvarint(&mut slot, key.len() as u64);
    slot.extend_from_slice(&key);
    slot.extend_from_slice(&stored);
    Ok(slot)
}

pub(super) fn decode_slot(slot: &[u8]) -> Result<(Name, Option<VersionedValue>), ReadError> {
    let mut cursor = Cursor::new(Bytes::copy_from_slice(slot));
    let key = cursor.length_prefixed().map_err(|rule| damaged(rule.0))?;
    let name = split_data_key(&key).ok_or_else(|| damaged("a key has no form"))?;
    let value = slot.get(cursor.position()..).unwrap_or_default();
    let value = (!value.is_empty()).then(|| decode(value)).transpose()?;
    Ok((name, value))
}
