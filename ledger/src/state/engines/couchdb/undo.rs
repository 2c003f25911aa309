//! What keys held before the newest blocks took effect.
//!
//! CouchDB has no snapshots and no batch over several databases. So what a batch of blocks replaces is kept
//! here, from before the first document is written until nobody holds an older snapshot: a snapshot looks
//! here for the former values of documents that are too new for it. The replaced values are also on disk
//! while documents are written: after a kill in between, state is read as it was at the savepoint, and the
//! replayed blocks find what they found the first time.
//!
//! | key in the embedded engine | value |
//! |---|---|
//! | `u` | OPV(savepoint) ‖ OPV(height that the batch leads to) ‖ OPV(count of slots) |
//! | `v` slot, four bytes, big-endian | uvarint length ‖ `d` namespace `00` key; then what [`fjall`](crate::state::engines::fjall) keeps, or nothing if there was no value |
//! | `s` | OPV(height up to which the entries of query indexes have followed) |
//!
//! Slots are counted from 0 in every batch, so there are only as many keys as the largest batch needs, and
//! each is asked for by name. If every batch used new keys, a search for what is left would step over the
//! tombstones of all earlier batches.
//!
//! Half-written batches of earlier versions can still be read: `b` is OPV(savepoint) ‖ OPV(height), and `d`
//! namespace `00` key is the former value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Readable as _, Snapshot};
use parking_lot::Mutex;

use super::half_written::{BATCH, HalfWritten, Name, damaged, encode_slot, slot_key};
use crate::codec::{Cursor, put_opv};
use crate::error::ReadError;
use crate::model::value::VersionedValue;

const INDEXED: &[u8] = b"s";
/// What a key held, and up to which height it did.
#[derive(Clone, Debug)]
struct Before {
    until: u64,
    value: Option<VersionedValue>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The height that new snapshots show.
    height: u64,
    /// The height after a batch that a former process left half written.
    half_written: u64,
    /// Heights of held snapshots, each with the number of holders.
    held: BTreeMap<u64, usize>,
    /// Former values by namespace and key, the oldest first.
    before: BTreeMap<String, BTreeMap<String, Vec<Before>>>,
    /// Names in `before` by the height for which an entry is kept: they are looked at when nobody reads there
    /// any more.
    until: BTreeMap<u64, Vec<Name>>,
    /// Slots that are on disk.
    slots: u32,
    /// Keys on disk that an earlier version wrote.
    former: Vec<Vec<u8>>,
}

/// Keys and values to write to the embedded engine; a key without a value is removed.
type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Keeps the former values.
pub(super) struct Undo {
    inner: Mutex<Inner>,
    database: Database,
    keyspace: Keyspace,
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undo").finish_non_exhaustive()
    }
}

impl Undo {
    pub(super) fn new(database: Database, keyspace: Keyspace) -> Self {
        Self {
            inner: Mutex::default(),
            database,
            keyspace,
        }
    }

    /// The height up to which the entries of query indexes have followed.
    pub(super) fn indexed(view: &Snapshot, keyspace: &Keyspace) -> Result<u64, ReadError> {
        let Some(value) = view.get(keyspace, INDEXED)? else {
            return Ok(0);
        };
        let mut cursor = Cursor::new(Bytes::copy_from_slice(&value));
        cursor.opv().map_err(|rule| damaged(rule.0))
    }

    /// Begins at the savepoint that the server has. Returns whether query indexes can be trusted: they have
    /// followed as far, or it is known what they must follow again.
    pub(super) fn load(&self, savepoint: u64) -> Result<bool, ReadError> {
        let view = self.database.snapshot();
        let mut inner = self.inner.lock();
        *inner = Inner {
            height: savepoint,
            ..Inner::default()
        };
        let indexed = Self::indexed(&view, &self.keyspace)?;
        let is_known = match HalfWritten::read(&view, &self.keyspace)? {
            Some(found) => inner.take_in(found, savepoint),
            None => false,
        };
        Ok(is_known || indexed == savepoint)
    }

