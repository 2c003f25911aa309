//! The indexes of a channel: which there are, how far they are built, and their upkeep.
//!
//! [`Definitions`] cannot be rebuilt from blocks; entries are derived. From its definition on an
//! index follows every block, in the batch that changes state; what was there before is added by a
//! thread of its own, a few documents at a time, each time with [`Catalog::writing`] held, so that no
//! block comes in between reading a document and writing its entry. An index is used once a snapshot
//! holds its mark of being built.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Readable as _};
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use quire_disk::Disk;

use super::definitions::{Applied, Definitions, Stored, damaged};
use super::document::{Document, Wanted};
use super::entries;
use super::index::{Definition, IndexRequest};
use super::migration::{MigrateError, Migrated, Migration};
use crate::error::{OpenError, ReadError};
use crate::ledger::Shared;
use crate::model::updates::Updates;
use crate::model::value::VersionedValue;
use crate::reader::View;
use crate::state::StateDb;

/// Documents, or entries, that are worked on with [`Catalog::writing`] held.
const STEP: usize = 200;
/// Bytes of documents after which a step ends early.
const STEP_BYTES: usize = 4 << 20;
/// How long building waits for a state database that is away.
const AGAIN: Duration = Duration::from_millis(500);
/// Most indexes of a channel.
pub(super) const MAX_INDEXES: usize = 256;

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
    /// The ledger is closed: ask again once it is open.
    #[error("the channel is being closed")]
    Closed,
    /// The ledger takes no more blocks, and no indexes either: it must be opened again.
    #[error("the channel failed, and must be opened again")]
    Failed,
    /// The definitions could not be stored.
    #[error("the definitions of indexes could not be stored")]
    Store(#[from] OpenError),
}

/// Why nothing is built any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The ledger came to its end.
    InOrder,
    /// Something broke that only opening it again mends.
    Failed,
}

/// What is stored with the definitions.
#[derive(Clone, Debug)]
struct Numbering {
    /// Number of the next index.
    next: u64,
    /// Migrations that the channel has had.
    migrations: Vec<Applied>,
}

