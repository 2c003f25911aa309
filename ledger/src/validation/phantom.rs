//! Does a range still have the rows that a transaction saw in it?
//!
//! A range of up to 50 rows is recorded row by row. For a longer range only hashes are recorded: every 51
//! rows make a leaf, and every 51 hashes of a level make one hash of the level above. The constants, the
//! folding and the hashed bytes are Fabric's.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::hash::sha256;
use quire_wire::rwset::{KvRead, QueryReads, QueryReadsMerkleSummary, RangeQueryInfo, ReadsInfo};

use super::record::row;
use crate::error::ReadError;
use crate::model::block::Height;
use crate::state::RangeEnd;
use crate::validation::pending::Pending;

/// The most rows that are recorded as they are, and the most hashes of a level: Fabric's
/// `maxDegreeQueryReadsHashing`.
pub(crate) const MAX_DEGREE: u32 = 50;

/// Whether the range, read again, gives the same keys with the same versions.
pub(crate) fn still_holds(
    namespace: &str,
    range: &RangeQueryInfo,
    pending: &Pending<'_>,
) -> Result<bool, ReadError> {
    let end_key = range.end_key.as_str();
    let end = match end_key {
        "" => RangeEnd::Unbounded,
        key => RangeEnd::Before(key),
    };
    let seen = range.reads_info.as_ref();
    let Some(mut rows) = current_rows(namespace, &range.start_key, end, most(seen), pending)?
    else {
        return Ok(false);
    };
    // A reader that stopped early saw the last key. Fabric looks for it after all others, whatever its order.
    if !range.itr_exhausted
        && let Some(last) = pending.public(namespace, end_key)?
    {
        rows.push(row(end_key, last.version));
    }
    Ok(are_those_seen(rows, seen))
}

/// The most rows that a record can stand for.
fn most(seen: Option<&ReadsInfo>) -> usize {
    match seen {
        None => 0,
        Some(ReadsInfo::RawReads(rows)) => rows.kv_reads.len(),
        // A node stands for one more node of the level below than the degree.
        Some(ReadsInfo::ReadsMerkleHashes(summary)) => {
            let children = (summary.max_degree as usize).saturating_add(1);
            let hashes = summary.max_level_hashes.len();
            hashes.saturating_mul(children.saturating_pow(summary.max_level))
        }
    }
}

/// Whether these are the rows of a record.
pub(crate) fn are_those_seen(rows: Vec<KvRead>, seen: Option<&ReadsInfo>) -> bool {
    match seen {
        None => rows.is_empty(),
        Some(ReadsInfo::RawReads(seen)) => rows == seen.kv_reads,
        // No tree has nodes with fewer than two children.
        Some(ReadsInfo::ReadsMerkleHashes(seen)) if seen.max_degree < 2 => false,
        Some(ReadsInfo::ReadsMerkleHashes(seen)) => {
            let mut summary = RangeSummary::new(seen.max_degree);
            for row in rows {
                summary.add(row);
            }
            summary.finish() == ReadsInfo::ReadsMerkleHashes(seen.clone())
        }
    }
}

/// The rows of a range as the transaction would find them when it is judged. `None` if there are more than
/// `most`, and then no more are read.
fn current_rows(
    namespace: &str,
    start: &str,
    end: RangeEnd<'_>,
    most: usize,
    pending: &Pending<'_>,
) -> Result<Option<Vec<KvRead>>, ReadError> {
    let mut changes: BTreeMap<&str, Option<Height>> = BTreeMap::new();
    for updates in pending.layers() {
        let Some(of_namespace) = updates.namespaces.get(namespace) else {
            continue;
        };
        let from_start = of_namespace
            .public
            .range::<str, _>((Bound::Included(start), Bound::Unbounded));
        for (key, update) in from_start.take_while(|(key, _)| end.includes(key)) {
            let version = update.content.is_some().then_some(update.version);
            changes.insert(key, version);
        }
    }
    let pending_rows = changes.iter();
    let pending_rows = pending_rows.filter_map(|(key, version)| Some((*key, (*version)?)));
    let mut rows: BTreeMap<String, Height> = pending_rows
        .map(|(key, version)| (key.to_owned(), version))
        .collect();
    let mut committed = pending.state.range(namespace, start, end)?;
    while rows.len() <= most {
        let Some(committed) = committed.next() else {
            let rows = rows.into_iter();
            let rows = rows.map(|(key, version)| row(&key, version));
            return Ok(Some(rows.collect()));
        };
        let (key, value) = committed?;
        if !changes.contains_key(key.as_str()) {
            rows.insert(key, value.version);
        }
    }
    Ok(None)
}

/// Collects the rows of a range, and summarises them when they become many.
#[derive(Debug)]
pub(crate) struct RangeSummary {
    max_degree: u32,
    pending: Vec<KvRead>,
    /// Hashes by level; index 0 is level 1, the leaves.
    levels: Vec<Vec<Bytes>>,
}

