//! Measures reads, rebuilds and openings of a ledger of many blocks.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::{Database, KeyspaceCreateOptions};
use quire_disk::OsDisk;
use quire_ledger::{Ledger, Ledgers, Order, Purpose, RangeEnd};

use crate::chain::{CHANNEL, Chain, NAMESPACE, Shape, key};
use crate::commits::{blocks_a_commit, commit_next, ledger};
use crate::probes::{Scale, process_seconds, processor_rate};
use crate::report::Report;

/// The blocks of Fabric's figures, of 336 KB each.
const SHAPE: Shape = Shape {
    block_txs: 100,
    value_bytes: 200,
    reads: false,
};
/// The number of openings, of which the quickest counts.
const ROUNDS: usize = 3;
/// Fabric's rates with one thread and warm caches.
mod fabric {
    pub(super) const BLOCK: f64 = 2_184.0;
    pub(super) const TRANSACTION: f64 = 31_000.0;
    pub(super) const CODE: f64 = 82_000.0;
    pub(super) const GET: f64 = 91_000.0;
    pub(super) const RANGE: f64 = 8_500.0;
    pub(super) const HISTORY: f64 = 24_000.0;
    /// Transactions per second when it rebuilds.
    pub(super) const REPLAY: f64 = 21_000.0;
    pub(super) const INDEX: f64 = 77_000.0;
    /// Seconds that a clean open takes.
    pub(super) const OPEN: f64 = 0.13;
    /// Bytes that a transaction takes in a block file.
    pub(super) const TRANSACTION_BYTES: f64 = 3_300.0;
}

pub(crate) fn run(report: &mut Report, dir: &Path, scale: Scale, txs: usize, time: Duration) {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let blocks = txs / SHAPE.block_txs;
    let mut chain = Chain::new();
    {
        let (_ledgers, mut ledger) = ledger(dir.path(), chain.first_block(1, SHAPE.value_bytes));
        let mut left = blocks;
        let mut busy = Duration::ZERO;
        while left > 0 {
            let some = chain.blocks(SHAPE, left.min(blocks_a_commit(SHAPE)));
            left -= some.len();
            let start = Instant::now();
            commit_next(&mut ledger, some.into_iter());
            busy += start.elapsed();
        }
        let name = format!("commit of {txs} transactions, 100 a block, insert 200 B, together");
        report.add(name, "tx/s", txs as f64 / busy.as_secs_f64());
        read(report, &ledger, &chain, scale, blocks, time);
    }
    sizes(report, dir.path(), txs);
    rebuild(report, dir.path(), scale, txs);
}

/// Measures reads of entries that lie far apart, with one thread, from memory or the page cache.
fn read(
    report: &mut Report,
    ledger: &Ledger,
    chain: &Chain,
    scale: Scale,
    blocks: usize,
    time: Duration,
) {
    let reader = ledger.reader();
    let snapshot = reader.snapshot();
    let txs = blocks * SHAPE.block_txs;
    // Steps by a large prime visit everything once before they repeat.
    let mut at = 0;
    let mut next = |below: usize| {
        at = (at + 7_368_787) % below.max(1);
        at
    };
    let mut add = |name: &str, fabric: f64, work: &mut dyn FnMut()| {
        let fabric = fabric * scale.of_processor();
        let against = ("Fabric's ledger, scaled", fabric);
        report.compare(
            format!("read {name}"),
            "1/s",
            processor_rate(time, work),
            against,
        );
    };
    add("a block by number", fabric::BLOCK, &mut || {
        let number = next(blocks) as u64;
        assert!(black_box(reader.block(number).unwrap()).is_some());
    });
    add("a validation code by id", fabric::CODE, &mut || {
        let tx_id = chain.tx_id(next(txs) + 1);
        assert!(reader.transaction(&tx_id).unwrap().is_some());
    });
    add("a transaction by id", fabric::TRANSACTION, &mut || {
        let tx_id = chain.tx_id(next(txs) + 1);
        let location = reader.transaction(&tx_id).unwrap().unwrap();
        assert!(reader.envelope(location.height).unwrap().is_some());
    });
    add("a key", fabric::GET, &mut || {
        assert!(snapshot.get(NAMESPACE, &key(next(txs))).unwrap().is_some());
    });
    add("a range of 100 keys", fabric::RANGE, &mut || {
        let start = key(next(txs));
        let rows = snapshot.range(NAMESPACE, &start, RangeEnd::Unbounded, 100);
        black_box(rows.unwrap());
    });
    add("the history of a key", fabric::HISTORY, &mut || {
        let key = key(next(txs));
        let history = snapshot.history(NAMESPACE, &key, Order::NewestFirst, None, 10);
        let height = history.unwrap()[0];
        assert!(reader.envelope(height).unwrap().is_some());
    });
}

