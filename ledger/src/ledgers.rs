//! Every channel of a data directory.
//!
//! ```text
//! DATA/lock                        held while a process has the directory open
//! DATA/id-store/main.json          one record a channel; cannot be rebuilt
//! DATA/channels/main/blockfile_*   the blocks; cannot be rebuilt
//! DATA/derived/                    index, state, history of every channel; rebuilt at will
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::Database;
use quire_disk::{Disk, make_dir};
use tempfile::TempDir;

use crate::derived::{self, Embedded, Purpose, SCRATCH_PREFIX};
use crate::error::{OpenError, ReadError};
use crate::id_store::{CHANNELS, ChannelRecord, ID_STORE, IdStore};
use crate::keyspaces::DebugDatabase;
use crate::ledger::Ledger;
use crate::lock::DataLock;
use crate::observer::{Observer, Silent};
use crate::progress::ProgressFn;
use crate::query::registry::Registry;
use crate::query::{MigrateError, Migration};
use crate::recovery::{OpenReport, Opening};
use crate::state::engine::Engine;
use crate::state::engines::StateEngine;
use crate::status::{EngineStatus, settle};
use crate::strays::{lost, orphans};

/// The folder of the embedded engine.
const DERIVED: &str = "derived";
/// Memory for the embedded engine's cache.
const DEFAULT_CACHE_BYTES: u64 = 256 << 20;

/// The ledgers of a data directory, which this keeps locked.
#[derive(Debug)]
pub struct Ledgers {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    id_store: IdStore,
    database: DebugDatabase,
    engine: Arc<dyn Engine>,
    set_aside: Option<PathBuf>,
    observer: Arc<dyn Observer>,
    _lock: Option<DataLock>,
    /// The folder of an engine that replaces one that cannot be read.
    _stand_in: Option<TempDir>,
}

