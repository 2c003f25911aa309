//! Pages of `_find` over documents like those that CouchDB was measured with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::{Failure, Processor, figures, probes};

/// Where the documents are.
const STATE: &str = "/v1/channels/main/state/found";
/// Documents that are written together.
const TOGETHER: u64 = 500;
/// Bytes of a document.
const DOCUMENT_BYTES: usize = 230;
/// Connections that ask.
const CLIENTS: u64 = 16;

/// CouchDB 3.5 on another machine of two cores, 100,000 documents, 16 connections from one process
/// on the same cores: rows of a page, pages a second, p50 and p99 in ms, how many times that is
/// asked of us.
const COUCHDB: [(u64, f64, f64, f64, f64); 2] = [
    (10, 377.0, 41.0, 72.0, 25.0),
    (500, 22.0, 680.0, 830.0, 10.0),
];

/// What is asked of whom.
pub(crate) struct Find<'a> {
    pub(crate) address: &'a str,
    pub(crate) documents: u64,
    /// Seconds that pages of one size are asked for.
    pub(crate) seconds: f64,
    pub(crate) pid: Option<u32>,
}

impl Find<'_> {
    /// Writes the documents that are not there, makes the index, and asks; prints a line for each.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        self.write()?;
        let mut client = Client::connect(self.address)?;
        let index =
            json!({"index": {"fields": ["color", "size"]}, "ddoc": "bench", "name": "bench"});
        let begun = Instant::now();
        client.post(&format!("{STATE}/_index"), &index.to_string())?;
        println!(
            "{}",
            json!({"name": "index [color, size]", "seconds": begun.elapsed().as_secs_f64()})
        );
        for page in COUCHDB {
            println!("{}", self.ask(page)?);
        }
        Ok(())
    }

    fn write(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        let next = AtomicU64::new(0);
        let write = || -> Result<(), Failure> {
            let mut client = Client::connect(self.address)?;
            loop {
                let from = next.fetch_add(TOGETHER, Ordering::Relaxed);
                if from >= self.documents {
                    return Ok(());
                }
                let to = (from + TOGETHER).min(self.documents);
                let operations: Vec<Value> = (from..to).map(operation).collect();
                let body = json!({ "operations": operations }).to_string();
                client.post("/v1/channels/main/transactions", &body)?;
            }
        };
        together(4, &write)?;
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({"name": "documents written", "count": self.documents, "seconds": seconds})
        );
        Ok(())
    }

    /// Pages of one size, asked for in a closed loop; where each begins differs.
    fn ask(
        &self,
        (limit, rate, p50, p99, times): (u64, f64, f64, f64, f64),
    ) -> Result<Value, Failure> {
        let before = self.pid.and_then(probes::process_seconds);
        let own_before = probes::process_seconds(std::process::id());
        let next = AtomicU64::new(0);
        let begun = Instant::now();
        let ask = || -> Result<Vec<Duration>, Failure> {
            let mut client = Client::connect(self.address)?;
            let mut took = Vec::new();
            while begun.elapsed().as_secs_f64() < self.seconds {
                let from = next.fetch_add(7919, Ordering::Relaxed) % (self.documents / 2).max(1);
                let selector = json!({"color": "color3", "size": {"$gt": from}});
                let query = json!({"selector": selector, "limit": limit}).to_string();
                let sent = Instant::now();
                client.post(&format!("{STATE}/_find"), &query)?;
                took.push(sent.elapsed());
            }
            Ok(took)
        };
        let took: Vec<Duration> = together(CLIENTS, &ask)?.concat();
        let seconds = begun.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let count = took.len() as f64;
        let each =
            |before: Option<f64>, now: Option<f64>| Some(((now? - before?) * 1e6 / count).round());
        let processor = Processor {
            node: each(before, self.pid.and_then(probes::process_seconds)),
            client: each(own_before, probes::process_seconds(std::process::id())),
        };
        let name = format!("_find, index [color, size], page of {limit}, {CLIENTS} clients");
        let mut line = figures(&name, took, count / seconds, &processor);
        if let Some(line) = line.as_object_mut() {
            line.remove("durability");
            let couchdb = json!({"perSecond": rate, "p50Ms": p50, "p99Ms": p99});
            line.insert("couchdb".to_owned(), couchdb);
            line.insert(
                "timesCouchdb".to_owned(),
                (count / seconds / rate).round().into(),
            );
            line.insert("timesAsked".to_owned(), times.into());
        }
        Ok(line)
    }
}

/// Runs the same on so many threads.
fn together<T: Send>(
    threads: u64,
    work: &(impl Fn() -> Result<T, Failure> + Sync),
) -> Result<Vec<T>, Failure> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended
            .map(|ended| ended.map_err(|_| "a client panicked")?)
            .collect()
    })
}

/// Writes document `n`; consecutive ones have keys that lie far apart.
fn operation(n: u64) -> Value {
    let key = format!("order-{:016x}", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut document = json!({
        "owner": format!("owner{}", n % 1000),
        "size": n % 100_000,
        "color": format!("color{}", n % 10),
        "kind": n % 50,
        "payload": "",
    });
    let left = DOCUMENT_BYTES.saturating_sub(document.to_string().len());
    if let Some(payload) = document.get_mut("payload") {
        *payload = "v".repeat(left).into();
    }
    json!({"op": "put", "namespace": "found", "key": key, "value": document})
}
