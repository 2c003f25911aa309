//! Bits that change on disk: in block files, and in the embedded engine's.
//!
//! These tests guard against serving what nobody wrote. The checksum of a sealed block covers its every bit.
//! In a block that a Fabric peer wrote, hashes cover header and envelopes, and the commit hash covers
//! verdicts; only the orderer's signature covers its signature slot and the slots that Fabric no longer uses,
//! and no answer of the ledger depends on them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quire_ledger::check::{Depth, check_blockfiles};
use quire_ledger::{Block, CreateOptions, Height, Ledgers, OpenError, Purpose, ReadError};
use quire_testkit::conformance;

use crate::kit::chain::{self, Act};
use crate::kit::rng::Rng;
use crate::kit::{check, copy_dir, open, os_disk, scratch};

const CHANNEL: &str = "main";

fn made(data: &Path, blocks: u64) {
    let ledgers = open(data);
    let options = CreateOptions {
        segment_bytes: 1200,
    };
    let mut ledger = ledgers
        .create(CHANNEL, chain::genesis(CHANNEL), options)
        .unwrap();
    for n in 0..blocks {
        let act = Act::new(format!("{n}")).put(&format!("k{}", n % 3), vec![1; 20]);
        chain::commit(&mut ledger, CHANNEL, &[vec![act]]).unwrap();
    }
}

#[test]
fn every_flipped_bit_of_a_block_that_quire_wrote_is_told_by_check_and_by_a_read() {
    let root = scratch();
    let data = root.path().join("data");
    made(&data, 2);
    let dir = data.join("channels").join(CHANNEL);
    let ledgers = open(&data);
    let mut flips = 0;
    for name in os_disk().list(&dir).unwrap() {
        let path = dir.join(name);
        let sound = fs::read(&path).unwrap();
        for bit in 0..sound.len() * 8 {
            // This reader has cached nothing: the ledger was opened while all was well.
            let (ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).unwrap();
            let bad: Vec<_> = ledger.reader().blocks(0).filter(Result::is_err).collect();
            assert_eq!(bad.len(), 1, "bit {bit} of {}", path.display());
            let findings = check(&ledgers, CHANNEL).findings;
            assert!(!findings.is_empty(), "bit {bit} of {}", path.display());
            flips += 1;
            fs::write(&path, &sound).unwrap();
        }
    }
    println!("Quire's block files: {flips} flips, each told by a read and by check");
    assert!(flips > 7000);
}

/// An envelope is read alone: all its own bits are checked, and no bits of others matter.
#[test]
fn a_flipped_bit_is_told_by_reads_of_the_envelope_that_has_it_and_by_no_others() {
    let root = scratch();
    let data = root.path().join("data");
    let ledgers = open(&data);
    let options = CreateOptions::default();
    let mut ledger = ledgers
        .create(CHANNEL, chain::genesis(CHANNEL), options)
        .unwrap();
    let act = |n: u64, len| Act::new(format!("{n}")).put("k", vec![1; len]);
    let acts = [vec![act(0, 20), act(1, 300), act(2, 0)], vec![act(3, 5)]];
    chain::commit(&mut ledger, CHANNEL, &acts).unwrap();
    drop(ledger);
    let all: Vec<_> = (0..3).map(|tx| Height::new(1, tx)).collect();
    let all = [&[Height::new(0, 0)], &all[..], &[Height::new(2, 0)]].concat();
    let read_all = || {
        // This reader has cached nothing.
        let (ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        (ledger.reader(), ledger)
    };
    let (reader, ledger) = read_all();
    let sound: Vec<_> = all
        .iter()
        .map(|height| reader.envelope(*height).unwrap().unwrap())
        .collect();
    drop(ledger);
    let path = data.join("channels").join(CHANNEL).join("blockfile_000000");
    let file = fs::read(&path).unwrap();
    let place = |envelope: &[u8]| {
        let at = file
            .windows(envelope.len())
            .position(|bytes| bytes == envelope);
        at.unwrap()..at.unwrap() + envelope.len()
    };
    let places: Vec<_> = sound.iter().map(|envelope| place(envelope)).collect();
    let (mut told, mut flips) = (0, 0);
    for bit in (0..file.len() * 8).step_by(3) {
        let (reader, _ledger) = read_all();
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, damaged).unwrap();
        for ((height, sound), place) in all.iter().zip(&sound).zip(&places) {
            let read = reader.envelope(*height);
            if place.contains(&(bit / 8)) {
                assert!(matches!(read, Err(ReadError::Corrupt(_))), "bit {bit}");
                assert_eq!(reader.damage().len(), 1);
                told += 1;
            } else {
                assert_eq!(read.unwrap().as_ref(), Some(sound), "bit {bit}");
            }
        }
        flips += 1;
        fs::write(&path, &file).unwrap();
    }
    println!("{flips} flips, {told} of them in an envelope");
    assert!(told > 1000 && told < flips);
}

