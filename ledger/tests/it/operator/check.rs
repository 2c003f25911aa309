//! A check reports everything that is damaged, not only what it meets first, and nothing that is sound.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use quire_ledger::Ledgers;
use quire_ledger::Purpose;
use quire_ledger::check::{Depth, Kind, Report, check_blockfiles};
use quire_testkit::conformance;

use super::chain::{CHANNEL, Chain, HEIGHT, check};
use crate::kit::{open, os_disk};

/// The blocks that a report names as damaged, including all blocks of a range.
fn named(report: &Report) -> BTreeSet<u64> {
    let mut named = BTreeSet::new();
    for finding in report
        .findings
        .iter()
        .filter(|one| one.kind == Kind::Record)
    {
        let first = finding.block.unwrap();
        let last = finding.found.split_once("to ").and_then(|(before, after)| {
            before
                .ends_with(&format!("blocks {first} "))
                .then(|| after.split(' ').next().unwrap().parse().unwrap())
        });
        named.extend(first..=last.unwrap_or(first));
    }
    named
}

/// Checks the channel without making any derived data.
fn look(chain: &Chain) -> Report {
    let looked = Ledgers::look(os_disk(), chain.path(), &quire_ledger::StateEngine::Fjall);
    let (ledgers, damage) = looked.unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    check(&ledgers)
}

#[test]
fn every_damaged_block_is_named_and_no_sound_one() {
    for damaged in [
        &[1][..],
        &[0, 5],
        &[1, 4, 5, 9],
        &[0, 1, 2],
        &[2, 3],
        &[3, 4, 5, 6, 7, 8],
        &[1, 3, 5, 7, 9],
        &[0, 10],
    ] {
        for derived in [true, false] {
            let chain = Chain::new();
            for number in damaged {
                chain.damage(*number);
            }
            if !derived {
                fs::remove_dir_all(chain.path().join("derived")).unwrap();
            }
            let report = look(&chain);
            let context = format!("{damaged:?}, derived {derived}: {report:#?}");
            let expected: BTreeSet<u64> = damaged.iter().copied().collect();
            assert_eq!(named(&report), expected, "{context}");
            // They cause no other findings.
            let others = report
                .findings
                .iter()
                .filter(|one| one.kind != Kind::Record);
            assert_eq!(others.count(), 0, "{context}");
            assert_eq!(report.blocks, HEIGHT - damaged.len() as u64, "{context}");
            if derived {
                assert_eq!(report.findings.len(), damaged.len(), "{context}");
            } else {
                assert!(!chain.path().join("derived").exists(), "{context}");
            }
        }
    }
}

#[test]
fn damage_before_and_behind_a_lost_file_is_told_with_it() {
    for derived in [true, false] {
        let chain = Chain::new();
        let (lost, _) = chain.place(4);
        let before = chain.place(1).0;
        let behind = (5..HEIGHT)
            .find(|number| chain.place(*number).0 > lost)
            .unwrap();
        let first_lost = (0..4)
            .rfind(|number| chain.place(*number).0 < lost)
            .unwrap()
            + 1;
        assert!(before < lost);
        for number in [1, behind + 1] {
            chain.damage(number);
        }
        fs::remove_file(&lost).unwrap();
        if !derived {
            fs::remove_dir_all(chain.path().join("derived")).unwrap();
        }
        let report = look(&chain);
        let mut expected: BTreeSet<u64> = (first_lost..behind).collect();
        expected.extend([1, behind + 1]);
        assert_eq!(named(&report), expected, "{report:#?}");
        let files: Vec<_> = report
            .findings
            .iter()
            .map(|one| one.file.clone().unwrap())
            .collect();
        assert!(files.contains(&lost), "{report:#?}");
    }
}

#[test]
fn a_block_file_that_is_no_file_is_a_finding_and_the_others_are_read() {
    let chain = Chain::new();
    let (file, _) = chain.place(4);
    // It is not the first of its file, because that would be one loss together with those of the file before.
    let (other, _) = chain.place(9);
    chain.damage(9);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let report = look(&chain);
    let files: Vec<_> = report
        .findings
        .iter()
        .map(|one| one.file.clone().unwrap())
        .collect();
    assert_eq!(files, [file, other], "{report:#?}");
}

