//! Rich queries in read-write sets: how what was asked goes into a block, and whether it would have
//! the same answer still. Fabric has no such check, and no place for one that its decoders would not
//! read; so a query is a range query of a namespace that no chaincode can have.
//!
//! ```text
//! namespace  orders$$q              queries of namespace orders
//! range      start_key, end_key     what was asked, see query/asked.rs
//!            itr_exhausted          whether the reader came to the end; not needed to judge
//!            reads_info             keys and versions that answered, ordered by key, as of any range
//! ```
//!
//! Such a namespace has nothing else and is never in state. The check asks the documents again; an
//! index, where one serves, only says which of them need not be looked at.

use std::collections::BTreeMap;

use quire_wire::Code;
use quire_wire::rwset::{KvRead, KvRwSet, RangeQueryInfo, ReadsInfo};

use super::examine::{NamespaceSet, ReadWriteSet};
use super::phantom::{self, MAX_DEGREE, RangeSummary, row};
use super::updates::Pending;
use crate::block::Height;
use crate::error::ReadError;
use crate::observer::Observed;
use crate::query::asked::Asked;
use crate::query::document::Document;
use crate::query::find::{Seen, Source};
use crate::query::work::Meter;

/// What the namespace of queries ends with. Fabric's names for namespaces of its own making have the
/// same form (`$$h`, `$$p`), which no chaincode's name has.
const SUFFIX: &str = "$$q";
/// Most rich queries of one transaction that writes: each is asked again when it is judged.
pub(crate) const MAX_QUERIES: usize = 100;

/// The pseudo-namespace for queries of a namespace.
pub(crate) fn queries_of(namespace: &str) -> String {
    format!("{namespace}{SUFFIX}")
}

/// The namespace whose queries a pseudo-namespace holds; none where it is none.
pub(crate) fn queried(namespace: &str) -> Option<&str> {
    namespace.strip_suffix(SUFFIX)
}

/// A query and what it saw, as it goes into a block.
pub(crate) fn record(seen: Seen) -> RangeQueryInfo {
    let (start_key, end_key) = seen.asked.texts();
    let mut rows = seen.shown;
    rows.extend(seen.skipped);
    RangeQueryInfo {
        start_key,
        end_key,
        itr_exhausted: seen.is_exhausted,
        reads_info: Some(summary(MAX_DEGREE, rows)),
    }
}

fn summary(max_degree: u32, rows: BTreeMap<String, Height>) -> ReadsInfo {
    let mut summary = RangeSummary::new(max_degree);
    for (key, version) in rows {
        summary.add(row(&key, version));
    }
    summary.finish()
}

/// What is wrong with the form of a read-write set's queries. `ILLEGAL_WRITESET` where anything is
/// written beside them, as Fabric says of writes to a namespace that nobody may write to;
/// `BAD_RWSET`, as of anything else that cannot be read.
pub(crate) fn objection(set: &ReadWriteSet) -> Option<Code> {
    let queries = |set: &NamespaceSet| queried(&set.namespace).is_some();
    let mut count = 0;
    for namespace in set.namespaces.iter().filter(|set| queries(set)) {
        let KvRwSet {
            reads,
            range_queries_info,
            writes,
            metadata_writes,
        } = &namespace.public;
        if !writes.is_empty() || !metadata_writes.is_empty() {
            return Some(Code::ILLEGAL_WRITESET);
        }
        if !reads.is_empty() || !namespace.collections.is_empty() {
            return Some(Code::BAD_RWSET);
        }
        count += range_queries_info.len();
        let is_sound =
            |range: &RangeQueryInfo| Asked::read(&range.start_key, &range.end_key).is_ok();
        if count > MAX_QUERIES || !range_queries_info.iter().all(is_sound) {
            return Some(Code::BAD_RWSET);
        }
    }
    None
}

/// The first conflict among queries of a namespace.
pub(crate) fn judge(
    namespace: &str,
    queries: &[RangeQueryInfo],
    pending: &Pending<'_>,
) -> Result<Code, ReadError> {
    for query in queries {
        let Ok(asked) = Asked::read(&query.start_key, &query.end_key) else {
            return Ok(Code::BAD_RWSET);
        };
        if !still_holds(namespace, &asked, query.reads_info.as_ref(), pending)? {
            return Ok(Code::PHANTOM_READ_CONFLICT);
        }
    }
    Ok(Code::VALID)
}

