//! How fast is a submit over HTTP, or a page of a query? Sends documents to a running node, and beside it
//! does on the bare machine what a submit cannot do without, so that figures can be compared between machines.
//!
//! ```sh
//! cargo run --release -p quire -- --data /tmp/bench --listen 127.0.0.1:7081 &
//! cargo run --release -p quire --example bench -- --url 127.0.0.1:7081 --pid $!
//! ```
//!
//! One JSON object a line: the machine's probes, then closed loops of 1, 50, 200 and 500 clients (each
//! sends its next request when it has its answer), then an open loop at half the best rate: requests
//! are due on a schedule, and their time counts from when they were due, sent late or not. An answer
//! other than 2xx ends the run. The node answers a submit when its block is synced to disk.
//!
//! With `--find 100000` no loop submits: so many documents are written, an index is made, and 16 clients
//! ask for pages of 10 and of 500 of them, beside what CouchDB did with as many elsewhere, or does here
//! where `QUIRE_TEST_COUCHDB_URL` names one.

mod client;
mod find;
mod probes;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};

use client::Client;
use find::Find;

/// Longest run of one closed or open loop.
const LONGEST: Duration = Duration::from_secs(120);

#[derive(Parser)]
struct Arguments {
    /// The node.
    #[arg(long, default_value = "127.0.0.1:7080")]
    url: String,
    /// Clients of each closed loop.
    #[arg(long, value_delimiter = ',', default_value = "1,50,200,500")]
    clients: Vec<u64>,
    /// Documents that one client sends in a closed loop; all of them together send at most 20 times
    /// as many.
    #[arg(long, default_value_t = 1000)]
    requests: u64,
    /// Requests a second of open loops, in place of half the best rate of the closed ones.
    #[arg(long, value_delimiter = ',')]
    rate: Vec<f64>,
    /// Seconds of each open loop, and of pages of one size.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Bytes of each document's payload member.
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Asks for pages of so many documents instead of submitting.
    #[arg(long)]
    find: Option<u64>,
    /// A CouchDB that is asked the same pages beside the node: `http://user:password@host:port`.
    /// Without it the figures of another machine stand beside ours.
    #[arg(long, env = "QUIRE_TEST_COUCHDB_URL", hide_env_values = true)]
    couchdb: Option<String>,
    /// The node's process, to tell how much processor time it takes.
    #[arg(long)]
    pid: Option<u32>,
    /// Where to append and sync for the probes: the node's file system.
    #[arg(long, default_value = ".")]
    dir: std::path::PathBuf,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let address = arguments.url.trim_start_matches("http://");
    for line in probes::run(&arguments.dir)? {
        println!("{line}");
    }
    if let Some(documents) = arguments.find {
        let find = Find {
            address,
            couchdb: arguments.couchdb.as_deref(),
            documents,
            seconds: arguments.seconds,
            pid: arguments.pid,
        };
        return find.run();
    }
    let mut best = 0.0_f64;
    for &clients in &arguments.clients {
        let total = arguments.requests.saturating_mul(clients.clamp(1, 20));
        let load = Load::new(address, arguments.bytes, total, None);
        let (line, rate) = load.run(
            &format!("closed loop, {clients} clients"),
            clients,
            arguments.pid,
        )?;
        println!("{line}");
        best = best.max(rate);
    }
    let rates = if arguments.rate.is_empty() {
        vec![best / 2.0]
    } else {
        arguments.rate.clone()
    };
    for rate in rates {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of requests"
        )]
        let total = (rate * arguments.seconds) as u64;
        let load = Load::new(address, arguments.bytes, total, Some(rate));
        let (line, _) = load.run(
            &format!("open loop, {rate:.0} a second"),
            500,
            arguments.pid,
        )?;
        println!("{line}");
    }
    Ok(())
}

/// Requests to be sent by some clients.
struct Load<'a> {
    address: &'a str,
    document: String,
    total: u64,
    /// Requests a second, where they are due on a schedule.
    rate: Option<f64>,
    /// Names keys and idempotency keys that no other run has.
    run: String,
    next: AtomicU64,
}

impl<'a> Load<'a> {
    fn new(address: &'a str, bytes: usize, total: u64, rate: Option<f64>) -> Self {
        Self {
            address,
            document: json!({ "payload": "x".repeat(bytes) }).to_string(),
            total,
            rate,
            run: format!("{:x}", probes::now_nanos()),
            next: AtomicU64::new(0),
        }
    }

    /// Sends everything; the figures, and how many a second were answered.
    fn run(&self, name: &str, clients: u64, pid: Option<u32>) -> Result<(Value, f64), Failure> {
        let node_before = pid.and_then(probes::process_seconds);
        let own_before = probes::process_seconds(std::process::id());
        // Connected before the clock starts.
        let connected: Result<Vec<Client>, _> = (0..clients)
            .map(|_| Client::connect(self.address))
            .collect();
        let connected = connected?;
        let begun = Instant::now();
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = connected
                .into_iter()
                .map(|client| scope.spawn(move || self.send(client, begun)))
                .collect();
            threads
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect()
        });
        let seconds = begun.elapsed().as_secs_f64();
        let mut took = Vec::new();
        for result in results {
            took.extend(result.map_err(|_| "a client panicked")??);
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let count = took.len() as f64;
        let since =
            |before: Option<f64>, now: Option<f64>| Some(((now? - before?) * 1e6 / count).round());
        let processor = Processor {
            node: since(node_before, pid.and_then(probes::process_seconds)),
            client: since(own_before, probes::process_seconds(std::process::id())),
        };
        let line = figures(name, took, count / seconds, &processor);
        Ok((line, count / seconds))
    }

    /// One client's part.
    fn send(&self, mut client: Client, begun: Instant) -> Result<Vec<Duration>, Failure> {
        let mut took = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.total || begun.elapsed() > LONGEST {
                return Ok(took);
            }
            let due = match self.rate {
                None => Instant::now(),
                Some(rate) => {
                    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
                    let due = begun + Duration::from_secs_f64(number as f64 / rate);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    due
                }
            };
            let key = format!("{}-{number}", self.run);
            let path = format!("/v1/channels/main/state/bench/{key}");
            client.put(&path, &key, &self.document)?;
            took.push(due.elapsed());
        }
    }
}

/// Microseconds of processor time that a request took of each process.
struct Processor {
    node: Option<f64>,
    client: Option<f64>,
}

fn figures(name: &str, mut took: Vec<Duration>, rate: f64, processor: &Processor) -> Value {
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
        let milliseconds = took.get(position).map_or(0.0, Duration::as_secs_f64) * 1000.0;
        (milliseconds * 100.0).round() / 100.0
    };
    json!({
        "name": name,
        "count": took.len(),
        "perSecond": rate.round(),
        "p50Ms": at(0.5),
        "p95Ms": at(0.95),
        "p99Ms": at(0.99),
        "maxMs": at(1.0),
        "nodeMicros": processor.node,
        "clientMicros": processor.client,
        "durability": "fdatasync before the answer",
        "commit": probes::commit(),
        "machine": probes::machine(),
    })
}
