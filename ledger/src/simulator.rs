//! A transaction that is being made: reads come from a snapshot and are recorded, writes are kept.

mod meter;
mod range;
mod recorded;

use std::collections::{BTreeMap, HashMap};
use std::mem;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::hash::sha256;
use quire_wire::rwset::{KvMetadataWrite, RangeQueryInfo, TxPvtReadWriteSet, TxReadWriteSet};

use crate::error::ReadError;
use crate::model::namespace::{hashed_key, hashed_namespace, queries_of};
use crate::model::value::VersionedValue;
use crate::private_sets::PrivateKey;
use crate::query::{FindError, Found, Meter, Query, QueryError};
use crate::snapshot::Snapshot;
use crate::state::RangeEnd;
use crate::validation::record::{self, MAX_QUERIES, MAX_ROWS};
pub use range::RangeReader;
use range::Seen;
pub use recorded::KeyMetadata;
use recorded::{Collection, PrivateWrite, Recorded};

/// Records what a chaincode reads and writes.
///
/// Reads see only the snapshot, never the writes recorded here, by Fabric's rule. Of several writes of one
/// key the last counts.
#[derive(Debug)]
pub struct Simulator {
    snapshot: Snapshot,
    /// The values of keys that were announced by [`Self::expect`].
    expected: HashMap<(String, String), Option<VersionedValue>>,
    namespaces: BTreeMap<String, Recorded>,
    /// The meter of all queries together.
    meter: Meter,
    is_paged: bool,
}

/// What a transaction read and wrote, in Fabric's form and order.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulationResults {
    /// The part for everybody, in the block; it has the hashes of private keys.
    pub public: TxReadWriteSet,
    /// What was written to private collections, for those who may see it.
    pub private: TxPvtReadWriteSet,
}

