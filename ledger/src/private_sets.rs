//! What transactions wrote to private collections, which the node that simulated them keeps. The blocks have
//! only hashes, so nothing here can be made again from them.
//!
//! ```text
//! channels/<channel>/private/<transaction id> = OPV(height of the chain when kept) ‖ rwset.TxPvtReadWriteSet
//! ```
//!
//! A set is durable before its transaction is ordered. State says which value of a private key counts: it has
//! the value's hash, and the height of the transaction that wrote it. So a set whose transaction never came,
//! or was not valid, is never read, and hashes show whether a set is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fjall::Snapshot;
use parking_lot::Mutex;
use quire_disk::{Disk, FileError, make_dir, read_file, replace_file};
use quire_wire::Message as _;
use quire_wire::hash::sha256;
use quire_wire::rwset::{KvRwSet, TxPvtReadWriteSet};

use crate::codec::{Cursor, put_opv};
use crate::error::ReadError;
use crate::followers::index::Index;

/// The folder inside the channel's folder.
const FOLDER: &str = "private";
/// The most bytes of a set.
const MAX_SET_BYTES: usize = 4 << 20;
/// The most sets whose transactions are not in the chain, and the most bytes of these sets.
const MAX_WAITING: usize = 1_000;
const MAX_WAITING_BYTES: usize = 64 << 20;
/// The number of blocks that may come before a set's transaction. Fabric keeps such sets for the same time
/// (`ledger.pvtdataStore`'s transient store, `peer.gossip.pvtData.transientstoreMaxBlockRetention`).
const MAX_BLOCKS_WAITED: u64 = 1_000;

/// Why a private set was not kept. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The set is too large.
    #[error("a transaction writes {0} bytes of private data, at most {MAX_SET_BYTES} are allowed")]
    TooLarge(usize),
    /// Too many sets wait for their transactions to be ordered. Try again when some are.
    #[error("too much private data waits for its transactions to be ordered")]
    Full,
    /// Another set of the transaction is kept. Its simulation may be the one that is ordered, and nobody else has its
    /// values.
    #[error("transaction {0} was simulated before, and wrote other private data then")]
    Differs(String),
    /// The transaction's id is not valid.
    #[error("{0:?} is no transaction id")]
    NotAnId(String),
    /// The file system refused.
    #[error("private data cannot be kept")]
    Io(#[from] FileError),
    /// The embedded engine failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The private sets of a channel.
#[derive(Debug)]
pub(crate) struct PrivateSets {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Sets whose transactions were not in the chain at the last check; `None` before the first check.
    waiting: Mutex<Option<BTreeMap<String, Waiting>>>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    bytes: usize,
    /// The height of the chain when it was kept.
    since: u64,
}

/// A private key: its namespace, collection and name.
#[derive(Clone, Copy)]
pub(crate) struct PrivateKey<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) collection: &'a str,
    pub(crate) key: &'a str,
}

impl PrivateSets {
    pub(crate) fn new(disk: Arc<dyn Disk>, channel_dir: &std::path::Path) -> Self {
        Self {
            disk,
            dir: channel_dir.join(FOLDER),
            waiting: Mutex::default(),
        }
    }

    /// Keeps a set durably. What is kept of the same transaction is not replaced by anything else.
    pub(crate) fn keep(
        &self,
        tx_id: &str,
        set: &TxPvtReadWriteSet,
        height: u64,
        index: (&Index, &Snapshot),
    ) -> Result<(), KeepError> {
        if !is_id(tx_id) {
            return Err(KeepError::NotAnId(tx_id.to_owned()));
        }
        let mut bytes = Vec::new();
        put_opv(&mut bytes, height);
        let encoded = set.encode_to_vec();
        bytes.extend_from_slice(&encoded);
        if bytes.len() > MAX_SET_BYTES {
            return Err(KeepError::TooLarge(bytes.len()));
        }
        // The lock is held until the file is written: two sets of one transaction share a temporary name, and the
        // first one stays.
        let mut known = self.waiting.lock();
        if self.has_other(tx_id, &encoded)? {
            return Err(KeepError::Differs(tx_id.to_owned()));
        }
        let waiting = match known.as_mut() {
            Some(waiting) => waiting,
            None => known.insert(self.list(index)?),
        };
        if is_full(waiting, bytes.len()) {
            self.sweep(waiting, height, index)?;
        }
        if is_full(waiting, bytes.len()) {
            return Err(KeepError::Full);
        }
        make_dir(self.disk.as_ref(), &self.dir)?;
        replace_file(self.disk.as_ref(), &self.dir.join(tx_id), &bytes)?;
        let bytes = bytes.len();
        let since = height;
        waiting.insert(tx_id.to_owned(), Waiting { bytes, since });
        Ok(())
    }

    /// The value with this hash of a private key. The transaction `tx_id` wrote it, or an earlier one whose
    /// value is still current. `None` if this node has no such value.
    pub(crate) fn value(&self, tx_id: &str, key: PrivateKey<'_>, hash: &[u8]) -> Option<Bytes> {
        let here = self.value_in(tx_id, key, hash);
        here.or_else(|| {
            // A transaction that changed only the key's metadata has the height, but not the value.
            let names = self.names().into_iter();
            let mut values = names.map(|name| self.value_in(&name, key, hash));
            values.find_map(|value| value)
        })
    }

