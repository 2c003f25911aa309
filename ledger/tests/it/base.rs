//! A chain that begins at a block above 0: its blocks are as safe as in any other chain, and lower blocks are
//! reported to be elsewhere.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use quire_ledger::check::{Kind, Report};
use quire_ledger::{
    Base, CommitError, CreateOptions, Follower, Ledger, Next, OpenError, ReadError, StoredBlocks,
};
use quire_wire::hash::Hash;

use crate::kit::{chain, chain::Act, check, open, os_disk};

const FIRST: u64 = 300;
/// The number of blocks in the chain.
const BLOCKS: u64 = 6;

fn base() -> Base {
    Base {
        block: NonZeroU64::new(FIRST).unwrap(),
        previous_hash: [7; 32],
        previous_commit_hash: Some([8; 32]),
    }
}

fn act(number: u64) -> Act {
    Act::new(format!("act {number}")).put("key", format!("{number}"))
}

/// A data directory with a closed channel of [`BLOCKS`] blocks from [`FIRST`] on, two in each file, and the
/// hashes of the blocks.
fn directory() -> (tempfile::TempDir, Vec<Hash>) {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = open(dir.path());
    let options = CreateOptions {
        segment_bytes: 2000,
    };
    let mut ledger = ledgers.create_at("main", base(), options).unwrap();
    assert_eq!(ledger.tip(), (FIRST, [7; 32]));
    let mut hashes = Vec::new();
    for number in FIRST..FIRST + BLOCKS {
        let committed = chain::commit(&mut ledger, "main", &[vec![act(number)]]).unwrap();
        hashes.extend(committed.iter().map(|block| block.hash));
    }
    drop(ledger);
    (dir, hashes)
}

fn assert_whole(ledger: &Ledger, hashes: &[Hash]) {
    let reader = ledger.reader();
    assert_eq!(ledger.tip(), (FIRST + BLOCKS, *hashes.last().unwrap()));
    assert_eq!(reader.base(), FIRST);
    for (number, hash) in (FIRST..).zip(hashes) {
        assert_eq!(reader.block(number).unwrap().unwrap().hash(), *hash);
        assert_eq!(reader.block_number_by_hash(hash).unwrap(), Some(number));
        let found = reader.transaction(&act(number).tx_id()).unwrap().unwrap();
        assert_eq!(found.height.block, number);
    }
    let value = reader.snapshot().get(chain::NAMESPACE, "key").unwrap();
    let newest = FIRST + BLOCKS - 1;
    assert_eq!(value.unwrap().value, newest.to_string());
}

fn assert_sound(dir: &Path) -> Report {
    let report = check(&open(dir), "main");
    assert_eq!(report.findings, [], "{report:?}");
    report
}

fn blockfiles(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("channels/main")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("blockfile_")
    });
    files.sort();
    files
}

#[test]
fn a_chain_with_a_base_is_read_after_every_start_and_after_the_loss_of_what_is_derived() {
    let (dir, hashes) = directory();
    assert!(blockfiles(dir.path()).len() > 1);
    for lose_derived in [false, true] {
        if lose_derived {
            fs::remove_dir_all(dir.path().join("derived")).unwrap();
        }
        let ledgers = open(dir.path());
        let (ledger, report) = ledgers.ledger("main", &mut |_| {}).unwrap();
        assert_eq!(report.height, FIRST + BLOCKS);
        assert_eq!(report.replayed, if lose_derived { BLOCKS } else { 0 });
        assert_whole(&ledger, &hashes);
        drop((ledger, ledgers));
        assert_eq!(assert_sound(dir.path()).blocks, BLOCKS);
    }
    let ledgers = open(dir.path());
    let (ledger, _) = ledgers.rebuild("main", Follower::ALL, &mut |_| {}).unwrap();
    assert_whole(&ledger, &hashes);
}

#[test]
fn a_block_below_the_base_is_told_to_be_elsewhere() {
    let (dir, _) = directory();
    let ledgers = open(dir.path());
    let (ledger, _) = ledgers.ledger("main", &mut |_| {}).unwrap();
    for number in [0, 1, FIRST - 1] {
        let refused = ledger.reader().block(number);
        assert!(
            matches!(refused, Err(ReadError::BelowBase { number: asked, base: FIRST }) if asked == number),
            "{refused:?}"
        );
    }
    let stored = StoredBlocks::open(&os_disk(), dir.path(), "main").unwrap();
    let refused = stored.from(FIRST - 1).map(drop);
    assert!(
        matches!(refused, Err(OpenError::BelowBase { base: FIRST, .. })),
        "{refused:?}"
    );
    let mut blocks = stored.from(FIRST).unwrap();
    let Next::Block(first) = blocks.next().unwrap() else {
        panic!("no block {FIRST}");
    };
    assert_eq!(first.number, FIRST);
    assert_eq!(
        stored.newest().unwrap().0.unwrap().number,
        FIRST + BLOCKS - 1
    );
}

