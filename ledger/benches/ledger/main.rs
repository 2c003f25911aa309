//! Measures the ledger beside the machine: `cargo bench -p quire-ledger`.
//!
//! Prints a JSON line for each figure immediately, and a table at the end; `docs/performance.md` says how to
//! read it. Words after `--` choose among `appends`, `commits`, `signatures`, `reads` and `queries`;
//! `growth`, which takes some minutes, runs only if it is named; `probes` alone chooses nothing else.
//!
//! With `--large`, `queries` also asks a million documents, and `growth` goes to ten million keys, which
//! takes a quarter of an hour and 7 GB of disk.
//!
//! `--dir=DIRECTORY` measures there: a file system in memory removes the disk from the figures and leaves the
//! processor's work. `--longest=SECONDS` ends each series of `growth`. Without `--bench`, which cargo adds,
//! it runs for a moment and its figures mean nothing.

#![expect(
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "figures of three digits, and a measurement that fails must stop"
)]

mod chain;
mod commits;
mod growth;
mod probes;
mod queries;
mod reads;
mod report;
mod signatures;
mod work;

use std::path::Path;
use std::time::Duration;

use report::Report;

/// The node has the same allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measures = arguments.iter().any(|argument| argument == "--bench");
    let chosen = |part: &str| {
        let mut names = arguments.iter().filter(|name| !name.starts_with('-'));
        names.clone().next().is_none() || names.any(|name| name == part)
    };
    let (time, commit_txs, chain_txs) = if measures {
        (Duration::from_secs(1), 20_000, 100_000)
    } else {
        (Duration::from_millis(1), 500, 200)
    };
    let dir = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--dir="))
        .unwrap_or(env!("CARGO_TARGET_TMPDIR"));
    let dir = tempfile::tempdir_in(Path::new(dir)).unwrap();
    let mut report = Report::new();
    // The probes always run: they scale the other figures.
    let scale = probes::run(&mut report, dir.path(), time);
    if chosen("appends") {
        commits::run_appends(&mut report, dir.path(), commit_txs);
    }
    if chosen("commits") {
        commits::run(&mut report, dir.path(), scale, commit_txs, time);
    }
    if chosen("signatures") {
        signatures::run(&mut report, dir.path(), commit_txs);
    }
    if chosen("reads") {
        reads::run(&mut report, dir.path(), scale, chain_txs, time);
    }
    let is_large = arguments.iter().any(|argument| argument == "--large");
    if chosen("queries") {
        let sizes = match (measures, is_large) {
            (false, _) => &[300][..],
            (true, false) => &[1_000, 100_000],
            (true, true) => &[1_000, 100_000, 1_000_000],
        };
        queries::run(&mut report, dir.path(), scale, sizes, time);
    }
    if chosen("work") {
        work::run(&mut report, dir.path(), time);
    }
    if arguments.iter().any(|argument| argument == "growth") {
        let longest = arguments
            .iter()
            .find_map(|argument| argument.strip_prefix("--longest="))
            .map_or(if is_large { 900 } else { 120 }, |seconds| {
                seconds.parse().unwrap()
            });
        let keys = if is_large {
            &[10_000, 1_000_000, 10_000_000]
        } else {
            &[10_000, 100_000, 1_000_000]
        };
        growth::run(&mut report, dir.path(), keys, Duration::from_secs(longest));
    }
    scale.again(&mut report, dir.path(), time);
    report.print_table();
}