    /// What a snapshot at `height` sees of a key that changed since; `None` if it did not change.
    #[expect(clippy::option_option, reason = "the inner one is what the key held")]
    pub(super) fn get(
        &self,
        height: u64,
        namespace: &str,
        key: &str,
    ) -> Option<Option<VersionedValue>> {
        let inner = self.inner.lock();
        at(inner.before.get(namespace)?.get(key)?, height).cloned()
    }

    /// What a snapshot at `height` sees of every key of a namespace that changed since.
    pub(super) fn all(
        &self,
        height: u64,
        namespace: &str,
    ) -> Vec<(String, Option<VersionedValue>)> {
        let inner = self.inner.lock();
        let keys = inner.before.get(namespace).into_iter().flatten();
        keys.filter_map(|(key, before)| Some((key.clone(), at(before, height)?.clone())))
            .collect()
    }

    /// Keeps what a batch will replace, durably on return. What is known from a former attempt stays, because
    /// the server may already have some of the new values.
    pub(super) fn begin(
        &self,
        end: u64,
        replaced: impl Iterator<Item = (Name, Option<VersionedValue>)>,
    ) -> Result<(), ReadError> {
        let writes = self.inner.lock().begin(end, replaced)?;
        // Readers need not wait for the disk.
        self.commit(writes, PersistMode::SyncData)
    }

    fn commit(&self, writes: Writes, durability: PersistMode) -> Result<(), ReadError> {
        let mut batch = self.database.batch().durability(Some(durability));
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        Ok(batch.commit()?)
    }

    /// Adds the height of query indexes to a batch of their entries.
    pub(super) fn put_indexed(&self, batch: &mut OwnedWriteBatch, height: u64) {
        let mut value = Vec::with_capacity(9);
        put_opv(&mut value, height);
        batch.insert(&self.keyspace, INDEXED, value);
    }

    /// Notes that the batch is written: new snapshots show it.
    pub(super) fn finish(&self, end: u64) -> Result<(), ReadError> {
        let mut inner = self.inner.lock();
        inner.height = end;
        inner.forget();
        let (writes, durability) = if inner.half_written > end {
            let names = inner.names();
            (inner.store(names.into_iter(), end)?, PersistMode::SyncData)
        } else {
            (inner.clear(), PersistMode::Buffer)
        };
        drop(inner);
        self.commit(writes, durability)
    }

    pub(super) fn height(&self) -> u64 {
        self.inner.lock().height
    }

    /// Begins a snapshot of the present state.
    pub(super) fn hold(self: &Arc<Self>) -> Held {
        let mut inner = self.inner.lock();
        let height = inner.height;
        *inner.held.entry(height).or_default() += 1;
        drop(inner);
        Held {
            undo: Arc::clone(self),
            height,
        }
    }
}

impl Inner {
    /// Takes in what was found on disk. Returns whether it belongs to a batch after this savepoint.
    fn take_in(&mut self, found: HalfWritten, savepoint: u64) -> bool {
        self.slots = found.slots;
        self.former = found.former;
        if found.savepoint != savepoint {
            return false;
        }
        self.half_written = found.end;
        for (name, value) in found.replaced {
            self.keep(name, value);
        }
        true
    }

    /// Keeps what a key holds at the height, unless that is known.
    fn keep(&mut self, name: Name, value: Option<VersionedValue>) {
        let until = self.height;
        let keys = self.before.entry(name.0.clone()).or_default();
        let before = keys.entry(name.1.clone()).or_default();
        if at(before, until).is_none() {
            before.push(Before { until, value });
            self.until.entry(until).or_default().push(name);
        }
    }

    fn begin(
        &mut self,
        end: u64,
        replaced: impl Iterator<Item = (Name, Option<VersionedValue>)>,
    ) -> Result<Writes, ReadError> {
        let mut in_batch = BTreeSet::new();
        for (name, value) in replaced {
            self.keep(name.clone(), value);
            in_batch.insert(name);
        }
        if self.half_written <= self.height {
            return self.store(in_batch.into_iter(), end);
        }
        // Other writes of the half-written batch must not be seen before its block is applied again.
        let names = self.names();
        for name in names.iter().filter(|name| !in_batch.contains(name)) {
            let keys = self.before.get_mut(&name.0);
            let last = keys.and_then(|keys| keys.get_mut(&name.1)?.last_mut());
            if let Some(last) = last.filter(|last| last.until < end) {
                last.until = end;
                self.until.entry(end).or_default().push(name.clone());
            }
        }
        self.store(names.into_iter(), end)
    }

