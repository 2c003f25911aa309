//! The indexes of a channel: which there are, how far they are built, and their upkeep.
//!
//! Definitions cannot be rebuilt from blocks, so they are one file beside the block files, replaced
//! atomically. Entries are derived. From its definition on an index follows every block, in the batch
//! that changes state; what was there before is added by a thread of its own, a few documents at a
//! time, each time with [`Catalog::writing`] held, so that no block comes in between reading a
//! document and writing its entry. An index is used once a snapshot holds its mark of being built.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Readable as _, Snapshot};
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::entries;
use super::index::{Definition, IndexRequest, Record};
use crate::disk::{Disk, read_file, replace_file};
use crate::error::{OpenError, ReadError};
use crate::follow::Durable;
use crate::id_store::io_at;
use crate::ledger::Shared;
use crate::reader::View;
use crate::state::fjall::{FjallState, data_key, decode, namespace_end};

/// Version of the file's form.
const VERSION: u32 = 1;
/// The file's name, and that of the file that becomes it.
const FILE: &str = "indexes.json";
const TEMPORARY: &str = "indexes.temporary";
/// Documents, or entries, that are worked on with [`Catalog::writing`] held.
const STEP: usize = 200;
/// Bytes of documents after which a step ends early.
const STEP_BYTES: usize = 4 << 20;
/// Most indexes of a channel.
const MAX_INDEXES: usize = 256;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    version: u32,
    /// The number of the next index.
    next: u64,
    indexes: Vec<StoredIndex>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredIndex {
    number: u64,
    namespace: String,
    #[serde(flatten)]
    record: Record,
}

/// How far an index is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// Documents are being added; the index is not used yet.
    Building {
        /// Documents looked at.
        done: u64,
        /// Documents there were at the beginning.
        total: u64,
    },
    /// In use.
    Ready,
    /// Given up: delete it, and see to the reason.
    Failed(String),
}

/// An index of the catalog.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) id: u64,
    pub(crate) namespace: String,
    pub(crate) definition: Definition,
    done: AtomicU64,
    total: AtomicU64,
    /// Ready, or failed with a reason.
    outcome: OnceLock<Result<(), String>>,
}

/// Why an index was not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is none of that name.
    #[error("there is no such index")]
    NotFound,
    /// Delete some first.
    #[error("a channel has at most {MAX_INDEXES} indexes")]
    TooMany,
    /// The ledger is closed.
    #[error("the channel is being closed")]
    Closed,
    /// The definitions could not be stored.
    #[error("the definitions of indexes could not be stored")]
    Store(#[from] OpenError),
}

/// The indexes of one channel.
pub(crate) struct Catalog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    database: Database,
    state: Keyspace,
    entries: Keyspace,
    /// Held while state or entries are written.
    writing: Mutex<()>,
    indexes: RwLock<Vec<Arc<Index>>>,
    /// Number of the next index; held while definitions change.
    next: Mutex<u64>,
    closed: AtomicBool,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// Woken when an index is built or given up.
    settled: (Mutex<()>, Condvar),
    /// Whose readers must see a finished index.
    shared: OnceLock<Weak<Shared>>,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("indexes", &self.indexes)
            .finish_non_exhaustive()
    }
}

