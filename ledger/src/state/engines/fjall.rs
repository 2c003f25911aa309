//! State on the embedded LSM engine, with Fabric's keys and values.
//!
//! | key | value |
//! |---|---|
//! | `d` namespace `00` key | proto {1 version = OPV(block) ‖ OPV(tx), 2 value, 3 metadata} |
//! | `m` namespace | empty: metadata was once written in this namespace |
//! | `s` | OPV(savepoint) ‖ hash of the block before it |

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Readable as _, Snapshot};

use super::couchdb::engine::{UNDO_SUFFIX, followed};
use crate::error::{OpenError, ReadError};
use crate::followers::Follow;
use crate::followers::savepoint::{self, Savepoint};
use crate::keyspaces::keyspace;
use crate::model::batch::Batch;
use crate::model::block::Height;
use crate::model::value::VersionedValue;
use crate::query::builder::Builder;
use crate::query::entries;
use crate::query::registry::Registry;
use crate::state::engine::{Engine, Genesis, OpenRegistry, Place};
use crate::state::value::{DATA, SEPARATOR, damaged, data_key, decode, encode, namespace_end};
use crate::state::{Keys, NAME, NamespaceSummary, Rows, StateDb, StateSnapshot};

/// Suffix of the keyspace.
pub(super) const SUFFIX: &str = ".state";
/// Suffix of the keyspace of query indexes, which follow state in state's own batches.
pub(super) const QUERY_SUFFIX: &str = ".query";

const METADATA_HINT: u8 = b'm';
/// The most keys of a namespace that are counted; beyond them the count is a lower bound.
const COUNT_LIMIT: usize = 100_000;

/// State in the embedded engine itself.
pub(crate) struct FjallEngine {
    database: Database,
}

impl fmt::Debug for FjallEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallEngine").finish_non_exhaustive()
    }
}

impl FjallEngine {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }
}

impl Engine for FjallEngine {
    fn open_channel(
        &self,
        channel: &str,
        registry: &OpenRegistry<'_>,
    ) -> Result<(Arc<dyn StateDb>, Registry), OpenError> {
        let registry = registry(self.index_entries(channel)?)?;
        let indexes = Arc::clone(registry.builder());
        let state = keyspace(&self.database, channel, SUFFIX)?;
        let state = FjallState::with_indexes(self.database.clone(), state, indexes);
        Ok((Arc::new(state), registry))
    }

    fn index_entries(&self, channel: &str) -> Result<Keyspace, OpenError> {
        keyspace(&self.database, channel, QUERY_SUFFIX)
    }

    fn find(
        &self,
        channel: &str,
        view: &Snapshot,
        _genesis: &Genesis<'_>,
    ) -> Result<Place, OpenError> {
        let follow = |source| OpenError::Follow {
            channel: channel.to_owned(),
            on_couchdb: false,
            source,
        };
        // The place with the greater height was used last.
        let undo = keyspace(&self.database, channel, UNDO_SUFFIX)?;
        let remote = followed(view, &undo).map_err(follow)?;
        let state = keyspace(&self.database, channel, SUFFIX)?;
        let embedded = savepoint::of(NAME, view, &state).map_err(follow)?;
        Ok(if remote > embedded.height {
            Place::Unknown(remote)
        } else {
            Place::Embedded
        })
    }

    fn remove_channel(&self, _channel: &str, _genesis: &Genesis<'_>) -> Result<bool, OpenError> {
        Ok(true)
    }

    fn server(&self) -> Option<&str> {
        None
    }
}

/// State of one channel.
#[derive(Clone)]
pub(crate) struct FjallState {
    database: Database,
    keyspace: Keyspace,
    /// The query indexes that follow it.
    indexes: Option<Arc<Builder>>,
}

impl fmt::Debug for FjallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallState").finish_non_exhaustive()
    }
}

impl FjallState {
    pub(crate) fn new(database: Database, keyspace: Keyspace) -> Self {
        Self {
            database,
            keyspace,
            indexes: None,
        }
    }

    /// State that query indexes follow.
    pub(crate) fn with_indexes(
        database: Database,
        keyspace: Keyspace,
        indexes: Arc<Builder>,
    ) -> Self {
        Self {
            database,
            keyspace,
            indexes: Some(indexes),
        }
    }

