//! The data of a channel on the server, for its writer and its snapshots.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use quire_wire::hash::Hash;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Calls, Couch};
use super::document::{Place, ServerDocument};
use super::gather::Gather;
use super::undo::Undo;
use super::{database, names};
use crate::error::ReadError;
use crate::model::value::VersionedValue;

/// An id after all others, for servers that list nothing above U+FFFF unless asked.
const LAST_ID: &str = "\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}";
/// How long the name of a missing database is assumed to be free.
const FREE: Duration = Duration::from_secs(2);

/// A namespace in `channel_metadata`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Namespace {
    #[serde(rename = "Namespace")]
    pub(super) name: String,
    #[serde(rename = "DBName")]
    pub(super) database: String,
    /// Whether metadata was ever written in it.
    #[serde(rename = "HasMetadata", default)]
    pub(super) has_metadata: bool,
}

/// Fabric's document `channel_metadata`; its last two members are ours.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ChannelMetadata {
    #[serde(rename = "ChannelName")]
    pub(super) channel: String,
    #[serde(rename = "NamespaceDBsInfo")]
    pub(super) namespaces: BTreeMap<String, Namespace>,
    /// Hash of block 0, in hex: it distinguishes two channels with one name.
    #[serde(rename = "GenesisHash", default)]
    pub(super) genesis: String,
    /// Whether every document has the checksum of the whole document, since the channel's first document.
    #[serde(rename = "WholeChecksums", default)]
    pub(super) has_whole_checksums: bool,
}

/// Fabric's document `statedb_savepoint`; its last member is ours.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavepointDocument {
    #[serde(rename = "BlockNum")]
    pub(super) block: u64,
    #[serde(rename = "TxNum")]
    pub(super) tx: u64,
    /// Hash of that block, in hex: it distinguishes two chains of one channel.
    #[serde(
        rename = "BlockHash",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub(super) hash: String,
}

impl SavepointDocument {
    pub(super) fn last_block(&self) -> Result<Option<Hash>, ReadError> {
        let mut hash = Hash::default();
        match hex::decode_to_slice(&self.hash, &mut hash) {
            Ok(()) => Ok(Some(hash)),
            Err(_) if self.hash.is_empty() => Ok(None),
            Err(_) => Err(unreadable(names::SAVEPOINT)),
        }
    }
}

/// What a channel's writer and its snapshots share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) couch: Arc<Couch>,
    pub(super) channel: String,
    pub(super) metadata: RwLock<ChannelMetadata>,
    pub(super) undo: Arc<Undo>,
    /// Reads of one document each.
    pub(super) gather: Arc<Gather>,
    /// Namespaces without a database, and until when its name is assumed to be free.
    pub(super) free: Mutex<HashMap<String, Instant>>,
    /// Whether the server is other software than CouchDB.
    pub(super) is_compatible: bool,
}

impl Server {
    /// The place of a namespace's documents.
    pub(super) fn place(&self, namespace: &str) -> Option<Place> {
        let metadata = self.metadata.read();
        let known = metadata.namespaces.get(namespace)?;
        Some(Place {
            channel: self.channel.clone(),
            namespace: namespace.to_owned(),
            database: known.database.clone(),
            takes_former: !metadata.has_whole_checksums,
        })
    }

    /// The place of the channel's own documents.
    pub(super) fn own_place(&self) -> Place {
        Place {
            channel: self.channel.clone(),
            namespace: String::new(),
            database: names::metadata_database(&self.channel),
            takes_former: false,
        }
    }

    pub(super) fn database(&self, namespace: &str) -> Option<String> {
        self.place(namespace).map(|place| place.database)
    }

    /// Fabric's name for a namespace's database, or another name if two namespaces would share it.
    pub(super) fn free_name(&self, metadata: &ChannelMetadata, namespace: &str) -> String {
        let name = names::namespace_database(&self.channel, namespace);
        let mut known = metadata.namespaces.values();
        if known.any(|known| known.database == name) {
            return names::other_database(&self.channel, namespace);
        }
        name
    }

