//! The end of the block files: what was never acknowledged is cut and reported, what was is never
//! given up.
//!
//! Guards against the two ways of losing data at open: cutting what somebody was told of, and
//! refusing to start over bytes that nobody was.

use std::fs;
use std::path::{Path, PathBuf};

use quire_ledger::check::{Depth, check_channel};
use quire_ledger::{Ledgers, OpenError, OpenReport};
use tempfile::TempDir;

use crate::kit::chain::{Content, genesis, id, next_blocks, transaction};
use crate::kit::{open, quick_dir};

/// A data directory with channel `main`, and where each of its records ends.
struct Sample {
    dir: TempDir,
    /// `ends[n]` is the length of the block file after block `n`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

fn blockfile(dir: &Path) -> PathBuf {
    dir.join("channels/main/blockfile_000000")
}

/// Block 0, then one commit for each number, of so many blocks.
fn sample(commits: &[usize]) -> Sample {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = open(dir.path());
    let mut ledger = ledgers.create("main", genesis("main")).unwrap();
    for blocks in commits {
        let (height, _) = ledger.tip();
        let batches = (height..).take(*blocks).map(|number| {
            let content = Content::put(&format!("k{}", number % 2), &format!("value {number}"));
            vec![transaction("main", &format!("nonce {number}"), &content)]
        });
        let batches = batches.collect();
        let blocks = next_blocks(&ledger, batches);
        ledger.commit(blocks).unwrap();
    }
    drop((ledger, ledgers));
    let bytes = fs::read(blockfile(dir.path())).unwrap();
    let mut ends = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let length = prost::encoding::decode_varint(&mut rest).unwrap();
        rest = &rest[usize::try_from(length).unwrap()..];
        ends.push(bytes.len() - rest.len());
    }
    Sample { dir, ends, bytes }
}

impl Sample {
    fn height(&self) -> u64 {
        self.ends.len() as u64
    }

    /// A new data directory with these bytes as its block file, and no follower that knows of them.
    fn without_followers(&self, bytes: &[u8]) -> TempDir {
        let dir = quick_dir();
        fs::create_dir_all(dir.path().join("channels/main")).unwrap();
        fs::create_dir(dir.path().join("id-store")).unwrap();
        let record = "id-store/main.json";
        fs::copy(self.dir.path().join(record), dir.path().join(record)).unwrap();
        fs::write(blockfile(dir.path()), bytes).unwrap();
        dir
    }
}

fn open_main(ledgers: &Ledgers) -> Result<OpenReport, OpenError> {
    ledgers
        .ledger("main", &mut |_| {})
        .map(|(_, report)| report)
}

/// Opens bytes that no follower knows of: they must open with `height` blocks, everything after
/// those cut and reported, and be found sound afterwards.
fn assert_cut(sample: &Sample, bytes: &[u8], height: u64, what: &str) {
    let dir = sample.without_followers(bytes);
    let ledgers = open(dir.path());
    let (ledger, report) = ledgers.ledger("main", &mut |_| {}).expect(what);
    let whole = height
        .checked_sub(1)
        .map_or(0, |last| sample.ends[usize::try_from(last).unwrap()]);
    assert_eq!((report.height, report.replayed), (height, height), "{what}");
    match report.cut {
        None => assert_eq!(bytes.len(), whole, "{what}"),
        Some(cut) => {
            assert_eq!((cut.offset, cut.block), (whole as u64, height), "{what}");
            assert_eq!(cut.bytes, (bytes.len() - whole) as u64, "{what}");
        }
    }
    assert_eq!(
        fs::read(blockfile(dir.path())).unwrap(),
        sample.bytes[..whole],
        "{what}"
    );
    if let Some(last) = height.checked_sub(1).filter(|last| *last > 0) {
        let found = ledger
            .reader()
            .transaction(&id(&format!("nonce {last}")))
            .unwrap();
        assert_eq!(found.map(|found| found.height.block), Some(last), "{what}");
    }
    drop(ledger);
    let report = check_channel(&ledgers, "main", Depth::default(), &mut |_| {}).unwrap();
    assert!(
        report.findings.is_empty() && report.notes.is_empty(),
        "{what}: {report:?}"
    );
}

#[test]
fn a_cut_file_is_refused_where_followers_know_of_the_blocks_and_nothing_is_changed() {
    let sample = sample(&[1, 1, 1, 1, 1]);
    let ledgers = open(sample.dir.path());
    let from = sample.ends[sample.ends.len() - 4];
    let mut tried = 0;
    for length in from..sample.bytes.len() {
        fs::write(blockfile(sample.dir.path()), &sample.bytes[..length]).unwrap();
        let missing = sample.ends.iter().filter(|end| **end <= length).count() as u64;
        match open_main(&ledgers) {
            Err(OpenError::Corrupt { blocks, .. }) => {
                assert_eq!(blocks, missing..=sample.height() - 1, "cut to {length}");
            }
            // Cut between two records: no byte is wrong, but the followers know of more.
            Err(OpenError::Ahead {
                savepoint, height, ..
            }) => {
                assert!(sample.ends.contains(&length));
                assert_eq!(
                    (savepoint, height),
                    (sample.height(), missing),
                    "cut to {length}"
                );
            }
            other => panic!("cut to {length}: {other:?}"),
        }
        let after = fs::read(blockfile(sample.dir.path())).unwrap();
        assert_eq!(after, sample.bytes[..length], "cut to {length}");
        tried += 1;
    }
    println!("{tried} lengths refused");
    fs::write(blockfile(sample.dir.path()), &sample.bytes).unwrap();
    let report = open_main(&ledgers).unwrap();
    assert_eq!((report.height, report.cut), (sample.height(), None));
}