/// Whether the same documents with the same versions are what was asked for.
fn still_holds(
    namespace: &str,
    asked: &Asked,
    seen: Option<&ReadsInfo>,
    pending: &Pending<'_>,
) -> Result<bool, ReadError> {
    let at_most = match seen {
        None => 0,
        Some(ReadsInfo::RawReads(rows)) => rows.kv_reads.len(),
        Some(ReadsInfo::ReadsMerkleHashes(_)) => usize::MAX,
    };
    let mut rows = pending_rows(namespace, asked, pending);
    let observed = Observed::by_nobody();
    let source = Source {
        channel: "",
        namespace,
        state: pending.state,
        catalog: pending.catalog,
        observed: &observed,
    };
    for candidate in source.may_include(asked)? {
        // One too many is enough to know.
        if rows.len() > at_most {
            return Ok(false);
        }
        let (key, value) = candidate?;
        if pending.latest(namespace, &key).is_some() {
            continue;
        }
        if let Some(document) = Document::parse(&key, value.version, &value.value)
            && asked.includes(&key, &document, &mut Meter::unlimited()) == Ok(true)
        {
            rows.insert(key, value.version);
        }
    }
    let rows: Vec<KvRead> = rows
        .into_iter()
        .map(|(key, version)| row(&key, version))
        .collect();
    Ok(phantom::are_those_seen(rows, seen))
}

/// Those of the documents asked for that are not yet in state.
fn pending_rows(namespace: &str, asked: &Asked, pending: &Pending<'_>) -> BTreeMap<String, Height> {
    let mut rows = BTreeMap::new();
    for (key, update) in pending.changes(namespace) {
        if let Some((value, _)) = &update.content
            && let Some(document) = Document::parse(key, update.version, value)
            && asked.includes(key, &document, &mut Meter::unlimited()) == Ok(true)
        {
            rows.insert(key.to_owned(), update.version);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quire_wire::Message as _;
    use quire_wire::rwset::{
        KvMetadataEntry, KvMetadataWrite, KvWrite, NsReadWriteSet, TxReadWriteSet,
    };

    use super::*;
    use crate::disk::OsDisk;
    use crate::follow::tests::durable;
    use crate::follow::{Batch, Durable};
    use crate::validation::examine::Examined;
    use crate::validation::replay_block;
    use crate::{Ledgers, Order, Purpose, commit_hash, golden};

    /// A block that somebody else judged valid, with writes beside queries.
    #[test]
    fn what_others_wrote_beside_queries_counts_for_the_hash_and_enters_no_state() {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
        let ledger = golden::write(&ledgers);
        let write = KvRwSet {
            writes: vec![KvWrite {
                key: "k".into(),
                is_delete: false,
                value: "{}".into(),
            }],
            metadata_writes: vec![KvMetadataWrite {
                key: "k".into(),
                entries: vec![KvMetadataEntry::default()],
            }],
            ..KvRwSet::default()
        };
        let sets = ["orders", "orders$$q"].map(|namespace| NsReadWriteSet {
            namespace: namespace.into(),
            rwset: write.encode_to_vec().into(),
            collection_hashed_rwset: Vec::new(),
        });
        let results = TxReadWriteSet {
            data_model: 0,
            ns_rwset: sets.to_vec(),
        };
        let envelope = golden::endorsed(b"foreign", &results);
        let judged_here = Examined::new(&envelope, golden::CHANNEL);
        assert_eq!(judged_here.code, Code::ILLEGAL_WRITESET);

        let transactions = vec![Examined::read(&envelope)];
        let snapshot = ledger.followers.state.snapshot().unwrap();
        let mut pending = Pending::new(snapshot.as_ref());
        let updates = replay_block(5, &transactions, &mut pending).unwrap();
        let hash = |updates| commit_hash::next(5, &[0], updates, Some(&[7; 32]));
        let mut without = updates.clone();
        without.namespaces.remove("orders$$q").unwrap();
        assert_ne!(hash(updates), hash(&without));

        let block = Durable {
            transactions,
            ..durable(5, &[("", Code::VALID)])
        };
        let batch = Batch {
            blocks: vec![block],
            changes: pending.into_changes().into(),
        };
        ledger.followers.apply(&batch).unwrap();
        let state = ledger.followers.state.snapshot().unwrap();
        assert!(state.get("orders", "k").unwrap().is_some());
        assert_eq!(state.get("orders$$q", "k").unwrap(), None);
        assert!(state.has_metadata("orders").unwrap());
        assert!(!state.has_metadata("orders$$q").unwrap());
        let view = ledger.followers.database.0.snapshot();
        let history = |namespace: &str| {
            let history = &ledger.shared.history;
            let writes = history.writes(&view, namespace, "k", None, None, Order::OldestFirst);
            writes.unwrap().count()
        };
        assert_eq!((history("orders"), history("orders$$q")), (1, 0));
    }
}
