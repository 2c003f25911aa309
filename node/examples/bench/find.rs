//! Pages of `_find` over documents like those that CouchDB was measured with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
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
    /// A CouchDB to ask the same, `http://user:password@host:port`.
    pub(crate) couchdb: Option<&'a str>,
    pub(crate) documents: u64,
    /// Seconds that pages of one size are asked for.
    pub(crate) seconds: f64,
    pub(crate) pid: Option<u32>,
}

/// Who is asked.
struct Server {
    name: &'static str,
    address: String,
    authorization: Option<String>,
    /// The documents; `_index` and `_find` are under it.
    path: String,
    pid: Option<u32>,
}

impl Find<'_> {
    /// Writes the documents, makes the index, and asks; prints a line for each.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let quire = Server {
            name: "Quire",
            address: self.address.to_owned(),
            authorization: None,
            path: STATE.to_owned(),
            pid: self.pid,
        };
        self.prepare(&quire, "/v1/channels/main/transactions", |from, to| {
            let operations = (from..to).map(|n| {
                let (key, value) = document(n);
                json!({"op": "put", "namespace": "found", "key": key, "value": value})
            });
            json!({ "operations": operations.collect::<Vec<_>>() })
        })?;
        let couchdb = self.couchdb.map(Server::couchdb).transpose()?;
        if let Some(couchdb) = &couchdb {
            couchdb.connect()?.send("PUT", &couchdb.path, "", "")?;
            self.prepare(
                couchdb,
                &format!("{}/_bulk_docs", couchdb.path),
                |from, to| {
                    let documents = (from..to).map(|n| {
                        let (key, mut value) = document(n);
                        if let Some(members) = value.as_object_mut() {
                            members.insert("_id".to_owned(), key.into());
                        }
                        value
                    });
                    json!({ "docs": documents.collect::<Vec<_>>() })
                },
            )?;
        }
        for (limit, rate, p50, p99, times) in COUCHDB {
            let beside = match &couchdb {
                Some(couchdb) => {
                    let mut line = self.ask(couchdb, limit)?;
                    println!("{line}");
                    if let Some(line) = line.as_object_mut() {
                        line.retain(|name, _| {
                            ["perSecond", "p50Ms", "p99Ms"].contains(&name.as_str())
                        });
                    }
                    line
                }
                // What another machine measured.
                None => json!({"perSecond": rate, "p50Ms": p50, "p99Ms": p99}),
            };
            let mut line = self.ask(&quire, limit)?;
            let rate = |line: &Value| line.get("perSecond").and_then(Value::as_f64);
            let ratio = rate(&line)
                .zip(rate(&beside))
                .map(|(ours, theirs)| (ours / theirs).round());
            if let Some(line) = line.as_object_mut() {
                line.insert("timesCouchdb".to_owned(), ratio.into());
                line.insert("couchdb".to_owned(), beside);
                line.insert("timesAsked".to_owned(), times.into());
            }
            println!("{line}");
        }
        match &couchdb {
            Some(couchdb) => couchdb.connect()?.send("DELETE", &couchdb.path, "", ""),
            None => Ok(()),
        }
    }

    /// Writes the documents and makes the index.
    fn prepare(
        &self,
        server: &Server,
        path: &str,
        body: impl Fn(u64, u64) -> Value + Sync,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let next = AtomicU64::new(0);
        let write = || -> Result<(), Failure> {
            let mut client = server.connect()?;
            loop {
                let from = next.fetch_add(TOGETHER, Ordering::Relaxed);
                if from >= self.documents {
                    return Ok(());
                }
                let to = (from + TOGETHER).min(self.documents);
                client.post(path, &body(from, to).to_string())?;
            }
        };
        together(4, &write)?;
        let seconds = begun.elapsed().as_secs_f64();
        let name = format!("{}: documents written", server.name);
        println!(
            "{}",
            json!({"name": name, "count": self.documents, "seconds": seconds})
        );
        let mut client = server.connect()?;
        let index =
            json!({"index": {"fields": ["color", "size"]}, "ddoc": "bench", "name": "bench"});
        let begun = Instant::now();
        client.post(&format!("{}/_index", server.path), &index.to_string())?;
        // CouchDB builds an index when it is first asked.
        client.post(&format!("{}/_find", server.path), &query(0, 1))?;
        let name = format!("{}: index [color, size]", server.name);
        println!(
            "{}",
            json!({"name": name, "seconds": begun.elapsed().as_secs_f64()})
        );
        Ok(())
    }

    /// Pages of one size, asked for in a closed loop; where each begins differs.
    fn ask(&self, server: &Server, limit: u64) -> Result<Value, Failure> {
        let before = server.pid.and_then(probes::process_seconds);
        let own_before = probes::process_seconds(std::process::id());
        let next = AtomicU64::new(0);
        let begun = Instant::now();
        let ask = || -> Result<Vec<Duration>, Failure> {
            let mut client = server.connect()?;
            let path = format!("{}/_find", server.path);
            let mut took = Vec::new();
            while begun.elapsed().as_secs_f64() < self.seconds {
                let from = next.fetch_add(7919, Ordering::Relaxed) % (self.documents / 2).max(1);
                let query = query(from, limit);
                let sent = Instant::now();
                client.post(&path, &query)?;
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
            node: each(before, server.pid.and_then(probes::process_seconds)),
            client: each(own_before, probes::process_seconds(std::process::id())),
        };
        let name = format!(
            "{}: _find, index [color, size], page of {limit}, {CLIENTS} clients",
            server.name
        );
        let mut line = figures(&name, took, count / seconds, &processor);
        if let Some(line) = line.as_object_mut() {
            line.remove("durability");
        }
        Ok(line)
    }
}

impl Server {
    /// A database of its own on a CouchDB.
    fn couchdb(url: &str) -> Result<Self, Failure> {
        let rest = url
            .strip_prefix("http://")
            .ok_or("CouchDB's URL begins with http://")?;
        let (credential, address) = match rest.rsplit_once('@') {
            Some((credential, address)) => (Some(credential), address),
            None => (None, rest),
        };
        Ok(Self {
            name: "CouchDB",
            address: address.trim_end_matches('/').to_owned(),
            authorization: credential
                .map(|credential| format!("Basic {}", BASE64.encode(credential))),
            path: format!("/quire-bench-{:x}", probes::now_nanos()),
            pid: None,
        })
    }

    fn connect(&self) -> Result<Client, Failure> {
        let client = Client::connect(&self.address)?;
        Ok(match &self.authorization {
            Some(authorization) => client.authorized(authorization),
            None => client,
        })
    }
}

fn query(from: u64, limit: u64) -> String {
    let selector = json!({"color": "color3", "size": {"$gt": from}});
    json!({"selector": selector, "limit": limit}).to_string()
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

/// Key and value of document `n`; consecutive ones have keys that lie far apart.
fn document(n: u64) -> (String, Value) {
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
    (key, document)
}
