//! Blocks that are judged while earlier blocks are written and followed.
//!
//! These tests guard against a verdict that depends on the progress of other threads.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use quire_ledger::{
    CreateOptions, Event, Height, Ledgers, Observer, Purpose, RangeEnd, Reader, Stage,
};
use quire_wire::Code;
use quire_wire::rwset::{QueryReads, RangeQueryInfo, ReadsInfo};

use crate::kit::chain::{self, Act, NAMESPACE};
use crate::kit::{os_disk, scratch};

const CHANNEL: &str = "main";

/// Stops the following thread from showing its blocks until three batches were judged, and tells what reads
/// saw then.
#[derive(Debug, Default)]
struct Hold {
    judged: Mutex<Judged>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Judged {
    batches: u64,
    reader: Option<Reader>,
    /// The height that reads saw when the third batch had been judged.
    height: Option<u64>,
}

impl Observer for Hold {
    fn observe(&self, _channel: &str, event: &Event<'_>) {
        let mut judged = self.judged.lock().unwrap();
        match event {
            Event::Took(Stage::Judge, _) => {
                judged.batches += 1;
                if judged.batches == 3 {
                    judged.height = judged.reader.as_ref().map(Reader::height);
                }
                self.changed.notify_all();
            }
            Event::Took(Stage::State, _) => {
                let is_early = |judged: &mut Judged| judged.reader.is_some() && judged.batches < 3;
                let most = Duration::from_secs(60);
                let waited = self.changed.wait_timeout_while(judged, most, is_early);
                assert!(!waited.unwrap().1.timed_out());
            }
            _ => (),
        }
    }
}

/// A transaction that reads all keys from `a` to `c`, and finds these rows.
fn reads_range(nonce: &str, rows: &[(&str, Height)]) -> Act {
    let mut act = Act::new(nonce);
    let rows = rows.iter().map(|(key, version)| {
        let read = Act::default().read(key, Some(*version));
        read.set.reads[0].clone()
    });
    act.set.range_queries_info.push(RangeQueryInfo {
        start_key: "a".into(),
        end_key: "d".into(),
        itr_exhausted: true,
        reads_info: Some(ReadsInfo::RawReads(QueryReads {
            kv_reads: rows.collect(),
        })),
    });
    act
}

#[test]
fn blocks_are_judged_by_those_before_that_nobody_sees_yet() {
    let root = scratch();
    let hold = Arc::new(Hold::default());
    let ledgers = Ledgers::open(os_disk(), root.path(), Purpose::Use).unwrap();
    let ledgers = ledgers.observed_by(Arc::clone(&hold) as Arc<dyn Observer>);
    let genesis = chain::genesis(CHANNEL);
    let mut ledger = ledgers
        .create(CHANNEL, genesis, CreateOptions::default())
        .unwrap();
    let base = Act::new("base").put("a", "1").put("b", "1").put("x", "1");
    chain::commit(&mut ledger, CHANNEL, &[vec![base]]).unwrap();
    *hold.judged.lock().unwrap() = Judged {
        reader: Some(ledger.reader()),
        ..Judged::default()
    };

    let [base, first, second] = [1, 2, 3].map(|block| Height::new(block, 0));
    let follows = Act::new("first")
        .put("a", "2")
        .put("c", "2")
        .delete("b")
        .metadata("x", "owner");
    let is_written = Act::new("second").put("a", "3");
    let read = |key: &str, version| Act::new(format!("{key} {version:?}")).read(key, version);
    let judged = [
        (Act::new("first").put("y", "4"), Code::DUPLICATE_TXID),
        (Act::new("second").put("y", "4"), Code::DUPLICATE_TXID),
        (read("a", Some(base)), Code::MVCC_READ_CONFLICT),
        (read("a", Some(first)), Code::MVCC_READ_CONFLICT),
        (read("a", Some(second)), Code::VALID),
        (read("b", Some(base)), Code::MVCC_READ_CONFLICT),
        (read("b", None), Code::VALID),
        (read("c", None), Code::MVCC_READ_CONFLICT),
        (read("c", Some(first)), Code::VALID),
        (
            reads_range("range of base", &[("a", base), ("b", base)]),
            Code::PHANTOM_READ_CONFLICT,
        ),
        (
            reads_range("range of now", &[("a", second), ("c", first)]),
            Code::VALID,
        ),
        (Act::new("keeps metadata").put("x", "4"), Code::VALID),
    ];
    let (acts, expected): (Vec<Act>, Vec<Code>) = judged.into_iter().unzip();
    let blocks = [vec![follows], vec![is_written], acts];
    let committed = chain::commit_one_by_one(&mut ledger, CHANNEL, &blocks).unwrap();

    assert_eq!(hold.judged.lock().unwrap().height, Some(2));
    let codes = committed[2].transactions.iter().map(|(_, code)| *code);
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    let rows = ledger.reader().snapshot();
    let rows = rows.range(NAMESPACE, "a", RangeEnd::Unbounded, 10).unwrap();
    let values: Vec<_> = rows
        .iter()
        .map(|(key, row)| (key.as_str(), &row.value[..], row.version))
        .collect();
    let last = Height::new(4, 11);
    let now: [(&str, &[u8], Height); 3] =
        [("a", b"3", second), ("c", b"2", first), ("x", b"4", last)];
    assert_eq!(values, now);
    assert!(!rows[2].1.metadata.is_empty());
}