impl Catalog {
    /// Reads the definitions. Nothing is built before [`Catalog::start`].
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        database: Database,
        state: Keyspace,
        entries: Keyspace,
    ) -> Result<Self, OpenError> {
        let file = dir.join(FILE);
        let damaged = |reason: String| OpenError::IdStore {
            file: file.clone(),
            reason,
        };
        let stored = match read_file(disk.as_ref(), &file) {
            Ok(bytes) => {
                let stored: Stored =
                    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
                if stored.version != VERSION {
                    return Err(damaged(format!("version {} is not known", stored.version)));
                }
                stored
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored {
                version: VERSION,
                next: 0,
                indexes: Vec::new(),
            },
            Err(error) => return Err(io_at(&file)(error)),
        };
        let view = database.snapshot();
        let mut indexes = Vec::with_capacity(stored.indexes.len());
        for StoredIndex {
            number,
            namespace,
            record,
        } in stored.indexes
        {
            let definition = Definition::new(record).map_err(|error| damaged(error.to_string()))?;
            let index = Index::new(number, namespace, definition);
            let built = entries::is_built(&view, &entries, number);
            if built.map_err(|error| damaged(error.to_string()))? {
                index.settle(Ok(()));
            }
            indexes.push(Arc::new(index));
        }
        Ok(Self {
            disk,
            dir,
            database,
            state,
            entries,
            writing: Mutex::new(()),
            indexes: RwLock::new(indexes),
            next: Mutex::new(stored.next),
            closed: AtomicBool::new(false),
            workers: Mutex::default(),
            settled: (Mutex::default(), Condvar::default()),
            shared: OnceLock::new(),
        })
    }

    /// Sweeps entries of indexes that are gone, and builds those that are not built: new ones, and
    /// those whose sort keys are of another collation. State must have caught up with the blocks.
    pub(crate) fn start(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<(), ReadError> {
        if self.shared.set(Arc::downgrade(shared)).is_err() {
            return Ok(());
        }
        let view = self.database.snapshot();
        let mut from = 0;
        while let Some(found) = entries::next_index(&view, &self.entries, from)? {
            let known = self.indexes.read().iter().any(|index| index.id == found);
            if !known {
                self.work(move |catalog| catalog.sweep(found));
            }
            from = found + 1;
        }
        for index in self.indexes.read().iter() {
            if index.outcome.get().is_none() {
                self.build(Arc::clone(index));
            }
        }
        Ok(())
    }

    /// Stops building and waits for it: afterwards nothing here writes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let workers = std::mem::take(&mut *self.workers.lock());
        for worker in workers {
            // A worker that panicked has nothing more to write.
            drop(worker.join());
        }
    }

    pub(crate) fn entries(&self) -> &Keyspace {
        &self.entries
    }

    /// Held by whoever changes state.
    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    pub(crate) fn of_namespace(&self, namespace: &str) -> Vec<Arc<Index>> {
        let indexes = self.indexes.read();
        let of_namespace = indexes.iter().filter(|index| index.namespace == namespace);
        of_namespace.cloned().collect()
    }

    /// How far each index is.
    pub(crate) fn states(&self) -> Vec<IndexState> {
        let indexes = self.indexes.read();
        indexes.iter().map(|index| index.state()).collect()
    }

    /// Lets the indexes follow blocks that have not taken effect in `view` yet.
    pub(crate) fn follow<'a>(
        &self,
        view: &Snapshot,
        batch: &mut OwnedWriteBatch,
        blocks: impl Iterator<Item = &'a Durable>,
    ) -> Result<(), ReadError> {
        let indexes = self.indexes.read().clone();
        if indexes.is_empty() {
            return Ok(());
        }
        let mut changed = BTreeMap::new();
        for durable in blocks {
            for (namespace, key, update) in durable.updates.iter() {
                if indexes.iter().any(|index| index.namespace == namespace) {
                    changed.insert((namespace, key), update);
                }
            }
        }
        for ((namespace, key), update) in changed {
            let before = match view.get(&self.state, data_key(&namespace, &key)?)? {
                None => None,
                Some(stored) => {
                    let stored = decode(&stored)?;
                    Document::parse(&key, stored.version, &stored.value)
                }
            };
            let content = update.content.as_ref();
            let after = content.and_then(|(value, _)| Document::parse(&key, update.version, value));
            for index in indexes.iter().filter(|index| index.namespace == namespace) {
                let entry = |document: &Option<Document>| {
                    let sort_key = index.definition.sort_key(&document.as_ref()?.value)?;
                    Some(entries::entry(index.id, &sort_key, &key))
                };
                let (before, after) = (entry(&before), entry(&after));
                if before == after {
                    continue;
                }
                if let Some(before) = before {
                    batch.remove(&self.entries, before);
                }
                if let Some(after) = after {
                    batch.insert(&self.entries, after, key.as_bytes());
                }
            }
        }
        Ok(())
    }

    /// Adds an index, and begins to build it. Whether there was none like it; an index of the same
    /// name and another definition is replaced. The definition is durable on return.
    pub(crate) fn create(
        self: &Arc<Self>,
        namespace: &str,
        request: &IndexRequest,
    ) -> Result<bool, IndexError> {
        let mut next = self.next.lock();
        if self.closed.load(Ordering::SeqCst) {
            return Err(IndexError::Closed);
        }
        let record = &request.0.record;
        let same_name = self.find(namespace, &record.ddoc, &record.name);
        if same_name
            .as_ref()
            .is_some_and(|index| index.definition.record == *record)
        {
            return Ok(false);
        }
        let mut indexes = self.indexes.read().clone();
        indexes.retain(|index| same_name.as_ref().is_none_or(|old| old.id != index.id));
        if indexes.len() >= MAX_INDEXES {
            return Err(IndexError::TooMany);
        }
        let index = Arc::new(Index::new(*next, namespace.to_owned(), request.0.clone()));
        indexes.push(Arc::clone(&index));
        self.store(*next + 1, &indexes)?;
        *next += 1;
        {
            // From here on every block is followed.
            let _writing = self.writing.lock();
            *self.indexes.write() = indexes;
        }
        if let Some(old) = same_name {
            self.work(move |catalog| catalog.sweep(old.id));
        }
        self.build(index);
        Ok(true)
    }

    /// Removes an index; durable on return.
    pub(crate) fn delete(
        self: &Arc<Self>,
        namespace: &str,
        ddoc: &str,
        name: &str,
    ) -> Result<(), IndexError> {
        let next = self.next.lock();
        let old = self
            .find(namespace, ddoc, name)
            .ok_or(IndexError::NotFound)?;
        let mut indexes = self.indexes.read().clone();
        indexes.retain(|index| index.id != old.id);
        self.store(*next, &indexes)?;
        {
            let _writing = self.writing.lock();
            *self.indexes.write() = indexes;
        }
        self.work(move |catalog| catalog.sweep(old.id));
        Ok(())
    }

    /// Waits until an index is built or given up, or gone; at most so long.
    pub(crate) fn wait(&self, namespace: &str, ddoc: &str, name: &str, at_most: Duration) {
        let (lock, condition) = &self.settled;
        let is_building = |(): &mut ()| {
            self.find(namespace, ddoc, name)
                .is_some_and(|index| index.outcome.get().is_none())
        };
        condition.wait_while_for(&mut lock.lock(), is_building, at_most);
    }

    fn find(&self, namespace: &str, ddoc: &str, name: &str) -> Option<Arc<Index>> {
        let indexes = self.indexes.read();
        let mut named = indexes.iter().filter(|index| {
            let record = &index.definition.record;
            index.namespace == namespace && record.ddoc == ddoc && record.name == name
        });
        named.next().cloned()
    }

    fn store(&self, next: u64, indexes: &[Arc<Index>]) -> Result<(), OpenError> {
        let file = self.dir.join(FILE);
        let indexes = indexes.iter().map(|index| StoredIndex {
            number: index.id,
            namespace: index.namespace.clone(),
            record: index.definition.record.clone(),
        });
        let stored = Stored {
            version: VERSION,
            next,
            indexes: indexes.collect(),
        };
        let bytes = serde_json::to_vec_pretty(&stored).map_err(|error| OpenError::IdStore {
            file: file.clone(),
            reason: error.to_string(),
        })?;
        replace_file(self.disk.as_ref(), &file, TEMPORARY, &bytes).map_err(io_at(&file))
    }

    /// Runs a job on a thread of its own, unless the catalog is closed.
    fn work(self: &Arc<Self>, job: impl FnOnce(&Self) -> Result<(), ReadError> + Send + 'static) {
        let catalog = Arc::clone(self);
        let mut workers = self.workers.lock();
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        workers.retain(|worker| !worker.is_finished());
        let run = move || {
            if let Err(error) = job(&catalog) {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a query index could not be worked on");
            }
        };
        let spawned = std::thread::Builder::new()
            .name("query-index".to_owned())
            .spawn(run);
        match spawned {
            Ok(worker) => workers.push(worker),
            // The next start does it.
            Err(error) => tracing::error!(%error, "no thread for a query index"),
        }
    }

    fn build(self: &Arc<Self>, index: Arc<Index>) {
        self.work(move |catalog| {
            let built = catalog.add_documents(&index);
            if let Err(error) = &built {
                index.settle(Err(error.to_string()));
            }
            catalog.publish()?;
            drop(catalog.settled.0.lock());
            catalog.settled.1.notify_all();
            built
        });
    }

    fn is_current(&self, index: u64) -> bool {
        !self.closed.load(Ordering::SeqCst)
            && self.indexes.read().iter().any(|known| known.id == index)
    }

    fn add_documents(&self, index: &Index) -> Result<(), ReadError> {
        let start = data_key(&index.namespace, "")?;
        let end = namespace_end(&index.namespace);
        let total = self
            .database
            .snapshot()
            .range(&self.state, start.clone()..end.clone())
            .count();
        index.total.store(total as u64, Ordering::Relaxed);
        // Sort keys of another collation would stay for ever.
        self.clear(index.id)?;
        let mut from = start.clone();
        while self.is_current(index.id) {
            let _writing = self.writing.lock();
            let view = self.database.snapshot();
            let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
            let (mut rows, mut bytes) = (0, 0);
            for guard in view.range(&self.state, from.clone()..end.clone()) {
                let (key, value) = guard.into_inner()?;
                from = [&key[..], &[0]].concat();
                let document = key.get(start.len()..).unwrap_or_default();
                bytes += value.len();
                let stored = decode(&value)?;
                if let Ok(document) = std::str::from_utf8(document) {
                    let parsed = Document::parse(document, stored.version, &stored.value);
                    let sort_key =
                        parsed.and_then(|parsed| index.definition.sort_key(&parsed.value));
                    if let Some(sort_key) = sort_key {
                        let entry = entries::entry(index.id, &sort_key, document);
                        batch.insert(&self.entries, entry, document.as_bytes());
                    }
                }
                rows += 1;
                if rows == STEP || bytes > STEP_BYTES {
                    break;
                }
            }
            let is_last = rows < STEP && bytes <= STEP_BYTES;
            if is_last {
                entries::mark_built(&mut batch, &self.entries, index.id);
            }
            batch.commit()?;
            index.done.fetch_add(rows as u64, Ordering::Relaxed);
            if is_last {
                index.settle(Ok(()));
                return Ok(());
            }
        }
        Ok(())
    }

    fn sweep(&self, index: u64) -> Result<(), ReadError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        entries::mark_unbuilt(&mut batch, &self.entries, index);
        batch.commit()?;
        self.clear(index)
    }

    fn clear(&self, index: u64) -> Result<(), ReadError> {
        let (start, end) = entries::all(index);
        // Blocks are followed meanwhile: what they add must stay.
        let old = self.database.snapshot();
        let mut keys = old.range(&self.entries, start..end).peekable();
        while keys.peek().is_some() && !self.closed.load(Ordering::SeqCst) {
            let _writing = self.writing.lock();
            let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
            for guard in keys.by_ref().take(STEP) {
                batch.remove(&self.entries, guard.key()?);
            }
            batch.commit()?;
        }
        Ok(())
    }

    /// Lets readers see what was built. A commit that has changed state and not been published yet
    /// will show it instead.
    fn publish(&self) -> Result<(), ReadError> {
        let Some(shared) = self.shared.get().and_then(Weak::upgrade) else {
            return Ok(());
        };
        let mut view = shared.view.write();
        let derived = self.database.snapshot();
        let state = FjallState::view_of(&self.database, &self.state, Some(&self.entries))?;
        if state.height() == view.tip.height {
            let tip = view.tip.clone();
            *view = Arc::new(View {
                tip,
                state: Arc::new(state),
                derived,
            });
        }
        Ok(())
    }
}

impl Index {
    fn new(id: u64, namespace: String, definition: Definition) -> Self {
        Self {
            id,
            namespace,
            definition,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            outcome: OnceLock::new(),
        }
    }

    fn settle(&self, outcome: Result<(), String>) {
        // The first outcome stays.
        drop(self.outcome.set(outcome));
    }

    pub(crate) fn state(&self) -> IndexState {
        match self.outcome.get() {
            Some(Ok(())) => IndexState::Ready,
            Some(Err(reason)) => IndexState::Failed(reason.clone()),
            None => IndexState::Building {
                done: self.done.load(Ordering::Relaxed),
                total: self.total.load(Ordering::Relaxed),
            },
        }
    }
}