    /// Every name for which something is kept.
    fn names(&self) -> Vec<Name> {
        let namespaces = self.before.iter();
        let names = namespaces.flat_map(|(namespace, keys)| {
            let name = |key: &String| (namespace.clone(), key.clone());
            keys.keys().map(name)
        });
        names.collect()
    }

    /// Puts on disk what these keys hold at the height, replacing what is there.
    fn store(&mut self, names: impl Iterator<Item = Name>, end: u64) -> Result<Writes, ReadError> {
        let mut writes = Writes::new();
        let mut slots: u32 = 0;
        for name in names {
            let before = self.before.get(&name.0).and_then(|keys| keys.get(&name.1));
            let Some(value) = before.and_then(|before| at(before, self.height)) else {
                continue;
            };
            writes.push((slot_key(slots), Some(encode_slot(&name, value.as_ref())?)));
            slots = slots.saturating_add(1);
        }
        writes.extend((slots..self.slots).map(|slot| (slot_key(slot), None)));
        writes.extend(self.former.drain(..).map(|key| (key, None)));
        self.slots = slots;
        let mut batch = Vec::with_capacity(27);
        put_opv(&mut batch, self.height);
        put_opv(&mut batch, end.max(self.half_written));
        put_opv(&mut batch, u64::from(slots));
        writes.push((BATCH.to_vec(), Some(batch)));
        Ok(writes)
    }

    /// Removes everything from the disk.
    fn clear(&mut self) -> Writes {
        let slots = (0..std::mem::take(&mut self.slots)).map(slot_key);
        let keys = slots.chain(self.former.drain(..));
        let keys = keys.chain([BATCH.to_vec()]);
        keys.map(|key| (key, None)).collect()
    }

    /// Drops what no snapshot asks for any more.
    fn forget(&mut self) {
        let oldest = self.held.keys().next().copied().unwrap_or(self.height);
        let oldest = oldest.min(self.height);
        let kept = self.until.split_off(&oldest);
        let dropped = std::mem::replace(&mut self.until, kept);
        for (namespace, key) in dropped.into_values().flatten() {
            let Some(keys) = self.before.get_mut(&namespace) else {
                continue;
            };
            if let Some(before) = keys.get_mut(&key) {
                before.retain(|before| before.until >= oldest);
                if before.is_empty() {
                    keys.remove(&key);
                }
            }
            if keys.is_empty() {
                self.before.remove(&namespace);
            }
        }
    }
}

/// The value that a key had at a height, if it changed since.
fn at(before: &[Before], height: u64) -> Option<&Option<VersionedValue>> {
    let at = before.iter().find(|before| before.until >= height)?;
    Some(&at.value)
}

