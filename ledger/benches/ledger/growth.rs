//! Measures the cost of a commit as the ledger grows in keys and in blocks, and with query indexes.

use std::path::Path;
use std::time::{Duration, Instant};

use quire_ledger::{IndexRequest, Ledger};

use crate::chain::{Chain, NAMESPACE, Shape};
use crate::commits::{commit_next, ledger};
use crate::probes::{process_seconds, processor_rate};
use crate::report::Report;

/// The blocks that are committed to measure.
const SHAPE: Shape = Shape {
    block_txs: 100,
    value_bytes: 200,
    reads: false,
};
/// Blocks of one measurement; the best of three counts.
const BLOCKS: usize = 20;
/// Keys of a transaction that only fills.
const KEYS_A_FILL: usize = 500;
/// Characters of the longest bar.
const WIDTH: f64 = 40.0;

/// Runs a series over growing numbers of keys for each number of indexes, then one over blocks. A series ends
/// when its time is over.
pub(crate) fn run(report: &mut Report, dir: &Path, goals: &[usize], longest: Duration) {
    let mut bars = Vec::new();
    for indexes in [0, 1, 5] {
        grow_keys(report, dir, indexes, goals, longest, &mut bars);
    }
    grow_blocks(report, dir, longest, &mut bars);
    let most = bars.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    println!("\ntransactions a second of processor time, all threads\n");
    for (name, rate) in bars {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of characters"
        )]
        let bar = "█".repeat((rate / most * WIDTH).round() as usize);
        println!("{name:>26} {bar} {rate:.0}");
    }
}

fn grow_keys(
    report: &mut Report,
    dir: &Path,
    indexes: usize,
    goals: &[usize],
    longest: Duration,
    bars: &mut Vec<(String, f64)>,
) {
    let started = Instant::now();
    let dir = tempfile::tempdir_in(dir).unwrap();
    let mut chain = Chain::of_documents();
    let (_ledgers, mut ledger) = ledger(dir.path(), chain.first_block(1, SHAPE.value_bytes));
    let reader = ledger.reader();
    for field in ["owner", "size", "color", "kind", "payload"]
        .iter()
        .take(indexes)
    {
        let body = format!(r#"{{"index":{{"fields":["{field}"]}},"name":"by-{field}"}}"#);
        let request = IndexRequest::parse(body.as_bytes()).unwrap();
        let wait = Duration::from_secs(30);
        assert!(reader.create_index(NAMESPACE, &request, wait).unwrap());
    }
    let mut keys = 1_usize;
    for &goal in goals {
        while keys < goal {
            let fills = (goal - keys).div_ceil(KEYS_A_FILL).min(20);
            let block = chain.fill(fills, KEYS_A_FILL, SHAPE.value_bytes);
            keys += fills * KEYS_A_FILL;
            commit_next(&mut ledger, std::iter::once(block));
            if started.elapsed() > longest {
                println!("{indexes} indexes: stopped at {keys} keys, the time is over");
                return;
            }
        }
        let name = format!("{goal} keys, {indexes} indexes");
        measure(report, &mut ledger, &mut chain, &name, bars);
        keys += 3 * BLOCKS * SHAPE.block_txs;
        let mib = mib_in(dir.path());
        report.add(format!("{name}: on disk, blocks and all"), "MiB", mib);
        let seconds = started.elapsed().as_secs_f64();
        report.add(format!("{name}: reached after"), "s", seconds);
    }
}

fn grow_blocks(report: &mut Report, dir: &Path, longest: Duration, bars: &mut Vec<(String, f64)>) {
    let started = Instant::now();
    let dir = tempfile::tempdir_in(dir).unwrap();
    let mut chain = Chain::of_documents();
    let (_ledgers, mut ledger) = ledger(dir.path(), chain.first_block(1, SHAPE.value_bytes));
    for goal in [1_000, 10_000, 100_000] {
        while ledger.tip().0 < goal {
            let lone = Shape {
                block_txs: 1,
                ..SHAPE
            };
            commit_next(&mut ledger, chain.blocks(lone, 100).into_iter());
            if started.elapsed() > longest {
                println!("stopped at {} blocks, the time is over", ledger.tip().0);
                return;
            }
        }
        let name = format!("{goal} blocks");
        measure(report, &mut ledger, &mut chain, &name, bars);
        let reader = ledger.reader();
        let mut at = 0;
        let rate = processor_rate(Duration::from_millis(500), || {
            at = (at + 7_919) % goal;
            assert!(reader.block(at).unwrap().is_some());
        });
        report.add(format!("{name}: a block by number"), "1/s", rate);
    }
}

/// Commits some blocks, each alone.
fn measure(
    report: &mut Report,
    ledger: &mut Ledger,
    chain: &mut Chain,
    name: &str,
    bars: &mut Vec<(String, f64)>,
) {
    let (mut rate, mut busy) = (0.0_f64, f64::MAX);
    for _ in 0..3 {
        let blocks = chain.blocks(SHAPE, BLOCKS);
        let (start, begun) = (Instant::now(), process_seconds());
        commit_next(ledger, blocks.into_iter());
        let txs = (BLOCKS * SHAPE.block_txs) as f64;
        rate = rate.max(txs / start.elapsed().as_secs_f64());
        busy = busy.min((process_seconds() - begun) * 1e6 / txs);
    }
    report.add(
        format!("{name}: commit, 100 a block, 20 together"),
        "tx/s",
        rate,
    );
    report.add(
        format!("{name}: processor time of all threads"),
        "µs/tx",
        busy,
    );
    report.add(format!("{name}: memory"), "MiB", resident_mib());
    bars.push((name.to_owned(), 1e6 / busy.max(1.0)));
}

/// The size of a directory's files, including its subdirectories.
fn mib_in(dir: &Path) -> f64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let sizes = entries.map(|entry| {
        let metadata = entry.metadata();
        if metadata.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
            return mib_in(&entry.path());
        }
        // The engine may have removed the file since.
        metadata.map_or(0.0, |metadata| metadata.len() as f64 / f64::from(1 << 20))
    });
    sizes.sum()
}

/// The memory of this process, from `/proc/self/statm`, which counts pages of 4 KiB.
fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4.0 / 1024.0
}