impl Ledgers {
    /// Opens a data directory, or makes it if there is none.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process has it open; see [`OpenError`] for others.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, purpose: Purpose) -> Result<Self, OpenError> {
        Self::open_with(disk, dir, purpose, &StateEngine::Fjall)
    }

    /// Like [`Ledgers::open`], with the state engine `engine`. It may differ from last time: a channel's
    /// state is brought up to its blocks when the channel is opened. No server is called before that.
    ///
    /// # Errors
    /// See [`Ledgers::open`].
    pub fn open_with(
        disk: Arc<dyn Disk>,
        dir: &Path,
        purpose: Purpose,
        engine: &StateEngine,
    ) -> Result<Self, OpenError> {
        Self::open_sized(disk, dir, purpose, engine, DEFAULT_CACHE_BYTES)
    }

    /// Like [`Ledgers::open_with`], with this many bytes for the embedded engine's cache of tables.
    ///
    /// # Errors
    /// See [`Ledgers::open`].
    pub fn open_sized(
        disk: Arc<dyn Disk>,
        dir: &Path,
        purpose: Purpose,
        engine: &StateEngine,
        cache_bytes: u64,
    ) -> Result<Self, OpenError> {
        let start = engine.prepare()?;
        for folder in [dir, &dir.join(CHANNELS)] {
            make_dir(disk.as_ref(), folder)?;
        }
        let lock = DataLock::take(dir)?;
        let id_store = IdStore::open(Arc::clone(&disk), dir.join(ID_STORE))?;
        let records = id_store.list()?;
        if purpose == Purpose::Use
            && let Some(orphan) = orphans(disk.as_ref(), dir).into_iter().next()
        {
            return Err(orphan);
        }
        let embedded = Embedded {
            disk: disk.as_ref(),
            dir: &dir.join(DERIVED),
            cache_bytes,
            purpose,
        };
        let (database, set_aside) = embedded.open(&names(&records))?;
        let ledgers = Self {
            disk,
            dir: dir.to_owned(),
            id_store,
            engine: start(&database),
            database: DebugDatabase(database),
            set_aside,
            observer: Arc::new(Silent),
            _lock: Some(lock),
            _stand_in: None,
        };
        if purpose == Purpose::Inspect {
            return Ok(ledgers);
        }
        if let Some(lost) = lost(&ledgers.disk, dir, &ledgers.id_store, &ledgers.database.0)
            .into_iter()
            .next()
        {
            return Err(lost);
        }
        ledgers.remove_scratch();
        for record in records.iter().filter(|record| record.is_unfinished()) {
            tracing::warn!(channel = record.name, "removing a half-made channel");
            ledgers.remove(&record.name)?;
        }
        Ok(ledgers)
    }

    /// Opens a data directory only to tell what is wrong with it: as far as it can be opened, with everything
    /// that a start would refuse. Only a scratch engine is made, which is removed with the returned value; it
    /// replaces an engine that is missing or does not open.
    ///
    /// # Errors
    /// [`OpenError::InUse`], or nothing at all can be read.
    pub fn look(
        disk: Arc<dyn Disk>,
        dir: &Path,
        engine: &StateEngine,
    ) -> Result<(Self, Vec<OpenError>), OpenError> {
        let start = engine.prepare()?;
        let mut damage = Vec::new();
        let lock = match DataLock::take_if_there(dir) {
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
            let embedded = Embedded {
                disk: disk.as_ref(),
                dir: &derived,
                cache_bytes: DEFAULT_CACHE_BYTES,
                purpose: Purpose::Inspect,
            };
            embedded
                .open(&names(&records))
                .map(|(database, _)| database)
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
                // A missing engine is made from the blocks.
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
            engine: start(&database),
            database: DebugDatabase(database),
            set_aside: None,
            observer: Arc::new(Silent),
            _lock: lock,
            _stand_in: stand_in,
        };
        damage.extend(ledgers.examine().1);
        Ok((ledgers, damage))
    }

    /// The channels with readable records, by name, and what a start would refuse: other records, and folders
    /// of blocks that belong to no channel.
    #[must_use]
    pub fn examine(&self) -> (Vec<ChannelRecord>, Vec<OpenError>) {
        let (records, mut damage) = self.id_store.look();
        // A start makes a missing folder.
        damage.retain(|error| {
            !matches!(error, OpenError::Io { path, source }
                if source.kind() == ErrorKind::NotFound && *path == self.dir.join(ID_STORE))
        });
        damage.extend(orphans(self.disk.as_ref(), &self.dir));
        damage.extend(lost(
            &self.disk,
            &self.dir,
            &self.id_store,
            &self.database.0,
        ));
        (records, damage)
    }

    /// Makes `observer` watch every channel that is opened from now on.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// The status of the embedded engine. This is cheap, but looks at its files once.
    #[must_use]
    pub fn engine(&self) -> EngineStatus {
        EngineStatus::of(&self.database.0)
    }

    /// Writes what the embedded engine has only in memory and in its journals into its tables. Then the next
    /// opening need not replay it, which takes a second for every two hundred megabytes. It is for the end of
    /// a process; channels may be open, but should be idle. It does nothing if there is little, and gives up
    /// after ten seconds, because nothing depends on it.
    pub fn settle(&self) {
        settle(&self.database.0);
    }

    /// Removes what a killed check left behind. No other check can run, because this process holds the lock.
    fn remove_scratch(&self) {
        let names = self.disk.list(&self.dir).unwrap_or_default();
        for name in names.iter().filter(|name| name.starts_with(SCRATCH_PREFIX)) {
            if let Err(error) = self.disk.remove_dir_all(&self.dir.join(name)) {
                tracing::warn!(name, %error, "a scratch folder cannot be removed");
            }
        }
    }

    /// The new place of the embedded engine's directory, if it did not open and a new one was begun.
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
    /// [`OpenError::Corrupt`] and [`OpenError::Ahead`] changed nothing and need an operator.
    pub fn ledger(
        &self,
        name: &str,
        progress: &mut ProgressFn<'_>,
    ) -> Result<(Ledger, OpenReport), OpenError> {
        let record = self.existing(name)?;
        if let Err(error) = self.check_indexes(name) {
            // A damaged file keeps the channel closed, as is reported below; a missing file does not, and
            // opening the channel removes the traces of the file.
            tracing::warn!(channel = name, %error, "query indexes are lost");
        }
        match self.opening(record.clone())?.open(progress) {
            Err(OpenError::Follow { source, .. })
                if !source.is_unavailable() && !matches!(source, ReadError::StateForeign(_)) =>
            {
                self.begin_followers_anew(record, &source, progress)
            }
            other => other,
        }
    }

    /// Opens a channel whose followers could not follow. Either they are damaged and are made again, or a
    /// block is damaged that only they could prove, and nothing is changed.
    fn begin_followers_anew(
        &self,
        record: ChannelRecord,
        reason: &ReadError,
        progress: &mut ProgressFn<'_>,
    ) -> Result<(Ledger, OpenReport), OpenError> {
        self.opening(record.clone())?.verify()?;
        tracing::warn!(
            channel = record.name,
            error = reason as &dyn std::error::Error,
            "index, state and history are damaged: rebuilding them from the blocks"
        );
        self.drop_remote_state(&record.name)?;
        derived::drop_channel(&self.database.0, &record.name)?;
        self.opening(record)?.open(progress)
    }

    pub(crate) fn opening(&self, record: ChannelRecord) -> Result<Opening, OpenError> {
        let dir = self.channel_dir(&record.name);
        let (disk, observer) = (Arc::clone(&self.disk), Arc::clone(&self.observer));
        let database = self.database.0.clone();
        Opening::new(disk, dir, database, record, observer, self.engine.as_ref())
    }

    /// Reads the definitions of a channel's query indexes, like opening it.
    fn definitions_of_indexes(&self, channel: &str) -> Result<Registry, OpenError> {
        let database = self.database.0.clone();
        let entries = self.engine.index_entries(channel)?;
        let dir = self.channel_dir(channel);
        Registry::examine(Arc::clone(&self.disk), dir, database, &entries)
    }

    /// Checks that a channel's query indexes can be made, and that none is lost.
    pub(crate) fn check_indexes(&self, channel: &str) -> Result<(), OpenError> {
        self.definitions_of_indexes(channel).map(drop)
    }

    /// Whether a channel would take these files of query indexes when it is opened.
    ///
    /// # Errors
    /// See [`Reader::migrate`](crate::Reader::migrate). A check of the channel reports what is wrong with its
    /// own definitions.
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

    /// The folder of a channel's block files.
    #[must_use]
    pub fn channel_dir(&self, name: &str) -> PathBuf {
        self.dir.join(CHANNELS).join(name)
    }

    /// The record of a channel that must exist.
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
        self.engine.is_remote()
    }

    pub(crate) fn state_engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database.0
    }
}

fn names(records: &[ChannelRecord]) -> Vec<&str> {
    records.iter().map(|record| record.name.as_str()).collect()
}