    /// The set of a transaction; `None` if no readable one is kept.
    pub(crate) fn set(&self, tx_id: &str) -> Option<TxPvtReadWriteSet> {
        if !is_id(tx_id) {
            return None;
        }
        self.read(tx_id).map(|(_, set)| set)
    }

    /// The names of keys that some set writes to a collection, from `start` (inclusive) to `end` (exclusive,
    /// `""` is the end of the collection). Some of them may not exist now.
    pub(crate) fn keys(
        &self,
        namespace: &str,
        collection: &str,
        start: &str,
        end: &str,
    ) -> BTreeSet<String> {
        let names = self.names().into_iter();
        let sets = names.filter_map(|name| self.written(&name, namespace, collection));
        let writes = sets.flat_map(|set| set.writes).map(|write| write.key);
        writes
            .filter(|key| key.as_str() >= start && (end.is_empty() || key.as_str() < end))
            .collect()
    }

    fn value_in(&self, tx_id: &str, key: PrivateKey<'_>, hash: &[u8]) -> Option<Bytes> {
        let set = self.written(tx_id, key.namespace, key.collection)?;
        let mut writes = set.writes.into_iter();
        let write = writes.find(|write| write.key == key.key)?;
        (sha256([write.value.as_ref()])[..] == *hash).then_some(write.value)
    }

    /// What a transaction wrote to a collection; `None` if no readable set is kept.
    fn written(&self, tx_id: &str, namespace: &str, collection: &str) -> Option<KvRwSet> {
        let (_, set) = self.read(tx_id)?;
        let mut namespaces = set.ns_pvt_rwset.into_iter();
        let namespace = namespaces.find(|set| set.namespace == namespace)?;
        let mut collections = namespace.collection_pvt_rwset.into_iter();
        let collection = collections.find(|set| set.collection_name == collection)?;
        KvRwSet::decode(collection.rwset).ok()
    }

    /// Whether another set than this one is kept of the transaction. A damaged one is: some of its values may be whole.
    fn has_other(&self, tx_id: &str, encoded: &[u8]) -> Result<bool, FileError> {
        let file = self.dir.join(tx_id);
        match read_file(self.disk.as_ref(), &file, MAX_SET_BYTES as u64) {
            Ok(bytes) => {
                let mut cursor = Cursor::new(bytes.into());
                Ok(cursor.opv().is_err() || cursor.rest() != encoded)
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read(&self, tx_id: &str) -> Option<(u64, TxPvtReadWriteSet)> {
        let file = self.dir.join(tx_id);
        let bytes = match read_file(self.disk.as_ref(), &file, MAX_SET_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return None,
            Err(error) => {
                tracing::error!(tx_id, error = &error as &dyn std::error::Error, "not read");
                return None;
            }
        };
        let mut cursor = Cursor::new(bytes.into());
        let height = cursor.opv().ok()?;
        let set = TxPvtReadWriteSet::decode(cursor.rest()).ok()?;
        Some((height, set))
    }

    /// The transactions whose sets are kept.
    fn names(&self) -> Vec<String> {
        let mut names = self.disk.list(&self.dir).unwrap_or_default();
        names.retain(|name| name.len() == 64);
        names
    }

    /// The sets whose transactions are not in the chain.
    fn list(
        &self,
        (index, view): (&Index, &Snapshot),
    ) -> Result<BTreeMap<String, Waiting>, ReadError> {
        let mut waiting = BTreeMap::new();
        for name in self.names() {
            if index.has_transaction(view, &name)? {
                continue;
            }
            // A set that cannot be read waits for nothing, and is removed when there is no room.
            let (since, bytes) = self
                .read(&name)
                .map_or((0, 0), |(since, set)| (since, set.encoded_len()));
            waiting.insert(name, Waiting { bytes, since });
        }
        Ok(waiting)
    }

    /// Drops sets whose transactions have come from the waiting ones, and removes those that waited too long.
    fn sweep(
        &self,
        waiting: &mut BTreeMap<String, Waiting>,
        height: u64,
        (index, view): (&Index, &Snapshot),
    ) -> Result<(), KeepError> {
        for (name, one) in std::mem::take(waiting) {
            if index.has_transaction(view, &name)? {
                continue;
            }
            if one.since.saturating_add(MAX_BLOCKS_WAITED) < height {
                let file = self.dir.join(&name);
                let removed = self.disk.remove_file(&file);
                removed.map_err(FileError::of("remove", &file))?;
            } else {
                waiting.insert(name, one);
            }
        }
        Ok(())
    }
}

/// Whether this is a transaction id, and so the name of a file that may be here.
fn is_id(tx_id: &str) -> bool {
    tx_id.len() == 64 && tx_id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_full(waiting: &BTreeMap<String, Waiting>, more: usize) -> bool {
    let bytes: usize = waiting.values().map(|one| one.bytes).sum();
    waiting.len() >= MAX_WAITING || bytes + more > MAX_WAITING_BYTES
}