    /// Refuses a new namespace whose database would be somebody else's.
    pub(super) fn may_write(&self, namespace: &str) -> Result<(), ReadError> {
        let database = {
            let metadata = self.metadata.read();
            if metadata.namespaces.contains_key(namespace) {
                return Ok(());
            }
            self.free_name(&metadata, namespace)
        };
        if database == names::metadata_database(&self.channel) {
            return Ok(());
        }
        // The lock is held during the request: many transactions of a new namespace make one request, and if
        // it fails, those that waited for it do not each wait again.
        let asked_at_once = self.free.try_lock();
        let has_waited = asked_at_once.is_none();
        let mut free = asked_at_once.unwrap_or_else(|| self.free.lock());
        if has_waited && let Some(reason) = self.couch.trouble() {
            return Err(ReadError::StateUnavailable(reason));
        }
        let now = Instant::now();
        free.retain(|_, until| *until > now);
        if free.contains_key(namespace) {
            return Ok(());
        }
        let asked = database.clone();
        let count = self
            .couch
            .run(|calls| async move { database::count_if_there(&calls, &asked).await })?;
        if count.is_some_and(|count| count > 0) {
            return Err(obstructed(namespace, database));
        }
        free.insert(namespace.to_owned(), now + FREE);
        Ok(())
    }

    /// The value of a document of a namespace.
    pub(super) fn value(
        &self,
        namespace: &str,
        stored: Option<&ServerDocument>,
    ) -> Result<Option<VersionedValue>, ReadError> {
        let Some((stored, place)) = stored.zip(self.place(namespace)) else {
            return Ok(None);
        };
        stored.value(&place).map(Some)
    }

    /// Documents by namespace and id; all namespaces are read at the same time, each in its database.
    pub(super) fn fetch(
        &self,
        jobs: Vec<(String, String, Vec<String>)>,
    ) -> Result<HashMap<String, HashMap<String, ServerDocument>>, ReadError> {
        self.couch.run(|calls| async move {
            let mut tasks = JoinSet::new();
            for (namespace, database, ids) in jobs {
                let calls = Arc::clone(&calls);
                tasks.spawn(async move {
                    let found = database::fetch(&calls, &database, &ids).await?;
                    Ok((namespace, found))
                });
            }
            all(tasks).await
        })
    }

    pub(super) fn namespaces(&self) -> Vec<String> {
        self.metadata.read().namespaces.keys().cloned().collect()
    }

    pub(super) fn has_metadata(&self, namespace: &str) -> bool {
        let metadata = self.metadata.read();
        let known = metadata.namespaces.get(namespace);
        known.is_some_and(|known| known.has_metadata)
    }

    pub(super) fn last_id(&self) -> Option<String> {
        self.is_compatible.then(|| LAST_ID.to_owned())
    }
}

pub(super) fn obstructed(namespace: &str, database: String) -> ReadError {
    ReadError::StateObstructed {
        namespace: namespace.to_owned(),
        database,
    }
}

pub(super) fn unreadable(what: &str) -> ReadError {
    ReadError::StateForeign(format!("{what} is not one that was written here"))
}

pub(super) fn members<T: Serialize>(value: &T) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(members)) => members,
        // Structs with text keys always serialize to objects.
        _ => Map::new(),
    }
}

/// The two documents of a channel that are Fabric's own.
pub(super) async fn load(
    calls: &Arc<Calls>,
    database: &str,
) -> Result<(Option<ChannelMetadata>, Option<SavepointDocument>), ReadError> {
    let ids = [names::METADATA.to_owned(), names::SAVEPOINT.to_owned()];
    let found = database::find(calls, database, &ids).await?;
    let mut found = found.unwrap_or_default();
    let mut read = |id: &str| found.remove(id).map(ServerDocument::into_members);
    let metadata = read(names::METADATA).map(serde_json::from_value);
    let savepoint = read(names::SAVEPOINT).map(serde_json::from_value);
    Ok((
        metadata
            .transpose()
            .map_err(|_| unreadable(names::METADATA))?,
        savepoint
            .transpose()
            .map_err(|_| unreadable(names::SAVEPOINT))?,
    ))
}

/// The results of all tasks by name, or the first error.
pub(super) async fn all<T: 'static>(
    mut tasks: JoinSet<Result<(String, T), ReadError>>,
) -> Result<HashMap<String, T>, ReadError> {
    let mut results = HashMap::new();
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.map_err(|error| ReadError::StateUnavailable(error.to_string()))?;
        let (name, result) = ended?;
        results.insert(name, result);
    }
    Ok(results)
}
