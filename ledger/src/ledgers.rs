//! Every channel of a data directory.
//!
//! ```text
//! DATA/lock                        held while a process has the directory open
//! DATA/id-store/main.json          one record a channel; cannot be rebuilt
//! DATA/channels/main/blockfile_*   the blocks; cannot be rebuilt
//! DATA/derived/                    index, state, history of every channel; rebuilt at will
//! ```

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use quire_disk::{Disk, make_dir};
use tempfile::TempDir;

use crate::block_store::segment::Segments;
use crate::derived::SCRATCH_PREFIX;
use crate::derived::{self, DebugDatabase, Engine, Purpose};
use crate::error::{OpenError, ReadError};
use crate::followers::index::INDEX;
use crate::id_store::{ChannelRecord, IdStore, Status, io_at};
use crate::ledger::Ledger;
use crate::model::block::Block;
use crate::observer::{Observer, Silent};
use crate::ordered::Ordered;
use crate::progress::ProgressFn;
use crate::query::registry::Registry;
use crate::query::{MigrateError, Migration};
use crate::recovery::{OpenReport, Parts, first_hash};
use crate::state::couchdb;
use crate::state::couchdb::client::{Couch, CouchDbServer};

/// Size at which a block file is full: Fabric's 64 MiB.
pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;
/// Names in a data directory.
const ID_STORE: &str = "id-store";
pub(crate) const CHANNELS: &str = "channels";
const DERIVED: &str = "derived";
/// Bytes of writes that are written into tables when a process ends: fewer are replayed in no time.
const WORTH_SETTLING: u64 = 4 << 20;
/// How often it is looked whether they are there, and the pause between two looks.
const SETTLING_LOOKS: u32 = 2_000;
const SETTLING_PAUSE: Duration = Duration::from_millis(5);
/// Memory for the embedded engine's cache.
const DEFAULT_CACHE_BYTES: u64 = 256 << 20;

/// What keeps current state.
#[derive(Clone, Debug, Default)]
pub enum StateEngine {
    /// The embedded engine, which also keeps index and history.
    #[default]
    Fjall,
    /// A CouchDB server.
    CouchDb(CouchDbServer),
}

/// How a channel is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// Size at which a block file is full, in bytes. A larger block gets a file of its own.
    pub segment_bytes: u64,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            segment_bytes: DEFAULT_SEGMENT_BYTES,
        }
    }
}

/// How the embedded engine under index, state and history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Journal files; more than a few means that flushes fall behind.
    pub journals: usize,
    /// Bytes of the journals.
    pub journal_bytes: u64,
    /// Bytes of tables and journals.
    pub disk_bytes: u64,
    /// Bytes of writes that are in memory and in a journal only.
    pub memtable_bytes: u64,
    /// Bytes of tables that are cached.
    pub cache_bytes: u64,
    /// Flushes that wait for a worker.
    pub pending_flushes: usize,
    /// Compactions that ended.
    pub compactions: usize,
    /// Time spent in them.
    pub compacting: Duration,
    /// Tables of the keyspace that has most of them at level 0: at 20 fjall slows writes, at 30 it
    /// holds them until compaction has caught up.
    pub level_0_tables: usize,
    /// Memtables of the keyspace of which most wait to be written: at 4 fjall holds writes.
    pub sealed_memtables: usize,
    /// Blocks of tables that were found in the cache.
    pub cached_loads: usize,
    /// Blocks of tables that were read from disk.
    pub disk_loads: usize,
}

/// The ledgers of a data directory, which it holds locked.
#[derive(Debug)]
pub struct Ledgers {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    id_store: IdStore,
    database: DebugDatabase,
    couch: Option<Arc<Couch>>,
    set_aside: Option<PathBuf>,
    observer: Arc<dyn Observer>,
    _lock: Option<File>,
    /// The folder of an engine that stands in for one that cannot be looked at.
    _stand_in: Option<TempDir>,
}

