//! Private values stay with the node that simulated their transaction: the blocks have hashes, and values
//! that are read must match them.

use std::fs;
use std::path::Path;

use quire_ledger::{CreateOptions, KeepError, Ledger, Ledgers, Ordered, ReadError, Simulator};
use quire_wire::rwset::{NsPvtReadWriteSet, TxPvtReadWriteSet};
use quire_wire::tx_id::tx_id;

use crate::kit::{chain, open};

const COLLECTION: &str = "_implicit_org_Org1MSP";
const NS: &str = chain::NAMESPACE;

fn created(dir: &Path) -> (Ledgers, Ledger) {
    let ledgers = open(dir);
    let genesis = chain::genesis("main");
    let ledger = ledgers.create("main", genesis, CreateOptions::default());
    let ledger = ledger.unwrap();
    (ledgers, ledger)
}

fn simulator(ledger: &Ledger) -> Simulator {
    Simulator::new(ledger.reader().snapshot())
}

/// Simulates, keeps private values if `keeps`, and commits.
fn run(ledger: &mut Ledger, nonce: &str, keeps: bool, act: impl FnOnce(&mut Simulator)) -> String {
    let mut simulator = simulator(ledger);
    act(&mut simulator);
    let results = simulator.into_results();
    let id = tx_id(nonce.as_bytes(), b"creator");
    if keeps {
        ledger.reader().keep_private(&id, &results.private).unwrap();
    }
    let envelope = chain::endorsed("main", nonce, &results.public);
    let (height, hash) = ledger.tip();
    let block = chain::block(height, hash.to_vec().into(), vec![envelope]);
    ledger.commit(vec![Ordered::new(block, "main")]).unwrap();
    id
}

fn get(ledger: &Ledger, key: &str) -> Result<Option<String>, ReadError> {
    let value = simulator(ledger).get_private(NS, COLLECTION, key)?;
    Ok(value.map(|value| String::from_utf8(value.to_vec()).unwrap()))
}

fn put<'a>(rows: &'a [(&'a str, &'static str)]) -> impl FnOnce(&mut Simulator) + 'a {
    move |simulator| {
        for (key, value) in rows {
            simulator.put_private(NS, COLLECTION, key, (*value).into());
        }
    }
}

#[test]
fn a_private_value_is_read_where_it_was_simulated_also_after_a_restart_and_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let (ledgers, mut ledger) = created(dir.path());
    run(
        &mut ledger,
        "1",
        true,
        put(&[("a", "1"), ("b", "2"), ("c", "3")]),
    );
    run(&mut ledger, "2", true, put(&[("b", "two")]));
    run(&mut ledger, "3", true, |simulator| {
        simulator.delete_private(NS, COLLECTION, "c");
    });
    drop((ledger, ledgers));
    for lose_derived in [false, true] {
        if lose_derived {
            fs::remove_dir_all(dir.path().join("derived")).unwrap();
        }
        let ledgers = open(dir.path());
        let (ledger, _) = ledgers.ledger("main", &mut |_| {}).unwrap();
        assert_eq!(get(&ledger, "a").unwrap().as_deref(), Some("1"));
        assert_eq!(get(&ledger, "b").unwrap().as_deref(), Some("two"));
        assert_eq!(get(&ledger, "c").unwrap(), None);
        assert_eq!(get(&ledger, "d").unwrap(), None);
        let rows = |start, end| {
            let rows = simulator(&ledger).private_range(NS, COLLECTION, start, end);
            let rows = rows.unwrap().into_iter();
            rows.map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(rows("", ""), ["a", "b"]);
        assert_eq!(
            (rows("b", ""), rows("", "b")),
            (vec!["b".to_owned()], vec!["a".to_owned()])
        );
    }
}

#[test]
fn a_private_value_that_others_simulated_is_told_to_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = created(dir.path());
    run(&mut ledger, "1", false, put(&[("a", "1")]));
    let refused = get(&ledger, "a");
    assert!(
        matches!(refused, Err(ReadError::PrivateMissing { .. })),
        "{refused:?}"
    );
    let hash = simulator(&ledger)
        .private_hash(NS, COLLECTION, "a")
        .unwrap();
    assert_eq!(hash.unwrap()[..], quire_wire::hash::sha256([&b"1"[..]]));
}