#[test]
fn a_chain_with_a_base_and_no_block_yet_tells_its_base() {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = open(dir.path());
    drop(
        ledgers
            .create_at("main", base(), CreateOptions::default())
            .unwrap(),
    );
    let (ledger, report) = ledgers.ledger("main", &mut |_| {}).unwrap();
    let info = ledger.reader().info().unwrap();
    assert_eq!(
        (report.height, info.height, info.current_hash),
        (FIRST, FIRST, [7; 32])
    );
    drop((ledger, ledgers));
    let stored = StoredBlocks::open(&os_disk(), dir.path(), "main").unwrap();
    assert_eq!(stored.newest().unwrap(), (None, None));
    assert_eq!(assert_sound(dir.path()).blocks, 0);
}

#[test]
fn the_first_block_must_follow_the_base() {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = open(dir.path());
    let mut ledger = ledgers
        .create_at("main", base(), CreateOptions::default())
        .unwrap();
    for (height, hash) in [(FIRST, [6; 32]), (FIRST + 1, [7; 32]), (0, [7; 32])] {
        let wrong = chain::children("main", (height, hash), &[vec![act(1)]]);
        let refused = ledger.commit(wrong);
        assert!(
            matches!(refused, Err(CommitError::NotLinked { .. })),
            "{refused:?}"
        );
    }
    // The commit hash continues from the base's.
    chain::commit(&mut ledger, "main", &[vec![act(1)]]).unwrap();
    drop((ledger, ledgers));
    assert_sound(dir.path());
    let record = dir.path().join("id-store/main.json");
    let text = fs::read_to_string(&record).unwrap();
    for (of, kind) in [
        ([7_u8; 32], Kind::PreviousHash),
        ([8; 32], Kind::CommitHash),
    ] {
        fs::write(&record, text.replace(&hex::encode(of), &"09".repeat(32))).unwrap();
        let found = check(&open(dir.path()), "main").findings;
        assert!(
            found.iter().any(|finding| finding.kind == kind),
            "{found:?}"
        );
    }
}

#[test]
fn a_torn_tail_behind_a_base_is_cut_and_damage_before_it_is_refused() {
    let (dir, hashes) = directory();
    let files = blockfiles(dir.path());
    let last = files.last().unwrap();
    let mut bytes = fs::read(last).unwrap();
    let whole = bytes.len();
    bytes.extend(b"\xff\x01half a record");
    fs::write(last, &bytes).unwrap();
    {
        let ledgers = open(dir.path());
        let (ledger, report) = ledgers.ledger("main", &mut |_| {}).unwrap();
        assert_eq!(report.cut.unwrap().offset, whole as u64);
        assert_whole(&ledger, &hashes);
    }
    // The first block is damaged, and no follower knows where the others lie.
    let mut bytes = fs::read(&files[0]).unwrap();
    bytes[200] ^= 1;
    fs::write(&files[0], &bytes).unwrap();
    fs::remove_dir_all(dir.path().join("derived")).unwrap();
    let ledgers = open(dir.path());
    let refused = ledgers.ledger("main", &mut |_| {}).map(drop);
    assert!(
        matches!(&refused, Err(OpenError::Corrupt { blocks, .. }) if *blocks.start() == FIRST),
        "{refused:?}"
    );
    drop(ledgers);
    let found = check(&open(dir.path()), "main").findings;
    assert_eq!(found.first().unwrap().block, Some(FIRST));

    // A copy repairs it.
    let (copy, _) = directory();
    let ledgers = open(dir.path());
    let from = copy.path().join("channels/main");
    let report = ledgers.repair("main", &from, &mut |_| {}).unwrap();
    assert_eq!((report.replaced.len(), report.sound), (1, BLOCKS));
    assert_whole(&ledgers.ledger("main", &mut |_| {}).unwrap().0, &hashes);
}

#[test]
fn a_loss_behind_a_base_is_accepted_by_name_down_to_the_base() {
    let (dir, _) = directory();
    for file in blockfiles(dir.path()) {
        fs::write(file, []).unwrap();
    }
    let ledgers = open(dir.path());
    assert!(ledgers.ledger("main", &mut |_| {}).is_err());
    let loss = ledgers.truncate_tail("main", FIRST, &mut |_| {}).unwrap();
    assert_eq!(
        (loss.from_block, loss.last_block),
        (FIRST, Some(FIRST + BLOCKS - 1))
    );
    let (ledger, report) = ledgers.ledger("main", &mut |_| {}).unwrap();
    assert_eq!((report.height, ledger.tip()), (FIRST, (FIRST, [7; 32])));
}
