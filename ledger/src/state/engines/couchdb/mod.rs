//! State on a CouchDB server, with Fabric's databases and documents.
//!
//! The server only keeps documents, and finds them by key. Which documents answer a query, and in which
//! order, is decided here as on the embedded engine, so the two cannot differ. [`Undo`] makes up for what
//! CouchDB lacks: snapshots and batches over several databases.
//!
//! A batch of blocks takes effect in this order; after a kill between any two steps it is applied
//! again from the first:
//!
//! 1. databases for new namespaces, then their names in `channel_metadata`;
//! 2. documents and revisions of every changed key are read in bulk;
//! 3. what they hold is kept in [`Undo`] and synced;
//! 4. documents are written in bulk, every namespace at the same time;
//! 5. entries of query indexes are written in the embedded engine;
//! 6. `statedb_savepoint`;
//! 7. [`Undo`] lets new snapshots see it.

mod answers;
pub(crate) mod client;
mod database;
mod document;
pub(super) mod engine;
mod fidelity;
mod gather;
mod half_written;
mod indexes;
mod names;
mod refusal;
mod server;
mod snapshot;
mod undo;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Snapshot};
use parking_lot::{Mutex, RwLock};
use quire_wire::hash::Hash;
use tokio::task::JoinSet;

use crate::error::ReadError;
use crate::followers::{Follow, savepoint};
use crate::model::batch::Batch;
use crate::model::block::Height;
use crate::model::updates::{Update, Updates};
use crate::model::value::VersionedValue;
use crate::query::builder::Builder;
use crate::query::index::Record;
use crate::state::{NAME, StateDb, StateSnapshot};
use client::Couch;
use database::Wish;
use document::ServerDocument;
use engine::Local;
use half_written::Name;
use server::{
    ChannelMetadata, Namespace, SavepointDocument, Server, all, load, members, obstructed,
    unreadable,
};
use snapshot::CouchSnapshot;
use undo::Undo;

/// State of one channel.
pub(crate) struct CouchState {
    server: Arc<Server>,
    embedded: Database,
    entries: Keyspace,
    indexes: Mutex<Option<Arc<Builder>>>,
    /// The hash of block 0, if the server does not know it yet.
    genesis: Mutex<Option<Hash>>,
    /// The hash of the last block that took effect, if it is known.
    last_block: Mutex<Option<Hash>>,
    /// The revision of `statedb_savepoint` that was written last.
    savepoint_revision: Mutex<Option<String>>,
    /// Entries of query indexes as new snapshots see them, while there are newer ones.
    frozen: Mutex<Option<Snapshot>>,
}

