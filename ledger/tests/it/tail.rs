//! The end of the block files: what is cut, what is refused, and that a refusal changes nothing.
//!
//! Guards against cutting what was acknowledged, and against a tail that keeps a node from starting.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quire_ledger::{CreateOptions, CutTail, Ledgers, OpenError, OpenReport};
use tempfile::TempDir;

use crate::kit::chain::{self, Act};
use crate::kit::rng::Rng;
use crate::kit::{check, copy_dir, open, scratch};

const CHANNEL: &str = "main";

/// A data directory, the lengths of its block file after each block, and its engine when it had
/// followed fewer blocks.
struct Made {
    root: TempDir,
    /// `ends[n]`: where block n ends.
    ends: Vec<u64>,
    blocks: Vec<u8>,
}

impl Made {
    /// One block for each number, in batches.
    fn new(batches: &[usize]) -> Self {
        let root = scratch();
        let ledgers = open(&root.path().join("data"));
        let genesis = chain::genesis(CHANNEL);
        let mut ledger = ledgers
            .create(CHANNEL, genesis, CreateOptions::default())
            .unwrap();
        let file = root.path().join("data/channels/main/blockfile_000000");
        let mut ends = vec![fs::metadata(&file).unwrap().len()];
        for (round, blocks) in batches.iter().enumerate() {
            let batch: Vec<_> = (0..*blocks)
                .map(|n| vec![Act::new(format!("{round} {n}")).put("k", vec![5; 30 + n])])
                .collect();
            let committed = chain::commit(&mut ledger, CHANNEL, &batch).unwrap();
            let mut at = *ends.last().unwrap();
            let bytes = fs::read(&file).unwrap();
            for _ in committed {
                at += record_len(&bytes[usize::try_from(at).unwrap()..]);
                ends.push(at);
            }
        }
        drop((ledger, ledgers));
        let blocks = fs::read(&file).unwrap();
        assert_eq!(*ends.last().unwrap(), blocks.len() as u64);
        copy_dir(
            &root.path().join("data/derived"),
            &root.path().join("followed"),
        );
        Self { root, ends, blocks }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn file(&self) -> PathBuf {
        self.data().join("channels/main/blockfile_000000")
    }

    /// The block file as given, and the engine: as it was at the tip, or gone.
    fn put(&self, bytes: &[u8], engine: Engine) {
        fs::write(self.file(), bytes).unwrap();
        let derived = self.data().join("derived");
        if derived.exists() {
            fs::remove_dir_all(&derived).unwrap();
        }
        if engine == Engine::AtTip {
            copy_dir(&self.root.path().join("followed"), &derived);
        }
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
        let len = fs::metadata(self.file()).unwrap().len();
        let (ledgers, report) = self.start();
        let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
        let cut = (len > end).then(|| CutTail {
            file: self.file(),
            offset: end,
            bytes: len - end,
            block: height,
        });
        assert_eq!((report.height, &report.cut), (height, &cut), "{context}");
        assert_eq!(fs::metadata(self.file()).unwrap().len(), end, "{context}");
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    AtTip,
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
    let made = Made::new(&[1, 1, 1, 1]);
    let tip = made.ends.len() as u64 - 1;
    let from = usize::try_from(made.ends[made.ends.len() - 4]).unwrap();
    let mut tried = 0;
    for len in from..made.blocks.len() {
        let whole = made.ends.iter().filter(|end| **end <= len as u64).count() as u64;
        let context = format!("cut to {len} of {} bytes", made.blocks.len());
        made.put(&made.blocks[..len], Engine::AtTip);
        made.expect_refusal(whole, tip, &context);
        made.put(&made.blocks[..len], Engine::Gone);
        made.expect_cut(whole, &context);
        tried += 2;
    }
    println!("{tried} truncations tried");
}

#[test]
fn zeros_and_garbage_after_the_last_record_always_heal() {
    let made = Made::new(&[1, 2]);
    let height = made.ends.len() as u64;
    let mut rng = Rng::new(7);
    let lengths = (1..=64).chain((65..4096).step_by(61)).chain([4095, 4096]);
    let mut tried = 0;
    for len in lengths {
        // Framed garbage: records by their lengths, blocks by nothing.
        let framed: Vec<u8> = [3, 1, 2, 3].into_iter().cycle().take(len).collect();
        let garbage = rng.bytes(len);
        for (what, tail) in [
            ("zeros", vec![0; len]),
            ("garbage", garbage),
            ("frames", framed),
        ] {
            for engine in [Engine::AtTip, Engine::Gone] {
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
    let mut tried = 0;
    for damaged in 1_usize..8 {
        for damage in [Damage::Zeros, Damage::Bit(0), Damage::Bit(9), Damage::Last] {
            let mut bytes = made.blocks.clone();
            for record in (0..3).filter(|record| damaged >> record & 1 == 1) {
                damage.inflict(&mut bytes, &made.ends, 2 + record);
            }
            let context = format!("records {damaged:03b} damaged by {damage:?}");
            let first = 2 + u64::from(damaged.trailing_zeros());
            made.put(&bytes, Engine::Gone);
            made.expect_cut(first, &context);
            made.put(&bytes, Engine::AtTip);
            made.expect_refusal(first, 4, &context);
            tried += 2;
        }
    }
    println!("{tried} torn batches tried");
}

#[test]
fn a_batch_with_another_after_it_is_never_cut() {
    // Blocks 2 to 4 share a sync; block 5 proves that it returned, though block 3 and 4 do not.
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
                    // Damage far from the tip keeps no block from being served but its own.
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
    fs::remove_file(made.file()).unwrap();
    made.expect_refusal(0, 0, "no block file");
}
