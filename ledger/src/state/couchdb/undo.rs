//! What keys held before the newest blocks took effect.
//!
//! CouchDB has no snapshots and no batch over several databases. So what a batch of blocks replaces
//! is kept here, from before the first document is written until nobody holds a snapshot that is
//! older: a snapshot asks here for what it must not see yet. The same is on disk while documents are
//! written: after a kill in the middle, state is read as it was at the savepoint, and the blocks
//! that are replayed find what they found the first time.
//!
//! | key in the embedded engine | value |
//! |---|---|
//! | `b` | OPV(savepoint) ‖ OPV(height that the batch leads to) |
//! | `d` namespace `00` key | what [`fjall`](crate::state::fjall) keeps; empty where there was none |
//! | `s` | OPV(height that the entries of query indexes have followed to) |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Readable as _, Snapshot};
use parking_lot::Mutex;

use crate::codec::{Cursor, put_opv};
use crate::error::ReadError;
use crate::state::VersionedValue;
use crate::state::fjall::{data_key, decode, encode, split_data_key};

const BATCH: &[u8] = b"b";
const INDEXED: &[u8] = b"s";
/// Everything of a batch sorts below it.
const AFTER_DATA: &[u8] = b"e";

/// A namespace and a key.
pub(super) type Name = (String, String);

/// What a key held, and up to which height that was so.
#[derive(Clone, Debug)]
struct Before {
    until: u64,
    value: Option<VersionedValue>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What new snapshots show.
    height: u64,
    /// Where a batch that a former process left half written leads to.
    half_written: u64,
    /// Heights of snapshots that somebody holds, and how many do.
    held: BTreeMap<u64, usize>,
    /// By namespace and key, the oldest first.
    before: BTreeMap<String, BTreeMap<String, Vec<Before>>>,
}

/// The keeper of what was.
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