impl fmt::Debug for CouchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CouchState")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl CouchState {
    /// Begins with what the server has of a channel. Query indexes that did not keep up with it are marked to
    /// be built again, so they must be read after this.
    pub(crate) fn open(couch: Arc<Couch>, channel: &str, local: Local) -> Result<Self, ReadError> {
        let (state, has_followed) = Self::connect(couch, channel, local)?;
        if !has_followed {
            tracing::info!(
                channel,
                "query indexes are built again: they are not at the height of state"
            );
            crate::query::entries::mark_all_unbuilt(&state.embedded, &state.entries)?;
        }
        Ok(state)
    }

    /// What the server has of a channel, and whether query indexes kept up with it. Changes nothing.
    pub(super) fn connect(
        couch: Arc<Couch>,
        channel: &str,
        local: Local,
    ) -> Result<(Self, bool), ReadError> {
        let database = names::metadata_database(channel);
        let (is_compatible, metadata, savepoint) = couch.run(|calls| async move {
            let is_compatible = calls.greet().await?;
            let (metadata, savepoint) = load(&calls, &database).await?;
            Ok((is_compatible, metadata, savepoint))
        })?;
        let metadata = metadata.unwrap_or_else(|| ChannelMetadata {
            channel: channel.to_owned(),
            has_whole_checksums: true,
            ..ChannelMetadata::default()
        });
        if metadata.channel != channel {
            return Err(unreadable(names::METADATA));
        }
        let Local {
            database,
            entries,
            undo,
        } = local;
        let undo = Undo::new(database.clone(), undo);
        let last_block = savepoint.as_ref().map(SavepointDocument::last_block);
        let last_block = last_block.transpose()?.flatten();
        let savepoint = savepoint.map_or(0, |savepoint| savepoint.block + 1);
        let has_followed = undo.load(savepoint)?;
        let state = Self {
            server: Arc::new(Server {
                couch,
                channel: channel.to_owned(),
                metadata: RwLock::new(metadata),
                undo: Arc::new(undo),
                gather: Arc::default(),
                free: Mutex::default(),
                is_compatible,
            }),
            embedded: database,
            entries,
            indexes: Mutex::new(None),
            genesis: Mutex::new(None),
            last_block: Mutex::new(last_block),
            savepoint_revision: Mutex::new(None),
            frozen: Mutex::new(None),
        };
        Ok((state, has_followed))
    }

    /// Makes query indexes follow.
    pub(crate) fn with_indexes(self, indexes: Arc<Builder>) -> Self {
        *self.indexes.lock() = Some(indexes);
        self
    }

    /// Makes databases for namespaces that have none, and stores what is new about namespaces.
    fn prepare(&self, namespaces: &BTreeMap<String, bool>) -> Result<(), ReadError> {
        let mut metadata = self.server.metadata.read().clone();
        let mut is_changed = false;
        if metadata.genesis.is_empty()
            && let Some(genesis) = *self.genesis.lock()
        {
            metadata.genesis = hex::encode(genesis);
            is_changed = true;
        }
        let mut new = Vec::new();
        for (name, has_metadata) in namespaces {
            if let Some(known) = metadata.namespaces.get_mut(name) {
                is_changed |= *has_metadata && !known.has_metadata;
                known.has_metadata |= has_metadata;
                continue;
            }
            let database = self.server.free_name(&metadata, name);
            let is_taken = names::metadata_database(&self.server.channel) == database;
            new.push((name.clone(), database.clone(), !is_taken));
            let namespace = Namespace {
                name: name.clone(),
                database,
                has_metadata: *has_metadata,
            };
            metadata.namespaces.insert(name.clone(), namespace);
        }
        if new.is_empty() && !is_changed {
            return Ok(());
        }
        let own = self.server.own_place();
        let document = BTreeMap::from([(
            names::METADATA.to_owned(),
            Wish::Members(members(&metadata)),
        )]);
        self.server.couch.run(|calls| async move {
            database::create(&calls, &own.database).await?;
            for (namespace, database, must_be_empty) in new {
                let is_new = database::create(&calls, &database).await?;
                if must_be_empty && !is_new && database::count(&calls, &database).await? > 0 {
                    return Err(obstructed(&namespace, database));
                }
            }
            database::write(&calls, &own, document, HashMap::new()).await
        })?;
        *self.server.metadata.write() = metadata;
        Ok(())
    }

    /// Documents of changed keys as they are now, by namespace and id.
    fn read(
        &self,
        changes: &BTreeMap<Name, &Update>,
    ) -> Result<HashMap<String, HashMap<String, ServerDocument>>, ReadError> {
        let mut ids: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (namespace, key) in changes.keys() {
            let id = names::id(namespace, key);
            ids.entry(namespace).or_default().push(id);
        }
        let jobs = ids.into_iter();
        let jobs = jobs
            .filter_map(|(name, ids)| Some((name.to_owned(), self.server.database(name)?, ids)));
        self.server.fetch(jobs.collect())
    }

    /// Writes the documents of a batch, all namespaces at the same time.
    fn write(
        &self,
        changes: &BTreeMap<Name, &Update>,
        mut current: HashMap<String, HashMap<String, ServerDocument>>,
    ) -> Result<(), ReadError> {
        let mut wishes: BTreeMap<&str, BTreeMap<String, Wish>> = BTreeMap::new();
        for ((namespace, key), update) in changes {
            let wish = update
                .value()
                .map_or(Wish::Deleted(update.version), Wish::Value);
            let id = names::id(namespace, key);
            wishes.entry(namespace).or_default().insert(id, wish);
        }
        let mut jobs = Vec::new();
        for (namespace, wishes) in wishes {
            let current = current.remove(namespace).unwrap_or_default();
            let place = self.server.place(namespace);
            let place = place.ok_or_else(|| ReadError::Missing(namespace.to_owned()))?;
            jobs.push((place, wishes, current));
        }
        self.server.couch.run(|calls| async move {
            let mut tasks = JoinSet::new();
            for (place, wishes, current) in jobs {
                let calls = Arc::clone(&calls);
                tasks.spawn(async move {
                    database::write(&calls, &place, wishes, current).await?;
                    Ok((place.database, ()))
                });
            }
            all(tasks).await.map(|_| ())
        })
    }

    fn write_savepoint(&self, version: Height, last_block: &Hash) -> Result<(), ReadError> {
        let savepoint = SavepointDocument {
            block: version.block,
            tx: version.tx,
            hash: hex::encode(last_block),
        };
        let document = Wish::Members(members(&savepoint));
        let document = BTreeMap::from([(names::SAVEPOINT.to_owned(), document)]);
        let place = self.server.own_place();
        let mut revision = self.savepoint_revision.lock();
        let current = revision.take();
        let written = self.server.couch.run(|calls| async move {
            let id = names::SAVEPOINT.to_owned();
            let current = match current {
                Some(rev) => HashMap::from([(id.clone(), ServerDocument::of_revision(&id, rev))]),
                None => database::fetch(&calls, &place.database, &[id]).await?,
            };
            database::write(&calls, &place, document, current).await
        });
        *revision = written?.remove(names::SAVEPOINT);
        Ok(())
    }

    /// Makes query indexes follow blocks, durably with the next batch.
    fn index(&self, indexes: &Builder, changes: &Updates, end: u64) -> Result<(), ReadError> {
        let height = self.server.undo.height();
        let mut batch = self.embedded.batch().durability(Some(PersistMode::Buffer));
        indexes.follow(&mut batch, changes, |namespace, key| {
            let before = self.server.undo.get(height, namespace, key);
            before.ok_or_else(|| ReadError::Missing(format!("what {key:?} held")))
        })?;
        self.server.undo.put_indexed(&mut batch, end);
        Ok(batch.commit()?)
    }
}