impl Simulator {
    /// Begins a transaction on a snapshot.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            expected: HashMap::new(),
            namespaces: BTreeMap::new(),
            meter: Meter::default(),
            is_paged: false,
        }
    }

    /// Announces that these keys, each named with its namespace, will be asked for. This records nothing, and
    /// only makes the reads faster: if state is on another server, they are one request. Keys of an earlier
    /// call are forgotten.
    ///
    /// # Errors
    /// The state engine failed.
    pub fn expect(&mut self, mut names: Vec<(String, String)>) -> Result<(), ReadError> {
        self.expected.clear();
        if !self.snapshot.is_remote() {
            return Ok(());
        }
        names.sort_unstable();
        names.dedup();
        // For one key this gains nothing.
        if names.len() < 2 {
            return Ok(());
        }
        match self.snapshot.get_all(&names) {
            Ok(values) => self.expected.extend(names.into_iter().zip(values)),
            // The read of that key will report it.
            Err(ReadError::StateDocument { .. }) => (),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The committed value of a key. This read is not recorded: the transaction stays valid if the value
    /// changes.
    ///
    /// # Errors
    /// The state engine failed.
    pub fn peek(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        if !self.expected.is_empty() {
            let name = (namespace.to_owned(), key.to_owned());
            if let Some(known) = self.expected.get(&name) {
                return Ok(known.clone());
            }
        }
        self.snapshot.get(namespace, key)
    }

    /// Refuses the transaction so far if state could not take in its writes, because what is ordered must be
    /// followed; or if it writes and its queries found more than every node can be asked to check.
    ///
    /// # Errors
    /// [`ReadError::StateObstructed`], or the state engine failed; [`QueryError::TooLarge`].
    pub fn check_writes(&self) -> Result<(), FindError> {
        let namespaces = self.namespaces.iter();
        let written = namespaces.filter(|(_, recorded)| recorded.is_writing());
        let mut is_writing = false;
        for (namespace, recorded) in written {
            is_writing = true;
            if !recorded.writes.is_empty() {
                self.snapshot.may_write(namespace)?;
            }
            for (collection, recorded) in &recorded.collections {
                if recorded.is_writing() {
                    let namespace = hashed_namespace(namespace, collection);
                    self.snapshot.may_write(&namespace)?;
                }
            }
        }
        let queries = self.namespaces.values();
        let queries = queries.flat_map(|recorded| &recorded.queries);
        let rows = queries.map(|seen| seen.shown.len() + seen.skipped.len());
        if is_writing && rows.sum::<usize>() > MAX_ROWS {
            let reason = format!(
                "the queries of a transaction that writes find at most {MAX_ROWS} documents, those \
                 that are skipped included"
            );
            return Err(QueryError::TooLarge(reason).into());
        }
        Ok(())
    }

    /// The snapshot. What is read from it directly is not recorded and not protected.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The committed value of a key. The transaction becomes invalid if it changes.
    ///
    /// # Errors
    /// The state engine failed.
    pub fn get(&mut self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        let value = self.peek(namespace, key)?;
        let version = value.as_ref().map(|value| value.version);
        self.recorded(namespace)
            .reads
            .insert(key.to_owned(), version);
        Ok(value)
    }

    /// At most `limit` committed rows from `start` (inclusive) to `end` (exclusive, `""` is the namespace's
    /// end). The transaction becomes invalid if any of them changes or is deleted, or if another row appears
    /// before the last one returned, or before `end` if there are fewer than `limit`.
    ///
    /// # Errors
    /// The state engine failed.
    pub fn range(
        &mut self,
        namespace: &str,
        start: &str,
        end: &str,
        limit: usize,
    ) -> Result<Vec<(String, VersionedValue)>, ReadError> {
        let bound = if end.is_empty() {
            RangeEnd::Unbounded
        } else {
            RangeEnd::Before(end)
        };
        let rows = self.snapshot.range(namespace, start, bound, limit)?;
        if limit == 0 {
            return Ok(rows);
        }
        let mut seen = Seen::new(start);
        for (key, value) in &rows {
            seen.row(key, value);
        }
        if rows.len() < limit {
            seen.exhausted(end);
        }
        self.recorded(namespace).ranges.push(seen);
        Ok(rows)
    }

    /// Remembers that pages were asked for. Fabric accepts no writes from such a transaction, which a caller
    /// with Fabric's rules must check.
    pub fn reads_pages(&mut self) {
        self.is_paged = true;
    }

    /// Whether pages were asked for.
    #[must_use]
    pub fn is_paged(&self) -> bool {
        self.is_paged
    }

    /// Whether anything was written so far.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.namespaces.values().any(Recorded::is_writing)
    }

    /// A page of the committed documents that match a rich query; it ends early when they exceed
    /// `page_bytes`.
    ///
    /// If the transaction writes anything, before or after, it becomes invalid when a document in the page's
    /// range changes or is deleted, or another one appears. The range goes from after the bookmark through
    /// the last document counted, skipped ones included, or to the end of the matches if the page is not
    /// full. Warning and statistics depend on the node's indexes and are not protected. If it writes nothing,
    /// the documents shown are recorded as keys that it read, which is all that Fabric records.
    ///
    /// # Errors
    /// See [`FindError`]. Also refused are a query whose selector is too large to be recorded (64 KiB), and
    /// more than 100 queries in one transaction.
    pub fn find(
        &mut self,
        namespace: &str,
        query: &Query,
        page_bytes: usize,
    ) -> Result<Found, FindError> {
        let queries = self
            .namespaces
            .values()
            .map(|recorded| recorded.queries.len());
        if queries.sum::<usize>() >= MAX_QUERIES {
            let reason = format!("a transaction asks at most {MAX_QUERIES} queries");
            return Err(QueryError::TooLarge(reason).into());
        }
        let (found, seen) = self
            .snapshot
            .see(namespace, query, page_bytes, &mut self.meter)?;
        self.recorded(namespace).queries.extend(seen);
        Ok(found)
    }

    /// Writes a key; a value of no bytes deletes it.
    pub fn put(&mut self, namespace: &str, key: &str, value: Bytes) {
        self.recorded(namespace)
            .writes
            .insert(key.to_owned(), Some(value));
    }

    /// Deletes a key, which need not exist.
    pub fn delete(&mut self, namespace: &str, key: &str) {
        self.recorded(namespace).writes.insert(key.to_owned(), None);
    }

    /// A key's metadata, such as its endorsement policy (`VALIDATION_PARAMETER`); empty if it has none. The
    /// transaction becomes invalid if the key changes.
    ///
    /// # Errors
    /// The state engine failed, or holds metadata that was never written.
    pub fn metadata(&mut self, namespace: &str, key: &str) -> Result<KeyMetadata, ReadError> {
        let value = self.get(namespace, key)?;
        decoded(value.map(|value| value.metadata))
    }

    /// Replaces a key's metadata; empty metadata removes it. This has no effect on a key that does not exist
    /// when the transaction commits.
    pub fn set_metadata(&mut self, namespace: &str, key: &str, metadata: KeyMetadata) {
        let recorded = self.recorded(namespace);
        recorded.metadata.insert(key.to_owned(), metadata);
    }

    /// The SHA-256 of a private key's committed value, which every node has. The transaction becomes invalid
    /// if the key changes.
    ///
    /// # Errors
    /// The state engine failed.
    pub fn private_hash(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<Bytes>, ReadError> {
        let found = self.read_private(namespace, collection, key)?;
        Ok(found.map(|found| found.value))
    }

    /// The committed value of a private key, which this node has if it simulated the transaction that wrote
    /// it. The transaction becomes invalid if the key changes.
    ///
    /// # Errors
    /// [`ReadError::PrivateMissing`] if the key has a value that is not here; or the state engine failed.
    pub fn get_private(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<Bytes>, ReadError> {
        let Some(found) = self.read_private(namespace, collection, key)? else {
            return Ok(None);
        };
        let key = PrivateKey {
            namespace,
            collection,
            key,
        };
        self.snapshot.private(key, &found).map(Some)
    }

    /// The committed values of the private keys from `start` (inclusive) to `end` (exclusive, `""` is the end
    /// of the collection) that this node has, in byte order of keys. Nothing is recorded: as in Fabric,
    /// nothing protects the transaction from a change of them.
    ///
    /// # Errors
    /// The state engine failed.
    pub fn private_range(
        &self,
        namespace: &str,
        collection: &str,
        start: &str,
        end: &str,
    ) -> Result<Vec<(String, Bytes)>, ReadError> {
        let mut rows = Vec::new();
        for key in self
            .snapshot
            .private_keys(namespace, collection, start, end)
        {
            let Some(found) = self.hashed(namespace, collection, &key)? else {
                continue;
            };
            let name = PrivateKey {
                namespace,
                collection,
                key: &key,
            };
            match self.snapshot.private(name, &found) {
                Ok(value) => rows.push((key, value)),
                Err(ReadError::PrivateMissing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    /// A private key's metadata; see [`Self::metadata`].
    ///
    /// # Errors
    /// See [`Self::metadata`].
    pub fn private_metadata(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<KeyMetadata, ReadError> {
        let found = self.read_private(namespace, collection, key)?;
        decoded(found.map(|found| found.metadata))
    }

    /// Writes a private key; a value of no bytes deletes it.
    pub fn put_private(&mut self, namespace: &str, collection: &str, key: &str, value: Bytes) {
        self.write_private(namespace, collection, key, PrivateWrite::Put(value));
    }

    /// Deletes a private key.
    pub fn delete_private(&mut self, namespace: &str, collection: &str, key: &str) {
        self.write_private(namespace, collection, key, PrivateWrite::Delete);
    }

    /// Deletes a private key, and makes those who kept its values remove them.
    pub fn purge_private(&mut self, namespace: &str, collection: &str, key: &str) {
        self.write_private(namespace, collection, key, PrivateWrite::Purge);
    }

    /// Replaces a private key's metadata; see [`Self::set_metadata`].
    pub fn set_private_metadata(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
        metadata: KeyMetadata,
    ) {
        let recorded = self.collection(namespace, collection);
        recorded.metadata.insert(key.to_owned(), metadata);
    }

    fn read_private(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<VersionedValue>, ReadError> {
        let found = self.hashed(namespace, collection, key)?;
        let version = found.as_ref().map(|found| found.version);
        let recorded = self.collection(namespace, collection);
        recorded.reads.insert(key.to_owned(), version);
        Ok(found)
    }

    /// The state of a private key: the hash of its value.
    fn hashed(
        &self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<VersionedValue>, ReadError> {
        let in_state = hashed_namespace(namespace, collection);
        let key_hash = sha256([key.as_bytes()]);
        self.snapshot.get(&in_state, &hashed_key(&key_hash))
    }

    fn write_private(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
        written: PrivateWrite,
    ) {
        let recorded = self.collection(namespace, collection);
        recorded.writes.insert(key.to_owned(), written);
    }

    fn recorded(&mut self, namespace: &str) -> &mut Recorded {
        self.namespaces.entry(namespace.to_owned()).or_default()
    }

    fn collection(&mut self, namespace: &str, collection: &str) -> &mut Collection {
        let collections = &mut self.recorded(namespace).collections;
        collections.entry(collection.to_owned()).or_default()
    }

    /// Turns what queries saw into records for the block.
    fn settle_queries(&mut self) {
        let is_writing = self.is_writing();
        let mut asked: BTreeMap<String, Vec<RangeQueryInfo>> = BTreeMap::new();
        for (namespace, recorded) in &mut self.namespaces {
            for seen in mem::take(&mut recorded.queries) {
                if is_writing {
                    let queries = asked.entry(queries_of(namespace)).or_default();
                    queries.push(record::record(seen, self.snapshot.height()));
                } else {
                    // This is Fabric's rule for all rich queries.
                    let rows = seen.shown.into_iter();
                    let rows = rows.map(|(key, version)| (key, Some(version)));
                    recorded.reads.extend(rows);
                }
            }
        }
        for (namespace, queries) in asked {
            self.recorded(&namespace).asked.extend(queries);
        }
        // Namespaces with nothing but queries are dropped: the queries are recorded elsewhere.
        self.namespaces.retain(|_, recorded| !recorded.is_empty());
    }

    /// The part of everything recorded that is for everybody; see [`Self::into_results`].
    #[must_use]
    pub fn into_read_write_set(self) -> TxReadWriteSet {
        self.into_results().public
    }

    /// Everything recorded, in Fabric's form and order.
    #[must_use]
    pub fn into_results(mut self) -> SimulationResults {
        self.settle_queries();
        let mut results = SimulationResults {
            public: TxReadWriteSet::default(),
            private: TxPvtReadWriteSet::default(),
        };
        for (namespace, recorded) in self.namespaces {
            let (public, private) = recorded.into_messages(namespace);
            results.public.ns_rwset.push(public);
            results.private.ns_pvt_rwset.extend(private);
        }
        results
    }
}

/// Reads metadata as it is in state: a `KVMetadataWrite` without its key.
fn decoded(metadata: Option<Bytes>) -> Result<KeyMetadata, ReadError> {
    let decoded = KvMetadataWrite::decode(metadata.unwrap_or_default());
    let decoded = decoded.map_err(|_| ReadError::DerivedDamaged {
        follower: "state",
        what: "metadata of a key",
        rule: "it is Fabric's message",
    })?;
    let entries = decoded.entries.into_iter();
    Ok(entries.map(|entry| (entry.name, entry.value)).collect())
}