impl Ledgers {
    /// Opens a data directory, making it where there is none.
    ///
    /// # Errors
    /// [`OpenError::InUse`] where another process has it open; otherwise as [`OpenError`] says.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, purpose: Purpose) -> Result<Self, OpenError> {
        Self::open_with(disk, dir, purpose, &StateEngine::Fjall)
    }

    /// As [`Ledgers::open`], with state where `engine` says. It may be another than last time: a
    /// channel's state is brought up to its blocks when the channel is opened. No server is called
    /// before.
    ///
    /// # Errors
    /// As [`Ledgers::open`].
    pub fn open_with(
        disk: Arc<dyn Disk>,
        dir: &Path,
        purpose: Purpose,
        engine: &StateEngine,
    ) -> Result<Self, OpenError> {
        Self::open_sized(disk, dir, purpose, engine, DEFAULT_CACHE_BYTES)
    }

    /// As [`Ledgers::open_with`], with so many bytes for the embedded engine's cache of tables.
    ///
    /// # Errors
    /// As [`Ledgers::open`].
    pub fn open_sized(
        disk: Arc<dyn Disk>,
        dir: &Path,
        purpose: Purpose,
        engine: &StateEngine,
        cache_bytes: u64,
    ) -> Result<Self, OpenError> {
        let couch = couch(engine)?;
        for folder in [dir, &dir.join(CHANNELS)] {
            make_dir(disk.as_ref(), folder)?;
        }
        let lock = lock(dir)?;
        let id_store = IdStore::open(Arc::clone(&disk), dir.join(ID_STORE))?;
        let records = id_store.list()?;
        if purpose == Purpose::Use
            && let Some(orphan) = orphans(disk.as_ref(), dir).into_iter().next()
        {
            return Err(orphan);
        }
        let engine = Engine {
            disk: disk.as_ref(),
            dir: &dir.join(DERIVED),
            cache_bytes,
            purpose,
        };
        let (database, set_aside) = engine.open(&names(&records))?;
        let ledgers = Self {
            disk,
            dir: dir.to_owned(),
            id_store,
            database: DebugDatabase(database),
            couch,
            set_aside,
            observer: Arc::new(Silent),
            _lock: Some(lock),
            _stand_in: None,
        };
        if purpose == Purpose::Inspect {
            return Ok(ledgers);
        }
        if let Some(lost) = ledgers.lost().into_iter().next() {
            return Err(lost);
        }
        ledgers.remove_scratch();
        for record in records.iter().filter(|record| record.is_unfinished()) {
            tracing::warn!(channel = record.name, "removing a half-made channel");
            ledgers.remove(&record.name)?;
        }
        Ok(ledgers)
    }

    /// Opens a data directory only to tell what is wrong with it: as far as it can be opened, with
    /// everything that a start would refuse. Nothing is made but a scratch engine that goes with what
    /// is returned; that engine stands in for one that is not there or does not open.
    ///
    /// # Errors
    /// [`OpenError::InUse`], or nothing at all can be looked at.
    pub fn look(
        disk: Arc<dyn Disk>,
        dir: &Path,
        engine: &StateEngine,
    ) -> Result<(Self, Vec<OpenError>), OpenError> {
        let couch = couch(engine)?;
        let mut damage = Vec::new();
        let lock = match lock_if_there(dir) {
            Ok(lock) => lock,
            Err(in_use @ OpenError::InUse(_)) => return Err(in_use),
            Err(error) => {
                damage.push(error);
                None
            }
        };
        let id_store = IdStore::at(Arc::clone(&disk), dir.join(ID_STORE));
        let (records, _) = id_store.look();
        let derived = dir.join(DERIVED);
        let opened = if derived.try_exists().unwrap_or(true) {
            let engine = Engine {
                disk: disk.as_ref(),
                dir: &derived,
                cache_bytes: DEFAULT_CACHE_BYTES,
                purpose: Purpose::Inspect,
            };
            engine.open(&names(&records)).map(|(database, _)| database)
        } else {
            Err(OpenError::Io {
                path: derived,
                source: ErrorKind::NotFound.into(),
            })
        };
        let (database, stand_in) = match opened {
            Ok(database) => (database, None),
            Err(in_use @ OpenError::InUse(_)) => return Err(in_use),
            Err(error) => {
                // What is not there is made from the blocks.
                if !matches!(error, OpenError::Io { .. }) {
                    damage.push(error);
                }
                let (database, stand_in) = derived::stand_in(dir)?;
                (database, Some(stand_in))
            }
        };
        let ledgers = Self {
            disk,
            dir: dir.to_owned(),
            id_store,
            database: DebugDatabase(database),
            couch,
            set_aside: None,
            observer: Arc::new(Silent),
            _lock: lock,
            _stand_in: stand_in,
        };
        damage.extend(ledgers.examine().1);
        Ok((ledgers, damage))
    }

    /// The channels whose records can be read, by name, and what is wrong with the others and with
    /// folders of blocks that belong to none: what a start would refuse.
    #[must_use]
    pub fn examine(&self) -> (Vec<ChannelRecord>, Vec<OpenError>) {
        let (records, mut damage) = self.id_store.look();
        // A start makes a folder that is not there.
        damage.retain(|error| {
            !matches!(error, OpenError::Io { path, source }
                if source.kind() == ErrorKind::NotFound && *path == self.dir.join(ID_STORE))
        });
        damage.extend(orphans(self.disk.as_ref(), &self.dir));
        damage.extend(self.lost());
        (records, damage)
    }

    /// Channels that the embedded engine has followed, and that have neither a record nor a folder: a
    /// new one of that name would be begun in their place.
    fn lost(&self) -> Vec<OpenError> {
        let database = &self.database.0;
        let view = database.snapshot();
        let mut lost = Vec::new();
        for keyspace in database.list_keyspace_names() {
            let Some(name) = keyspace.strip_suffix(INDEX.suffix) else {
                continue;
            };
            let folder = self.disk.list(&self.channel_dir(name));
            let has_folder = folder
                .err()
                .is_none_or(|error| error.kind() != ErrorKind::NotFound);
            if has_folder || self.id_store.knows(name) {
                continue;
            }
            // A damaged savepoint vouches for nothing.
            let height = derived::savepoint(database, &view, name, INDEX).unwrap_or(0);
            if height > 0 {
                let channel = name.to_owned();
                lost.push(OpenError::Lost { channel, height });
            }
        }
        lost
    }

    /// Lets `observer` listen to every channel that is opened from now on.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// How the embedded engine is. Cheap but for one look at its files.
    #[must_use]
    pub fn engine(&self) -> EngineStatus {
        let database = &self.database.0;
        let keyspaces = self.keyspaces();
        let most = |count: fn(&Keyspace) -> usize| keyspaces.iter().map(count).max();
        let sum = |count: fn(&Keyspace) -> usize| keyspaces.iter().map(count).sum();
        EngineStatus {
            level_0_tables: most(Keyspace::l0_table_count).unwrap_or_default(),
            sealed_memtables: most(Keyspace::sealed_memtable_count).unwrap_or_default(),
            cached_loads: sum(|keyspace| keyspace.metrics().block_load_cached_count()),
            disk_loads: sum(|keyspace| keyspace.metrics().block_load_io_count()),
            journals: database.journal_count(),
            journal_bytes: database.journal_disk_space().unwrap_or_default(),
            disk_bytes: database.disk_space().unwrap_or_default(),
            memtable_bytes: database.write_buffer_size(),
            cache_bytes: database.cache_size(),
            pending_flushes: database.outstanding_flushes(),
            compactions: database.compactions_completed(),
            compacting: database.time_compacting(),
        }
    }

    /// Writes what the embedded engine has in memory only, and in its journals, into its tables: the next
    /// opening has nothing to replay then, which takes a second for every two hundred megabytes. For the
    /// end of a process; channels may be open, and should be idle. Does nothing where there is little, and
    /// gives up after ten seconds: nothing depends on it.
    pub fn settle(&self) {
        let database = &self.database.0;
        let is_little = database.write_buffer_size() < WORTH_SETTLING;
        if is_little && database.journal_count() < 2 {
            return;
        }
        let keyspaces = self.keyspaces();
        for keyspace in &keyspaces {
            if let Err(error) = keyspace.rotate_memtable() {
                tracing::warn!(%error, "the embedded engine does not write its tables");
                return;
            }
        }
        // Written by the engine's own threads, which say nothing where they cannot.
        let is_writing = |keyspace: &Keyspace| keyspace.sealed_memtable_count() > 0;
        let mut looks = 0;
        while looks < SETTLING_LOOKS && keyspaces.iter().any(is_writing) {
            std::thread::sleep(SETTLING_PAUSE);
            looks += 1;
        }
    }

    fn keyspaces(&self) -> Vec<Keyspace> {
        let database = &self.database.0;
        let names = database.list_keyspace_names().into_iter();
        // All of them exist.
        let keyspaces = names.map(|name| database.keyspace(&name, KeyspaceCreateOptions::default));
        keyspaces.flatten().collect()
    }

    /// Removes what a check that was killed left behind. Nobody else can be checking: this process
    /// holds the lock.
    fn remove_scratch(&self) {
        let names = self.disk.list(&self.dir).unwrap_or_default();
        for name in names.iter().filter(|name| name.starts_with(SCRATCH_PREFIX)) {
            if let Err(error) = self.disk.remove_dir_all(&self.dir.join(name)) {
                tracing::warn!(name, %error, "a scratch folder cannot be removed");
            }
        }
    }

    /// Where the embedded engine's directory went, if it did not open and was begun anew.
    #[must_use]
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// Every channel, by name.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn list(&self) -> Result<Vec<ChannelRecord>, OpenError> {
        self.id_store.list()
    }

    /// The record of a channel.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn record(&self, name: &str) -> Result<Option<ChannelRecord>, OpenError> {
        self.id_store.get(name)
    }

    /// Opens a channel: recovers its block files, and brings its followers up to them.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] and [`OpenError::Ahead`] changed nothing and want an operator.
    pub fn ledger(
        &self,
        name: &str,
        progress: &mut ProgressFn<'_>,
    ) -> Result<(Ledger, OpenReport), OpenError> {
        let record = self.existing(name)?;
        if let Err(error) = self.check_indexes(name) {
            // One that cannot be read keeps the channel closed, as is told below; one that is missing
            // does not, and opening it removes what tells that it was there.
            tracing::warn!(channel = name, %error, "query indexes are lost");
        }
        match self.parts(record.clone())?.open(progress) {
            Err(OpenError::Follow { source, .. })
                if !source.is_unavailable() && !matches!(source, ReadError::StateForeign(_)) =>
            {
                self.begin_followers_anew(record, &source, progress)
            }
            other => other,
        }
    }

    /// Opens a channel whose followers could not follow: either they are damaged, and are made anew,
    /// or a block is that only they could vouch for, and nothing is changed.
    fn begin_followers_anew(
        &self,
        record: ChannelRecord,
        reason: &ReadError,
        progress: &mut ProgressFn<'_>,
    ) -> Result<(Ledger, OpenReport), OpenError> {
        self.parts(record.clone())?.verify()?;
        tracing::warn!(
            channel = record.name,
            error = reason as &dyn std::error::Error,
            "index, state and history are damaged: rebuilding them from the blocks"
        );
        self.drop_remote_state(&record.name)?;
        derived::drop_channel(&self.database.0, &record.name)?;
        self.parts(record)?.open(progress)
    }

    /// Makes a channel whose block 0 is `genesis`. Durable on return: after a crash on the way the
    /// channel does not exist.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where there is a channel of this name, [`OpenError::Orphan`] where
    /// there are files of one.
    pub fn create(
        &self,
        name: &str,
        genesis: Block,
        options: CreateOptions,
    ) -> Result<Ledger, OpenError> {
        let record = ChannelRecord::new(name, options.segment_bytes);
        self.construct(name, record, |record| {
            let (mut ledger, _) = self.parts(record.clone())?.open(&mut |_| {})?;
            let committed = ledger.commit(vec![Ordered::new(genesis, name)]);
            let channel = name.to_owned();
            committed.map_err(|source| OpenError::Create { channel, source })?;
            Ok(ledger)
        })
    }

    /// Runs `build` between a record that says "under construction" and one that says "active".
    pub(crate) fn construct<T>(
        &self,
        name: &str,
        mut record: ChannelRecord,
        build: impl FnOnce(&ChannelRecord) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        if self.id_store.get(name)?.is_some() {
            return Err(OpenError::Exists(name.to_owned()));
        }
        let dir = self.channel_dir(name);
        refuse_orphan(self.disk.as_ref(), &dir)?;
        self.id_store.put(&record)?;
        // What the engine may hold of an earlier channel of this name is older than its removal.
        derived::drop_channel(&self.database.0, name)?;
        let made = self.disk.create_dir_all(&dir);
        made.and_then(|()| self.disk.sync_dir(&self.dir.join(CHANNELS)))
            .map_err(io_at(&dir))?;
        let outcome = build(&record).and_then(|built| {
            record.status = Status::Active;
            self.id_store.put(&record)?;
            Ok(built)
        });
        if outcome.is_err()
            && let Err(error) = self.remove(name)
        {
            // The next start removes it.
            tracing::warn!(
                channel = name,
                error = &error as &dyn std::error::Error,
                "not removed"
            );
        }
        outcome
    }

    /// Removes a channel's state from a server, if it is of the channel's own chain.
    pub(crate) fn drop_remote_state(&self, name: &str) -> Result<(), OpenError> {
        let Some(couch) = &self.couch else {
            return Ok(());
        };
        let dir = self.channel_dir(name);
        let own_from = self
            .record(name)?
            .map_or(u64::MAX, |record| record.own_from());
        let segments = Segments::new(Arc::clone(&self.disk), dir.clone());
        let genesis = match first_hash(&segments, own_from) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            other => other.map_err(io_at(&dir))?,
        };
        let removed = couchdb::remove(couch, name, genesis.as_ref());
        let removed = removed.map_err(|source| OpenError::Follow {
            channel: name.to_owned(),
            on_couchdb: true,
            source,
        })?;
        if !removed {
            tracing::warn!(
                channel = name,
                "the state database holds another channel of this name"
            );
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), OpenError> {
        self.drop_remote_state(name)?;
        derived::drop_channel(&self.database.0, name)?;
        // What the engine knows of a channel that is gone would speak for one that was lost.
        let persisted = self.database.0.persist(PersistMode::SyncAll);
        persisted.map_err(OpenError::Engine)?;
        let dir = self.channel_dir(name);
        // Blocks go before the record that speaks of them, and for good.
        let removed = self.disk.remove_dir_all(&dir);
        removed
            .and_then(|()| self.disk.sync_dir(&self.dir.join(CHANNELS)))
            .map_err(io_at(&dir))?;
        self.id_store.remove(name)
    }

    pub(crate) fn parts(&self, record: ChannelRecord) -> Result<Parts, OpenError> {
        let dir = self.channel_dir(&record.name);
        let (disk, observer) = (Arc::clone(&self.disk), Arc::clone(&self.observer));
        let (database, couch) = (self.database.0.clone(), self.couch.as_ref());
        Parts::new(disk, dir, database, record, observer, couch)
    }

    /// Reads the definitions of a channel's query indexes, as opening it does.
    fn definitions_of_indexes(&self, channel: &str) -> Result<Registry, OpenError> {
        let database = self.database.0.clone();
        let entries = match &self.couch {
            None => derived::query_entries(&database, channel)?,
            Some(_) => derived::beside_couchdb(&database, channel)?.entries,
        };
        let dir = self.channel_dir(channel);
        Registry::examine(Arc::clone(&self.disk), dir, database, entries)
    }

    /// Whether a channel's query indexes can be made, and none is lost.
    pub(crate) fn check_indexes(&self, channel: &str) -> Result<(), OpenError> {
        self.definitions_of_indexes(channel).map(drop)
    }

    /// Whether a channel would take these files of query indexes when it is opened.
    ///
    /// # Errors
    /// As [`Reader::migrate`](crate::Reader::migrate). What is wrong with the channel's own definitions
    /// is for a check of the channel to say.
    pub fn would_migrate(
        &self,
        channel: &str,
        migrations: &[Migration],
    ) -> Result<(), MigrateError> {
        let registry = self.definitions_of_indexes(channel);
        registry.map_or(Ok(()), |registry| {
            registry.would_migrate(channel, migrations)
        })
    }

    /// Where a channel's block files are.
    #[must_use]
    pub fn channel_dir(&self, name: &str) -> PathBuf {
        self.dir.join(CHANNELS).join(name)
    }

    /// The record of a channel that must be there.
    ///
    /// # Errors
    /// [`OpenError::NoSuchChannel`], or it cannot be read.
    pub fn existing(&self, name: &str) -> Result<ChannelRecord, OpenError> {
        let record = self.id_store.get(name)?;
        record.ok_or_else(|| OpenError::NoSuchChannel(name.to_owned()))
    }

    pub(crate) fn id_store(&self) -> &IdStore {
        &self.id_store
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether state is on CouchDB.
    #[must_use]
    pub fn is_on_couchdb(&self) -> bool {
        self.couch.is_some()
    }

    /// Where state is, if it is on CouchDB.
    pub(crate) fn couch(&self) -> Option<&Arc<Couch>> {
        self.couch.as_ref()
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database.0
    }
}