/// Bytes on disk of a transaction.
fn sizes(report: &mut Report, dir: &Path, txs: usize) {
    let bytes = |dir: &Path| bytes_in(dir) as f64 / txs as f64;
    let fabric = ("Fabric's ledger", fabric::TRANSACTION_BYTES);
    let blocks = bytes(&dir.join("channels"));
    report.compare("block files, a transaction", "bytes", blocks, fabric);
    let derived = bytes(&dir.join("derived"));
    report.add(
        "index, state and history with the engine's journal, a transaction",
        "bytes",
        derived,
    );
}

fn bytes_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let sizes = entries.map(|entry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            bytes_in(&entry.path())
        } else {
            metadata.len()
        }
    });
    sizes.sum()
}

/// The best of some rounds: other load of the machine can only make them longer.
fn rebuild(report: &mut Report, dir: &Path, scale: Scale, txs: usize) {
    let index = best(|| drop_index(dir), dir);
    let everything = best(
        || std::fs::remove_dir_all(dir.join("derived")).unwrap(),
        dir,
    );
    let txs = txs as f64;
    for (name, fabric, taken) in [
        ("rebuild of the index", fabric::INDEX, index),
        ("rebuild of everything", fabric::REPLAY, everything),
    ] {
        let against = ("Fabric's ledger, scaled", fabric * scale.of_processor());
        report.compare(name, "tx/s", txs / taken.seconds, against);
        let busy = format!("{name}, processor time of all threads");
        report.add(busy, "µs/tx", taken.busy * 1e6 / txs);
    }
    // A node stops in this way.
    {
        let ledgers = Ledgers::open(Arc::new(OsDisk), dir, Purpose::Use).unwrap();
        drop(ledgers.ledger(CHANNEL, &mut |_| {}).unwrap());
        ledgers.settle();
    }
    let fabric = ("Fabric's ledger", fabric::OPEN);
    let warm = best(|| (), dir).seconds;
    report.compare("open after a clean stop", "s", warm, fabric);
    let cold = best(|| forget_cached(dir), dir).seconds;
    report.add(
        "open after a clean stop, nothing in the page cache",
        "s",
        cold,
    );
}

/// The time that an opening took.
#[derive(Clone, Copy, Debug)]
struct Taken {
    seconds: f64,
    /// Seconds of processor time of all threads together.
    busy: f64,
}

/// The quickest of some openings; `prepare` runs before each.
fn best(prepare: impl Fn(), dir: &Path) -> Taken {
    let openings = (0..ROUNDS).map(|_| {
        prepare();
        let (start, begun) = (Instant::now(), process_seconds());
        let ledgers = Ledgers::open(Arc::new(OsDisk), dir, Purpose::Use).unwrap();
        black_box(ledgers.ledger(CHANNEL, &mut |_| {}).unwrap());
        Taken {
            seconds: start.elapsed().as_secs_f64(),
            busy: process_seconds() - begun,
        }
    });
    let quickest = openings.min_by(|a, b| a.seconds.total_cmp(&b.seconds));
    quickest.unwrap()
}

/// Removes the files of a folder from the page cache, as far as that is allowed.
fn forget_cached(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.metadata().unwrap().is_dir() {
            forget_cached(&entry.path());
            continue;
        }
        let input = format!("if={}", entry.path().display());
        let dd = Command::new("dd")
            .args([&input, "iflag=nocache", "count=0", "status=none"])
            .status();
        assert!(dd.unwrap().success());
    }
}

fn drop_index(dir: &Path) {
    let database = Database::builder(dir.join("derived")).open().unwrap();
    let name = format!("{CHANNEL}.index");
    let index = database.keyspace(&name, KeyspaceCreateOptions::default);
    database.delete_keyspace(index.unwrap()).unwrap();
}
