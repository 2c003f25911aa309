//! Tests the promises of every state engine on each of them.
//!
//! These tests guard against an engine that answers any question differently from the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quire_ledger::{
    Height, IndexRequest, Meter, Query, RangeEnd, Reader, Snapshot, StateEngine, VersionedValue,
};
use serde_json::{Value, json};

use crate::kit::chain::Act;
use crate::kit::couchdb::{CouchDb, at_port, channel_name};
use crate::kit::pouchdb::PouchDb;
use crate::kit::{Documents, chain};
use crate::{mango, rich};

/// An engine, and what keeps it running.
struct Engine {
    state: StateEngine,
    channel: String,
    _server: Option<PouchDb>,
}

impl Engine {
    fn fjall() -> Vec<Self> {
        vec![Self {
            state: StateEngine::Fjall,
            channel: "main".to_owned(),
            _server: None,
        }]
    }

    fn pouchdb() -> Vec<Self> {
        let server = PouchDb::start();
        vec![Self {
            state: at_port(server.port()),
            channel: "main".to_owned(),
            _server: Some(server),
        }]
    }

    /// Empty if no server is named.
    fn couchdb() -> Vec<Self> {
        let engine = |server: CouchDb| Self {
            state: server.engine(&server.authority),
            channel: channel_name(),
            _server: None,
        };
        CouchDb::named().map(engine).into_iter().collect()
    }

    fn documents(&self) -> Documents {
        Documents::on(self.state.clone(), &self.channel)
    }
}

/// Every promise, for every engine.
macro_rules! contract {
    ($($promise:ident)*) => {
        contract!(@ fjall: $($promise)*);
        contract!(@ pouchdb: $($promise)*);
        contract!(@ couchdb: $($promise)*);
    };
    (@ $engine:ident: $($promise:ident)*) => {
        mod $engine {
            $(#[test]
            fn $promise() {
                for engine in super::Engine::$engine() {
                    super::$promise(&engine);
                }
            })*
        }
    };
}

contract! {
    values_come_back_byte_for_byte
    keys_are_any_text_in_byte_order
    a_snapshot_shows_one_height_however_long_it_is_held
    readers_never_see_half_a_batch
    metadata_and_versions_are_kept_apart_from_values
    what_a_transaction_read_is_still_so_when_it_is_judged
    a_restart_changes_nothing
    namespaces_are_listed_with_their_keys
    every_query_that_couchdb_answered_is_answered_alike
    indexes_follow_every_block
    phantoms_of_rich_queries_are_found
    phantoms_among_many_rows_are_found
}

/// Values that some JSON reader does not give back unchanged.
const VALUES: &[&[u8]] = &[
    br#"{"a":1}"#,
    br#"{"z":1,"a":{"y":2,"b":3}}"#,
    br#"{"n":9007199254740992,"m":-9007199254740992}"#,
    br#"{"n":9007199254740993}"#,
    br#"{"n":18446744073709551615}"#,
    br#"{"n":18446744073709551617}"#,
    br#"{"n":1.10,"m":1e2,"o":-0.0,"p":1E400}"#,
    br#"{ "a" : [ 1 , 2 ] }"#,
    br#"{"a":"\u00e9\/\ud83d\ude00\u0000"}"#,
    br#"{"a":"\ud800"}"#,
    "{\"é\":\"ﬀ\u{200b}\u{10ffff}\"}".as_bytes(),
    br#"{"a":1,"a":2}"#,
    br#"{"10":1,"9":2,"__proto__":{"x":1},"constructor":0}"#,
    br#"{"_id":"x","_rev":"y","_attachments":{},"~version":"z","~value":0}"#,
    br#"{"":{"":[]}}"#,
    b"[1.0,2]",
    b"null",
    b"\"text\"",
    b"5",
    b"not JSON",
    b"\xff\xfe\x00",
    b"{}",
];

fn values_come_back_byte_for_byte(engine: &Engine) {
    let mut documents = engine.documents();
    let keys: Vec<String> = (0..VALUES.len()).map(|n| format!("k{n:03}")).collect();
    let changes = keys.iter().zip(VALUES);
    documents
        .try_write(changes.map(|(key, value)| ("ns", key.as_str(), Some(value.to_vec()))))
        .unwrap();
    let check = |reader: &Reader| {
        let snapshot = reader.snapshot();
        let rows = snapshot.range("ns", "", RangeEnd::Unbounded, 1000).unwrap();
        assert_eq!(rows.len(), VALUES.len());
        for ((row_key, row), (key, value)) in rows.iter().zip(keys.iter().zip(VALUES)) {
            assert_eq!(row_key, key);
            let read = snapshot.get("ns", key).unwrap().unwrap();
            for got in [&read.value, &row.value] {
                let (got, value) = (got.escape_ascii(), value.escape_ascii());
                assert_eq!(got.to_string(), value.to_string());
            }
        }
    };
    check(&documents.reader());
    documents.reopen();
    check(&documents.reader());
}