#[test]
fn repair_and_truncation_agree_with_what_a_check_says() {
    let damaged = [1, 4, 5, 9];
    let chain = Chain::new();
    let copy = tempfile::tempdir().unwrap();
    for (name, bytes) in chain.contents() {
        fs::write(copy.path().join(name), bytes).unwrap();
    }
    for number in damaged {
        chain.damage(number);
    }
    let told = named(&look(&chain));
    {
        let ledgers = Ledgers::open(os_disk(), chain.path(), Purpose::Inspect).unwrap();
        let loss = ledgers.loss(CHANNEL, &mut |_| {}).unwrap();
        assert_eq!(Some(&loss.from_block), told.first());
        let repaired = ledgers.repair(CHANNEL, copy.path(), &mut |_| {}).unwrap();
        let replaced: BTreeSet<u64> = repaired.replaced.iter().map(|one| one.block).collect();
        assert_eq!(replaced, told);
    }
    assert_eq!(look(&chain).findings, []);
}

#[test]
fn an_index_that_is_wrong_about_a_block_behind_damage_is_told() {
    let chain = Chain::new();
    chain.damage(2);
    {
        let database = fjall::Database::builder(chain.path().join("derived"))
            .open()
            .unwrap();
        let name = format!("{CHANNEL}.index");
        let index = database.keyspace(&name, Default::default).unwrap();
        // The index finds block hashes by it.
        let hashes: Vec<_> = index
            .prefix(b"h")
            .map(|guard| guard.key().unwrap())
            .collect();
        assert_eq!(hashes.len() as u64, HEIGHT);
        for hash in hashes {
            index.remove(hash).unwrap();
        }
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    let report = look(&chain);
    assert_eq!(named(&report), BTreeSet::from([2]), "{report:#?}");
    let wrong = report
        .findings
        .iter()
        .filter(|one| one.kind == Kind::Follower);
    assert_eq!(wrong.count() as u64, HEIGHT - 3, "{report:#?}");
}

/// Records of a Fabric peer have no seals by which they could be found.
#[test]
fn damaged_records_of_a_peer_are_all_told_too() {
    let sound = conformance::read("fabric-ledgers/sample-prod/blockfile_000000");
    let mut starts = vec![0];
    while let Some(start) = starts.last().filter(|start| **start < sound.len()) {
        let mut rest = &sound[*start..];
        let length = prost::encoding::decode_varint(&mut rest).unwrap();
        starts.push(sound.len() - rest.len() + usize::try_from(length).unwrap());
    }
    let blocks = starts.len() - 1;
    assert_eq!(blocks, 8);
    let dir = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let told = |bytes: &[u8]| {
        fs::write(dir.path().join("blockfile_000000"), bytes).unwrap();
        let depth = Depth::default();
        let report = check_blockfiles(&os_disk(), dir.path(), scratch.path(), depth, &mut |_| {});
        named(&report.unwrap())
    };
    for (one, other) in [(1, 3), (0, 7), (2, 6), (4, 5)] {
        let mut lengths = sound.clone();
        let mut middles = sound.clone();
        for number in [one, other] {
            // No length leads to the next record.
            lengths[starts[number]..starts[number] + 40].fill(0xff);
            // Lengths lead to the next records, but the bytes between cannot be read.
            let middle = starts[number] + 10..starts[number] + 60;
            middles[middle].fill(0xff);
        }
        let expected = BTreeSet::from([one as u64, other as u64]);
        assert_eq!(told(&lengths), expected, "{one} and {other}");
        assert_eq!(told(&middles), expected, "{one} and {other}");
    }
}

#[test]
fn more_damage_than_anybody_reads_is_counted() {
    const BLOCKS: u64 = 1100;
    let chain = Chain::new();
    chain.grow(BLOCKS - HEIGHT, "");
    let mut number = 0;
    for (name, mut bytes) in chain.contents() {
        let mut start = 0;
        while start < bytes.len() {
            let mut rest = &bytes[start..];
            let length = prost::encoding::decode_varint(&mut rest).unwrap();
            let end = bytes.len() - rest.len() + usize::try_from(length).unwrap();
            bytes[usize::midpoint(start, end)] ^= 1;
            (start, number) = (end, number + 1);
        }
        fs::write(chain.blockfiles().join(name), bytes).unwrap();
    }
    assert_eq!(number, BLOCKS);
    let report = look(&chain);
    assert_eq!(report.blocks, 0);
    assert_eq!((report.findings.len(), report.more), (1000, BLOCKS - 1000));
}

#[test]
fn looking_makes_nothing() {
    let chain = Chain::new();
    let names = |dir: &Path| {
        let mut names = os_disk().list(dir).unwrap();
        names.sort();
        names
    };
    fs::remove_dir_all(chain.path().join("derived")).unwrap();
    let before = names(chain.path());
    assert_eq!(look(&chain).findings, []);
    assert_eq!(names(chain.path()), before);
    drop(open(chain.path()));
}
