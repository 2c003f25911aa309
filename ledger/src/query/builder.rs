//! Maintains the entries of a channel's query indexes, which are derived.
//!
//! From its definition on an index follows every block, in the batch that changes state. A thread of its own
//! adds the earlier documents, a few at a time, and holds [`Builder::writing`] each time, so that no block
//! comes between reading a document and writing its entry. An index is used once a snapshot has its mark of
//! being built.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Readable as _};
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use super::document::{Document, Wanted};
use super::entries;
use super::query_index::{IndexError, IndexState, QueryIndex};
use crate::error::ReadError;
use crate::model::updates::Updates;
use crate::model::value::VersionedValue;
use crate::state::StateDb;

/// The documents, or entries, that one step with [`Builder::writing`] held works on.
const STEP: usize = 200;
/// A step ends early after this many bytes of documents.
const STEP_BYTES: usize = 4 << 20;
/// How long building waits for an unavailable state database.
const AGAIN: Duration = Duration::from_millis(500);

/// Why nothing is built any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The ledger was closed.
    InOrder,
    /// Something failed, and only opening the ledger again helps.
    Failed,
}

/// Shows readers what was built.
pub(crate) trait Publish: Send + Sync {
    /// Lets readers see what was built. If a commit that changed state is not published yet, it will show it
    /// instead.
    ///
    /// # Errors
    /// State cannot be read.
    fn publish_built(&self) -> Result<(), ReadError>;
}

/// The indexes of one channel that follow its blocks.
pub(crate) struct Builder {
    database: Database,
    entries: Keyspace,
    /// The state whose documents are indexed.
    state: OnceLock<Weak<dyn StateDb>>,
    /// The lock is held while state or entries are written.
    writing: Mutex<()>,
    indexes: RwLock<Vec<Arc<QueryIndex>>>,
    closed: OnceLock<Closed>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// Woken when an index is built or given up.
    settled: (Mutex<()>, Condvar),
    /// The ledger whose readers must see a finished index.
    readers: OnceLock<Weak<dyn Publish>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("indexes", &self.indexes)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// A builder with existing indexes. Nothing is built before [`Builder::start`].
    pub(super) fn new(
        database: Database,
        entries: Keyspace,
        indexes: Vec<Arc<QueryIndex>>,
    ) -> Self {
        Self {
            database,
            entries,
            state: OnceLock::new(),
            writing: Mutex::new(()),
            indexes: RwLock::new(indexes),
            closed: OnceLock::new(),
            workers: Mutex::default(),
            settled: (Mutex::default(), Condvar::default()),
            readers: OnceLock::new(),
        }
    }

    /// Removes entries of dropped indexes, and builds indexes that are not built: new ones, and those with
    /// sort keys of another collation. State must have caught up with the blocks.
    pub(crate) fn start(
        self: &Arc<Self>,
        state: &Arc<dyn StateDb>,
        readers: Weak<dyn Publish>,
    ) -> Result<(), ReadError> {
        let is_first = self.state.set(Arc::downgrade(state)).is_ok();
        if !is_first || self.readers.set(readers).is_err() {
            return Ok(());
        }
        let view = self.database.snapshot();
        let mut from = 0;
        while let Some(found) = entries::next_index(&view, &self.entries, from)? {
            let known = self.indexes.read().iter().any(|index| index.id == found);
            if !known {
                self.work(move |builder| builder.sweep(found));
            }
            from = found + 1;
        }
        for index in self.indexes.read().iter() {
            if !index.is_settled() {
                self.build(Arc::clone(index));
            }
        }
        Ok(())
    }

    /// Stops building and waits for it: afterwards nothing here writes.
    pub(crate) fn close(&self, why: Closed) {
        // The first reason stays.
        let why = self.closed.get_or_init(|| why);
        let workers = std::mem::take(&mut *self.workers.lock());
        for worker in workers {
            // A worker that panicked has nothing more to write.
            drop(worker.join());
        }
        if *why == Closed::Failed {
            // Nobody must wait for an index that will not be built.
            for index in self.indexes.read().iter() {
                index.settle(Err(
                    "the channel failed: it is built at the next start".to_owned()
                ));
            }
        }
        drop(self.settled.0.lock());
        self.settled.1.notify_all();
    }

    /// Refuses changes of indexes once nothing is built any more.
    pub(super) fn refuse_if_closed(&self) -> Result<(), IndexError> {
        match self.closed.get() {
            None => Ok(()),
            Some(Closed::InOrder) => Err(IndexError::Closed),
            Some(Closed::Failed) => Err(IndexError::Failed),
        }
    }

