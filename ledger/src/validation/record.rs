//! The form of rich queries in read-write sets, see [`super::rich`].

use std::collections::BTreeMap;

use quire_wire::Code;
use quire_wire::rwset::{KvRead, KvRwSet, QueryReads, RangeQueryInfo, ReadsInfo, Version};

use crate::model::block::Height;
use crate::model::examined::{NamespaceSet, ReadWriteSet};
use crate::model::namespace::queried;
use crate::query::asked::Asked;
use crate::query::find::Seen;

/// The mark in the name of every derived namespace.
const MADE: &str = "$$";
/// The most rich queries of one transaction that writes.
pub(crate) const MAX_QUERIES: usize = 100;
/// The most rows that all queries of one transaction that writes may find.
pub(crate) const MAX_ROWS: usize = 10_000;

/// The records of rich queries that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    /// Records of the present form.
    OfNow,
    /// Records of earlier versions too, which earlier blocks have.
    OfAnyVersion,
}

/// A row in the form of a range's record.
pub(crate) fn row(key: &str, version: Height) -> KvRead {
    KvRead {
        key: key.to_owned(),
        version: Some(Version::from(version)),
    }
}

/// The record, for a block, of a query that was asked at a height, and what it saw.
pub(crate) fn record(seen: Seen, height: u64) -> RangeQueryInfo {
    let (start_key, end_key) = seen.asked.texts(height);
    let mut rows: BTreeMap<String, Height> = seen.shown;
    rows.extend(seen.skipped);
    let rows = rows.into_iter();
    let rows = rows.map(|(key, version)| row(&key, version));
    RangeQueryInfo {
        start_key,
        end_key,
        itr_exhausted: seen.is_exhausted,
        reads_info: Some(ReadsInfo::RawReads(QueryReads {
            kv_reads: rows.collect(),
        })),
    }
}

/// The rows that answered the queries of a set, as far as they are listed.
pub(crate) fn rows(queries: &KvRwSet) -> impl Iterator<Item = &KvRead> {
    queries.range_queries_info.iter().flat_map(rows_of)
}

pub(super) fn rows_of(query: &RangeQueryInfo) -> &[KvRead] {
    match &query.reads_info {
        Some(ReadsInfo::RawReads(rows)) => &rows.kv_reads,
        Some(ReadsInfo::ReadsMerkleHashes(_)) | None => &[],
    }
}

/// What is wrong with the form of a read-write set's queries. It is `ILLEGAL_WRITESET` if anything is written
/// beside them, which is Fabric's code for writes to a forbidden namespace, and `BAD_RWSET` for any form that
/// cannot be read.
pub(crate) fn objection(set: &ReadWriteSet, records: Records) -> Option<Code> {
    let (mut count, mut rows) = (0, 0);
    for set in &set.namespaces {
        let Some(namespace) = queried(&set.namespace) else {
            continue;
        };
        let NamespaceSet {
            public,
            collections,
            ..
        } = set;
        if !public.writes.is_empty() || !public.metadata_writes.is_empty() {
            return Some(Code::ILLEGAL_WRITESET);
        }
        let queries = &public.range_queries_info;
        count += queries.len();
        let is_sound = public.reads.is_empty()
            && collections.is_empty()
            && count <= MAX_QUERIES
            && queries.iter().all(|query| {
                let is_of_now = is_of_now(namespace, query, records);
                rows += if is_of_now == Some(true) {
                    rows_of(query).len()
                } else {
                    0
                };
                is_of_now.is_some() && rows <= MAX_ROWS
            });
        if !is_sound {
            return Some(Code::BAD_RWSET);
        }
    }
    None
}

/// Whether a record has the present form, rather than an earlier one. `None` if it has neither, or a form
/// that is not accepted.
fn is_of_now(namespace: &str, query: &RangeQueryInfo, records: Records) -> Option<bool> {
    let read = match records {
        Records::OfNow => Asked::read_new,
        Records::OfAnyVersion => Asked::read,
    };
    let recorded = read(&query.start_key, &query.end_key).ok()?;
    if recorded.height.is_none() {
        return Some(false);
    }
    let Some(ReadsInfo::RawReads(rows)) = &query.reads_info else {
        return None;
    };
    let rows = &rows.kv_reads;
    let has_versions = rows.iter().all(|row| row.version.is_some());
    let ascends = rows.is_sorted_by(|one, next| one.key < next.key);
    // Derived namespaces have no documents.
    let is_made = namespace.contains(MADE);
    (has_versions && ascends && !is_made).then_some(true)
}