/// The indexes of one channel.
pub(crate) struct Catalog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    database: Database,
    entries: Keyspace,
    /// Whose documents are indexed.
    state: OnceLock<Weak<dyn StateDb>>,
    /// Held while state or entries are written.
    writing: Mutex<()>,
    indexes: RwLock<Vec<Arc<Index>>>,
    /// Held while definitions change.
    numbering: Mutex<Numbering>,
    closed: OnceLock<Closed>,
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
        entries: Keyspace,
    ) -> Result<Self, OpenError> {
        let stored = Definitions::read(disk.as_ref(), &dir)?;
        let damaged = |reason: String| damaged(&dir, reason);
        let view = database.snapshot();
        let mut indexes = Vec::with_capacity(stored.indexes.len());
        for Stored {
            number,
            namespace,
            record,
        } in stored.indexes
        {
            let definition = Definition::new(record.with_names());
            let definition = definition.map_err(|error| damaged(error.to_string()))?;
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
            entries,
            state: OnceLock::new(),
            writing: Mutex::new(()),
            indexes: RwLock::new(indexes),
            numbering: Mutex::new(Numbering {
                next: stored.next,
                migrations: stored.migrations,
            }),
            closed: OnceLock::new(),
            workers: Mutex::default(),
            settled: (Mutex::default(), Condvar::default()),
            shared: OnceLock::new(),
        })
    }

    /// As [`Catalog::open`], and an error too where there is no file of definitions though there are
    /// entries of an index: it was lost, and the next start sweeps what tells of it.
    pub(crate) fn examine(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        database: Database,
        entries: Keyspace,
    ) -> Result<Self, OpenError> {
        let catalog = Self::open(disk, dir, database, entries)?;
        let view = catalog.database.snapshot();
        let found = entries::next_index(&view, &catalog.entries, 0);
        if matches!(found, Ok(Some(_)))
            && !Definitions::are_there(catalog.disk.as_ref(), &catalog.dir)
        {
            let reason = "it is missing, and there are entries of indexes that it named".to_owned();
            return Err(damaged(&catalog.dir, reason));
        }
        Ok(catalog)
    }

    /// What of [`Catalog::migrate`] can be told without it: which file was changed, or would make too
    /// many indexes.
    pub(crate) fn would_migrate(
        &self,
        channel: &str,
        migrations: &[Migration],
    ) -> Result<(), MigrateError> {
        let applied = self.numbering.lock().migrations.clone();
        let numbered = |number| applied.iter().find(|one| one.number == number);
        let indexes = self.indexes.read();
        let names = indexes.iter().map(|index| {
            let record = &index.definition.record;
            (
                index.namespace.clone(),
                record.ddoc.clone(),
                record.name.clone(),
            )
        });
        let mut names: std::collections::HashSet<_> = names.collect();
        for migration in migrations {
            if let Some(applied) = numbered(migration.number()) {
                migration.check_unchanged(applied)?;
                continue;
            }
            names.extend(migration.of_channel(channel).into_iter().map(
                |(namespace, IndexRequest(definition))| {
                    let record = &definition.record;
                    (
                        namespace.to_owned(),
                        record.ddoc.clone(),
                        record.name.clone(),
                    )
                },
            ));
            if names.len() > MAX_INDEXES {
                return Err(MigrateError::Index {
                    file: migration.file().to_owned(),
                    source: IndexError::TooMany,
                });
            }
        }
        Ok(())
    }

    /// Sweeps entries of indexes that are gone, and builds those that are not built: new ones, and
    /// those whose sort keys are of another collation. State must have caught up with the blocks.
    pub(crate) fn start(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        state: &Arc<dyn StateDb>,
    ) -> Result<(), ReadError> {
        let is_first = self.state.set(Arc::downgrade(state)).is_ok();
        if !is_first || self.shared.set(Arc::downgrade(shared)).is_err() {
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
    pub(crate) fn close(&self, why: Closed) {
        // The first reason stays.
        let why = self.closed.get_or_init(|| why);
        let workers = std::mem::take(&mut *self.workers.lock());
        for worker in workers {
            // A worker that panicked has nothing more to write.
            drop(worker.join());
        }
        if *why == Closed::Failed {
            // Nobody is to wait for what will not come.
            for index in self.indexes.read().iter() {
                index.settle(Err(
                    "the channel failed: it is built at the next start".to_owned()
                ));
            }
        }
        drop(self.settled.0.lock());
        self.settled.1.notify_all();
    }

    /// Refuses what changes indexes, once nothing is built any more.
    fn refuse_if_closed(&self) -> Result<(), IndexError> {
        match self.closed.get() {
            None => Ok(()),
            Some(Closed::InOrder) => Err(IndexError::Closed),
            Some(Closed::Failed) => Err(IndexError::Failed),
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

    /// Lets the indexes follow blocks that have not taken effect yet; `before` reads state without
    /// them.
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
                // What a filter said of what was there is not asked again, with the steps of today: to
                // remove an entry that is not there does no harm.
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

    /// Adds an index, and begins to build it. Whether there was none like it; an index of the same
    /// name and another definition is replaced. The definition is durable on return.
    pub(crate) fn create(
        self: &Arc<Self>,
        namespace: &str,
        request: &IndexRequest,
    ) -> Result<bool, IndexError> {
        let mut numbering = self.numbering.lock();
        let migrations = numbering.migrations.clone();
        let added = self.add(&mut numbering, migrations, &[(namespace, request)])?;
        Ok(added > 0)
    }

    /// Adds the indexes of every migration that the channel has not had. Each is durable, and
    /// remembered, with the indexes that it adds.
    pub(crate) fn migrate(
        self: &Arc<Self>,
        channel: &str,
        migrations: &[Migration],
    ) -> Result<Migrated, MigrateError> {
        let mut numbering = self.numbering.lock();
        let mut migrated = Migrated::default();
        for applied in &numbering.migrations {
            match migrations.iter().find(|one| one.number() == applied.number) {
                Some(migration) => migration.check_unchanged(applied)?,
                None => migrated.gone.push(applied.file.clone()),
            }
        }
        for migration in migrations {
            let mut applied = numbering.migrations.clone();
            if applied.iter().any(|one| one.number == migration.number()) {
                continue;
            }
            applied.push(migration.applied());
            let added = self.add(&mut numbering, applied, &migration.of_channel(channel));
            let added = added.map_err(|source| MigrateError::Index {
                file: migration.file().to_owned(),
                source,
            })?;
            migrated.applied.push((migration.file().to_owned(), added));
        }
        Ok(migrated)
    }

    /// Adds indexes, and begins to build them. How many there were none like; one of the same name
    /// and another definition is replaced. All of them are durable on return, or none.
    fn add(
        self: &Arc<Self>,
        numbering: &mut Numbering,
        migrations: Vec<Applied>,
        wanted: &[(&str, &IndexRequest)],
    ) -> Result<usize, IndexError> {
        self.refuse_if_closed()?;
        let mut indexes = self.indexes.read().clone();
        let mut next = numbering.next;
        let (mut new, mut replaced) = (Vec::new(), Vec::new());
        for (namespace, IndexRequest(definition)) in wanted {
            let record = &definition.record;
            let is_named =
                |index: &Arc<Index>| index.is_named(namespace, &record.ddoc, &record.name);
            if let Some(named) = indexes.iter().position(is_named) {
                let old = indexes.get(named);
                if old.is_some_and(|old| old.definition.record == *record) {
                    continue;
                }
                replaced.push(indexes.remove(named));
            }
            if indexes.len() >= MAX_INDEXES {
                return Err(IndexError::TooMany);
            }
            let index = Index::new(next, (*namespace).to_owned(), definition.clone());
            next += 1;
            let index = Arc::new(index);
            indexes.push(Arc::clone(&index));
            new.push(index);
        }
        if new.is_empty() && migrations == numbering.migrations {
            return Ok(0);
        }
        let numbered = Numbering { next, migrations };
        self.store(&numbered, &indexes)?;
        *numbering = numbered;
        {
            // From here on every block is followed.
            let _writing = self.writing.lock();
            *self.indexes.write() = indexes;
        }
        for old in replaced {
            self.give_up(old);
        }
        let added = new.len();
        for index in new {
            self.build(index);
        }
        Ok(added)
    }

    /// Removes an index; durable on return.
    pub(crate) fn delete(
        self: &Arc<Self>,
        namespace: &str,
        ddoc: &str,
        name: &str,
    ) -> Result<(), IndexError> {
        let numbering = self.numbering.lock();
        self.refuse_if_closed()?;
        let old = self
            .find(namespace, ddoc, name)
            .ok_or(IndexError::NotFound)?;
        let mut indexes = self.indexes.read().clone();
        indexes.retain(|index| index.id != old.id);
        self.store(&numbering, &indexes)?;
        {
            let _writing = self.writing.lock();
            *self.indexes.write() = indexes;
        }
        self.give_up(old);
        Ok(())
    }

    fn give_up(self: &Arc<Self>, old: Arc<Index>) {
        self.work(move |catalog| {
            catalog.sweep(old.id)?;
            let record = &old.definition.record;
            if catalog
                .find(&old.namespace, &record.ddoc, &record.name)
                .is_none()
            {
                catalog.show(catalog.state()?.as_ref(), &old, false);
            }
            Ok(())
        });
    }

    /// Waits until an index is built or given up, or gone, or nothing is built any more; at most so long.
    pub(crate) fn wait(&self, namespace: &str, ddoc: &str, name: &str, at_most: Duration) {
        let (lock, condition) = &self.settled;
        let is_building = |(): &mut ()| {
            self.closed.get().is_none()
                && self
                    .find(namespace, ddoc, name)
                    .is_some_and(|index| index.outcome.get().is_none())
        };
        condition.wait_while_for(&mut lock.lock(), is_building, at_most);
    }

    fn find(&self, namespace: &str, ddoc: &str, name: &str) -> Option<Arc<Index>> {
        let indexes = self.indexes.read();
        let mut named = indexes
            .iter()
            .filter(|index| index.is_named(namespace, ddoc, name));
        named.next().cloned()
    }

    fn store(&self, numbering: &Numbering, indexes: &[Arc<Index>]) -> Result<(), OpenError> {
        let indexes = indexes.iter().map(|index| Stored {
            number: index.id,
            namespace: index.namespace.clone(),
            record: index.definition.record.clone(),
        });
        let Numbering { next, migrations } = numbering.clone();
        let definitions = Definitions::new(next, indexes.collect(), migrations);
        definitions.write(self.disk.as_ref(), &self.dir)
    }

    /// Runs a job on a thread of its own, unless the catalog is closed.
    fn work(self: &Arc<Self>, job: impl FnOnce(&Self) -> Result<(), ReadError> + Send + 'static) {
        let catalog = Arc::clone(self);
        let mut workers = self.workers.lock();
        if self.closed.get().is_some() {
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
            // Seen before it is called ready.
            let published = catalog.publish();
            match &built {
                Ok(true) => index.settle(Ok(())),
                Ok(false) => (),
                Err(error) => index.settle(Err(error.to_string())),
            }
            drop(catalog.settled.0.lock());
            catalog.settled.1.notify_all();
            if built? {
                catalog.show(catalog.state()?.as_ref(), &index, true);
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

    /// Adds what there is to an index; whether it came to the end.
    fn add_documents(&self, index: &Index) -> Result<bool, ReadError> {
        let state = self.state()?;
        // Sort keys of another collation would stay for ever.
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

    /// Shows an index to those who ask the state database itself, or hides it. Nothing here depends
    /// on that.
    fn show(&self, state: &dyn StateDb, index: &Index, is_there: bool) {
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

    /// Adds the documents behind a key to an index, a few; whether there are no more.
    fn add_some(
        &self,
        state: &dyn StateDb,
        index: &Index,
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
        // Blocks are followed meanwhile: what they add must stay.
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

    /// Lets readers see what was built. A commit that has changed state and not been published yet
    /// will show it instead.
    fn publish(&self) -> Result<(), ReadError> {
        let Some(shared) = self.shared.get().and_then(Weak::upgrade) else {
            return Ok(());
        };
        let mut view = shared.view.write();
        let derived = self.database.snapshot();
        let state = self.state()?.snapshot()?;
        if state.height() == view.tip.height {
            let tip = view.tip.clone();
            *view = Arc::new(View {
                tip,
                state,
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

    fn is_named(&self, namespace: &str, ddoc: &str, name: &str) -> bool {
        let record = &self.definition.record;
        self.namespace == namespace && record.ddoc == ddoc && record.name == name
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