    pub(crate) fn entries(&self) -> &Keyspace {
        &self.entries
    }

    /// The lock that a change of state must hold.
    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// The present indexes.
    pub(super) fn indexes(&self) -> Vec<Arc<QueryIndex>> {
        self.indexes.read().clone()
    }

    /// Makes these indexes follow every block from now on.
    pub(super) fn replace(&self, indexes: Vec<Arc<QueryIndex>>) {
        let _writing = self.writing.lock();
        *self.indexes.write() = indexes;
    }

    pub(crate) fn of_namespace(&self, namespace: &str) -> Vec<Arc<QueryIndex>> {
        let indexes = self.indexes.read();
        let of_namespace = indexes.iter().filter(|index| index.namespace == namespace);
        of_namespace.cloned().collect()
    }

    /// The state of each index.
    pub(crate) fn states(&self) -> Vec<IndexState> {
        let indexes = self.indexes.read();
        indexes.iter().map(|index| index.state()).collect()
    }

    /// Makes the indexes follow blocks that have not taken effect yet; `before` reads state without these
    /// blocks.
    pub(crate) fn follow(
        &self,
        batch: &mut OwnedWriteBatch,
        changes: &Updates,
        before: impl Fn(&str, &str) -> Result<Option<VersionedValue>, ReadError>,
    ) -> Result<(), ReadError> {
        let indexes = self.indexes.read().clone();
        if indexes.is_empty() {
            return Ok(());
        }
        let mut wanted: BTreeMap<&str, Wanted> = BTreeMap::new();
        for index in &indexes {
            let of_namespace = wanted.entry(&index.namespace).or_default();
            of_namespace.add_those(index.definition.wanted());
        }
        for (namespace, key, update) in changes.iter() {
            let Some(wanted) = wanted.get(&*namespace) else {
                continue;
            };
            let parse = |version, value: &[u8]| Document::parse(&key, version, value, wanted);
            let before = before(&namespace, &key)?;
            let before = before.and_then(|stored| parse(stored.version, &stored.value));
            let content = update.content.as_ref();
            let after = content.and_then(|(value, _)| parse(update.version, value));
            for index in indexes.iter().filter(|index| index.namespace == namespace) {
                let definition = &index.definition;
                let entry = |document: &Document| {
                    let sort_key = definition.sort_key(&document.value)?;
                    Some(entries::entry(index.id, &sort_key, &key))
                };
                // The filter is not asked again about the former document, because its steps may have
                // changed: the removal of a missing entry does no harm.
                let before = before.as_ref().and_then(entry);
                let after = after.as_ref().filter(|after| definition.takes(after));
                let after = after.and_then(entry);
                if before == after && !definition.is_partial() {
                    continue;
                }
                if let Some(before) = before
                    && Some(&before) != after.as_ref()
                {
                    batch.remove(&self.entries, before);
                }
                if let Some(after) = after {
                    batch.insert(&self.entries, after, key.as_bytes());
                }
            }
        }
        Ok(())
    }

    /// Removes all entries of a dropped index.
    pub(super) fn give_up(self: &Arc<Self>, old: Arc<QueryIndex>) {
        self.work(move |builder| {
            builder.sweep(old.id)?;
            let record = &old.definition.record;
            if builder
                .find(&old.namespace, &record.ddoc, &record.name)
                .is_none()
            {
                builder.show(builder.state()?.as_ref(), &old, false);
            }
            Ok(())
        });
    }

    /// Waits until an index is built, given up or dropped, or nothing is built any more, but not longer than
    /// `at_most`.
    pub(crate) fn wait(&self, namespace: &str, ddoc: &str, name: &str, at_most: Duration) {
        let (lock, condition) = &self.settled;
        let is_building = |(): &mut ()| {
            self.closed.get().is_none()
                && self
                    .find(namespace, ddoc, name)
                    .is_some_and(|index| !index.is_settled())
        };
        condition.wait_while_for(&mut lock.lock(), is_building, at_most);
    }

    pub(super) fn find(&self, namespace: &str, ddoc: &str, name: &str) -> Option<Arc<QueryIndex>> {
        let indexes = self.indexes.read();
        let mut named = indexes
            .iter()
            .filter(|index| index.is_named(namespace, ddoc, name));
        named.next().cloned()
    }