fn damaged(rule: &'static str) -> ReadError {
    ReadError::DerivedDamaged {
        follower: "state",
        what: "record of what a batch replaces",
        rule,
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

    /// The height that the entries of query indexes have followed to.
    pub(super) fn indexed(view: &Snapshot, keyspace: &Keyspace) -> Result<u64, ReadError> {
        let Some(value) = view.get(keyspace, INDEXED)? else {
            return Ok(0);
        };
        let mut cursor = Cursor::new(Bytes::copy_from_slice(&value));
        cursor.opv().map_err(|rule| damaged(rule.0))
    }

    /// Begins at the savepoint that the server has. Whether query indexes can be believed: they have
    /// followed as far, or what they must follow again is known.
    pub(super) fn load(&self, savepoint: u64) -> Result<bool, ReadError> {
        let view = self.database.snapshot();
        let cursor = |key: &[u8]| -> Result<Option<Cursor>, ReadError> {
            let value = view.get(&self.keyspace, key)?;
            Ok(value.map(|value| Cursor::new(Bytes::copy_from_slice(&value))))
        };
        let opv = |cursor: &mut Cursor| cursor.opv().map_err(|rule| damaged(rule.0));
        let mut inner = self.inner.lock();
        *inner = Inner {
            height: savepoint,
            ..Inner::default()
        };
        let indexed = Self::indexed(&view, &self.keyspace)?;
        let Some(mut batch) = cursor(BATCH)? else {
            return Ok(indexed == savepoint);
        };
        if opv(&mut batch)? != savepoint {
            return Ok(indexed == savepoint);
        }
        inner.half_written = opv(&mut batch)?;
        for guard in view.range(&self.keyspace, &b"d"[..]..AFTER_DATA) {
            let (key, value) = guard.into_inner()?;
            let (namespace, key) =
                split_data_key(&key).ok_or_else(|| damaged("a key has no form"))?;
            let value = (!value.is_empty()).then(|| decode(&value)).transpose()?;
            let until = savepoint;
            let keys = inner.before.entry(namespace).or_default();
            keys.insert(key, vec![Before { until, value }]);
        }
        Ok(true)
    }

    /// What a snapshot at `height` sees of a key that changed since; none where it did not.
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

    /// Keeps what a batch is going to replace, durable on return. What is known already, from a
    /// former attempt, stays: by now the server may have some of the new.
    pub(super) fn begin(
        &self,
        end: u64,
        replaced: impl Iterator<Item = (Name, Option<VersionedValue>)>,
    ) -> Result<(), ReadError> {
        let mut inner = self.inner.lock();
        let height = inner.height;
        let mut in_batch = BTreeSet::new();
        for ((namespace, key), value) in replaced {
            let keys = inner.before.entry(namespace.clone()).or_default();
            let before = keys.entry(key.clone()).or_default();
            if at(before, height).is_none() {
                before.push(Before {
                    until: height,
                    value,
                });
            }
            in_batch.insert((namespace, key));
        }
        // What the half-written batch also wrote is not to be seen before its block is applied again.
        if inner.half_written > height {
            for (namespace, keys) in &mut inner.before {
                for (key, before) in keys {
                    if !in_batch.contains(&(namespace.clone(), key.clone()))
                        && let Some(last) = before.last_mut()
                    {
                        last.until = last.until.max(end);
                    }
                }
            }
        }
        self.store(&inner, end)
    }

    fn store(&self, inner: &Inner, end: u64) -> Result<(), ReadError> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        self.clear(&mut batch)?;
        for (namespace, keys) in &inner.before {
            for (key, before) in keys {
                let Some(value) = at(before, inner.height) else {
                    continue;
                };
                let stored = value.as_ref();
                let stored = stored.map(|old| encode(old.version, &old.value, &old.metadata));
                let key = data_key(namespace, key)?;
                batch.insert(&self.keyspace, key, stored.unwrap_or_default());
            }
        }
        let mut heights = Vec::with_capacity(18);
        put_opv(&mut heights, inner.height);
        put_opv(&mut heights, end.max(inner.half_written));
        batch.insert(&self.keyspace, BATCH, heights);
        Ok(batch.commit()?)
    }

    fn clear(&self, batch: &mut OwnedWriteBatch) -> Result<(), ReadError> {
        for guard in self.keyspace.range(&b"b"[..]..AFTER_DATA) {
            batch.remove(&self.keyspace, guard.key()?);
        }
        Ok(())
    }

    /// Adds to a batch of entries of query indexes that they have followed so far.
    pub(super) fn put_indexed(&self, batch: &mut OwnedWriteBatch, height: u64) {
        let mut value = Vec::with_capacity(9);
        put_opv(&mut value, height);
        batch.insert(&self.keyspace, INDEXED, value);
    }

    /// The batch is written: new snapshots show it.
    pub(super) fn finish(&self, end: u64) -> Result<(), ReadError> {
        let mut inner = self.inner.lock();
        inner.height = end;
        inner.forget();
        if inner.half_written > end {
            return self.store(&inner, end);
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        self.clear(&mut batch)?;
        Ok(batch.commit()?)
    }

    pub(super) fn height(&self) -> u64 {
        self.inner.lock().height
    }

    /// Begins a snapshot of now.
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
    /// Drops what no snapshot asks for any more.
    fn forget(&mut self) {
        let oldest = self.held.keys().next().copied().unwrap_or(self.height);
        let oldest = oldest.min(self.height);
        self.before.retain(|_, keys| {
            keys.retain(|_, before| {
                before.retain(|before| before.until >= oldest);
                !before.is_empty()
            });
            !keys.is_empty()
        });
    }
}

/// The value that a key had at a height, where it changed since.
fn at(before: &[Before], height: u64) -> Option<&Option<VersionedValue>> {
    let at = before.iter().find(|before| before.until >= height)?;
    Some(&at.value)
}

/// A height that somebody reads at.
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
