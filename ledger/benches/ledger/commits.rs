//! How fast blocks become durable: through the block store alone, and through the whole ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use quire_ledger::disk::OsDisk;
use quire_ledger::measure::BlockAppender;
use quire_ledger::{Block, Ledger, Ledgers, Ordered, Purpose};

use crate::chain::{CHANNEL, Chain, Shape};
use crate::probes::{BareFile, Scale, processor_seconds};
use crate::report::Report;

/// Fabric's ledger on goleveldb, transactions a second: transactions a block, bytes of the value,
/// whether the key is read too, figure.
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
/// Every figure is the middle one of so many.
const ROUNDS: usize = 3;
/// Most blocks that the node commits together.
const MAX_BLOCKS_A_COMMIT: usize = 32;
/// Most transactions that are committed together here: what half the node's queue holds.
const MAX_TXS_A_COMMIT: usize = 5_000;

/// A ledger in a directory of its own, with nothing but block 0.
pub(crate) fn ledger(dir: &Path, genesis: Block) -> (Ledgers, Ledger) {
    let ledgers = Ledgers::open(Arc::new(OsDisk), dir, Purpose::Use).unwrap();
    let ledger = ledgers
        .create(CHANNEL, genesis, quire_ledger::CreateOptions::default())
        .unwrap();
    (ledgers, ledger)
}

/// How many blocks the node would commit together if more than enough waited.
pub(crate) fn blocks_a_commit(shape: Shape) -> usize {
    MAX_BLOCKS_A_COMMIT.min(MAX_TXS_A_COMMIT / shape.block_txs)
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(crate) fn run(report: &mut Report, dir: &Path, scale: Scale, txs: usize) {
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
    for (block_txs, value_bytes, reads, fabric) in FABRIC {
        let shape = Shape {
            block_txs,
            value_bytes,
            reads,
        };
        // Blocks of ten are small: as many transactions of them would take long.
        let txs = if block_txs == 10 { txs / 2 } else { txs };
        for together in [1, blocks_a_commit(shape)] {
            let fabric = fabric * scale.of_blocks(block_txs);
            commit(report, dir, shape, txs, together, fabric);
        }
    }
}

/// The block store alone, and a bare loop of the same bytes, turn by turn.
fn append(report: &mut Report, dir: &Path, shape: Shape, txs: usize) {
    let count = (txs / shape.block_txs).clamp(1, 300);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir_in(dir).unwrap();
        let mut chain = Chain::new();
        let mut appender = BlockAppender::create(Arc::new(OsDisk), dir.path());
        let genesis = chain.first_block(1, shape.value_bytes);
        let skipped = appender.append(vec![genesis]).unwrap();
        let blocks = chain.blocks(shape, count);
        let mut lengths = Vec::with_capacity(count);
        let start = Instant::now();
        for block in blocks {
            lengths.push(appender.append(vec![block]).unwrap());
        }
        ours.push(count as f64 / start.elapsed().as_secs_f64());

        let records = records(dir.path(), skipped, &lengths);
        let mut file = BareFile::create(&dir.path().join("bare"));
        let start = Instant::now();
        for record in &records {
            file.append(record);
        }
        bare.push(count as f64 / start.elapsed().as_secs_f64());
    }
    report.compare(
        format!("append {}", described(shape)),
        "blocks/s",
        median(ours),
        ("bare write + fdatasync", median(bare)),
    );
}

/// The records that were appended, as the block files have them.
fn records(dir: &Path, skipped: u64, lengths: &[u64]) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    for segment in 0.. {
        let Ok(content) = std::fs::read(dir.join(format!("blockfile_{segment:06}"))) else {
            break;
        };
        bytes.extend(content);
    }
    let mut rest = &bytes[usize::try_from(skipped).unwrap()..];
    let records = lengths.iter().map(|length| {
        let (record, after) = rest.split_at(usize::try_from(*length).unwrap());
        rest = after;
        record.to_vec()
    });
    records.collect()
}

/// The whole ledger, so many blocks a commit.
fn commit(report: &mut Report, dir: &Path, shape: Shape, txs: usize, together: usize, fabric: f64) {
    let count = (txs / shape.block_txs).max(together);
    let mut busy = Vec::new();
    let rates = (0..ROUNDS).map(|_| {
        let dir = tempfile::tempdir_in(dir).unwrap();
        let mut chain = Chain::new();
        let keys = if shape.reads {
            count * shape.block_txs
        } else {
            1
        };
        let genesis = chain.first_block(keys, shape.value_bytes);
        let (_ledgers, mut ledger) = ledger(dir.path(), genesis);
        let mut blocks = chain.blocks(shape, count).into_iter();
        let (start, begun) = (Instant::now(), processor_seconds());
        while blocks.len() > 0 {
            commit_next(&mut ledger, blocks.by_ref().take(together));
        }
        let txs = (count * shape.block_txs) as f64;
        busy.push((processor_seconds() - begun) * 1e6 / txs);
        txs / start.elapsed().as_secs_f64()
    });
    let rate = median(rates.collect());
    let name = format!("commit {}, {together} together", described(shape));
    let busy_name = format!("{name}, processor time");
    report.compare(name, "tx/s", rate, ("Fabric's ledger, scaled", fabric));
    report.add(busy_name, "µs/tx", median(busy));
}

/// Examines and commits blocks, all of whose transactions must turn out valid.
pub(crate) fn commit_next(ledger: &mut Ledger, blocks: impl Iterator<Item = Block>) {
    let ordered = blocks.map(|block| Ordered::new(block, CHANNEL)).collect();
    let committed = ledger.commit(ordered).unwrap();
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