impl Follow for CouchState {
    fn name(&self) -> &'static str {
        NAME
    }

    fn savepoint(&self, _view: &Snapshot) -> Result<savepoint::Savepoint, ReadError> {
        Ok(savepoint::Savepoint {
            height: self.server.undo.height(),
            last: *self.last_block.lock(),
        })
    }

    fn follow(
        &self,
        _view: &Snapshot,
        _writes: &mut OwnedWriteBatch,
        durable: &Batch,
    ) -> Result<(), ReadError> {
        let indexes = self.indexes.lock().clone();
        let _writing = indexes.as_ref().map(|indexes| indexes.writing());
        let height = self.server.undo.height();
        let last = durable.blocks.last();
        let Some(last) = last.filter(|last| last.block.number >= height) else {
            return Ok(());
        };
        let first = durable.blocks.first();
        if let Some(first) = first.filter(|first| first.block.number == 0) {
            *self.genesis.lock() = Some(first.hash);
        }
        let mut changes: BTreeMap<Name, &Update> = BTreeMap::new();
        let mut namespaces: BTreeMap<String, bool> = BTreeMap::new();
        for (namespace, key, update) in durable.changes.iter() {
            if !namespaces.contains_key(namespace.as_ref()) {
                let has_metadata = durable.changes.with_metadata.contains(namespace.as_ref());
                namespaces.insert(namespace.to_string(), has_metadata);
            }
            changes.insert((namespace.into_owned(), key.into_owned()), update);
        }
        self.prepare(&namespaces)?;
        let current = self.read(&changes)?;
        let end = last.block.number + 1;
        let mut replaced: Vec<(Name, Option<VersionedValue>)> = Vec::with_capacity(changes.len());
        for name in changes.keys() {
            let id = names::id(&name.0, &name.1);
            let stored = current.get(&name.0).and_then(|found| found.get(&id));
            // What the interrupted attempt wrote is not the former value.
            let value = match self.server.undo.get(height, &name.0, &name.1) {
                Some(before) => before,
                None => self.server.value(&name.0, stored)?,
            };
            replaced.push((name.clone(), value));
        }
        self.server.undo.begin(end, replaced.into_iter())?;
        self.write(&changes, current)?;
        if let Some(indexes) = &indexes {
            let mut frozen = self.frozen.lock();
            frozen.get_or_insert_with(|| self.embedded.snapshot());
            drop(frozen);
            self.index(indexes, &durable.changes, end)?;
        }
        let last_tx = last.block.envelopes.len().saturating_sub(1) as u64;
        self.write_savepoint(Height::new(last.block.number, last_tx), &last.hash)?;
        let mut frozen = self.frozen.lock();
        self.server.undo.finish(end)?;
        *self.last_block.lock() = Some(last.hash);
        *frozen = None;
        Ok(())
    }

    fn of_another_chain(&self, height: u64) -> ReadError {
        let channel = &self.server.channel;
        let reason = format!(
            "its databases followed another chain of channel {channel}, whose block {} is not the one here",
            height.saturating_sub(1)
        );
        ReadError::StateForeign(reason)
    }
}

impl StateDb for CouchState {
    fn snapshot(&self) -> Result<Arc<dyn StateSnapshot>, ReadError> {
        let frozen = self.frozen.lock();
        let held = self.server.undo.hold();
        let view = frozen.clone().unwrap_or_else(|| self.embedded.snapshot());
        Ok(Arc::new(CouchSnapshot {
            server: Arc::clone(&self.server),
            held,
            view,
            entries: self.entries.clone(),
            expected: Mutex::default(),
        }))
    }

    fn show_index(&self, namespace: &str, index: &Record, is_there: bool) -> Result<(), ReadError> {
        if is_there {
            self.prepare(&BTreeMap::from([(namespace.to_owned(), false)]))?;
        }
        let Some(database) = self.server.database(namespace) else {
            return Ok(());
        };
        let index = index.clone();
        self.server.couch.run(|calls| async move {
            if is_there {
                indexes::create(&calls, &database, &index).await
            } else {
                indexes::delete(&calls, &database, &index).await
            }
        })
    }

    fn identify(&self, genesis: &Hash) -> Result<(), ReadError> {
        let known = self.server.metadata.read().genesis.clone();
        if known.is_empty() || known == hex::encode(genesis) {
            *self.genesis.lock() = Some(*genesis);
            return Ok(());
        }
        let channel = &self.server.channel;
        let reason = format!("its databases hold a channel {channel} with another block 0");
        Err(ReadError::StateForeign(reason))
    }
}