#[test]
fn a_cut_file_that_no_follower_knows_keeps_its_whole_records() {
    let sample = sample(&[1, 1, 1, 1, 1]);
    let from = sample.ends[sample.ends.len() - 4];
    let lengths: Vec<usize> = (from..=sample.bytes.len()).collect();
    std::thread::scope(|scope| {
        for part in lengths.chunks(lengths.len().div_ceil(4)) {
            let sample = &sample;
            scope.spawn(move || {
                for length in part {
                    let whole = sample.ends.iter().filter(|end| *end <= length).count() as u64;
                    let bytes = &sample.bytes[..*length];
                    assert_cut(sample, bytes, whole, &format!("cut to {length}"));
                }
            });
        }
    });
    println!("{} lengths healed", lengths.len());
}

#[test]
fn zeros_and_garbage_after_the_last_record_always_heal() {
    let sample = sample(&[1, 2]);
    let ledgers = open(sample.dir.path());
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        // xorshift64: any bytes will do, as long as they are the same ones tomorrow.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    };
    let zeros = (1..=4096)
        .step_by(13)
        .chain([4096])
        .map(|length| vec![0; length]);
    let garbage = (1..200).map(|length| (0..length * 7).map(|_| random()).collect());
    let framed = [vec![3, 1, 2, 3], vec![0x80], vec![0xff; 12]];
    for tail in zeros.chain(garbage).chain(framed) {
        let bytes = [&sample.bytes[..], &tail].concat();
        fs::write(blockfile(sample.dir.path()), bytes).unwrap();
        let report = open_main(&ledgers).unwrap_or_else(|error| panic!("{tail:?}: {error}"));
        let cut = report.cut.expect("a tail is reported");
        assert_eq!(
            (report.height, cut.bytes),
            (sample.height(), tail.len() as u64)
        );
        assert_eq!(
            fs::read(blockfile(sample.dir.path())).unwrap(),
            sample.bytes
        );
    }
}

#[test]
fn a_torn_batch_is_cut_from_its_first_damaged_record_on() {
    // Blocks 2, 3 and 4 share a sync that never returned: any of them may be damaged.
    let sample = sample(&[1, 3]);
    for damaged in 1..8_u32 {
        let mut bytes = sample.bytes.clone();
        let in_batch = |record: usize| damaged & (1 << record) != 0;
        for record in (0..3).filter(|record| in_batch(*record)) {
            let (start, end) = (sample.ends[1 + record], sample.ends[2 + record]);
            bytes[usize::midpoint(start, end)] ^= 0x40;
        }
        let first = (0..3).find(|record| in_batch(*record)).unwrap();
        assert_cut(
            &sample,
            &bytes,
            2 + first as u64,
            &format!("damaged {damaged:03b}"),
        );
        // A sector that never reached the disk reads as zeros.
        let (start, end) = (sample.ends[1 + first], sample.ends[2 + first]);
        bytes[start..end].fill(0);
        assert_cut(
            &sample,
            &bytes,
            2 + first as u64,
            &format!("zeroed {damaged:03b}"),
        );
    }
}

#[test]
fn damage_before_a_later_batch_is_corruption_even_where_no_follower_knows() {
    let sample = sample(&[1, 1, 1]);
    let mut bytes = sample.bytes.clone();
    bytes[usize::midpoint(sample.ends[1], sample.ends[2])] ^= 1;
    let dir = sample.without_followers(&bytes);
    match open_main(&open(dir.path())) {
        Err(OpenError::Corrupt {
            blocks, corruption, ..
        }) => {
            assert_eq!(blocks, 2..=3);
            assert_eq!(
                (corruption.block, corruption.offset),
                (Some(2), sample.ends[1] as u64)
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(blockfile(dir.path())).unwrap(), bytes);
}

#[test]
fn a_missing_block_file_is_corruption_and_named() {
    let sample = sample(&[1]);
    let dir = sample.without_followers(&sample.bytes);
    let file = blockfile(dir.path());
    fs::copy(&file, file.with_file_name("blockfile_000001")).unwrap();
    fs::remove_file(&file).unwrap();
    match open_main(&open(dir.path())) {
        Err(OpenError::Corrupt { corruption, .. }) => assert_eq!(corruption.file, file),
        other => panic!("{other:?}"),
    }
}
