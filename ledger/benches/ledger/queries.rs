//! Measures queries of documents: by key, by range, by `_find` with and without an index.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use quire_ledger::{Found, IndexRequest, Meter, Query, RangeEnd, Reader, Snapshot};
use serde_json::{Value, json};

use crate::chain::{Chain, NAMESPACE, filled_key};
use crate::commits::{commit_next, ledger};
use crate::probes::{Scale, processor_rate};
use crate::report::Report;

/// Bytes of a document, as when CouchDB was measured.
const DOCUMENT_BYTES: usize = 230;
/// Keys of a transaction, and transactions of a block, when filling.
const KEYS_A_TX: usize = 500;
const TXS_A_BLOCK: usize = 20;
/// A page ends after this many bytes, as in the API.
const PAGE_BYTES: usize = 8 << 20;
/// The number of results before a deep page.
const DEPTH: usize = 500;
/// Longest wait for an index.
const BUILDING: Duration = Duration::from_secs(600);

/// CouchDB 3.5: requests per second over HTTP, with 16 connections and 100,000 documents of 230 B.
mod couchdb {
    pub(super) const OWNER: f64 = 278.0;
    pub(super) const COLOR: f64 = 377.0;
    pub(super) const PAGE_OF_500: f64 = 22.0;
    pub(super) const EARLY: f64 = 415.0;
    /// Documents per second of a new index.
    pub(super) const BUILD: f64 = 10_000.0;
}

pub(crate) fn run(report: &mut Report, dir: &Path, scale: Scale, sizes: &[usize], time: Duration) {
    for &size in sizes {
        let dir = tempfile::tempdir_in(dir).unwrap();
        let mut chain = Chain::of_documents();
        let (_ledgers, mut ledger) = ledger(dir.path(), chain.first_block(1, DOCUMENT_BYTES));
        let start = Instant::now();
        let mut left = size;
        while left > 0 {
            let keys = KEYS_A_TX.min(left);
            let txs = (left / keys).min(TXS_A_BLOCK);
            let block = chain.fill(txs, keys, DOCUMENT_BYTES);
            left -= txs * keys;
            commit_next(&mut ledger, std::iter::once(block));
        }
        let rate = size as f64 / start.elapsed().as_secs_f64();
        let name = format!("{size} documents: written, 10,000 a block");
        report.add(name, "1/s", rate);
        let mut bench = Bench {
            report,
            reader: ledger.reader(),
            size,
            // CouchDB was measured with this many.
            scale: (size == 100_000).then_some(scale),
            time,
        };
        bench.keys();
        bench.without_index();
        bench.build_indexes();
        bench.with_index();
    }
}

/// What is measured over one set of documents.
struct Bench<'a> {
    report: &'a mut Report,
    reader: Reader,
    size: usize,
    scale: Option<Scale>,
    time: Duration,
}

