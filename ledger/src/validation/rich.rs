//! Rich queries in read-write sets: how a query goes into a block, and whether it would still have the same
//! answer. Fabric has no such check, and no field for it that its decoders would not read; so a query is
//! stored as a range query of a namespace that no chaincode can have.
//!
//! ```text
//! namespace  orders$$q              queries of namespace orders
//! range      start_key, end_key     what was asked, and at which height, see query/asked.rs
//!            itr_exhausted          whether the reader came to the end; not needed to judge
//!            reads_info             keys and versions that answered, ordered by key
//! ```
//!
//! Such a namespace has nothing else and is never in state. The query is not run again, which would take time
//! for every document. Its answer is still right if
//!
//! 1. every row of the answer has the version that it had, and
//! 2. no key that was written since is a document that the query asks for.
//!
//! This gives the result of asking again, if the record was true at its height. A document that is asked for
//! now was either written since, which 2 refuses, or has the value that it had then, so that it was in the
//! answer. A row of the answer with its old version still has its value, so that it is still in the answer.
//! Conversely, the rows of the answer are older than the record's height, so a document that was written
//! since and is asked for is not among them. Signers who satisfy the endorsement policy can make a record
//! that is not true at its height, just as in Fabric they can make a read that nobody read.
//!
//! Fixed numbers bound the work, and a transaction that needs more loses ([`super::recent`]): they depend on
//! the blocks alone, like every step that is counted. Records of versions 1 and 2 do not say when they were
//! asked. They are not written any more, and are refused; those in old blocks are judged by
//! [`super::rescan`].

use quire_wire::Code;
use quire_wire::rwset::{KvRead, RangeQueryInfo};

use super::recent::{MAX_LAG, Recent, Unknown};
use super::record::rows_of;
use super::rescan;
use crate::error::ReadError;
use crate::model::block::Height;
use crate::query::asked::{Asked, Recorded};
use crate::query::document::Document;
use crate::query::work::{Meter, Spend};
use crate::validation::pending::Pending;

/// The steps for each byte of the texts that say what was asked.
const TEXT_STEPS: u64 = 10;
/// The steps for each step of a pattern when it is compiled.
const PATTERN_STEPS: u64 = 50;
/// The steps for finding the version of a row of the answer.
const ROW_STEPS: u64 = 500;
/// The steps for finding the value of a key that was written since. Each byte of the value takes one more,
/// and conditions on it are counted separately.
const KEY_STEPS: u64 = 300;

/// The first conflict among queries of a namespace.
pub(crate) fn judge(
    namespace: &str,
    queries: &[RangeQueryInfo],
    pending: &Pending<'_>,
    recent: &mut Recent,
    meter: &mut Meter,
) -> Result<Code, ReadError> {
    for query in queries {
        match judge_one(namespace, query, pending, recent, meter) {
            Ok(Code::VALID) => (),
            Ok(code) => return Ok(code),
            Err(Unknown::Unreadable(error)) => return Err(error),
            // A transaction that needs more than there is uses up the rest, so that the next does not begin
            // in vain.
            Err(Unknown::Exceeded) => {
                meter.exhaust();
                return Ok(Code::PHANTOM_READ_CONFLICT);
            }
        }
    }
    Ok(Code::VALID)
}

fn judge_one(
    namespace: &str,
    query: &RangeQueryInfo,
    pending: &Pending<'_>,
    recent: &mut Recent,
    meter: &mut Meter,
) -> Result<Code, Unknown> {
    let bytes = query.start_key.len() + query.end_key.len();
    meter.spend(Spend::Reading, TEXT_STEPS * bytes as u64)?;
    let Ok(Recorded { asked, height }) = Asked::read(&query.start_key, &query.end_key) else {
        return Ok(Code::BAD_RWSET);
    };
    let holds = match height {
        None => rescan::still_holds(namespace, &asked, query.reads_info.as_ref(), pending)?,
        Some(height) => {
            meter.spend(Spend::Patterns, PATTERN_STEPS * asked.pattern_steps())?;
            let question = Question {
                namespace,
                asked,
                height,
            };
            question.still_holds(rows_of(query), pending, recent, meter)?
        }
    };
    Ok(if holds {
        Code::VALID
    } else {
        Code::PHANTOM_READ_CONFLICT
    })
}