impl RangeSummary {
    pub(crate) fn new(max_degree: u32) -> Self {
        Self {
            max_degree,
            pending: Vec::new(),
            levels: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, row: KvRead) {
        self.pending.push(row);
        if self.pending.len() > self.max_degree as usize {
            self.fold_rows();
        }
    }

    /// The rows themselves, or the hashes of the highest level.
    pub(crate) fn finish(mut self) -> ReadsInfo {
        if self.levels.is_empty() {
            return ReadsInfo::RawReads(QueryReads {
                kv_reads: self.pending,
            });
        }
        if !self.pending.is_empty() {
            self.fold_rows();
        }
        for level in 0..self.levels.len() - 1 {
            let hashes = self
                .levels
                .get_mut(level)
                .map(std::mem::take)
                .unwrap_or_default();
            match hashes.as_slice() {
                [] => {}
                [only] => self.push(level + 1, only.clone()),
                many => self.push(level + 1, combine(many)),
            }
        }
        let mut top = self.levels.pop().unwrap_or_default();
        let mut max_level = self.levels.len() + 1;
        if top.len() > self.max_degree as usize {
            top = vec![combine(&top)];
            max_level += 1;
        }
        ReadsInfo::ReadsMerkleHashes(QueryReadsMerkleSummary {
            max_degree: self.max_degree,
            max_level: u32::try_from(max_level).unwrap_or(u32::MAX),
            max_level_hashes: top,
        })
    }

    /// Turns the pending rows into a leaf, and full levels into hashes of the next level.
    fn fold_rows(&mut self) {
        let leaf = QueryReads {
            kv_reads: std::mem::take(&mut self.pending),
        }
        .encode_to_vec();
        self.push(0, Bytes::copy_from_slice(&sha256([leaf.as_slice()])));
        for level in 0.. {
            let full = |hashes: &Vec<Bytes>| hashes.len() > self.max_degree as usize;
            if !self.levels.get(level).is_some_and(full) {
                break;
            }
            let hashes = self
                .levels
                .get_mut(level)
                .map(std::mem::take)
                .unwrap_or_default();
            self.push(level + 1, combine(&hashes));
        }
    }

    fn push(&mut self, level: usize, hash: Bytes) {
        if self.levels.len() <= level {
            self.levels.resize(level + 1, Vec::new());
        }
        if let Some(hashes) = self.levels.get_mut(level) {
            hashes.push(hash);
        }
    }
}

fn combine(hashes: &[Bytes]) -> Bytes {
    Bytes::copy_from_slice(&sha256(hashes.iter().map(Bytes::as_ref)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keyspaces::keyspace;
    use crate::{Ledgers, Purpose, golden};
    use quire_disk::OsDisk;

    /// The last row cannot be read, so reading all rows would fail.
    #[test]
    fn no_more_rows_are_read_than_a_record_can_stand_for() {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
        let ledger = golden::write(&ledgers);
        let state = keyspace(ledgers.database(), golden::CHANNEL, ".state").unwrap();
        let sound = state.get(b"dorders\x001001").unwrap().unwrap();
        let name = |n: u32| format!("dmany\0k{n:03}");
        for n in 0..200 {
            state.insert(name(n), sound.clone()).unwrap();
        }
        state.insert(name(200), [0xff]).unwrap();
        let snapshot = ledger.followers.state.snapshot().unwrap();
        let pending = Pending::new(snapshot.as_ref());
        let version = snapshot.version("many", "k000").unwrap().unwrap();
        let judge = |rows: u32, end: &str| {
            let mut summary = RangeSummary::new(MAX_DEGREE);
            (0..rows).for_each(|n| summary.add(row(&format!("k{n:03}"), version)));
            let range = RangeQueryInfo {
                start_key: String::new(),
                end_key: end.to_owned(),
                itr_exhausted: true,
                reads_info: Some(summary.finish()),
            };
            still_holds("many", &range, &pending)
        };
        // For 51 rows there is one hash, which stands for at most 51.
        for rows in [0, 1, 50, 51, 150] {
            assert!(!judge(rows, "").unwrap(), "{rows}");
            let end = format!("k{rows:03}");
            assert!(rows == 0 || judge(rows, &end).unwrap(), "{rows}");
        }
        assert!(judge(200, "").is_err());
    }

    fn summary(max_degree: u32, rows: u64) -> ReadsInfo {
        let mut summary = RangeSummary::new(max_degree);
        (0..rows).for_each(|n| summary.add(row(&format!("k{n:03}"), Height::new(1, n))));
        summary.finish()
    }

    /// The level and the hashes (their first eight bytes) of a summary.
    fn shape(info: ReadsInfo) -> (u32, Vec<String>) {
        match info {
            ReadsInfo::RawReads(reads) => (0, vec![reads.kv_reads.len().to_string()]),
            ReadsInfo::ReadsMerkleHashes(summary) => {
                let hashes = summary.max_level_hashes.iter();
                (
                    summary.max_level,
                    hashes.map(|hash| hex::encode(&hash[..8])).collect(),
                )
            }
        }
    }

    #[test]
    fn summaries_of_degree_three_are_those_of_fabric() {
        assert_eq!(shape(summary(3, 3)), (0, vec!["3".to_owned()]));
        let cases: [(u64, u32, usize, &str); 6] = [
            (4, 1, 1, "3bfe14f238e6367f"),
            (5, 1, 2, "f530e4e29ffb5c1e"),
            (8, 1, 2, "6c0e32bf9f6c26a9"),
            (16, 2, 1, "cb9a4a6cd700a881"),
            (17, 2, 2, "f509e2270c3a3932"),
            (40, 2, 3, "0e0059136276dee4"),
        ];
        for (rows, level, count, last) in cases {
            let (max_level, hashes) = shape(summary(3, rows));
            assert_eq!((max_level, hashes.len()), (level, count), "{rows} rows");
            assert_eq!(hashes.last().map(String::as_str), Some(last), "{rows} rows");
        }
    }

    #[test]
    fn summaries_of_fabrics_degree_have_its_shapes() {
        let cases = [(51, 1, 1), (101, 1, 2), (2601, 2, 1), (2602, 2, 2)];
        assert_eq!(shape(summary(MAX_DEGREE, 50)), (0, vec!["50".to_owned()]));
        for (rows, level, count) in cases {
            let (max_level, hashes) = shape(summary(MAX_DEGREE, rows));
            assert_eq!((max_level, hashes.len()), (level, count), "{rows} rows");
        }
    }
}
