//! Measures the cost of a query step: processor time per counted step, for queries of many kinds, ordinary
//! and hostile. A budget of steps is a budget of time only if these figures agree.

use std::path::Path;
use std::time::Duration;

use quire_ledger::{FindError, Meter, Query, Snapshot};
use serde_json::{Value, json};

use crate::chain::{Chain, NAMESPACE};
use crate::commits::{commit_next, ledger};
use crate::probes::processor_rate;
use crate::report::Report;

/// The number of documents that are searched.
const DOCUMENTS: usize = 500;
/// More steps than any of the queries takes.
const STEPS: u64 = u64::MAX;
const PAGE_BYTES: usize = 8 << 20;

pub(crate) fn run(report: &mut Report, dir: &Path, time: Duration) {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let mut chain = Chain::new();
    let (_ledgers, mut ledger) = ledger(dir.path(), chain.first_block(1, 2));
    let documents = (0..DOCUMENTS).map(|n| (format!("k{n:05}"), document(n).to_string()));
    let block = chain.of_values(documents);
    commit_next(&mut ledger, std::iter::once(block));
    let snapshot = ledger.reader().snapshot();
    let mut nanoseconds = Vec::new();
    for (name, selector) in conditions().into_iter().chain(patterns()) {
        let query = json!({"selector": selector}).to_string();
        let query = Query::parse(query.as_bytes()).unwrap();
        let steps = ask(&snapshot, &query);
        let rate = processor_rate(time, || {
            ask(&snapshot, &query);
        });
        let step = 1e9 / rate / steps as f64;
        report.add(format!("a step: {name}"), "ns", step);
        nanoseconds.push(step);
    }
    let least = nanoseconds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = nanoseconds.iter().copied().fold(0.0, f64::max);
    report.add("a step: the most by the least", "times", most / least);
}

/// Asks, and returns how many steps it took.
fn ask(snapshot: &Snapshot, query: &Query) -> u64 {
    let mut meter = Meter::new(STEPS, None);
    match snapshot.find(NAMESPACE, query, PAGE_BYTES, &mut meter) {
        Ok(_) | Err(FindError::TooExpensive(_)) => meter.spent().total(),
        Err(error) => panic!("{error}"),
    }
}

fn document(n: usize) -> Value {
    json!({
        "n": n,
        "big": serde_json::from_str::<Value>(&"7".repeat(1000)).unwrap(),
        "name": format!("customer {n} of a town with an ordinary name"),
        "accents": "été à la plage, où l'œuvre s'achève ".repeat(6),
        "long": format!("{}{n}", "a".repeat(8_000)),
        "words": "lorem ipsum dolor sit amet ".repeat(60),
        "list": (0..100).map(|m| n + m).collect::<Vec<_>>(),
        "tags": (0..100).map(|m| format!("tag {m}")).collect::<Vec<_>>(),
        "in": {"deep": {"deeper": {"deepest": n}}},
    })
}

/// No condition matches, so that every document is read.
fn conditions() -> Vec<(&'static str, Value)> {
    let numbers: Vec<i64> = (1..=1000).map(|n| -n).collect();
    let texts: Vec<String> = (0..1000)
        .map(|n| format!("customer {n} elsewhere"))
        .collect();
    let branches: Vec<Value> = (0..1000).map(|n| json!({"n": -n - 1})).collect();
    let others: Vec<Value> = (0..1000)
        .map(|n| json!({format!("absent{n}"): n}))
        .collect();
    let big = serde_json::from_str::<Value>(&format!("{}8", "7".repeat(999))).unwrap();
    vec![
        ("a document", json!({"n": -1})),
        (
            "a path of four names",
            json!({"in.deep.deeper.deepest": -1}),
        ),
        ("$or of 1,000 numbers", json!({"$or": branches})),
        ("$or of 1,000 absent fields", json!({"$or": others})),
        ("$in of 1,000 numbers", json!({"n": {"$in": numbers}})),
        (
            "$in of 1,000 numbers, of a list of 100",
            json!({"list": {"$in": numbers}}),
        ),
        ("$in of 1,000 texts", json!({"name": {"$in": texts}})),
        (
            "$in of 1,000 texts, of a list of 100",
            json!({"tags": {"$in": texts}}),
        ),
        ("$all, of a list of 100", json!({"tags": {"$all": [texts]}})),
        ("a number of 1,000 digits", json!({"big": big})),
        (
            "a text of 8,000 characters",
            json!({"long": format!("{}b", "a".repeat(7_999))}),
        ),
        (
            "a text with accents",
            json!({"accents": "été à la plage, où l'œuvre s'achève ".repeat(5)}),
        ),
        (
            "$beginsWith",
            json!({"long": {"$beginsWith": format!("{}b", "a".repeat(4_000))}}),
        ),
        ("$elemMatch", json!({"list": {"$elemMatch": {"$lt": -1}}})),
        (
            "$keyMapMatch",
            json!({"in": {"$keyMapMatch": {"$eq": "deeper"}}}),
        ),
    ]
}

fn patterns() -> Vec<(&'static str, Value)> {
    let patterns: Vec<Value> = (0..50)
        .map(|n| json!({"words": {"$regex": format!("(dolor|sit) [a-f]{{{n}}}zz")}}))
        .collect();
    vec![
        ("a pattern", json!({"name": {"$regex": "^client"}})),
        (
            "a pattern that looks through",
            json!({"words": {"$regex": "dolor [x-z]+ amet"}}),
        ),
        ("50 patterns", json!({"$or": patterns})),
        (
            "a pattern of many states",
            json!({"long": {"$regex": "(x{0,90}){0,90}y0"}}),
        ),
        (
            "a pattern that makes states",
            json!({"words": {"$regex": "[a-m][a-z ]{60}[0-9]"}}),
        ),
        (
            "a simulated pattern",
            json!({"words": {"$regex": "\\bsitt\\b"}}),
        ),
        (
            "a simulated pattern of many steps",
            json!({"words": {"$regex": "\\b([a-z ]{0,80}){0,20}[0-9]"}}),
        ),
        (
            "looking around",
            json!({"words": {"$regex": "(?<!x)(?=[a-z ]{40}[0-9])a"}}),
        ),
    ]
}