/// The part of a block that a flip changed, if the block can still be read.
fn changed(before: &Block, after: &Block) -> String {
    if (before.number, &before.previous_hash, &before.data_hash)
        != (after.number, &after.previous_hash, &after.data_hash)
    {
        return "header".to_owned();
    }
    if before.envelopes != after.envelopes {
        return "envelopes".to_owned();
    }
    let slots = before.metadata.iter().zip(&after.metadata);
    let slot = slots
        .enumerate()
        .find(|(_, (before, after))| before != after);
    slot.map_or("slots".to_owned(), |(slot, _)| format!("slot {slot}"))
}

#[test]
fn a_flipped_bit_of_an_imported_block_is_told_by_every_read_and_by_check() {
    let root = scratch();
    let data = root.path().join("data");
    let ledgers = open(&data);
    let from = conformance::block_files("fabric-ledgers/sample-prod/blockfile_000000");
    let imported = ledgers.import(CHANNEL, from.path(), false, &mut |_| {});
    let (ledger, _) = imported.unwrap();
    let blocks: Vec<_> = ledger.reader().blocks(0).map(Result::unwrap).collect();
    drop(ledger);
    let path = data.join("channels").join(CHANNEL).join("blockfile_000000");
    let sound = fs::read(&path).unwrap();
    let (mut read, mut checked) = (0, 0);
    for bit in (0..sound.len() * 8).step_by(83) {
        let (ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        let bad: Vec<_> = ledger.reader().blocks(0).filter(Result::is_err).collect();
        assert_eq!(bad.len(), 1, "bit {bit}");
        read += 1;
        if bit % 7 == 0 {
            let findings = check(&ledgers, CHANNEL).findings;
            assert!(!findings.is_empty(), "bit {bit}");
            checked += 1;
        }
        fs::write(&path, &sound).unwrap();
    }
    println!(
        "imported: {read} flips read, {checked} checked, of {} blocks",
        blocks.len()
    );
}

#[test]
fn a_flipped_bit_of_a_foreign_file_is_found_or_changes_no_answer() {
    let root = scratch();
    let sound = conformance::read("fabric-ledgers/sample-prod/blockfile_000000");
    let dir = root.path().join("files");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("blockfile_000000");
    let blocks = |dir: &Path| -> Vec<Block> {
        let data = tempfile::tempdir_in(root.path()).unwrap();
        let ledgers = open(data.path());
        let (ledger, _) = ledgers.import(CHANNEL, dir, false, &mut |_| {}).unwrap();
        let reader = ledger.reader();
        reader
            .blocks(0)
            .map(|block| Block::clone(&block.unwrap()))
            .collect()
    };
    fs::write(&file, &sound).unwrap();
    let before = blocks(&dir);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for bit in (0..sound.len() * 8).step_by(101) {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, &damaged).unwrap();
        let report =
            check_blockfiles(&os_disk(), &dir, root.path(), Depth::default(), &mut |_| {}).unwrap();
        let what = if report.is_sound() {
            let after = blocks(&dir);
            let block = before
                .iter()
                .zip(&after)
                .find(|(before, after)| before != after);
            let (before, after) = block.unwrap();
            let what = changed(before, after);
            // These are signature, last configuration and orderer, on which no answer of the ledger depends.
            assert!(
                ["slot 0", "slot 1", "slot 3"].contains(&&*what),
                "bit {bit}: {what}"
            );
            format!("not found, harmless: {what}")
        } else {
            format!("found: {:?}", report.findings[0].kind)
        };
        *counts.entry(what).or_default() += 1;
    }
    println!("flips in a file that a Fabric peer wrote: {counts:?}");
    assert!(counts.values().sum::<u64>() > 3000);
}