impl Bench<'_> {
    fn add(&mut self, name: &str, unit: &'static str, value: f64, couchdb: Option<f64>) {
        let name = format!("{} documents: {name}", self.size);
        match (couchdb, self.scale) {
            (Some(couchdb), Some(scale)) => {
                let couchdb = couchdb * scale.of_processor();
                self.report
                    .compare(name, unit, value, ("CouchDB over HTTP, scaled", couchdb));
            }
            _ => self.report.add(name, unit, value),
        }
    }

    fn keys(&mut self) {
        let (snapshot, size) = (self.reader.snapshot(), self.size);
        let mut at = 0;
        let mut next = || {
            at = (at + 7_368_787) % size;
            filled_key(at)
        };
        let rate = processor_rate(self.time, || {
            assert!(snapshot.get(NAMESPACE, &next()).unwrap().is_some());
        });
        self.add("a key", "1/s", rate, None);
        let rate = processor_rate(self.time, || {
            let rows = snapshot.range(NAMESPACE, &next(), RangeEnd::Unbounded, 100);
            black_box(rows.unwrap());
        });
        self.add("a range of 100 keys", "1/s", rate, None);
    }

    /// Asks queries of one kind, one after another; each has the given number of answers.
    fn find(
        &mut self,
        name: &str,
        couchdb: Option<f64>,
        rows: usize,
        query: impl Fn(usize) -> Value,
    ) {
        let snapshot = self.reader.snapshot();
        let mut at = 0;
        let rate = processor_rate(self.time, || {
            at = (at + 7_919) % self.size;
            let found = ask(&snapshot, &query(at));
            assert_eq!(found.documents.len(), rows, "{}", query(at));
        });
        self.add(name, "1/s", rate, couchdb);
    }

    fn without_index(&mut self) {
        let early = |_| json!({"selector": {"color": "color3"}, "limit": 10});
        let name = "_find, no index, a tenth matches, page of 10";
        self.find(name, Some(couchdb::EARLY), 10, early);
        let late = |n: usize| json!({"selector": {"size": size_of(n)}, "limit": 10});
        let matching = self.size.div_ceil(100_000);
        let name = "_find, no index, every document is looked at";
        self.find(name, None, matching.min(10), late);
    }

    fn build_indexes(&mut self) {
        for (name, fields) in [
            ("color-size", ["color", "size"]),
            ("owner-size", ["owner", "size"]),
        ] {
            let body = json!({"index": {"fields": fields}, "ddoc": name, "name": name});
            let request = IndexRequest::parse(body.to_string().as_bytes()).unwrap();
            let start = Instant::now();
            let created = self.reader.create_index(NAMESPACE, &request, BUILDING);
            assert!(created.unwrap());
            let rate = self.size as f64 / start.elapsed().as_secs_f64();
            let name = format!("index {fields:?} built");
            self.add(&name, "1/s", rate, Some(couchdb::BUILD));
        }
        let explained = self.reader.snapshot();
        let explained = explained
            .explain(NAMESPACE, &parse(&colored(0, 10)))
            .unwrap();
        assert_eq!(explained["index"]["name"], "color-size");
    }

    fn with_index(&mut self) {
        let page = |limit: usize| move |n: usize| colored(n % 50, limit);
        let name = "_find, index [color, size], page of 10";
        self.find(name, Some(couchdb::COLOR), 10, page(10));
        // If there are fewer documents, fewer have the same color.
        let large = 500.min(self.size / 20);
        let name = format!("_find, index [color, size], page of {large}");
        self.find(&name, Some(couchdb::PAGE_OF_500), large, page(large));
        let name = "_find, index [owner, size], page of 10";
        let rows = self.size.div_ceil(1000).min(10);
        self.find(name, Some(couchdb::OWNER), rows, |n| {
            let owner = format!("owner{}", number_of(n) % 1000);
            json!({"selector": {"owner": owner, "size": {"$gt": 0}}, "limit": 10})
        });
        let depth = DEPTH.min(self.size / 20);
        let before = ask(&self.reader.snapshot(), &colored(0, depth));
        let bookmark = before.bookmark.unwrap();
        let name = format!("_find, index [color, size], page of 10 behind {depth} by bookmark");
        self.find(&name, Some(couchdb::COLOR), 10, |_| {
            let mut query = colored(0, 10);
            query["bookmark"] = bookmark.as_str().into();
            query
        });
        let name = format!("_find, index [color, size], page of 10 behind {depth} by skip");
        self.find(&name, None, 10, |_| {
            let mut query = colored(0, 10);
            query["skip"] = depth.into();
            query
        });
    }
}

/// Documents of one color that have at least a size.
fn colored(from: usize, limit: usize) -> Value {
    json!({"selector": {"color": "color3", "size": {"$gt": from}}, "limit": limit})
}

/// The number of document `n` in its members.
fn number_of(n: usize) -> usize {
    crate::chain::FILLED_FROM + n
}

fn size_of(n: usize) -> usize {
    // Block 0 has a document of size 0 too.
    (number_of(n) % 100_000).max(1)
}

fn parse(query: &Value) -> Query {
    Query::parse(query.to_string().as_bytes()).unwrap()
}

fn ask(snapshot: &Snapshot, query: &Value) -> Found {
    snapshot
        .find(NAMESPACE, &parse(query), PAGE_BYTES, &mut Meter::default())
        .unwrap()
}
