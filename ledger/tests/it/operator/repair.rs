//! Repair replaces bad records by those of the copy, and never touches sound ones.

use std::fs;
use std::path::Path;

use quire_ledger::RepairReport;

use super::chain::{CHANNEL, Chain, HEIGHT};
use crate::kit::open;

/// A folder with the block files of a chain.
fn copy(chain: &Chain) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in chain.contents() {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn repair(chain: &Chain, from: &Path) -> RepairReport {
    open(chain.path())
        .repair(CHANNEL, from, &mut |_| {})
        .unwrap()
}

fn assert_whole(chain: &Chain, whole: &[(String, Vec<u8>)]) {
    assert!(chain.contents() == whole, "the files are what they were");
    assert_eq!(chain.reopen().unwrap(), (HEIGHT, 0));
    assert_eq!(chain.check().findings, []);
}

#[test]
fn every_damaged_block_is_replaced_from_a_copy() {
    let chain = Chain::new();
    let whole = chain.contents();
    let copy = copy(&chain);
    for number in 0..HEIGHT {
        chain.damage(number);
        let report = repair(&chain, copy.path());
        let replaced: Vec<u64> = report.replaced.iter().map(|one| one.block).collect();
        assert_eq!((replaced, &report.not_replaced), (vec![number], &vec![]));
        assert_eq!(report.sound, HEIGHT);
        assert_whole(&chain, &whole);
    }
    for number in 0..HEIGHT {
        chain.damage(number);
    }
    let report = repair(&chain, copy.path());
    assert_eq!(report.replaced.len() as u64, HEIGHT);
    assert_whole(&chain, &whole);
    assert_eq!(repair(&chain, copy.path()).replaced, []);
}

#[test]
fn what_is_missing_is_restored_from_a_copy() {
    let chain = Chain::new();
    let whole = chain.contents();
    let copy = copy(&chain);
    for number in 1..HEIGHT {
        chain.lose_from(number);
        let report = repair(&chain, copy.path());
        assert_eq!(report.replaced.len() as u64, HEIGHT - number);
        assert_whole(&chain, &whole);
    }
    for (name, bytes) in &whole {
        let file = chain.blockfiles().join(name);
        fs::remove_file(&file).unwrap();
        assert!(repair(&chain, copy.path()).not_replaced.is_empty());
        assert_whole(&chain, &whole);
        fs::write(&file, vec![0; bytes.len()]).unwrap();
        assert!(repair(&chain, copy.path()).not_replaced.is_empty());
        assert_whole(&chain, &whole);
    }
}

#[test]
fn a_copy_that_is_damaged_in_the_same_place_helps_elsewhere_only() {
    let chain = Chain::new();
    let whole = chain.contents();
    chain.damage(4);
    let half = copy(&chain);
    chain.damage(7);
    let report = repair(&chain, half.path());
    let replaced: Vec<u64> = report.replaced.iter().map(|one| one.block).collect();
    assert_eq!(replaced, [7]);
    assert_eq!(report.not_replaced.len(), 1, "{report:?}");
    assert_eq!(report.not_replaced[0].corruption.block, Some(4));
    assert!(!report.gave_up);
    assert_eq!(chain.check().findings.len(), 1);
    assert_ne!(chain.contents(), whole);
}

#[test]
fn blocks_of_another_chain_are_not_taken() {
    let other = copy(&Chain::salted("other"));
    for number in 0..HEIGHT {
        let chain = Chain::new();
        chain.damage(number);
        let before = chain.contents();
        let report = repair(&chain, other.path());
        assert_eq!(report.replaced, [], "block {number}");
        assert_eq!(report.not_replaced.len(), 1, "block {number}");
        assert_eq!(chain.contents(), before);
    }
}
