//! The committing thread with full blocks, which do not wait until the blocks before them are on disk. These
//! tests guard against a transaction that is answered wrongly, twice or never.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use quire_ledger::check::{Depth, check_channel};
use quire_ledger::{CreateOptions, IndexError, IndexRequest, IndexState, Reader};
use quire_peer::{Outcome, SubmitError, Submitted};

use crate::kit::{CHANNEL, Node, ledgers, outcome};

const CALLERS: u64 = 4;

/// What all callers together submitted; each caller runs `each`.
fn by_callers(each: impl Fn() -> Vec<Submitted> + Sync) -> Vec<Submitted> {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(&each)).collect();
        let submitted = callers.into_iter().map(|caller| caller.join().unwrap());
        submitted.flatten().collect()
    })
}

/// The outcome of each; `None` if nobody will tell it any more.
fn outcomes(submitted: Vec<Submitted>) -> Vec<(String, Option<Outcome>)> {
    let outcomes = submitted.into_iter();
    outcomes
        .map(|submitted| (submitted.tx_id, outcome(submitted.outcome)))
        .collect()
}

/// What the ledger says of a transaction.
fn found(reader: &Reader, tx_id: &str) -> Option<Outcome> {
    let found = reader.transaction(tx_id).unwrap()?;
    Some(Outcome {
        block: found.height.block,
        tx: found.height.tx,
        code: found.code,
        is_ours: true,
    })
}

/// Blocks have two transactions. While some blocks are on their way to the disk, full blocks wait and are
/// begun before the former are durable, and an odd transaction must not be forgotten.
#[test]
fn every_transaction_is_answered_once_though_full_blocks_do_not_wait_for_the_disk() {
    const EACH: u64 = 151;
    let node = Node::new();
    let channel = node.channel(2, CreateOptions::default());

    let submitted = by_callers(|| {
        let submitted = (0..EACH).map(|n| node.submit(&channel, n).unwrap());
        submitted.collect()
    });
    let mut places = BTreeSet::new();
    for (tx_id, outcome) in outcomes(submitted) {
        let outcome = outcome.unwrap();
        assert_eq!(found(channel.reader(), &tx_id), Some(outcome));
        assert!(outcome.code.is_valid());
        places.insert((outcome.block, outcome.tx));
    }
    assert_eq!(places.len() as u64, CALLERS * EACH);
    let full = places.iter().filter(|(_, tx)| *tx == 1).count();
    assert!(full > 0, "no block had two");
    channel.stop();
    let depth = Depth {
        signatures: true,
        verdicts: true,
    };
    let report = check_channel(&node.ledgers, CHANNEL, depth, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

/// The second block file cannot be made, because a folder has its name. Nothing is written to it, and
/// everything before it is durable, also in the group of blocks whose commit failed: those who wait for them
/// are told.
#[test]
fn every_transaction_that_is_durable_before_a_write_that_fails_is_answered_and_no_other() {
    for segment_bytes in [1 << 20, 2 << 20, 3 << 20] {
        let node = Node::new();
        let channel = node.channel(2, CreateOptions { segment_bytes });
        let second = node.ledgers.channel_dir(CHANNEL).join("blockfile_000001");
        fs::create_dir(&second).unwrap();
        let mut all = outcomes(vec![node.submit(&channel, 0).unwrap()]);

        let submitted = by_callers(|| {
            let mut submitted = Vec::new();
            for n in 0.. {
                match node.submit(&channel, n) {
                    Ok(one) => submitted.push(one),
                    Err(SubmitError::Overloaded { .. }) => std::thread::yield_now(),
                    Err(SubmitError::StorageFailed) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
            submitted
        });
        all.extend(outcomes(submitted));
        channel.stop();
        let dir = Arc::clone(&node.dir);
        drop(node);

        fs::remove_dir(&second).unwrap();
        let ledgers = ledgers(&dir.path().join("data"));
        let (ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        let reader = ledger.reader();
        let mut answered = 0;
        for (tx_id, outcome) in &all {
            assert_eq!(found(&reader, tx_id), *outcome, "{tx_id}");
            answered += usize::from(outcome.is_some());
        }
        println!("{segment_bytes}: {answered} of {} answered", all.len());
        assert!(answered > 0 && answered < all.len());
    }
}

/// Reads go on, and nothing is promised that only a restart can do.
#[test]
fn a_channel_that_failed_refuses_indexes_for_its_storage_and_one_that_stops_because_it_does() {
    let request = |name: &str| {
        let body =
            format!(r#"{{"index": {{"fields": ["total"]}}, "ddoc": "d", "name": "{name}"}}"#);
        IndexRequest::parse(body.as_bytes()).unwrap()
    };
    for fails in [true, false] {
        let node = Node::new();
        let segment_bytes = 1 << 20;
        let channel = node.channel(2, CreateOptions { segment_bytes });
        let reader = channel.reader().clone();
        let create = |name: &str| reader.create_index("orders", &request(name), Duration::ZERO);
        create("before").unwrap();
        if fails {
            let second = node.ledgers.channel_dir(CHANNEL).join("blockfile_000001");
            fs::create_dir(&second).unwrap();
            while channel.peer().failure().is_none() {
                match node.submit(&channel, 0) {
                    Ok(_) | Err(SubmitError::StorageFailed) => (),
                    Err(SubmitError::Overloaded { .. }) => std::thread::yield_now(),
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        channel.stop();
        let refused = create("after").unwrap_err();
        let kept = reader.delete_index("orders", "d", "before").unwrap_err();
        for refused in [refused, kept] {
            match refused {
                IndexError::Failed => assert!(fails),
                IndexError::Closed => assert!(!fails),
                other => panic!("{other}"),
            }
        }
        let is_building = |state: &IndexState| matches!(state, IndexState::Building { .. });
        assert!(!fails || !reader.index_states().iter().any(is_building));
        assert!(!reader.indexes("orders").is_empty());
    }
}

/// A client that has heard its outcome asks for the newest block, and finds its own.
#[test]
fn whoever_learns_an_outcome_finds_its_block_at_the_height() {
    let node = Node::new();
    let channel = node.channel(1, CreateOptions::default());
    let heights = channel.0.channel.heights.clone();
    for n in 0..300 {
        let submitted = node.submit(&channel, n).unwrap();
        let outcome = outcome(submitted.outcome).unwrap();
        assert!(*heights.borrow() > outcome.block, "{n}");
    }
    channel.stop();
}