/// Keys that sort differently by collation, by UTF-16, or with escapes, and keys that CouchDB refuses as ids.
const KEYS: &[&str] = &[
    "\0",
    "\0\0",
    "\0type\0a\0",
    " ",
    "%2F",
    "+",
    ".",
    "..",
    "/",
    "0",
    "A",
    "B",
    "^",
    "^\u{10ffff}",
    "^\u{10ffff}x",
    "_",
    "_design/x",
    "_id",
    "__",
    "`",
    "a",
    "a b",
    "a/b",
    "b",
    "channel_metadata",
    "statedb_savepoint",
    "\u{7f}",
    "é",
    "e\u{301}",
    "ﬀ",
    "\u{fffd}",
];

fn keys_are_any_text_in_byte_order(engine: &Engine) {
    let mut documents = engine.documents();
    let changes = KEYS.iter().map(|key| (*key, Some("{}".to_owned())));
    documents.write("ns", changes);
    let mut keys = KEYS.to_vec();
    keys.sort_unstable();
    let snapshot = documents.reader().snapshot();
    for key in &keys {
        assert!(snapshot.get("ns", key).unwrap().is_some(), "{key:?}");
    }
    let range = |start: &str, end| -> Vec<String> {
        let rows = snapshot.range("ns", start, end, 1000).unwrap();
        rows.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(range("", RangeEnd::Unbounded), keys);
    for (n, start) in keys.iter().enumerate() {
        for (m, end) in keys.iter().enumerate().step_by(5) {
            let before = keys[n..m.max(n)].to_vec();
            assert_eq!(
                range(start, RangeEnd::Before(end)),
                before,
                "{start:?} {end:?}"
            );
            let through = keys[n..(m + 1).max(n)].to_vec();
            assert_eq!(
                range(start, RangeEnd::Through(end)),
                through,
                "{start:?} {end:?}"
            );
        }
    }
    let backwards =
        json!({"selector": {"_id": {"$gt": null}}, "sort": [{"_id": "desc"}], "limit": 1000});
    let found = ids(&snapshot, "ns", &backwards);
    assert_eq!(found, keys.iter().rev().copied().collect::<Vec<_>>());
}

fn ids(snapshot: &Snapshot, namespace: &str, request: &Value) -> Vec<String> {
    let query = Query::parse(request.to_string().as_bytes()).unwrap();
    let found = snapshot
        .find(namespace, &query, 8 << 20, &mut Meter::default())
        .unwrap();
    let documents = found.documents.iter();
    documents
        .map(|text| {
            let document: Value = serde_json::from_str(text).unwrap();
            document["_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

type Rows = Vec<(String, VersionedValue)>;

/// Everything that a snapshot shows of two namespaces.
fn everything(snapshot: &Snapshot) -> Rows {
    let mut all = Vec::new();
    for namespace in ["ns", "other"] {
        let rows = snapshot.range(namespace, "", RangeEnd::Unbounded, usize::MAX);
        for (key, value) in rows.unwrap() {
            assert_eq!(
                snapshot.get(namespace, &key).unwrap().as_ref(),
                Some(&value)
            );
            all.push((format!("{namespace}/{key}"), value));
        }
    }
    all
}

fn numbered(n: usize, value: usize) -> (String, Option<Vec<u8>>) {
    (
        format!("k{n:03}"),
        Some(format!("{{\"v\":{value}}}").into_bytes()),
    )
}

fn a_snapshot_shows_one_height_however_long_it_is_held(engine: &Engine) {
    let mut documents = engine.documents();
    make_index(&documents.reader(), "v");
    let mut seen: Vec<(Snapshot, Rows, Vec<String>)> = Vec::new();
    let query = json!({"selector": {"v": {"$gte": 0}}, "sort": ["v"], "limit": 1000});
    for round in 0..8 {
        // Some are changed, some deleted, some come back, some are new; a namespace begins late.
        let mut changes: Vec<(&str, String, Option<Vec<u8>>)> = Vec::new();
        for n in (0..120).filter(|n| n % 4 != round % 4) {
            let (key, value) = numbered(n + round * 5, (n * 7 + round) % 90);
            changes.push((
                "ns",
                key.clone(),
                value.clone().filter(|_| n % 3 != round % 3),
            ));
            if round > 3 {
                changes.push(("other", key, value));
            }
        }
        let changes = changes.iter();
        documents
            .try_write(
                changes.map(|(namespace, key, value)| (*namespace, key.as_str(), value.clone())),
            )
            .unwrap();
        let snapshot = documents.reader().snapshot();
        let (all, found) = (everything(&snapshot), ids(&snapshot, "ns", &query));
        assert!(!all.is_empty() && !found.is_empty());
        seen.push((snapshot, all, found));
        for (snapshot, all, found) in &seen {
            assert_eq!(everything(snapshot), *all);
            assert_eq!(ids(snapshot, "ns", &query), *found);
        }
    }
}

fn make_index(reader: &Reader, field: &str) {
    let request = json!({"index": {"fields": [field]}, "ddoc": field, "name": field});
    let request = IndexRequest::parse(request.to_string().as_bytes()).unwrap();
    reader
        .create_index("ns", &request, Duration::from_secs(30))
        .unwrap();
}

fn readers_never_see_half_a_batch(engine: &Engine) {
    let mut documents = engine.documents();
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let block = |round: usize| {
        let value = Some(format!("{{\"v\":{round}}}").into_bytes());
        let names = ["ns", "other", "third"].into_iter();
        let names = names.flat_map(|namespace| keys.iter().map(move |key| (namespace, key)));
        let changes = names.map(move |(namespace, key)| (namespace, key.as_str(), value.clone()));
        changes.collect::<Vec<_>>()
    };
    documents.try_write(block(0)).unwrap();
    let reader = documents.reader();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut heights = 0;
            while !done.load(Ordering::SeqCst) {
                let snapshot = reader.snapshot();
                let mut values = Vec::new();
                for namespace in ["ns", "third", "other"] {
                    let rows = snapshot
                        .range(namespace, "", RangeEnd::Unbounded, 100)
                        .unwrap();
                    assert_eq!(rows.len(), keys.len());
                    values.extend(rows.into_iter().map(|(_, value)| value));
                    values.push(snapshot.get(namespace, "k5").unwrap().unwrap());
                }
                let height = Height::new(snapshot.height() - 1, 0);
                for value in values {
                    assert_eq!(value.version, height, "{:?}", value.value);
                }
                heights += 1;
            }
            heights
        });
        for round in 1..40 {
            documents.try_write(block(round)).unwrap();
        }
        done.store(true, Ordering::SeqCst);
        assert!(watching.join().unwrap() > 0);
    });
}

fn commit(documents: &mut Documents, channel: &str, blocks: &[Vec<Act>]) -> Vec<Vec<u8>> {
    let committed = chain::commit(documents.ledger(), channel, blocks).unwrap();
    let codes = committed.iter().map(|block| {
        let transactions = block.transactions.iter();
        transactions.map(|(_, code)| code.0).collect()
    });
    codes.collect()
}

fn metadata_and_versions_are_kept_apart_from_values(engine: &Engine) {
    let mut documents = engine.documents();
    let blocks = [
        // Metadata of a key that does not exist is lost.
        vec![Act::new("1").metadata("a", "lost")],
        vec![
            Act::new("2").put("a", "1"),
            Act::new("3").metadata("a", "kept"),
        ],
        vec![Act::new("4").put("a", "2").put("b", "{}")],
        vec![Act::new("5").put("b", "3").metadata("b", "m")],
        vec![Act::new("6").delete("b")],
        vec![Act::new("7").put("b", "4")],
    ];
    let codes = commit(&mut documents, &engine.channel, &blocks);
    assert!(codes.iter().flatten().all(|code| *code == 0));
    let check = |documents: &Documents| {
        let snapshot = documents.reader().snapshot();
        let get = |key| {
            let value = snapshot.get("ns", key).unwrap().unwrap();
            let metadata = value.metadata.windows(4).any(|four| four == b"kept");
            (
                value.value.to_vec(),
                metadata,
                value.metadata.len(),
                value.version,
            )
        };
        let (value, is_kept, _, version) = get("a");
        assert_eq!(
            (value, is_kept, version),
            (b"2".to_vec(), true, Height::new(3, 0))
        );
        let (value, _, metadata, version) = get("b");
        assert_eq!(
            (value, metadata, version),
            (b"4".to_vec(), 0, Height::new(6, 0))
        );
    };
    check(&documents);
    documents.reopen();
    check(&documents);
    // The former values are known after a restart too.
    let blocks = [vec![Act::new("8").put("a", "5")]];
    commit(&mut documents, &engine.channel, &blocks);
    let value = documents
        .reader()
        .snapshot()
        .get("ns", "a")
        .unwrap()
        .unwrap();
    assert!(value.metadata.windows(4).any(|four| four == b"kept"));
}

fn what_a_transaction_read_is_still_so_when_it_is_judged(engine: &Engine) {
    let mut documents = engine.documents();
    let first = Height::new(1, 0);
    let blocks = [vec![Act::new("1").put("a", "1")]];
    commit(&mut documents, &engine.channel, &blocks);
    let blocks = [
        vec![
            Act::new("2").read("a", Some(first)).put("a", "2"),
            Act::new("3").read("a", Some(first)).put("x", "3"),
            Act::new("4").read("none", None).put("y", "4"),
        ],
        vec![
            Act::new("5").read("a", Some(first)).put("z", "5"),
            Act::new("6")
                .read("a", Some(Height::new(2, 0)))
                .put("z", "6"),
            Act::new("7").read("y", None).put("z", "7"),
        ],
    ];
    let conflict = 11;
    let codes = commit(&mut documents, &engine.channel, &blocks);
    assert_eq!(codes, [vec![0, conflict, 0], vec![conflict, 0, conflict]]);
    let value = documents
        .reader()
        .snapshot()
        .get("ns", "z")
        .unwrap()
        .unwrap();
    assert_eq!(&value.value[..], b"6");
}

fn a_restart_changes_nothing(engine: &Engine) {
    let mut documents = engine.documents();
    for round in 0..3 {
        let changes: Vec<_> = (0..30).map(|n| numbered(n * 2 + round, n)).collect();
        let changes = changes.iter();
        documents
            .try_write(changes.map(|(key, value)| ("ns", key.as_str(), value.clone())))
            .unwrap();
        let before = everything(&documents.reader().snapshot());
        documents.reopen();
        assert_eq!(everything(&documents.reader().snapshot()), before);
    }
}

fn namespaces_are_listed_with_their_keys(engine: &Engine) {
    let mut documents = engine.documents();
    // Two of them have one database by Fabric's rules, and one cannot be the name of a database.
    let namespaces = ["aB", "a.b", "a b", "cc$$hcoll", "ns"];
    for namespace in namespaces {
        let changes = [("k", Some("{}".to_owned())), ("l", Some("{}".to_owned()))];
        documents.write(namespace, changes);
    }
    documents.write("ns", [("k", None), ("l", None)]);
    documents.write("aB", [("k", None)]);
    let listed = documents.reader().snapshot().namespaces().unwrap();
    let listed: Vec<(String, u64)> = listed.into_iter().map(|one| (one.name, one.keys)).collect();
    let mut expected = vec![
        ("a b".to_owned(), 2),
        ("a.b".to_owned(), 2),
        ("aB".to_owned(), 1),
        ("cc$$hcoll".to_owned(), 2),
    ];
    // The genesis block of these tests writes nothing.
    expected.sort();
    assert_eq!(listed, expected);
}

fn every_query_that_couchdb_answered_is_answered_alike(engine: &Engine) {
    mango::answers_are_couchdbs(engine.documents());
}

fn phantoms_of_rich_queries_are_found(engine: &Engine) {
    let channel = &engine.channel;
    let documents = engine.documents();
    rich::conflicts_are_those_of_the_documents_asked_for(documents, channel);
}

fn phantoms_among_many_rows_are_found(engine: &Engine) {
    rich::many_rows_are_protected_one_by_one(engine.documents(), &engine.channel);
}

fn indexes_follow_every_block(engine: &Engine) {
    let mut documents = engine.documents();
    let changes: Vec<_> = (0..40).map(|n| numbered(n, n % 7)).collect();
    let changes = changes.iter();
    documents
        .try_write(changes.map(|(key, value)| ("ns", key.as_str(), value.clone())))
        .unwrap();
    make_index(&documents.reader(), "v");
    let check = |documents: &Documents| {
        let snapshot = documents.reader().snapshot();
        let indexed = json!({"selector": {"v": {"$gt": 2}}, "sort": ["v"], "limit": 1000});
        let query = Query::parse(indexed.to_string().as_bytes()).unwrap();
        let explained = snapshot.explain("ns", &query).unwrap();
        assert_eq!(explained["index"]["name"], "v");
        let mut expected: Vec<(u64, String)> = Vec::new();
        for (key, value) in snapshot.range("ns", "", RangeEnd::Unbounded, 1000).unwrap() {
            let value: Value = serde_json::from_slice(&value.value).unwrap();
            expected.push((value["v"].as_u64().unwrap(), key));
        }
        expected.retain(|(value, _)| *value > 2);
        expected.sort();
        let expected: Vec<String> = expected.into_iter().map(|(_, key)| key).collect();
        assert_eq!(ids(&snapshot, "ns", &indexed), expected);
    };
    check(&documents);
    for round in 1..6 {
        let changes: Vec<_> = (0..40)
            .filter(|n| n % round == 0)
            .map(|n| {
                let (key, value) = numbered(n, n % (round + 4));
                (key, value.filter(|_| n % 5 != round % 5))
            })
            .collect();
        let changes = changes.iter();
        documents
            .try_write(changes.map(|(key, value)| ("ns", key.as_str(), value.clone())))
            .unwrap();
        check(&documents);
        if round % 2 == 0 {
            documents.reopen();
            check(&documents);
        }
    }
}
