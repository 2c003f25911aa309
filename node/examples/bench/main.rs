//! How long does a submit take? Sends documents to a running node over HTTP, and beside it appends
//! and syncs as many bytes to a file, so that the figure can be compared between machines.
//!
//! ```sh
//! cargo run --release -p quire -- --data /tmp/bench --listen 127.0.0.1:7081 &
//! cargo run --release -p quire --example bench -- --url http://127.0.0.1:7081 --clients 1 --requests 2000
//! ```
//!
//! One JSON object a line. Closed loop: a client sends its next request when it has its answer, so
//! waiting in a queue before sending is not counted.

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

/// Bytes that a lone transaction takes in a block file, about.
const RECORD_BYTES: usize = 4096;

#[derive(Parser)]
struct Arguments {
    /// The node.
    #[arg(long, default_value = "http://127.0.0.1:7080")]
    url: String,
    /// Clients that send at a time.
    #[arg(long, default_value_t = 1)]
    clients: u64,
    /// Documents in all.
    #[arg(long, default_value_t = 2000)]
    requests: u64,
    /// Bytes of each document's payload member.
    #[arg(long, default_value_t = 200)]
    bytes: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let submits = submit_all(&arguments)?;
    let seconds = begun.elapsed().as_secs_f64();
    let name = format!("submit, {} clients", arguments.clients);
    println!("{}", figures(&name, submits, seconds));

    let begun = Instant::now();
    let syncs = append_all(arguments.requests.min(2000))?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        figures("append and sync 4 KiB, bare loop", syncs, seconds)
    );
    Ok(())
}

/// Sends every document once; how long each took.
fn submit_all(arguments: &Arguments) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let next = AtomicU64::new(0);
    let run = format!("{:x}", std::process::id());
    let document = json!({ "payload": "x".repeat(arguments.bytes) }).to_string();
    let client = || -> Result<Vec<Duration>, ureq::Error> {
        let agent = ureq::Agent::new_with_defaults();
        let mut took = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= arguments.requests {
                return Ok(took);
            }
            let path = format!("/v1/channels/main/state/bench/{run}-{number}");
            let begun = Instant::now();
            let answer = agent
                .put(format!("{}{path}", arguments.url))
                .header("content-type", "application/json")
                .header("idempotency-key", format!("{run}-{number}"))
                .send(&document)?;
            answer.into_body().read_to_vec()?;
            took.push(begun.elapsed());
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..arguments.clients)
            .map(|_| scope.spawn(client))
            .collect();
        clients
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut all = Vec::new();
    for result in results {
        all.extend(result.map_err(|_| "a client panicked")??);
    }
    Ok(all)
}

/// What the disk alone takes.
fn append_all(count: u64) -> std::io::Result<Vec<Duration>> {
    let dir = tempfile::tempdir_in(".")?;
    let mut file = File::create(dir.path().join("append"))?;
    let bytes = [7; RECORD_BYTES];
    let one = |_| {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        Ok(begun.elapsed())
    };
    (0..count).map(one).collect()
}

fn figures(name: &str, mut took: Vec<Duration>, seconds: f64) -> serde_json::Value {
    took.sort_unstable();
    let at = |share: f64| {
        let last = took.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a position in a list of a few thousand"
        )]
        let position = (share * last as f64) as usize;
        took.get(position).map_or(0.0, Duration::as_secs_f64) * 1000.0
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of a few thousand")]
    let rate = took.len() as f64 / seconds;
    json!({
        "name": name,
        "count": took.len(),
        "perSecond": rate.round(),
        "p50Ms": at(0.5),
        "p95Ms": at(0.95),
        "p99Ms": at(0.99),
        "maxMs": at(1.0),
    })
}