    fn view(&self) -> Result<FjallSnapshot, ReadError> {
        let entries = self.indexes.as_ref().map(|indexes| indexes.entries());
        let view = self.database.snapshot();
        Ok(FjallSnapshot {
            height: savepoint::of(NAME, &view, &self.keyspace)?.height,
            view,
            keyspace: self.keyspace.clone(),
            entries: entries.cloned(),
        })
    }
}

impl Follow for FjallState {
    fn name(&self) -> &'static str {
        NAME
    }

    fn savepoint(&self, view: &Snapshot) -> Result<Savepoint, ReadError> {
        savepoint::of(NAME, view, &self.keyspace)
    }

    /// It writes by itself, because query indexes must not be written meanwhile.
    fn follow(
        &self,
        _view: &Snapshot,
        _writes: &mut OwnedWriteBatch,
        durable: &Batch,
    ) -> Result<(), ReadError> {
        let _writing = self.indexes.as_ref().map(|indexes| indexes.writing());
        let view = self.view()?;
        let Some(last) = durable.blocks.last() else {
            return Ok(());
        };
        if last.block.number < view.height {
            return Ok(());
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for (namespace, key, update) in durable.changes.iter() {
            let key = data_key(&namespace, &key)?;
            match &update.content {
                None => batch.remove(&self.keyspace, key),
                Some((value, metadata)) => {
                    let value = encode(update.version, value, metadata);
                    batch.insert(&self.keyspace, key, value);
                }
            }
        }
        for namespace in &durable.changes.with_metadata {
            batch.insert(&self.keyspace, hint_key(namespace), []);
        }
        if let Some(indexes) = &self.indexes {
            let before = |namespace: &str, key: &str| view.get(namespace, key);
            indexes.follow(&mut batch, &durable.changes, before)?;
        }
        let savepoint = Savepoint {
            height: last.block.number + 1,
            last: Some(last.hash),
        };
        batch.insert(&self.keyspace, savepoint::KEY, savepoint.to_bytes());
        Ok(batch.commit()?)
    }
}

impl StateDb for FjallState {
    fn snapshot(&self) -> Result<Arc<dyn StateSnapshot>, ReadError> {
        Ok(Arc::new(self.view()?))
    }
}

pub(crate) struct FjallSnapshot {
    view: Snapshot,
    keyspace: Keyspace,
    entries: Option<Keyspace>,
    height: u64,
}

impl fmt::Debug for FjallSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallSnapshot")
            .field("height", &self.height)
            .finish_non_exhaustive()
    }
}

fn read_row(guard: fjall::Guard, prefix_len: usize) -> Result<(String, VersionedValue), ReadError> {
    let (key, value) = guard.into_inner()?;
    let key = key.get(prefix_len..).unwrap_or_default().to_vec();
    let key = String::from_utf8(key).map_err(|_| damaged("key", "it is not UTF-8"))?;
    Ok((key, decode(&value)?))
}

impl StateSnapshot for FjallSnapshot {
    fn height(&self) -> u64 {
        self.height
    }

    fn count(&self, namespace: &str) -> Result<u64, ReadError> {
        let keys = data_key(namespace, "")?..namespace_end(namespace);
        Ok(self.view.range(&self.keyspace, keys).count() as u64)
    }

    fn get(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        // A key that cannot be stored does not exist.
        let Ok(key) = data_key(namespace, key) else {
            return Ok(None);
        };
        self.view
            .get(&self.keyspace, key)?
            .map(|value| decode(&value))
            .transpose()
    }

    fn version(&self, namespace: &str, key: &str) -> Result<Option<Height>, ReadError> {
        Ok(self.get(namespace, key)?.map(|value| value.version))
    }

