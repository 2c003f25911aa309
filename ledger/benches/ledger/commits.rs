//! Measures how fast blocks become durable: through the block store alone, and through the whole ledger.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use quire_disk::OsDisk;
use quire_ledger::measure::BlockAppender;
use quire_ledger::{Block, Committed, Examined, Ledger, Ledgers, Ordered, Purpose, Signatures};

use crate::chain::{CHANNEL, Chain, Shape};
use crate::probes::{BareFile, Scale, process_seconds, processor_seconds};
use crate::report::Report;

/// Fabric's ledger on goleveldb. A row has the transactions in a block, the bytes of the value, whether the
/// key is read too, and the transactions per second.
const FABRIC: [(usize, usize, bool, f64); 9] = [
    (10, 200, false, 6_770.0),
    (100, 200, false, 17_604.0),
    (500, 200, false, 21_581.0),
    (10, 200, true, 5_968.0),
    (100, 200, true, 14_358.0),
    (500, 200, true, 19_390.0),
    (10, 1024, false, 5_757.0),
    (100, 1024, false, 13_135.0),
    (500, 1024, false, 17_100.0),
];
/// Bytes of the value in the blocks with which Fabric's block store alone was measured.
const VALUE_BYTES: usize = 200;
/// Every figure of a commit is the best of this many rounds.
const ROUNDS: usize = 4;
/// Where commits overlap, this many times more transactions are committed.
const LONGER: usize = 5;
/// Every figure of an append is the best of this many rounds.
const APPEND_ROUNDS: usize = 5;
/// The most transactions that are committed together here: half of the node's queue.
const MAX_TXS_A_COMMIT: usize = 5_000;

/// A ledger in a directory of its own, with nothing but block 0.
pub(crate) fn ledger(dir: &Path, genesis: Block) -> (Ledgers, Ledger) {
    let ledgers = Ledgers::open(Arc::new(OsDisk), dir, Purpose::Use).unwrap();
    let ledger = ledgers
        .create(CHANNEL, genesis, quire_ledger::CreateOptions::default())
        .unwrap();
    (ledgers, ledger)
}

/// How many blocks the node would commit together if enough of them waited.
pub(crate) fn blocks_a_commit(shape: Shape) -> usize {
    MAX_TXS_A_COMMIT / shape.block_txs
}

/// The block store alone.
pub(crate) fn run_appends(report: &mut Report, dir: &Path, txs: usize) {
    for (block_txs, value_bytes, reads, _) in FABRIC.into_iter().filter(|row| !row.2) {
        append(
            report,
            dir,
            Shape {
                block_txs,
                value_bytes,
                reads,
            },
            txs,
        );
    }
}

/// The whole ledger.
pub(crate) fn run(report: &mut Report, dir: &Path, scale: Scale, txs: usize, time: Duration) {
    let mut measured = Vec::new();
    for (block_txs, value_bytes, reads, fabric) in FABRIC {
        let shape = Shape {
            block_txs,
            value_bytes,
            reads,
        };
        let together = blocks_a_commit(shape);
        for together in [1, together] {
            let mode = Mode {
                together,
                ahead: false,
            };
            measured.push((shape, mode, fabric, commit(dir, shape, txs, mode)));
        }
        // These are twenty commits; the pipeline needs three of them to fill and to drain.
        let txs = LONGER * txs;
        let mode = Mode {
            together,
            ahead: true,
        };
        measured.push((shape, mode, fabric, commit(dir, shape, txs, mode)));
    }
    let scale = scale.or_now(dir, time);
    scale.tell(report);
    for (shape, mode, fabric, cost) in measured {
        tell(report, scale, shape, mode, fabric, &cost);
    }
}

/// The cost of commits.
#[derive(Debug)]
struct Cost {
    /// Transactions per second by the clock.
    rate: f64,
    /// Processor time per transaction on the committing thread, in microseconds.
    committing: f64,
    /// Processor time per transaction on all threads.
    all: f64,
}

fn tell(report: &mut Report, scale: Scale, shape: Shape, mode: Mode, fabric: f64, cost: &Cost) {
    let Mode { together, ahead } = mode;
    let ahead = if ahead { ", ahead" } else { "" };
    let name = format!("commit {}, {together} together{ahead}", described(shape));
    let scaled = fabric * scale.of_blocks(shape.block_txs);
    report.compare(
        name.as_str(),
        "tx/s",
        cost.rate,
        ("Fabric's ledger, scaled", scaled),
    );
    let blocks = fabric / shape.block_txs as f64;
    if shape.value_bytes == VALUE_BYTES {
        let by_parts = fabric * scale.of_parts(shape.block_txs, blocks);
        let against = ("Fabric's ledger, scaled by parts", by_parts);
        report.compare(format!("{name}, by parts"), "tx/s", cost.rate, against);
    }
    let of = |threads: &str| format!("{name}, processor time of {threads}");
    report.add(of("the committing thread"), "µs/tx", cost.committing);
    report.add(of("all threads"), "µs/tx", cost.all);
}

/// The way in which blocks are committed.
#[derive(Clone, Copy, Debug)]
struct Mode {
    /// Blocks that share a commit, and its fsync.
    together: usize,
    /// Whether another thread takes the envelopes apart while earlier blocks are committed, and each commit
    /// begins before the earlier ones end.
    ahead: bool,
}

