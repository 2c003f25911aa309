//! Pausing, resuming and removing a channel, and a power loss at every step of each.

use std::fs;
use std::path::Path;

use quire_ledger::{CreateOptions, Ledgers, OpenError, Purpose, Status};
use tempfile::TempDir;

use crate::kit::chain::{self, Act};
use crate::kit::image::Loss;
use crate::kit::sim_disk::SimDisk;
use crate::kit::{check, copy_dir, open, scratch};

const OPTIONS: CreateOptions = CreateOptions {
    segment_bytes: 2000,
};

/// Channels alpha and beta, with some blocks each.
fn make(ledgers: &Ledgers) {
    for name in ["alpha", "beta"] {
        let genesis = chain::genesis(name);
        let mut ledger = ledgers.create(name, genesis, OPTIONS).unwrap();
        let act = |n: usize| vec![Act::new(format!("tx {n}")).put(&format!("k{n}"), vec![7; 300])];
        let blocks: Vec<_> = (0..6).map(act).collect();
        chain::commit(&mut ledger, name, &blocks).unwrap();
    }
}

#[test]
fn a_paused_channel_is_there_and_goes_on_when_it_is_resumed() {
    let dir = scratch();
    make(&open(dir.path()));
    let ledgers = open(dir.path());
    assert!(ledgers.pause("alpha").unwrap());
    assert!(!ledgers.pause("alpha").unwrap());
    assert_eq!(ledgers.existing("alpha").unwrap().status, Status::Inactive);
    drop(ledgers);
    let ledgers = open(dir.path());
    assert!(ledgers.resume("alpha").unwrap());
    assert!(!ledgers.resume("alpha").unwrap());
    let (mut ledger, report) = ledgers.ledger("alpha", &mut |_| {}).unwrap();
    assert_eq!(report.height, 7);
    chain::commit(&mut ledger, "alpha", &[vec![Act::new("after")]]).unwrap();
    let refused = ledgers.pause("none").unwrap_err();
    assert!(matches!(refused, OpenError::NoSuchChannel(_)), "{refused}");
}

#[test]
fn a_removed_channel_leaves_nothing_and_its_name_is_free() {
    let dir = scratch();
    make(&open(dir.path()));
    let ledgers = open(dir.path());
    assert!(ledgers.remove_for_good("alpha").unwrap() > 2000);
    assert!(!ledgers.channel_dir("alpha").exists());
    drop(ledgers);
    let ledgers = open(dir.path());
    let names: Vec<_> = ledgers
        .list()
        .unwrap()
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(names, ["beta"]);
    let genesis = chain::genesis("alpha");
    let ledger = ledgers.create("alpha", genesis, OPTIONS).unwrap();
    assert_eq!(ledger.tip().0, 1);
    drop(ledger);
    for name in ["alpha", "beta"] {
        assert!(check(&ledgers, name).is_sound());
    }
}

/// Does `change` on a simulated disk, and opens what every loss of power in it leaves: `judge` says whether the
/// change has happened.
fn crashes(change: impl Fn(&Ledgers), judge: impl Fn(&Ledgers, &str) -> bool) {
    let root: TempDir = scratch();
    let (data, derived) = (root.path().join("data"), root.path().join("data/derived"));
    fs::create_dir_all(&data).unwrap();
    let disk = SimDisk::new(root.path());
    let opened = |disk: &SimDisk| Ledgers::open(disk.shared(), &data, Purpose::Use).unwrap();
    make(&opened(&disk));
    disk.record();
    let ledgers = opened(&disk);
    change(&ledgers);
    drop(ledgers);
    let after = root.path().join("after");
    copy_dir(&derived, &after);
    let engine = |copy: Option<&Path>| {
        fs::remove_dir_all(&derived).unwrap();
        fs::create_dir_all(&derived).unwrap();
        if let Some(copy) = copy {
            copy_dir(copy, &derived);
        }
    };
    let (mut before, mut done) = (0, 0);
    for moment in disk.take_moments() {
        let losses = [Loss::None, Loss::All, Loss::LengthsOnly];
        for loss in losses.into_iter().chain((0..2).map(Loss::Torn)) {
            let image = moment.image.clone().after_power_loss(loss);
            engine(
                Some(&after)
                    .filter(|_| loss != Loss::None)
                    .map(std::path::PathBuf::as_path),
            );
            let disk = SimDisk::of(root.path(), image);
            let ledgers = opened(&disk);
            let what = format!("{loss:?} before {}", moment.what);
            if judge(&ledgers, &what) {
                done += 1;
            } else {
                before += 1;
            }
            let (ledger, report) = ledgers.ledger("beta", &mut |_| {}).unwrap();
            assert_eq!(report.height, 7, "{what}");
            drop(ledger);
            assert!(check(&ledgers, "beta").is_sound(), "{what}");
        }
    }
    assert!(before > 0 && done > 0, "{before} before, {done} after");
}

/// Whether a channel is whole.
fn is_whole(ledgers: &Ledgers, what: &str) {
    let (ledger, report) = ledgers.ledger("alpha", &mut |_| {}).unwrap();
    assert_eq!(report.height, 7, "{what}");
    drop(ledger);
    assert!(check(ledgers, "alpha").is_sound(), "{what}");
}

#[test]
fn a_removal_that_loses_power_is_finished_by_the_next_start_or_was_not_begun() {
    let remove = |ledgers: &Ledgers| assert!(ledgers.remove_for_good("alpha").unwrap() > 0);
    crashes(remove, |ledgers, what| {
        if ledgers.record("alpha").unwrap().is_none() {
            let left = ledgers.channel_dir("alpha");
            assert!(!left.exists(), "{what}");
            let genesis = chain::genesis("alpha");
            drop(ledgers.create("alpha", genesis, OPTIONS).unwrap());
            return true;
        }
        is_whole(ledgers, what);
        false
    });
}

#[test]
fn a_pause_that_loses_power_has_happened_or_not() {
    let pause = |ledgers: &Ledgers| assert!(ledgers.pause("alpha").unwrap());
    crashes(pause, |ledgers, what| {
        is_whole(ledgers, what);
        ledgers.existing("alpha").unwrap().status == Status::Inactive
    });
}