    /// Runs a job on a thread of its own, unless building has ended.
    fn work(self: &Arc<Self>, job: impl FnOnce(&Self) -> Result<(), ReadError> + Send + 'static) {
        let builder = Arc::clone(self);
        let mut workers = self.workers.lock();
        if self.closed.get().is_some() {
            return;
        }
        workers.retain(|worker| !worker.is_finished());
        let run = move || {
            if let Err(error) = job(&builder) {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the work on a query index failed");
            }
        };
        let spawned = std::thread::Builder::new()
            .name("query-index".to_owned())
            .spawn(run);
        match spawned {
            Ok(worker) => workers.push(worker),
            // The next start does the job.
            Err(error) => tracing::error!(%error, "no thread can be started for a query index"),
        }
    }

    /// Adds all documents to an index, on a thread of its own.
    pub(super) fn build(self: &Arc<Self>, index: Arc<QueryIndex>) {
        self.work(move |builder| {
            let built = builder.add_documents(&index);
            // Readers see the index before it is called ready.
            let published = builder.publish();
            match &built {
                Ok(true) => index.settle(Ok(())),
                Ok(false) => (),
                Err(error) => index.settle(Err(error.to_string())),
            }
            drop(builder.settled.0.lock());
            builder.settled.1.notify_all();
            if built? {
                builder.show(builder.state()?.as_ref(), &index, true);
            }
            published
        });
    }

    fn is_current(&self, index: u64) -> bool {
        self.closed.get().is_none() && self.indexes.read().iter().any(|known| known.id == index)
    }

    fn state(&self) -> Result<Arc<dyn StateDb>, ReadError> {
        let state = self.state.get().and_then(Weak::upgrade);
        state.ok_or_else(|| ReadError::Missing("state".to_owned()))
    }

    /// Adds all documents to an index. Returns whether it came to the end.
    fn add_documents(&self, index: &QueryIndex) -> Result<bool, ReadError> {
        let state = self.state()?;
        // Otherwise sort keys of another collation would stay for ever.
        self.clear(index.id)?;
        let mut from = None;
        while self.is_current(index.id) {
            match self.add_some(state.as_ref(), index, &mut from) {
                Ok(true) => return Ok(true),
                Ok(false) => (),
                Err(error) if error.is_unavailable() => std::thread::sleep(AGAIN),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Shows an index to users of the state database itself, or hides it. Nothing here depends on that.
    fn show(&self, state: &dyn StateDb, index: &QueryIndex, is_there: bool) {
        let _writing = self.writing.lock();
        let record = &index.definition.record;
        if let Err(error) = state.show_index(&index.namespace, record, is_there) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                index = record.name,
                "the state database does not show an index"
            );
        }
    }

    /// Adds a few documents after a key to an index. Returns whether there are no more.
    fn add_some(
        &self,
        state: &dyn StateDb,
        index: &QueryIndex,
        from: &mut Option<String>,
    ) -> Result<bool, ReadError> {
        let _writing = self.writing.lock();
        let view = state.snapshot()?;
        if from.is_none() {
            let total = view.count(&index.namespace)?;
            index.total.store(total, Ordering::Relaxed);
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        let (mut rows, mut bytes) = (0, 0);
        let mut last = None;
        let start = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for row in view.rows(&index.namespace, start, Bound::Unbounded, false)? {
            let (key, stored) = row?;
            bytes += stored.value.len();
            let wanted = index.definition.wanted();
            let document = Document::parse(&key, stored.version, &stored.value, wanted);
            let document = document.filter(|document| index.definition.takes(document));
            let sort_key = document.and_then(|document| index.definition.sort_key(&document.value));
            if let Some(sort_key) = sort_key {
                let entry = entries::entry(index.id, &sort_key, &key);
                batch.insert(&self.entries, entry, key.as_bytes());
            }
            last = Some(key);
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
        *from = last.or(from.take());
        Ok(is_last)
    }

    fn sweep(&self, index: u64) -> Result<(), ReadError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        entries::mark_unbuilt(&mut batch, &self.entries, index);
        batch.commit()?;
        self.clear(index)
    }

    fn clear(&self, index: u64) -> Result<(), ReadError> {
        let (start, end) = entries::all(index);
        // Blocks are followed meanwhile, and what they add must stay.
        let old = self.database.snapshot();
        let mut keys = old.range(&self.entries, start..end).peekable();
        while keys.peek().is_some() && self.closed.get().is_none() {
            let _writing = self.writing.lock();
            let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
            for guard in keys.by_ref().take(STEP) {
                batch.remove(&self.entries, guard.key()?);
            }
            batch.commit()?;
        }
        Ok(())
    }

    fn publish(&self) -> Result<(), ReadError> {
        match self.readers.get().and_then(Weak::upgrade) {
            Some(readers) => readers.publish_built(),
            None => Ok(()),
        }
    }
}