/// Files of the engine with their real bytes.
fn engine_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(engine_files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Opens for use and replays. Returns whether `check` then finds nothing wrong; if it does, a rebuild must
/// heal it.
fn healed(data: &Path, context: &str) -> bool {
    let ledgers = open(data);
    let opened = ledgers.ledger(CHANNEL, &mut |_| {});
    let set_aside = ledgers.set_aside().is_some();
    let (ledger, report) = opened.unwrap_or_else(|error| panic!("{context}: {error:?}"));
    assert_eq!(report.height, 31, "{context}");
    drop(ledger);
    let judged =
        quire_ledger::check::check_channel(&ledgers, CHANNEL, Depth::default(), &mut |_| {});
    match judged {
        Ok(report) if report.findings.is_empty() => true,
        // It is reported, so that the operator rebuilds, which begins without the engine's files.
        told => {
            assert!(!set_aside, "{context}: {told:?}");
            drop(ledgers);
            fs::remove_dir_all(data.join("derived")).unwrap();
            let ledgers = open(data);
            ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
            assert_eq!(check(&ledgers, CHANNEL).findings, [], "{context}");
            false
        }
    }
}

#[test]
fn damage_in_the_engines_files_is_healed_or_told() {
    let root = scratch();
    let data = root.path().join("data");
    made(&data, 30);
    for suffix in ["index", "state", "hist"] {
        // There are tables too, not only the journal.
        let database = fjall::Database::builder(data.join("derived"))
            .open()
            .unwrap();
        let name = format!("{CHANNEL}.{suffix}");
        let keyspace = database.keyspace(&name, Default::default).unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
    }
    let sound = root.path().join("sound");
    copy_dir(&data.join("derived"), &sound);
    let mut rng = Rng::new(11);
    let (mut heals, mut told, mut tried) = (0, 0, 0);
    for file in engine_files(&sound) {
        let name = file.strip_prefix(&sound).unwrap().to_owned();
        let bytes = fs::read(&file).unwrap();
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let mut cases: Vec<(String, Option<Vec<u8>>)> = vec![
            ("deleted".into(), None),
            ("emptied".into(), Some(Vec::new())),
            ("halved".into(), Some(bytes[..used / 2].to_vec())),
        ];
        for _ in 0..12 {
            let mut damaged = bytes[..used].to_vec();
            if used > 0 {
                let bit = rng.below(used * 8);
                damaged[bit / 8] ^= 1 << (bit % 8);
                cases.push((format!("bit {bit} flipped"), Some(damaged)));
            }
        }
        for page in (0..used).step_by(4096).take(4) {
            let mut damaged = bytes[..used].to_vec();
            let end = (page + 4096).min(used);
            damaged[page..end].fill(0);
            cases.push((format!("page at {page} zeroed"), Some(damaged)));
        }
        for (what, damaged) in cases {
            let derived = data.join("derived");
            // An engine that was set aside has left the name free.
            if derived.exists() {
                fs::remove_dir_all(&derived).unwrap();
            }
            copy_dir(&sound, &derived);
            match damaged {
                None => fs::remove_file(derived.join(&name)).unwrap(),
                Some(bytes) => fs::write(derived.join(&name), bytes).unwrap(),
            }
            let context = format!("{} {what}", name.display());
            if healed(&data, &context) {
                heals += 1;
            } else {
                told += 1;
            }
            tried += 1;
        }
        for name in os_disk().list(&data).unwrap() {
            if name.starts_with("derived.damaged") {
                fs::remove_dir_all(data.join(name)).unwrap();
            }
        }
    }
    println!("{tried} damages of the engine: {heals} healed by a start, {told} told by check");
}

#[test]
fn an_engine_that_does_not_open_is_left_alone_when_only_looked_at() {
    let root = scratch();
    let data = root.path().join("data");
    made(&data, 2);
    for file in engine_files(&data.join("derived")) {
        fs::write(file, b"not what the engine wrote").unwrap();
    }
    let looked = Ledgers::open(os_disk(), &data, Purpose::Inspect);
    assert!(
        matches!(
            looked,
            Err(OpenError::Engine(_) | OpenError::EngineDamaged(_))
        ),
        "{looked:?}"
    );
    assert!(open(&data).set_aside().is_some());
}
