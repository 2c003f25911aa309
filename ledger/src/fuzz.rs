//! Fuzz targets: everything that parses bytes from a disk gets bytes that nobody wrote.
//!
//! Each runs as a plain test for about a second. A longer run on stable Rust, all targets:
//!
//! ```text
//! BOLERO_RANDOM_TEST_TIME_MS=300000 BOLERO_RANDOM_ITERATIONS=18446744073709551615 \
//!     cargo test --release -p quire-ledger --lib fuzz
//! ```
//!
//! and a run guided by coverage: `cargo bolero test --sanitizer NONE fuzz::records`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bolero::check;
use bytes::Bytes;
use quire_disk::{Disk, OsDisk};
use serde_json::{Map, Value};

use crate::block_store::record;
use crate::block_store::scan::{Scan, Step};
use crate::block_store::segment::Segments;
use crate::block_store::tail;
use crate::codec::{Cursor, peek_uvarint, put_opv, put_uvarint};
use crate::id_store::ChannelRecord;
use crate::json::{self, Repeats};
use crate::model::block::{Block, Height};
use crate::model::location::Position;

/// Says how often a target ran, when it is done.
struct Counted(&'static str, AtomicU64);

impl Counted {
    fn new(target: &'static str) -> Self {
        Self(target, AtomicU64::new(0))
    }

    fn one(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        println!("{}: {} executions", self.0, self.1.load(Ordering::Relaxed));
    }
}

/// Makes a block of bytes: any way to split them is a block.
fn block(bytes: &[u8]) -> Block {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut part = move || {
        let len = rest.first().map_or(0, |len| usize::from(*len) % 40);
        rest.split_to((len + 1).min(rest.len()))
    };
    Block {
        number: part().iter().fold(0, |n, byte| n << 8 | u64::from(*byte)),
        previous_hash: part(),
        data_hash: part(),
        envelopes: vec![part(), part(), part()],
        metadata: vec![part(), part(), part(), part(), part()],
    }
}

#[test]
fn records() {
    let count = Counted::new("records");
    check!().for_each(|bytes: &[u8]| {
        count.one();
        // Any bytes are either taken apart or refused.
        let any = Bytes::copy_from_slice(bytes);
        drop(record::decode(&any));
        record::find_sealed(&any);
        // What is written is read back; with any byte changed it is not.
        let given = block(bytes);
        let mut block = given.clone();
        let batch_start = block.number / 2;
        let mut written = record::encoded(&mut block, batch_start);
        let (read, seal) = record::decode(&Bytes::copy_from_slice(&written)).unwrap();
        assert_eq!(seal.unwrap().batch_start, batch_start);
        assert_eq!(read, block);
        assert_eq!(read.metadata[..5], given.metadata);
        assert_eq!(read.envelopes, given.envelopes);
        let at = bytes.len() * 7919 % written.len();
        written[at] ^= 1 << (bytes.len() % 8);
        let damaged = record::decode(&written.into());
        assert!(!damaged.is_ok_and(|(_, seal)| seal.is_some()));
    });
}

#[test]
fn tails() {
    let count = Counted::new("tails");
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let mut sound = Vec::new();
    let mut previous = Bytes::new();
    for number in 0..2 {
        let mut block = Block {
            number,
            previous_hash: previous.clone(),
            ..block(b"")
        };
        sound.extend(record::encoded(&mut block, number));
        previous = Bytes::copy_from_slice(&block.hash());
    }
    std::fs::write(dir.path().join("blockfile_000000"), &sound).unwrap();
    check!().for_each(|bytes: &[u8]| {
        count.one();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let segments = Segments::new(disk, dir.path().to_owned());
        let file = segments.file(0).unwrap();
        // The files are cut somewhere, and then have the fuzzer's bytes.
        let keep = bytes
            .first()
            .map_or(sound.len(), |cut| sound.len() - usize::from(*cut) % 60);
        file.set_len(0).unwrap();
        file.write_all_at(&[&sound[..keep], bytes].concat(), 0)
            .unwrap();
        let mut scan = Scan::new(&segments, 1, 0, Position::START, 0, None);
        let damage = loop {
            match scan.next().unwrap() {
                Step::Block(_) => {}
                Step::End => break None,
                Step::Damaged(damage) => break Some(damage),
            }
        };
        assert!(keep < sound.len() || scan.number() >= 2);
        if let Some(damage) = damage {
            tail::judge(&segments, 1, 0, &damage, None).unwrap();
        }
    });
}

#[test]
fn numbers() {
    let count = Counted::new("numbers");
    check!()
        .with_type()
        .for_each(|(bytes, a, b): &(Vec<u8>, u64, u64)| {
            count.one();
            if let Ok(Some((value, len))) = peek_uvarint(bytes) {
                assert!(len <= bytes.len() && len <= 10);
                let mut again = Vec::new();
                put_uvarint(&mut again, value);
                assert_eq!(peek_uvarint(&again), Ok(Some((value, again.len()))));
            }
            let mut cursor = Cursor::new(Bytes::copy_from_slice(bytes));
            if let Ok(value) = cursor.opv() {
                let mut again = Vec::new();
                put_opv(&mut again, value);
                assert_eq!(again, bytes[..cursor.position()], "a number has one form");
            }
            let key = |height: Height| {
                let mut key = Vec::new();
                height.put(&mut key);
                key
            };
            let (left, right) = (Height::new(*a, *b), Height::new(*b, *a));
            assert_eq!(
                left.cmp(&right),
                key(left).cmp(&key(right)),
                "keys sort as heights do"
            );
            assert_eq!(Height::read(&mut Cursor::new(key(left).into())), Ok(left));
        });
}

#[test]
fn derived_entries() {
    let count = Counted::new("derived entries");
    check!()
        .with_type()
        .for_each(|(bytes, key, namespace): &(Vec<u8>, String, String)| {
            count.one();
            crate::state::value::fuzz(bytes, namespace, key);
            crate::followers::history::fuzz(bytes, namespace, key);
            crate::followers::index::fuzz(bytes);
            crate::followers::savepoint::fuzz(bytes);
        });
}

/// Pieces of JSON texts, and of texts that are nearly JSON.
const PIECES: [&str; 26] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\"a\":",
    "\"\":",
    "\"é\\u0041 and more\"",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\n",
    "null",
    "true",
    "false",
    "0",
    "-",
    "1.5",
    "12",
    "E5",
    " ",
    "\n",
    "\u{1}",
    "😀",
];