    fn rows<'a>(
        &'a self,
        namespace: &str,
        from: Bound<&str>,
        to: Bound<&str>,
        is_reversed: bool,
    ) -> Result<Rows<'a>, ReadError> {
        let prefix_len = namespace.len() + 2;
        let (start, end) = match (from, to) {
            (Bound::Unbounded, Bound::Unbounded) => (data_key(namespace, ""), None),
            (Bound::Unbounded, Bound::Included(to) | Bound::Excluded(to)) => {
                (data_key(namespace, ""), Some(data_key(namespace, to)))
            }
            (Bound::Included(from) | Bound::Excluded(from), Bound::Unbounded) => {
                (data_key(namespace, from), None)
            }
            (
                Bound::Included(from) | Bound::Excluded(from),
                Bound::Included(to) | Bound::Excluded(to),
            ) => (data_key(namespace, from), Some(data_key(namespace, to))),
        };
        // A key that cannot be stored does not exist, nor does anything after it.
        let Ok(mut start) = start else {
            return Ok(Box::new(std::iter::empty()));
        };
        if matches!(from, Bound::Excluded(_)) {
            start.push(0);
        }
        let end = match end {
            Some(Ok(mut end)) => {
                if matches!(to, Bound::Included(_)) {
                    end.push(0);
                }
                end
            }
            Some(Err(_)) | None => namespace_end(namespace),
        };
        // fjall panics on a range that ends before it starts.
        if start >= end {
            return Ok(Box::new(std::iter::empty()));
        }
        let rows = self.view.range(&self.keyspace, start..end);
        let read = move |guard| read_row(guard, prefix_len);
        Ok(if is_reversed {
            Box::new(rows.rev().map(read))
        } else {
            Box::new(rows.map(read))
        })
    }

    fn is_built(&self, index: u64) -> Result<bool, ReadError> {
        match &self.entries {
            Some(entries) => entries::is_built(&self.view, entries, index),
            None => Ok(false),
        }
    }

    fn entries<'a>(
        &'a self,
        index: u64,
        from: &[u8],
        to: &[u8],
        is_reversed: bool,
    ) -> Result<Keys<'a>, ReadError> {
        Ok(match &self.entries {
            Some(entries) => {
                entries::documents(&self.view, entries, index, (from, to), is_reversed)
            }
            None => Box::new(std::iter::empty()),
        })
    }

    fn namespaces(&self) -> Result<Vec<NamespaceSummary>, ReadError> {
        let mut namespaces = Vec::new();
        let mut from = vec![DATA];
        while let Some(guard) = self.view.range(&self.keyspace, from.clone()..).next() {
            let key = guard.key()?;
            let Some(name) = key.strip_prefix(&[DATA]) else {
                break;
            };
            let length = name.iter().position(|byte| *byte == SEPARATOR);
            let name = name
                .get(..length.unwrap_or(name.len()))
                .unwrap_or_default()
                .to_vec();
            let name = String::from_utf8(name).map_err(|_| damaged("key", "it is not UTF-8"))?;
            from = namespace_end(&name);
            let rows = self
                .view
                .range(&self.keyspace, data_key(&name, "")?..from.clone());
            let keys = rows.take(COUNT_LIMIT).count();
            let exact = keys < COUNT_LIMIT;
            namespaces.push(NamespaceSummary {
                name,
                keys: keys as u64,
                exact,
            });
        }
        Ok(namespaces)
    }

    fn has_metadata(&self, namespace: &str) -> Result<bool, ReadError> {
        Ok(self
            .view
            .contains_key(&self.keyspace, hint_key(namespace))?)
    }
}

fn hint_key(namespace: &str) -> Vec<u8> {
    [&[METADATA_HINT], namespace.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::batch::tests::durable;
    use crate::model::updates::Updates;

    #[test]
    fn blocks_that_state_has_do_not_take_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path()).open().unwrap();
        let keyspace = database
            .keyspace("state", fjall::KeyspaceCreateOptions::default)
            .unwrap();
        let state = FjallState::new(database, keyspace);
        let apply = |numbers: &[u64]| {
            let blocks = numbers.iter().map(|number| durable(*number, &[]));
            let batch = Batch {
                blocks: blocks.collect(),
                changes: Updates::default().into(),
            };
            let (view, mut writes) = (state.database.snapshot(), state.database.batch());
            state.follow(&view, &mut writes, &batch).unwrap();
            state.savepoint(&state.database.snapshot()).unwrap().height
        };
        assert_eq!(apply(&[0, 1, 2]), 3);
        assert_eq!(apply(&[0, 1]), 3);
        assert_eq!(apply(&[2, 3]), 4);
    }
}