#[test]
fn a_private_value_whose_metadata_changed_later_is_found_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = created(dir.path());
    run(&mut ledger, "1", true, put(&[("a", "1")]));
    run(&mut ledger, "2", true, |simulator| {
        let metadata = [("m".to_owned(), "x".into())].into_iter().collect();
        simulator.set_private_metadata(NS, COLLECTION, "a", metadata);
    });
    assert_eq!(get(&ledger, "a").unwrap().as_deref(), Some("1"));
}

#[test]
fn a_damaged_private_set_and_one_of_a_transaction_that_did_not_come_are_never_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = created(dir.path());
    let id = run(&mut ledger, "1", true, put(&[("a", "1")]));
    let mut never = simulator(&ledger);
    never.put_private(NS, COLLECTION, "a", "other".into());
    let other = tx_id(b"never", b"creator");
    let kept = ledger
        .reader()
        .keep_private(&other, &never.into_results().private);
    kept.unwrap();
    assert_eq!(get(&ledger, "a").unwrap().as_deref(), Some("1"));
    let file = dir.path().join("channels/main/private").join(id);
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x11;
        fs::write(&file, bytes).unwrap();
        // The height at which a value was kept is not part of the value, nor is the model's number.
        match get(&ledger, "a") {
            Ok(value) => assert_eq!(value.as_deref(), Some("1"), "byte {at}"),
            Err(error) => assert!(matches!(error, ReadError::PrivateMissing { .. })),
        }
    }
}

#[test]
fn the_private_set_of_a_transaction_is_not_replaced_by_what_it_writes_when_simulated_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = created(dir.path());
    let written = |ledger: &Ledger, value| {
        let mut simulator = simulator(ledger);
        put(&[("a", value)])(&mut simulator);
        simulator.into_results().private
    };
    let keep = |ledger: &Ledger, id: &str, value| {
        let set = written(ledger, value);
        ledger.reader().keep_private(id, &set)
    };
    let waiting = tx_id(b"waiting", b"creator");
    keep(&ledger, &waiting, "1").unwrap();
    let committed = run(&mut ledger, "1", true, put(&[("a", "1")]));
    for id in [waiting, committed] {
        let refused = keep(&ledger, &id, "2");
        assert!(matches!(refused, Err(KeepError::Differs(_))), "{refused:?}");
        keep(&ledger, &id, "1").unwrap();
        let kept = ledger.reader().private_set(&id).unwrap();
        assert_eq!(kept, written(&ledger, "1"));
    }
    assert_eq!(get(&ledger, "a").unwrap().as_deref(), Some("1"));
}

#[test]
fn private_sets_that_wait_are_bounded_and_old_ones_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let (_ledgers, mut ledger) = created(dir.path());
    let reader = ledger.reader();
    let set = |bytes: usize| TxPvtReadWriteSet {
        data_model: 0,
        ns_pvt_rwset: vec![NsPvtReadWriteSet {
            namespace: "x".repeat(bytes),
            collection_pvt_rwset: Vec::new(),
        }],
    };
    let id = |number: usize| tx_id(&number.to_be_bytes(), b"creator");
    assert!(matches!(
        reader.keep_private("../x", &set(1)),
        Err(KeepError::NotAnId(_))
    ));
    assert!(matches!(
        reader.keep_private(&id(0), &set(5 << 20)),
        Err(KeepError::TooLarge(_))
    ));
    let full = (0..99).find(|number| reader.keep_private(&id(*number), &set(3 << 20)).is_err());
    assert_eq!(full, Some(21), "of 64 MiB");
    let refused = reader.keep_private(&id(100), &set(3 << 20));
    assert!(matches!(refused, Err(KeepError::Full)), "{refused:?}");
    // This is one block more than such a set waits for.
    let acts: Vec<_> = (0..1001)
        .map(|number| vec![chain::Act::new(format!("act {number}"))])
        .collect();
    chain::commit(&mut ledger, "main", &acts).unwrap();
    reader.keep_private(&id(100), &set(3 << 20)).unwrap();
    let left = fs::read_dir(dir.path().join("channels/main/private")).unwrap();
    assert_eq!(left.count(), 1);
}