#[test]
fn json_texts() {
    let count = Counted::new("JSON texts");
    check!().for_each(|bytes: &[u8]| {
        count.one();
        drop(json::parse(bytes, Repeats::LastCounts));
        let pieces = bytes
            .iter()
            .map(|byte| PIECES[usize::from(*byte) % PIECES.len()]);
        let text: String = pieces.collect();
        // These pieces cannot make the names that `serde_json` treats specially.
        let expected = serde_json::from_str::<Value>(&text).ok();
        let found = json::parse(text.as_bytes(), Repeats::LastCounts).ok();
        assert_eq!(found, expected, "{text}");
        let (mut members, mut elements) = (Map::new(), Vec::new());
        let read =
            |text: &str| json::parse(text.as_bytes(), Repeats::LastCounts).unwrap_or_default();
        let mut member = |part: json::Part<'_>| {
            members.insert(part.name.into_owned(), read(part.text));
        };
        let taken = json::members(&text, &mut member)
            .and_then(|()| json::elements(&text, &mut |text| elements.push(read(text))));
        match expected {
            Some(Value::Object(expected)) => assert_eq!((taken, members), (Ok(()), expected)),
            Some(Value::Array(expected)) => assert_eq!((taken, elements), (Ok(()), expected)),
            _ => (),
        }
    });
}

#[test]
fn id_store_records() {
    let count = Counted::new("id store records");
    let sound = serde_json::to_vec(&ChannelRecord::new("main", 64 << 20)).unwrap();
    check!().for_each(|bytes: &[u8]| {
        count.one();
        drop(serde_json::from_slice::<ChannelRecord>(bytes));
        let mut damaged = sound.clone();
        for pair in bytes.chunks_exact(2).take(4) {
            let at = usize::from(pair[0]) % damaged.len();
            damaged[at] = pair[1];
        }
        if let Ok(record) = serde_json::from_slice::<ChannelRecord>(&damaged) {
            let again = serde_json::to_vec(&record).unwrap();
            assert_eq!(
                serde_json::from_slice::<ChannelRecord>(&again).unwrap(),
                record
            );
        }
    });
}