/// The query, with its namespace and height.
struct Question<'a> {
    namespace: &'a str,
    asked: Asked,
    height: u64,
}

impl Question<'_> {
    /// Whether these rows are still the answer.
    fn still_holds(
        &self,
        rows: &[KvRead],
        pending: &Pending<'_>,
        recent: &mut Recent,
        meter: &mut Meter,
    ) -> Result<bool, Unknown> {
        let lag = recent.number().checked_sub(self.height);
        if lag.is_none_or(|lag| lag > MAX_LAG) {
            return Ok(false);
        }
        for row in rows {
            meter.spend(Spend::Reading, ROW_STEPS)?;
            let version = pending.public_version(self.namespace, &row.key)?;
            if version != row.version.map(Height::from) {
                return Ok(false);
            }
        }
        let wanted = self.asked.wanted();
        let written = recent.written_since(self.height, self.namespace, meter)?;
        let written: Vec<&str> = written.iter().map(String::as_str).collect();
        let (mut left, mut most) = (written.as_slice(), pending.state.batch().max(1));
        while !left.is_empty() {
            let next = left.get(..most).unwrap_or(left);
            let values = pending.public_some(self.namespace, next)?;
            if values.len() < next.len() {
                most = values.len().max(1);
            }
            left = left.get(values.len().max(1)..).unwrap_or_default();
            for (key, value) in values {
                meter.spend(Spend::Reading, KEY_STEPS)?;
                // A key that was only named has not changed.
                let Some(value) = value.filter(|value| value.version.block >= self.height) else {
                    continue;
                };
                meter.spend(Spend::Reading, value.value.len() as u64)?;
                if let Some(document) = Document::parse(key, value.version, &value.value, &wanted)
                    && self.asked.includes(key, &document, meter)?
                {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quire_wire::Message as _;
    use quire_wire::rwset::{
        KvMetadataEntry, KvMetadataWrite, KvRwSet, KvWrite, NsReadWriteSet, TxReadWriteSet,
    };

    use super::*;
    use crate::model::batch::tests::durable;
    use crate::model::batch::{Batch, Durable};
    use crate::model::examined::{Examined, ReadWriteSet};
    use crate::validation::record::{Records, objection};
    use crate::validation::replay_block;
    use crate::{Ledgers, Order, Purpose, commit_hash, golden};
    use quire_disk::OsDisk;

    /// The bytes are those of `docs/format.md`: the present form, and earlier forms.
    #[test]
    fn records_of_before_are_read_and_taken_no_more() {
        for (written, now) in [
            (include_str!("../../tests/golden/rich-query-3.hex"), None),
            (
                include_str!("../../tests/golden/rich-query.hex"),
                Some(Code::BAD_RWSET),
            ),
        ] {
            let bytes = hex::decode(written.trim_end()).unwrap();
            let set = ReadWriteSet::read(bytes.into()).unwrap();
            assert_eq!(objection(&set, Records::OfAnyVersion), None);
            assert_eq!(objection(&set, Records::OfNow), now);
            let query = &set.namespaces[1].public.range_queries_info[0];
            let recorded = Asked::read(&query.start_key, &query.end_key).unwrap();
            assert_eq!(recorded.height, now.is_none().then_some(2));
            let keys: Vec<&str> = rows_of(query).iter().map(|row| row.key.as_str()).collect();
            assert_eq!(keys, ["k3", "k7"]);
        }
    }

    /// Somebody else judged this block valid, although it has writes beside queries.
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