/// A height at which somebody reads.
#[derive(Debug)]
pub(super) struct Held {
    undo: Arc<Undo>,
    pub(super) height: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut inner = self.undo.inner.lock();
        if let Some(count) = inner.held.get_mut(&self.height) {
            *count -= 1;
            if *count == 0 {
                inner.held.remove(&self.height);
                inner.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::half_written::FORMER_BATCH;
    use super::*;
    use crate::state::value::{data_key, encode};

    fn value(n: u64) -> Option<VersionedValue> {
        (!n.is_multiple_of(3)).then(|| VersionedValue {
            value: Bytes::from(n.to_string()),
            metadata: Bytes::new(),
            version: crate::model::block::Height::new(n, 0),
        })
    }

    fn name(n: u64) -> Name {
        (format!("ns{}", n % 2), format!("k{n:06}"))
    }

    /// A new engine with an undo log in it.
    fn undo(dir: &std::path::Path) -> Arc<Undo> {
        let database = Database::builder(dir).open().unwrap();
        let keyspace = database.keyspace("undo", fjall::KeyspaceCreateOptions::default);
        Arc::new(Undo::new(database, keyspace.unwrap()))
    }

    #[test]
    fn what_a_batch_touches_on_disk_depends_on_the_batch_and_on_no_batch_before() {
        let mut inner = Inner::default();
        let mut touched = BTreeSet::new();
        for batch in 0..2_000 {
            let keys = (batch * 20..batch * 20 + 20).map(|n| (name(n), value(n)));
            let begun = inner.begin(batch + 1, keys).unwrap();
            assert_eq!(begun.len(), 21);
            inner.height = batch + 1;
            inner.forget();
            let cleared = inner.clear();
            assert_eq!(cleared.len(), 21);
            touched.extend(begun.into_iter().chain(cleared).map(|(key, _)| key));
        }
        // These are twenty slots and their count, for 40,000 keys.
        assert_eq!(touched.len(), 21);
        assert!(inner.before.is_empty() && inner.until.is_empty());
    }

    #[test]
    fn a_snapshot_that_is_held_for_long_costs_the_next_batch_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let undo = undo(dir.path());
        let held = undo.hold();
        for batch in 0..50 {
            let keys = (batch * 20..batch * 20 + 20).map(|n| (name(n), value(n)));
            let writes = undo.inner.lock().begin(batch + 1, keys).unwrap();
            assert_eq!(writes.len(), 21, "what others hold is not written again");
            undo.commit(writes, PersistMode::Buffer).unwrap();
            undo.finish(batch + 1).unwrap();
        }
        for n in [0, 1, 500, 999] {
            let (namespace, key) = name(n);
            assert_eq!(undo.get(held.height, &namespace, &key), Some(value(n)));
        }
        drop(held);
        assert!(undo.inner.lock().before.is_empty());
    }

    #[test]
    fn a_half_written_batch_is_found_again_and_a_smaller_one_leaves_nothing_of_a_larger() {
        let dir = tempfile::tempdir().unwrap();
        let undo = undo(dir.path());
        let keys = |count| (0..count).map(|n| (name(n), value(n)));
        undo.begin(1, keys(50)).unwrap();
        assert!(undo.load(0).unwrap());
        for (name, value) in keys(50) {
            assert_eq!(undo.get(0, &name.0, &name.1), Some(value));
        }
        undo.begin(1, keys(50)).unwrap();
        undo.finish(1).unwrap();
        undo.begin(2, keys(3)).unwrap();
        assert!(undo.load(1).unwrap());
        assert_eq!(undo.inner.lock().names().len(), 3);
        undo.finish(2).unwrap();
        assert_eq!(undo.keyspace.range(&b"a"[..]..).count(), 0);
    }

    #[test]
    fn what_an_earlier_version_left_half_written_is_taken_in_and_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let undo = undo(dir.path());
        let mut heights = Vec::new();
        put_opv(&mut heights, 4);
        put_opv(&mut heights, 6);
        undo.keyspace.insert(FORMER_BATCH, heights).unwrap();
        for n in 0..9 {
            let (namespace, key) = name(n);
            let stored = value(n).map(|old| encode(old.version, &old.value, &old.metadata));
            let key = data_key(&namespace, &key).unwrap();
            undo.keyspace
                .insert(key, stored.unwrap_or_default())
                .unwrap();
        }
        assert!(undo.load(4).unwrap());
        for n in 0..9 {
            let (namespace, key) = name(n);
            assert_eq!(undo.get(4, &namespace, &key), Some(value(n)));
        }
        // Block 4 writes some of the keys, block 5 the others.
        undo.begin(5, (0..5).map(|n| (name(n), value(n)))).unwrap();
        undo.finish(5).unwrap();
        assert!(undo.load(5).unwrap());
        for n in 5..9 {
            let (namespace, key) = name(n);
            assert_eq!(undo.get(5, &namespace, &key), Some(value(n)));
        }
        undo.begin(6, (5..9).map(|n| (name(n), value(n)))).unwrap();
        undo.finish(6).unwrap();
        assert_eq!(undo.keyspace.range(&b"a"[..]..).count(), 0);
    }
}
