//! The committing thread with full blocks, which do not wait for those before them to be on disk.
//! Guards against a transaction that is answered wrongly, twice or never.

use std::fs;
use std::time::Duration;

use quire_chaincode::Call;
use quire_ledger::disk::OsDisk;
use quire_ledger::{IndexError, IndexRequest, IndexState, Meter, Purpose};
use quire_peer::{Outcome, Proposal, SubmitError, Submitted};
use quire_wire::tx_id::tx_id;
use tokio::time::timeout;

use super::*;

const CALLERS: u64 = 4;

fn node(data: &Path) -> Node {
    let (documents, engine) = (Documents::default(), StateEngine::Fjall);
    let logging = Logging::none();
    Node::open(
        data,
        "Org1MSP",
        (&engine, 16 << 20),
        documents,
        logging,
        false,
    )
    .unwrap()
}

/// A channel with two transactions a block.
fn in_pairs(node: &Node, options: CreateOptions) -> (Arc<Pipeline>, JoinHandle<()>, Reader) {
    let signer = OrdererSigner(Arc::clone(&node.orderer));
    let genesis = genesis_block(
        "main",
        &node.organization,
        &node.orderer,
        &signer,
        clock::now(),
    );
    let ledger = node.ledgers.create("main", genesis, options).unwrap();
    let reader = ledger.reader();
    let (heights, _) = watch::channel(1);
    let mut parts = node.parts(ledger, heights).unwrap();
    parts.batch_size.max_message_count = 2;
    let (pipeline, thread) = pipeline::start(parts).unwrap();
    (pipeline, thread, reader)
}

fn submit(node: &Node, pipeline: &Pipeline, n: u64) -> Result<Submitted, SubmitError> {
    let call = Call {
        chaincode: "orders".to_owned(),
        function: "put".to_owned(),
        args: vec![format!("\"{}\"", n % 7).into(), format!("{n}").into()],
    };
    let nonce = pipeline::random_nonce();
    pipeline.submit(Proposal {
        identity: Arc::clone(&node.client),
        nonce,
        tx_id: tx_id(&nonce, node.client.serialized()),
        call,
        decoration: None,
        meter: Meter::default(),
    })
}

/// What all callers together submitted, each as `each` says.
fn by_callers(each: impl Fn() -> Vec<Submitted> + Sync) -> Vec<Submitted> {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(&each)).collect();
        let submitted = callers.into_iter().map(|caller| caller.join().unwrap());
        submitted.flatten().collect()
    })
}

/// What becomes of each; none where nobody will tell any more.
fn outcomes(submitted: Vec<Submitted>) -> Vec<(String, Option<Outcome>)> {
    const LONGEST: Duration = Duration::from_secs(60);
    let mut clock = tokio::runtime::Builder::new_current_thread();
    let clock = clock.enable_time().build().unwrap();
    let outcomes = submitted.into_iter().map(|submitted| {
        let outcome = clock.block_on(async { timeout(LONGEST, submitted.outcome).await });
        let outcome = outcome.expect("an answer in time");
        (submitted.tx_id, outcome.ok())
    });
    outcomes.collect()
}

/// What the ledger says of a transaction.
fn found(reader: &Reader, tx_id: &str) -> Option<Outcome> {
    let found = reader.transaction(tx_id).unwrap()?;
    Some(Outcome {
        block: found.height.block,
        tx: found.height.tx,
        code: found.code,
    })
}

/// Blocks of two: while any are on their way to the disk there are full ones that wait, begun with
/// before those are durable, and an odd one that must not be forgotten.
#[test]
fn every_transaction_is_answered_once_though_full_blocks_do_not_wait_for_the_disk() {
    const EACH: u64 = 151;
    let data = tempfile::tempdir().unwrap();
    let node = node(data.path());
    let (pipeline, thread, reader) = in_pairs(&node, CreateOptions::default());

    let submitted = by_callers(|| {
        let submitted = (0..EACH).map(|n| submit(&node, &pipeline, n).unwrap());
        submitted.collect()
    });
    let mut places = BTreeSet::new();
    for (tx_id, outcome) in outcomes(submitted) {
        let outcome = outcome.unwrap();
        assert_eq!(found(&reader, &tx_id), Some(outcome));
        assert!(outcome.code.is_valid());
        places.insert((outcome.block, outcome.tx));
    }
    assert_eq!(places.len() as u64, CALLERS * EACH);
    let full = places.iter().filter(|(_, tx)| *tx == 1).count();
    assert!(full > 0, "no block had two");
    pipeline.close();
    thread.join().unwrap();
    drop((pipeline, reader));
    let depth = Depth {
        signatures: true,
        verdicts: true,
    };
    let report = check_channel(&node.ledgers, "main", depth, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

/// The second block file cannot be made, because a folder has its name: what is to be written to it
/// never is, and everything before it is durable, also of the blocks that were to be committed together
/// when it failed: whoever waits for them is told.
#[test]
fn every_transaction_that_is_durable_before_a_write_that_fails_is_answered_and_no_other() {
    for segment_bytes in [1 << 20, 2 << 20, 3 << 20] {
        let data = tempfile::tempdir().unwrap();
        let node = node(data.path());
        let options = CreateOptions { segment_bytes };
        let (pipeline, thread, reader) = in_pairs(&node, options);
        let second = node.ledgers.channel_dir("main").join("blockfile_000001");
        fs::create_dir(&second).unwrap();
        let mut all = outcomes(vec![submit(&node, &pipeline, 0).unwrap()]);

        let submitted = by_callers(|| {
            let mut submitted = Vec::new();
            for n in 0.. {
                match submit(&node, &pipeline, n) {
                    Ok(one) => submitted.push(one),
                    Err(SubmitError::Overloaded { .. }) => std::thread::yield_now(),
                    Err(SubmitError::StorageFailed) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
            submitted
        });
        all.extend(outcomes(submitted));
        pipeline.close();
        thread.join().unwrap();
        drop((pipeline, reader, node));

        fs::remove_dir(&second).unwrap();
        let ledgers = Ledgers::open(Arc::new(OsDisk), data.path(), Purpose::Use).unwrap();
        let (ledger, _) = ledgers.ledger("main", &mut |_| {}).unwrap();
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

/// What is read goes on, and nothing is promised that only a restart can bring.
#[test]
fn a_channel_that_failed_refuses_indexes_for_its_storage_and_one_that_stops_because_it_does() {
    let request = |name: &str| {
        let body =
            format!(r#"{{"index": {{"fields": ["total"]}}, "ddoc": "d", "name": "{name}"}}"#);
        IndexRequest::parse(body.as_bytes()).unwrap()
    };
    for fails in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let node = node(data.path());
        let segment_bytes = 1 << 20;
        let (pipeline, thread, reader) = in_pairs(&node, CreateOptions { segment_bytes });
        let create = |name: &str| reader.create_index("orders", &request(name), Duration::ZERO);
        create("before").unwrap();
        if fails {
            let second = node.ledgers.channel_dir("main").join("blockfile_000001");
            fs::create_dir(&second).unwrap();
            while pipeline.failure().is_none() {
                match submit(&node, &pipeline, 0) {
                    Ok(_) | Err(SubmitError::StorageFailed) => (),
                    Err(SubmitError::Overloaded { .. }) => std::thread::yield_now(),
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        pipeline.close();
        thread.join().unwrap();
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