/// Measures the block store alone and a bare loop of the same bytes, block by block in turn, so that the
/// machine's other load is the same for both. Each figure is the best of some rounds, which may be different
/// rounds.
fn append(report: &mut Report, dir: &Path, shape: Shape, txs: usize) {
    let count = (txs / shape.block_txs).clamp(1, 300);
    let (mut ours, mut bare) = (0.0_f64, 0.0_f64);
    for _ in 0..APPEND_ROUNDS {
        let dir = tempfile::tempdir_in(dir).unwrap();
        let mut chain = Chain::new();
        let mut appender = BlockAppender::create(Arc::new(OsDisk), dir.path());
        let genesis = chain.first_block(1, shape.value_bytes);
        appender.append(vec![genesis]).unwrap();
        let mut file = BareFile::create(&dir.path().join("bare"));
        let (mut our_time, mut bare_time) = (Duration::ZERO, Duration::ZERO);
        let mut segment = 0;
        for _ in 0..count {
            // The block is made just now, and the bytes of the bare loop were read just now, so that the
            // processor's caches hold the same for both.
            let block = chain.next_block(shape);
            let start = Instant::now();
            let length = appender.append(vec![block]).unwrap();
            our_time += start.elapsed();
            let record = newest_record(dir.path(), &mut segment, length);
            let start = Instant::now();
            file.append(&record);
            bare_time += start.elapsed();
        }
        ours = ours.max(count as f64 / our_time.as_secs_f64());
        bare = bare.max(count as f64 / bare_time.as_secs_f64());
    }
    report.compare(
        format!("append {}", described(shape)),
        "blocks/s",
        ours,
        ("bare write + fdatasync", bare),
    );
}

/// The record of that length at the end of the block files, the newest of which is `segment` or
/// later.
fn newest_record(dir: &Path, segment: &mut u64, length: u64) -> Vec<u8> {
    let path = |segment: u64| dir.join(format!("blockfile_{segment:06}"));
    while path(*segment + 1).exists() {
        *segment += 1;
    }
    let file = File::open(path(*segment)).unwrap();
    let start = file.metadata().unwrap().len() - length;
    let mut record = vec![0; usize::try_from(length).unwrap()];
    file.read_exact_at(&mut record, start).unwrap();
    record
}

/// The whole ledger.
fn commit(dir: &Path, shape: Shape, txs: usize, mode: Mode) -> Cost {
    let Mode { together, ahead } = mode;
    let count = (txs / shape.block_txs).max(together);
    let (mut rate, mut committing, mut all) = (0.0_f64, f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir_in(dir).unwrap();
        let mut chain = Chain::new();
        let keys = if shape.reads {
            count * shape.block_txs
        } else {
            1
        };
        let genesis = chain.first_block(keys, shape.value_bytes);
        let (_ledgers, mut ledger) = ledger(dir.path(), genesis);
        let blocks = chain.blocks(shape, count);
        let (start, begun, all_begun) = (Instant::now(), processor_seconds(), process_seconds());
        if ahead {
            commit_ahead(&mut ledger, blocks, together);
        } else {
            let mut blocks = blocks.into_iter();
            while blocks.len() > 0 {
                commit_next(&mut ledger, blocks.by_ref().take(together));
            }
        }
        let txs = (count * shape.block_txs) as f64;
        rate = rate.max(txs / start.elapsed().as_secs_f64());
        committing = committing.min((processor_seconds() - begun) * 1e6 / txs);
        all = all.min((process_seconds() - all_begun) * 1e6 / txs);
    }
    Cost {
        rate,
        committing,
        all,
    }
}

/// Examines and commits blocks, all of whose transactions must turn out valid.
pub(crate) fn commit_next(ledger: &mut Ledger, blocks: impl Iterator<Item = Block>) {
    let ordered = blocks.map(|block| Ordered::new(block, CHANNEL)).collect();
    commit_examined(ledger, ordered);
}

/// Commits blocks of this process: a thread is one batch ahead, and each commit begins before the last one is
/// over.
fn commit_ahead(ledger: &mut Ledger, blocks: Vec<Block>, together: usize) {
    let (sender, receiver) = sync_channel::<Vec<Ordered>>(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut blocks = blocks.into_iter();
            while blocks.len() > 0 {
                let batch = blocks.by_ref().take(together);
                let batch = batch.map(made_here).collect();
                sender.send(batch).unwrap();
            }
        });
        for batch in receiver {
            all_valid(&ledger.begin(batch).unwrap());
        }
        all_valid(&ledger.finish().unwrap());
    });
}

/// A block as the node commits its own blocks: what it computed to make the block is not computed again.
fn made_here(block: Block) -> Ordered {
    let envelopes = block.envelopes.iter();
    let examined = envelopes.map(|envelope| Examined::made_here(envelope, CHANNEL));
    let examined = examined.collect();
    Ordered::made_here(block, examined, Signatures::Proven)
}

pub(crate) fn commit_examined(ledger: &mut Ledger, batch: Vec<Ordered>) {
    all_valid(&ledger.commit(batch).unwrap());
}

fn all_valid(committed: &[Committed]) {
    let mut codes = committed.iter().flat_map(|block| &block.transactions);
    assert!(codes.all(|(_, code)| code.is_valid()));
}

fn described(shape: Shape) -> String {
    let Shape {
        block_txs,
        value_bytes,
        reads,
    } = shape;
    let does = if reads { "read + write" } else { "insert" };
    format!("{block_txs} a block, {does} {value_bytes} B")
}
