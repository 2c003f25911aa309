//! The end of the block files: what is cut, what is refused, and that a refusal changes nothing.
//!
//! These tests guard against cutting what was acknowledged, and against a tail that keeps a node from
//! starting.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quire_ledger::{CreateOptions, CutTail, Ledgers, OpenError, OpenReport};
use tempfile::TempDir;

use crate::kit::chain::{self, Act};
use crate::kit::rng::Rng;
use crate::kit::{check, copy_dir, open, scratch};

const CHANNEL: &str = "main";

/// A data directory, the content of its last block file, and its engine's files at two heights.
struct Made {
    root: TempDir,
    /// The last block file.
    file: PathBuf,
    /// `ends[n]`: the end of block n in that file; 0 if the block is in an earlier file.
    ends: Vec<u64>,
    blocks: Vec<u8>,
}

impl Made {
    /// Makes a batch of blocks for each number, all in one file.
    fn new(batches: &[usize]) -> Self {
        Self::in_files(batches, CreateOptions::default())
    }

    fn in_files(batches: &[usize], options: CreateOptions) -> Self {
        let root = scratch();
        let data = root.path().join("data");
        let ledgers = open(&data);
        let genesis = chain::genesis(CHANNEL);
        let mut ledger = ledgers.create(CHANNEL, genesis, options).unwrap();
        for (round, blocks) in batches.iter().enumerate() {
            let batch: Vec<_> = (0..*blocks)
                .map(|n| vec![Act::new(format!("{round} {n}")).put("k", vec![5; 30 + n])])
                .collect();
            chain::commit(&mut ledger, CHANNEL, &batch).unwrap();
            if round == 0 {
                copy_dir(&data.join("derived"), &root.path().join("behind"));
            }
        }
        let height = usize::try_from(ledger.tip().0).unwrap();
        drop((ledger, ledgers));
        copy_dir(&data.join("derived"), &root.path().join("followed"));

        let dir = data.join("channels").join(CHANNEL);
        let files = contents(&dir);
        let (file, blocks) = files.into_iter().next_back().unwrap();
        let mut at = 0;
        let mut ends = Vec::new();
        while at < blocks.len() as u64 {
            at += record_len(&blocks[usize::try_from(at).unwrap()..]);
            ends.push(at);
        }
        let mut all = vec![0; height - ends.len()];
        all.extend(ends);
        Self {
            root,
            file,
            ends: all,
            blocks,
        }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Puts these bytes into the last block file, and the engine into the given state.
    fn put(&self, bytes: &[u8], engine: Engine) {
        fs::write(&self.file, bytes).unwrap();
        let derived = self.data().join("derived");
        if derived.exists() {
            fs::remove_dir_all(&derived).unwrap();
        }
        let copy = match engine {
            Engine::AtTip => "followed",
            Engine::Behind => "behind",
            Engine::Gone => return,
        };
        copy_dir(&self.root.path().join(copy), &derived);
    }

    fn start(&self) -> (Ledgers, Result<OpenReport, OpenError>) {
        let ledgers = open(&self.data());
        let report = ledgers
            .ledger(CHANNEL, &mut |_| {})
            .map(|(_, report)| report);
        (ledgers, report)
    }

    /// Opens, and expects blocks up to `height` and the rest cut.
    fn expect_cut(&self, height: u64, context: &str) {
        let end = self.ends[usize::try_from(height - 1).unwrap()];
        let len = fs::metadata(&self.file).unwrap().len();
        let (ledgers, report) = self.start();
        let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
        let cut = (len > end).then(|| CutTail {
            file: self.file.clone(),
            offset: end,
            bytes: len - end,
            block: height,
        });
        assert_eq!((report.height, &report.cut), (height, &cut), "{context}");
        assert_eq!(fs::metadata(&self.file).unwrap().len(), end, "{context}");
        let checked = check(&ledgers, CHANNEL);
        assert_eq!(
            (checked.findings, checked.notes),
            (vec![], vec![]),
            "{context}"
        );
    }

    /// Opens, and expects a refusal that names blocks `first..=last` and changes nothing.
    fn expect_refusal(&self, first: u64, last: u64, context: &str) {
        let before = contents(&self.data().join("channels"));
        let (ledgers, report) = self.start();
        match report {
            Err(OpenError::Corrupt { blocks, .. }) => assert_eq!(blocks, first..=last, "{context}"),
            Err(OpenError::Ahead {
                savepoint, height, ..
            }) => {
                assert_eq!(height..=savepoint - 1, first..=last, "{context}");
            }
            other => panic!("{context}: {other:?}"),
        }
        drop(ledgers);
        assert_eq!(contents(&self.data().join("channels")), before, "{context}");
    }

    /// Names the blocks as lost, and expects the rest to open and to be sound.
    fn expect_accepted_loss(&self, first: u64, last: u64, context: &str) {
        let ledgers = open(&self.data());
        let loss = ledgers.truncate_tail(CHANNEL, first, &mut |_| {}).unwrap();
        let named = (loss.from_block, loss.last_block);
        assert_eq!(named, (first, Some(last)), "{context}");
        let (_, report) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        assert_eq!((report.height, report.cut), (first, None), "{context}");
        let checked = check(&ledgers, CHANNEL);
        assert_eq!((checked.findings, checked.notes), (vec![], vec![]));
        if let Some(kept) = loss.kept {
            assert_eq!(fs::read_dir(&kept).unwrap().count(), 1, "{context}");
            fs::remove_dir_all(kept).unwrap();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    AtTip,
    /// It has followed only the first two blocks.
    Behind,
    Gone,
}

fn record_len(bytes: &[u8]) -> u64 {
    let mut rest = bytes;
    let len = prost::encoding::decode_varint(&mut rest).unwrap();
    len + (bytes.len() - rest.len()) as u64
}

/// Every file below a folder with its bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    files
}

#[test]
fn a_truncation_is_refused_where_followers_saw_more_and_cut_where_none_did() {
    // There are several files; the last three records are a single block and a batch of two.
    let options = CreateOptions {
        segment_bytes: 2300,
    };
    let made = Made::in_files(&[1, 1, 3, 1, 1, 1, 2], options);
    let (tip, first) = (made.ends.len() as u64 - 1, made.ends.len() - 4);
    assert!(made.ends[0] == 0 && made.ends[first] > 0);
    let from = usize::try_from(made.ends[first]).unwrap();
    let mut tried = 0;
    for len in from..made.blocks.len() {
        let whole = made.ends.iter().filter(|end| **end <= len as u64).count() as u64;
        let context = format!("cut to {len} of {} bytes", made.blocks.len());
        made.put(&made.blocks[..len], Engine::AtTip);
        made.expect_refusal(whole, tip, &context);
        made.expect_accepted_loss(whole, tip, &context);
        for engine in [Engine::Gone, Engine::Behind] {
            made.put(&made.blocks[..len], engine);
            made.expect_cut(whole, &format!("{context}, {engine:?}"));
        }
        tried += 4;
    }
    println!("{tried} truncations tried, at {} bytes", tried / 4);
}

/// Framed garbage has lengths like records, but no blocks.
fn tails(len: usize, rng: &mut Rng) -> [(&'static str, Vec<u8>); 3] {
    let framed = [3, 1, 2, 3].into_iter().cycle().take(len).collect();
    [
        ("zeros", vec![0; len]),
        ("garbage", rng.bytes(len)),
        ("frames", framed),
    ]
}

#[test]
fn zeros_and_garbage_after_the_last_record_always_heal() {
    let made = Made::new(&[1, 2]);
    let height = made.ends.len() as u64;
    let mut rng = Rng::new(7);
    let mut tried = 0;
    // One engine is enough for all: it is at the tip before and after.
    made.put(&made.blocks, Engine::AtTip);
    let ledgers = open(&made.data());
    for len in 1..=4096 {
        for (what, tail) in tails(len, &mut rng) {
            fs::write(&made.file, [&made.blocks[..], &tail].concat()).unwrap();
            let opened = ledgers.ledger(CHANNEL, &mut |_| {});
            let (_, report) = opened.unwrap_or_else(|error| panic!("{len} of {what}: {error}"));
            let cut = report.cut.map(|cut| (cut.offset, cut.bytes));
            assert_eq!(cut, Some((made.blocks.len() as u64, len as u64)));
            assert_eq!((report.height, report.replayed), (height, 0));
            assert_eq!(fs::read(&made.file).unwrap(), made.blocks);
            tried += 1;
        }
    }
    drop(ledgers);
    for len in (1..=40).chain((65..4096).step_by(101)).chain([4095, 4096]) {
        for (what, tail) in tails(len, &mut rng) {
            for engine in [Engine::AtTip, Engine::Behind, Engine::Gone] {
                let context = format!("{len} bytes of {what}, {engine:?}");
                made.put(&[&made.blocks[..], &tail].concat(), engine);
                made.expect_cut(height, &context);
                tried += 1;
            }
        }
    }
    println!("{tried} tails tried");
}

#[test]
fn of_a_torn_batch_the_whole_records_before_the_first_damage_stay() {
    let made = Made::new(&[1, 3]);
    let kinds = [
        None,
        Some(Damage::Zeros),
        Some(Damage::Bit(0)),
        Some(Damage::Bit(9)),
        Some(Damage::Last),
    ];
    let mut tried = 0;
    for combination in 1..kinds.len().pow(3) {
        let damages = [1, 5, 25].map(|weight| kinds[combination / weight % kinds.len()]);
        let mut bytes = made.blocks.clone();
        for (record, damage) in damages.iter().enumerate() {
            if let Some(damage) = damage {
                damage.inflict(&mut bytes, &made.ends, 2 + record);
            }
        }
        let context = format!("{damages:?}");
        let first = 2 + damages.iter().position(Option::is_some).unwrap() as u64;
        for engine in [Engine::Gone, Engine::Behind] {
            made.put(&bytes, engine);
            made.expect_cut(first, &context);
        }
        made.put(&bytes, Engine::AtTip);
        made.expect_refusal(first, 4, &context);
        tried += 3;
    }
    println!("{tried} torn batches tried");
}

#[test]
fn a_batch_with_another_after_it_is_never_cut() {
    // Blocks 2 to 4 share a sync; block 5 proves that it returned, but blocks 3 and 4 do not.
    let made = Made::new(&[1, 3, 1]);
    for number in 2..5 {
        for damage in [Damage::Zeros, Damage::Bit(0), Damage::Bit(9), Damage::Last] {
            let mut bytes = made.blocks.clone();
            damage.inflict(&mut bytes, &made.ends, number);
            made.put(&bytes, Engine::Gone);
            made.expect_refusal(number as u64, 5, &format!("block {number}, {damage:?}"));
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Zeros,
    Bit(usize),
    Last,
}

impl Damage {
    fn inflict(self, bytes: &mut [u8], ends: &[u64], number: usize) {
        let at = |n: usize| usize::try_from(ends[n]).unwrap();
        let record = &mut bytes[at(number - 1)..at(number)];
        match self {
            Self::Zeros => record.fill(0),
            Self::Bit(bit) => record[bit * 5] ^= 1 << (bit % 8),
            Self::Last => *record.last_mut().unwrap() ^= 0x80,
        }
    }
}

#[test]
fn a_missing_or_empty_block_file_is_refused_by_name() {
    let root = scratch();
    let data = root.path().join("data");
    let ledgers = open(&data);
    let options = CreateOptions { segment_bytes: 700 };
    let mut ledger = ledgers
        .create(CHANNEL, chain::genesis(CHANNEL), options)
        .unwrap();
    for n in 0..8 {
        let act = Act::new(format!("{n}")).put("k", vec![1; 100]);
        chain::commit(&mut ledger, CHANNEL, &[vec![act]]).unwrap();
    }
    drop((ledger, ledgers));
    let dir = data.join("channels").join(CHANNEL);
    let files = fs::read_dir(&dir).unwrap().count();
    assert!(files > 4, "{files}");
    for with_followers in [true, false] {
        for missing in 0..files - 1 {
            for empties in [true, false] {
                let path = dir.join(format!("blockfile_{missing:06}"));
                let bytes = fs::read(&path).unwrap();
                if empties {
                    fs::write(&path, []).unwrap();
                } else {
                    fs::remove_file(&path).unwrap();
                }
                if !with_followers {
                    fs::remove_dir_all(data.join("derived")).unwrap();
                }
                let ledgers = open(&data);
                if with_followers && empties {
                    // Damage far from the tip affects only its own block.
                    let findings = check(&ledgers, CHANNEL).findings;
                    assert_eq!(findings[0].file.as_ref(), Some(&path));
                } else {
                    let refused = ledgers.ledger(CHANNEL, &mut |_| {});
                    let Err(OpenError::Corrupt { corruption, .. }) = refused else {
                        panic!("file {missing}: {refused:?}");
                    };
                    assert_eq!(corruption.file, path);
                }
                fs::write(&path, bytes).unwrap();
                ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
            }
        }
    }
}

#[test]
fn an_active_channel_without_any_block_is_refused() {
    let made = Made::new(&[1]);
    made.put(&[], Engine::Gone);
    made.expect_refusal(0, 0, "an empty block file");
    fs::remove_file(&made.file).unwrap();
    made.expect_refusal(0, 0, "no block file");
}
