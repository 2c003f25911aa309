//! A transaction before it is one: reads come from a snapshot and are recorded, writes are kept.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::rwset::{KvRead, KvRwSet, KvWrite, NsReadWriteSet, RangeQueryInfo, TxReadWriteSet};

use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::namespace::queries_of;
use crate::model::value::VersionedValue;
use crate::query::find::Seen;
use crate::query::{FindError, Found, Meter, Query, QueryError};
use crate::reader::Snapshot;
use crate::state::RangeEnd;
use crate::validation::phantom::{MAX_DEGREE, RangeSummary, row};
use crate::validation::rich::{self, MAX_QUERIES, MAX_ROWS};

/// Records what a chaincode reads and writes.
///
/// Reads see the snapshot only, never the writes recorded here: Fabric's rule. Of several writes of
/// one key the last counts.
#[derive(Debug)]
pub struct Simulator {
    snapshot: Snapshot,
    /// Keys that were said to be asked for, with what they hold.
    expected: HashMap<(String, String), Option<VersionedValue>>,
    namespaces: BTreeMap<String, Recorded>,
    /// Of all queries together.
    meter: Meter,
}

#[derive(Debug, Default)]
struct Recorded {
    reads: BTreeMap<String, Option<Height>>,
    ranges: Vec<RangeQueryInfo>,
    writes: BTreeMap<String, Option<Bytes>>,
    queries: Vec<Seen>,
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
        }
    }

    /// The same with a meter for the work of its queries, which are counted together.
    #[must_use]
    pub fn with_meter(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    /// Says that these keys, each named with its namespace, will be asked for. Records nothing, and only
    /// makes that faster: where state is another server's, they are one question to it. What was
    /// expected before is forgotten.
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
        // One is no fewer.
        if names.len() < 2 {
            return Ok(());
        }
        match self.snapshot.get_all(&names) {
            Ok(values) => self.expected.extend(names.into_iter().zip(values)),
            // For who asks for that key to hear.
            Err(ReadError::StateDocument { .. }) => (),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The committed value of a key, without a trace: the transaction stays valid if it changes.
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

    /// Refuses what was recorded so far if state could not take in what is written, for what is ordered
    /// has to be followed; or if the queries of a transaction that writes found more than every node can
    /// be asked to look after.
    ///
    /// # Errors
    /// [`ReadError::StateObstructed`], or the state engine failed; [`QueryError::TooLarge`].
    pub fn check_writes(&self) -> Result<(), FindError> {
        let namespaces = self.namespaces.iter();
        let written = namespaces.filter(|(_, recorded)| !recorded.writes.is_empty());
        let mut is_writing = false;
        for (namespace, _) in written {
            self.snapshot.may_write(namespace)?;
            is_writing = true;
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

    /// The snapshot: what is read from it directly is not recorded and not protected.
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

    /// At most `limit` committed rows from `start` (inclusive) to `end` (exclusive, `""` is the
    /// namespace's end). The transaction becomes invalid if any of them changes, goes, or is joined
    /// by another up to the last one returned, or up to `end` where fewer than `limit` are.
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
        let mut summary = RangeSummary::new(MAX_DEGREE);
        for (key, value) in &rows {
            summary.add(row(key, value.version));
        }
        let exhausted = rows.len() < limit;
        let last_seen = rows.last().map(|(key, _)| key.as_str());
        let end = if exhausted {
            end
        } else {
            last_seen.unwrap_or(end)
        };
        self.recorded(namespace).ranges.push(RangeQueryInfo {
            start_key: start.to_owned(),
            end_key: end.to_owned(),
            itr_exhausted: exhausted,
            reads_info: Some(summary.finish()),
        });
        Ok(rows)
    }

    /// A page of the committed documents that match a rich query; it ends early when they exceed
    /// `page_bytes`.
    ///
    /// If the transaction writes anything, before or after, it becomes invalid when any document that
    /// the page came by changes, goes, or is joined by another: from behind the bookmark through the
    /// last document counted, skipped ones included, or to the end of what matches where the page is
    /// not full. Warning and statistics tell of the node's indexes and are not protected. If it
    /// writes nothing, the documents shown are keys that it read, which is all that Fabric records.
    ///
    /// # Errors
    /// See [`FindError`]. Also a query whose selector is too large to be recorded (64 KiB), and one
    /// more than 100 in one transaction.
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

    /// Deletes a key; one that does not exist may be deleted too.
    pub fn delete(&mut self, namespace: &str, key: &str) {
        self.recorded(namespace).writes.insert(key.to_owned(), None);
    }

    fn recorded(&mut self, namespace: &str) -> &mut Recorded {
        self.namespaces.entry(namespace.to_owned()).or_default()
    }

    /// Turns what queries saw into what goes into the block.
    fn settle_queries(&mut self) {
        let is_writing = self
            .namespaces
            .values()
            .any(|recorded| !recorded.writes.is_empty());
        let mut asked: BTreeMap<String, Vec<RangeQueryInfo>> = BTreeMap::new();
        for (namespace, recorded) in &mut self.namespaces {
            for seen in mem::take(&mut recorded.queries) {
                if is_writing {
                    let queries = asked.entry(queries_of(namespace)).or_default();
                    queries.push(rich::record(seen, self.snapshot.height()));
                } else {
                    // Fabric's rule for all rich queries.
                    let rows = seen.shown.into_iter();
                    let rows = rows.map(|(key, version)| (key, Some(version)));
                    recorded.reads.extend(rows);
                }
            }
        }
        for (namespace, queries) in asked {
            self.recorded(&namespace).ranges.extend(queries);
        }
        // Nothing but queries, and those are told elsewhere.
        self.namespaces.retain(|_, recorded| {
            let Recorded {
                reads,
                ranges,
                writes,
                queries: _,
            } = recorded;
            !(reads.is_empty() && ranges.is_empty() && writes.is_empty())
        });
    }

    /// Everything recorded, in Fabric's form and order.
    #[must_use]
    pub fn into_read_write_set(mut self) -> TxReadWriteSet {
        self.settle_queries();
        let namespaces = self.namespaces.into_iter().map(|(namespace, recorded)| {
            let reads = recorded.reads.into_iter();
            let writes = recorded.writes.into_iter();
            let set = KvRwSet {
                reads: reads
                    .map(|(key, version)| KvRead {
                        key,
                        version: version.map(Into::into),
                    })
                    .collect(),
                range_queries_info: recorded.ranges,
                writes: writes
                    .map(|(key, value)| KvWrite {
                        key,
                        is_delete: value.as_ref().is_none_or(Bytes::is_empty),
                        value: value.unwrap_or_default(),
                    })
                    .collect(),
                metadata_writes: Vec::new(),
            };
            NsReadWriteSet {
                namespace,
                rwset: set.encode_to_vec().into(),
                collection_hashed_rwset: Vec::new(),
            }
        });
        TxReadWriteSet {
            data_model: 0,
            ns_rwset: namespaces.collect(),
        }
    }
}
