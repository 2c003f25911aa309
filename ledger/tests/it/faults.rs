//! Operations that fail while the process lives: EIO, ENOSPC, short writes, failed syncs, at every
//! place of a workload in turn.
//!
//! These tests guard against trusting a sync after one that failed, and against a half-done operation after
//! which a ledger never opens again.

use std::fs;

use quire_ledger::{CommitError, CreateOptions, Ledger, Ledgers, Purpose};

use crate::kit::chain::{self, Act};
use crate::kit::image::Loss;
use crate::kit::sim_disk::{Fault, Plan, SimDisk};
use crate::kit::{check, scratch};

const CHANNEL: &str = "alpha";
const OPTIONS: CreateOptions = CreateOptions {
    segment_bytes: 1500,
};

fn open(disk: &SimDisk, data: &std::path::Path) -> Result<Ledgers, quire_ledger::OpenError> {
    Ledgers::open(disk.shared(), data, Purpose::Use)
}

/// Runs until something fails, and returns how many blocks were acknowledged. With `ahead`, each batch begins
/// while the one before is on its way to the disk.
fn run(disk: &SimDisk, data: &std::path::Path, ahead: bool) -> u64 {
    let Ok(ledgers) = open(disk, data) else {
        return 0;
    };
    let Ok(mut ledger) = ledgers.create(CHANNEL, chain::genesis(CHANNEL), OPTIONS) else {
        return 0;
    };
    if ahead {
        return run_ahead(&mut ledger);
    }
    for round in 0..4_u64 {
        let act = |n: u64| Act::new(format!("{round} {n}")).put("k", vec![1; 200]);
        let batch = vec![vec![act(0)], vec![act(1), act(2)]];
        let height = ledger.tip().0;
        match chain::commit(&mut ledger, CHANNEL, &batch) {
            Ok(committed) => assert_eq!(committed.len(), 2),
            Err(error) => {
                assert!(matches!(error, CommitError::NotDurable { .. }), "{error}");
                // Blocks in a block file of their own are durable nevertheless, and returned.
                let part = ledger.finish().map_or(0, |committed| committed.len());
                assert!(part < 2, "{part}");
                let height = height + part as u64;
                // There are no more writes, but reads go on.
                let again = chain::commit(&mut ledger, CHANNEL, &batch);
                assert!(matches!(again, Err(CommitError::Poisoned)));
                for block in ledger.reader().blocks(0) {
                    block.unwrap();
                }
                assert_eq!(ledger.reader().height(), height);
                return height;
            }
        }
    }
    ledger.tip().0
}

/// Commits four batches of two blocks, and returns how many blocks were acknowledged and are visible.
fn run_ahead(ledger: &mut Ledger) -> u64 {
    let acknowledged = begin_all(ledger);
    assert_eq!(ledger.reader().height(), acknowledged);
    acknowledged
}

fn begin_all(ledger: &mut Ledger) -> u64 {
    let act = |n: u64| Act::new(format!("{n}")).put("k", vec![1; 200]);
    let blocks: Vec<_> = (0..8).map(|n| vec![act(n)]).collect();
    let mut blocks = chain::children(CHANNEL, ledger.tip(), &blocks).into_iter();
    let mut acknowledged = ledger.tip().0;
    while blocks.len() > 0 {
        match ledger.begin(blocks.by_ref().take(2).collect()) {
            Ok(committed) => acknowledged += committed.len() as u64,
            Err(error) => {
                return acknowledged + failed(ledger, &error);
            }
        }
    }
    match ledger.finish() {
        Ok(committed) => acknowledged + committed.len() as u64,
        Err(error) => acknowledged + failed(ledger, &error),
    }
}

/// How many blocks were committed before the failure and not returned.
fn failed(ledger: &mut Ledger, error: &CommitError) -> u64 {
    assert!(matches!(error, CommitError::NotDurable { .. }), "{error}");
    let before = ledger.finish().map_or(0, |committed| committed.len());
    assert!(matches!(ledger.finish(), Err(CommitError::Poisoned)));
    before as u64
}

#[test]
fn an_operation_that_fails_loses_nothing_acknowledged_and_the_next_start_recovers() {
    let mut tried = 0;
    for (fault, ahead) in [
        (Fault::Io, false),
        (Fault::Full, false),
        (Fault::Io, true),
        (Fault::Full, true),
    ] {
        for step in 0.. {
            let root = scratch();
            let data = root.path().join("data");
            fs::create_dir_all(&data).unwrap();
            let disk = SimDisk::new(root.path());
            let change = Some((step, fault));
            disk.plan(Plan { change, read: None });
            let acknowledged = run(&disk, &data, ahead);
            if disk.changes() <= step {
                assert_eq!(acknowledged, 9);
                break;
            }
            // It is the same machine, so everything cached is there, synced or not.
            let ledgers = open(&disk, &data).unwrap();
            let shown = height(&ledgers);
            assert!(
                (acknowledged..=acknowledged + 2).contains(&shown),
                "{fault:?} at {step}: {shown} of {acknowledged}"
            );
            drop(ledgers);
            // What was shown is durable, although a sync failed once.
            let disk = SimDisk::of(root.path(), disk.image().after_power_loss(Loss::None));
            let ledgers = open(&disk, &data).unwrap();
            assert_eq!(height(&ledgers), shown, "{fault:?} at {step}");
            tried += 1;
        }
    }
    println!("{tried} failing changes tried");
    assert!(tried > 50);
}

/// The checked height of the channel; 0 if it does not exist.
fn height(ledgers: &Ledgers) -> u64 {
    if ledgers.record(CHANNEL).unwrap().is_none() {
        return 0;
    }
    let (ledger, report) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    drop(ledger);
    let checked = check(ledgers, CHANNEL);
    assert_eq!((checked.findings, checked.notes), (vec![], vec![]));
    report.height
}

#[test]
fn a_read_that_fails_is_an_error_and_changes_nothing() {
    let root = scratch();
    let data = root.path().join("data");
    fs::create_dir_all(&data).unwrap();
    let disk = SimDisk::new(root.path());
    assert_eq!(run(&disk, &data, false), 9);
    let before = disk.image().files(&data);
    let mut refused = 0;
    for with_followers in [true, false] {
        for read in 0.. {
            if !with_followers {
                fs::remove_dir_all(data.join("derived")).unwrap();
            }
            disk.plan(Plan {
                change: None,
                read: Some(read),
            });
            let opened = open(&disk, &data)
                .and_then(|ledgers| ledgers.ledger(CHANNEL, &mut |_| {}).map(|_| ()));
            let met = disk.reads() > read;
            refused += usize::from(opened.is_err());
            assert_eq!(disk.image().files(&data), before, "read {read}");
            disk.plan(Plan::default());
            assert_eq!(height(&open(&disk, &data).unwrap()), 9);
            if !met {
                break;
            }
        }
    }
    println!("{refused} starts refused for a read that failed");
    assert!(refused > 10);
}