fn couch(engine: &StateEngine) -> Result<Option<Arc<Couch>>, OpenError> {
    match engine {
        StateEngine::Fjall => Ok(None),
        StateEngine::CouchDb(server) => {
            let couch = Couch::new(server).map_err(|error| OpenError::StateEngine(error.into()))?;
            Ok(Some(Arc::new(couch)))
        }
    }
}

fn names(records: &[ChannelRecord]) -> Vec<&str> {
    records.iter().map(|record| record.name.as_str()).collect()
}

/// What lies in the folder of channels that no record speaks of. One whose record is there, and
/// cannot be read, is not among it.
fn orphans(disk: &dyn Disk, dir: &Path) -> Vec<OpenError> {
    let channels = dir.join(CHANNELS);
    let mut names = match disk.list(&channels) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![io_at(&channels)(error)],
    };
    names.sort_unstable();
    let records = disk.list(&dir.join(ID_STORE)).unwrap_or_default();
    let records: HashSet<String> = records.into_iter().collect();
    names.retain(|name| !records.contains(&format!("{name}.json")));
    let refused = names
        .iter()
        .map(|name| refuse_orphan(disk, &channels.join(name)));
    refused.filter_map(Result::err).collect()
}

/// Files that no record speaks of are somebody's blocks: nothing may be made over them.
fn refuse_orphan(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    match disk.list(dir) {
        Ok(names) if names.is_empty() => Ok(()),
        Ok(_) => Err(OpenError::Orphan(dir.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_at(dir)(error)),
    }
}

/// Takes the lock that keeps a second process out. The kernel gives it back when the process ends,
/// however it ends.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path);
    lock_file(file.map_err(io_at(&path))?, dir)
}

/// The same without making the file: no process has a directory open that has none.
fn lock_if_there(dir: &Path) -> Result<Option<File>, OpenError> {
    let path = dir.join("lock");
    match File::options().write(true).open(&path) {
        Ok(file) => lock_file(file, dir).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at(&path)(error)),
    }
}

fn lock_file(file: File, dir: &Path) -> Result<File, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_at(&dir.join("lock"))(error)),
    }
}

/// The lock of a data directory, for who changes there what is none of the ledgers'.
#[derive(Debug)]
pub struct DataLock(#[expect(dead_code, reason = "the lock is held while this is open")] File);

impl DataLock {
    /// Takes it.
    ///
    /// # Errors
    /// [`OpenError::InUse`] where another process has the directory open.
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        lock(dir).map(Self)
    }
}
