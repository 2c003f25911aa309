//! Pages of `_find` over documents like those that CouchDB was measured with.

use std::cell::Cell;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::client::Client;
use crate::load::{Processor, figures};
use crate::{Failure, probes};

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
    pub(crate) async fn run(&self) -> Result<(), Failure> {
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
        })
        .await?;
        let couchdb = self.couchdb.map(Server::couchdb).transpose()?;
        if let Some(couchdb) = &couchdb {
            let mut client = couchdb.connect().await?;
            client.send("PUT", &couchdb.path, "", "").await?;
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
            )
            .await?;
        }
        for (limit, rate, p50, p99, times) in COUCHDB {
            let beside = match &couchdb {
                Some(couchdb) => {
                    let mut line = self.ask(couchdb, limit).await?;
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
            let mut line = self.ask(&quire, limit).await?;
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
            Some(couchdb) => {
                let mut client = couchdb.connect().await?;
                client.send("DELETE", &couchdb.path, "", "").await
            }
            None => Ok(()),
        }
    }

    /// Writes the documents and makes the index.
    async fn prepare(
        &self,
        server: &Server,
        path: &str,
        body: impl Fn(u64, u64) -> Value,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let next = Cell::new(0);
        let write = async || -> Result<(), Failure> {
            let mut client = server.connect().await?;
            loop {
                let from = next.replace(next.get() + TOGETHER);
                if from >= self.documents {
                    return Ok(());
                }
                let to = (from + TOGETHER).min(self.documents);
                client.post(path, &body(from, to).to_string()).await?;
            }
        };
        try_join_all((0..4).map(|_| write())).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let name = format!("{}: documents written", server.name);
        println!(
            "{}",
            json!({"name": name, "count": self.documents, "seconds": seconds})
        );
        let mut client = server.connect().await?;
        let index =
            json!({"index": {"fields": ["color", "size"]}, "ddoc": "bench", "name": "bench"});
        let begun = Instant::now();
        let path = |name: &str| format!("{}/{name}", server.path);
        client.post(&path("_index"), &index.to_string()).await?;
        // CouchDB builds an index when it is first asked.
        client.post(&path("_find"), &query(0, 1)).await?;
        let name = format!("{}: index [color, size]", server.name);
        println!(
            "{}",
            json!({"name": name, "seconds": begun.elapsed().as_secs_f64()})
        );
        Ok(())
    }

    /// Pages of one size, asked for in a closed loop; where each begins differs.
    async fn ask(&self, server: &Server, limit: u64) -> Result<Value, Failure> {
        let processor = Processor::begin(server.pid);
        let next = Cell::new(0);
        let begun = Instant::now();
        let ask = async || -> Result<Vec<Duration>, Failure> {
            let mut client = server.connect().await?;
            let path = format!("{}/_find", server.path);
            let mut took = Vec::new();
            while begun.elapsed().as_secs_f64() < self.seconds {
                let from = next.replace(next.get() + 7919) % (self.documents / 2).max(1);
                let query = query(from, limit);
                let sent = Instant::now();
                client.post(&path, &query).await?;
                took.push(sent.elapsed());
            }
            Ok(took)
        };
        let asked = (0..CLIENTS).map(|_| ask());
        let took = try_join_all(asked).await?.concat();
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let rate = took.len() as f64 / begun.elapsed().as_secs_f64();
        let name = format!(
            "{}: _find, index [color, size], page of {limit}, {CLIENTS} clients",
            server.name
        );
        Ok(figures(&name, took, rate, &processor))
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

    async fn connect(&self) -> Result<Client, Failure> {
        let client = Client::connect(&self.address).await?;
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
