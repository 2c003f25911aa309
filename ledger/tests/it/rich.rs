//! A transaction that wrote after a rich query is judged by what the query asked for.
//!
//! These tests guard against a document that joins, leaves or changes unnoticed, and against a verdict that
//! depends on anything but the blocks: indexes, the engine, the time of a block, or the node that judges
//! again.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use quire_ledger::{
    Content, Examined, Height, IndexRequest, Meter, Order, Query, RangeEnd, Reader, Simulator,
    Snapshot,
};
use quire_wire::Code;
use quire_wire::rwset::{
    KvRead, KvRwSet, KvWrite, NsReadWriteSet, QueryReads, QueryReadsMerkleSummary, RangeQueryInfo,
    ReadsInfo, TxReadWriteSet,
};
use serde_json::{Value, json};

use crate::kit::{Documents, chain, check, open};

const NAMESPACE: &str = "ns";
const PAGE_BYTES: usize = 8 << 20;

/// A query over the documents of one group, a change of one of them, and whether they collide.
struct Case {
    /// Members of the request besides its selector.
    options: Value,
    key: &'static str,
    /// The new value; `None` deletes.
    value: Option<Value>,
    conflict: bool,
}

fn case(
    options: &Value,
    key: &'static str,
    value: impl Into<Option<Value>>,
    conflict: bool,
) -> Case {
    let (options, value) = (options.clone(), value.into());
    Case {
        options,
        key,
        value,
        conflict,
    }
}

fn open_at(n: impl Into<Value>) -> Value {
    json!({"status": "open", "n": n.into()})
}

fn closed_at(n: i64) -> Value {
    json!({"status": "closed", "n": n})
}

const DELETED: Option<Value> = None;

/// The documents of each group.
fn documents_of_a_group() -> Vec<(&'static str, Value)> {
    vec![
        ("a", open_at(1)),
        ("b", open_at(2)),
        ("c", open_at(3)),
        ("d", closed_at(2)),
        ("e", open_at(5)),
    ]
}

/// Queries that any node answers alike.
fn unsorted_cases() -> Vec<Case> {
    let all = json!({});
    let nothing = json!({"limit": 0});
    vec![
        // It joins the answer.
        case(&all, "f", open_at(9), true),
        case(&all, "d", open_at(2), true),
        // It leaves the answer.
        case(&all, "b", closed_at(2), true),
        case(&all, "b", DELETED, true),
        case(&all, "b", Some(json!({"n": 2})), true),
        case(&all, "b", Some(json!(7)), true),
        // It changes in the answer.
        case(&all, "b", open_at(2), true),
        // It is outside the question.
        case(&all, "f", closed_at(9), false),
        case(&all, "d", closed_at(3), false),
        case(&all, "d", DELETED, false),
        case(&all, "f", Some(json!("open")), false),
        case(&nothing, "b", DELETED, false),
    ]
}

/// Pages in key order, which is the order of queries without an index.
fn cases_by_key() -> Vec<Case> {
    let first = json!({"limit": 1});
    let second = json!({"limit": 1, "skip": 1});
    vec![
        case(&first, "b", open_at(2), false),
        case(&first, "ab", open_at(2), false),
        case(&first, "A", open_at(2), true),
        case(&second, "a", open_at(1), true),
        case(&second, "c", open_at(1), false),
    ]
}

/// Pages in the order of an index.
fn sorted_cases() -> Vec<Case> {
    let up = json!({"sort": ["n"], "limit": 2});
    let down = json!({"sort": [{"n": "desc"}], "limit": 2});
    let skipping = json!({"sort": ["n"], "skip": 1, "limit": 1});
    let next = json!({"sort": ["n"], "limit": 2, "bookmark": "of the first page"});
    let whole = json!({"sort": ["n"]});
    vec![
        case(&up, "b", open_at(2), true),
        case(&up, "c", open_at(3), false),
        case(&up, "f", open_at(1.5), true),
        case(&up, "aa", open_at(2), true),
        case(&up, "bb", open_at(2.0), false),
        case(&up, "e", open_at(0), true),
        case(&up, "f", Some(json!({"status": "open"})), false),
        case(&down, "b", open_at(2), false),
        case(&down, "f", open_at(4), true),
        case(&down, "f", open_at(10), true),
        case(&down, "bb", open_at(3), false),
        case(&down, "cc", open_at(3), true),
        case(&skipping, "a", open_at(1), true),
        case(&skipping, "c", open_at(3), false),
        case(&next, "a", DELETED, false),
        case(&next, "b", open_at(4), true),
        case(&next, "f", open_at(4), true),
        case(&next, "f", open_at("far"), false),
        case(&whole, "f", open_at("far"), true),
        case(&whole, "f", Some(json!({"status": "open"})), false),
    ]
}

fn put_index(reader: &Reader, fields: &Value, wait: Duration) {
    let request = json!({"index": {"fields": fields}, "ddoc": fields.to_string()});
    let request = IndexRequest::parse(request.to_string().as_bytes()).unwrap();
    reader.create_index(NAMESPACE, &request, wait).unwrap();
}

fn drop_indexes(reader: &Reader) {
    for index in reader.indexes(NAMESPACE).into_iter().skip(1) {
        let ddoc = index.definition["ddoc"].as_str().unwrap();
        let ddoc = ddoc.strip_prefix("_design/").unwrap();
        let name = index.definition["name"].as_str().unwrap();
        reader.delete_index(NAMESPACE, ddoc, name).unwrap();
    }
}

fn set_indexes(reader: &Reader, indexes: &[Value]) {
    drop_indexes(reader);
    for fields in indexes {
        put_index(reader, fields, Duration::from_secs(30));
    }
}

fn request(group: &str, options: &Value) -> Value {
    let mut request = options.clone();
    request["selector"] = json!({"group": group, "status": {"$in": ["open"]}});
    request
}

fn parse(request: &Value) -> Query {
    Query::parse(request.to_string().as_bytes()).unwrap()
}

/// The envelope of a transaction that asks and then writes elsewhere.
fn asking(snapshot: Snapshot, channel: &str, group: &str, options: &Value) -> Bytes {
    let mut request = request(group, options);
    if request["bookmark"].is_string() {
        request["bookmark"] = Value::Null;
        let first = snapshot.find(
            NAMESPACE,
            &parse(&request),
            PAGE_BYTES,
            &mut Meter::default(),
        );
        request["bookmark"] = first.unwrap().bookmark.into();
    }
    let mut simulator = Simulator::new(snapshot);
    simulator
        .find(NAMESPACE, &parse(&request), PAGE_BYTES)
        .unwrap();
    simulator.put("log", group, "1".into());
    chain::endorsed(channel, group, &simulator.into_read_write_set())
}

/// The envelope of a transaction that writes documents.
fn writing(
    snapshot: Snapshot,
    channel: &str,
    nonce: &str,
    changes: &[(String, Option<String>)],
) -> Bytes {
    let mut simulator = Simulator::new(snapshot);
    for (key, value) in changes {
        match value {
            Some(value) => simulator.put(NAMESPACE, key, value.clone().into()),
            None => simulator.delete(NAMESPACE, key),
        }
    }
    chain::endorsed(channel, nonce, &simulator.into_read_write_set())
}

fn in_group(group: &str, key: &str, value: Option<&Value>) -> (String, Option<String>) {
    let value = value.cloned().map(|mut value| {
        if value.is_object() {
            value["group"] = group.into();
        }
        value.to_string()
    });
    (format!("{group}-{key}"), value)
}

/// The place of a change relative to the judged transaction.
const PLACES: [&str; 4] = [
    "an earlier batch",
    "a batch on its way",
    "an earlier block",
    "the same block",
];

/// Asks every case with the indexes `asked_with`, lets each change happen in each place, and judges with
/// `judged_with`.
fn judge(
    documents: &mut Documents,
    channel: &str,
    round: &str,
    cases: &[Case],
    (asked_with, judged_with): (&[Value], &[Value]),
) {
    let reader = documents.reader();
    set_indexes(&reader, asked_with);
    let group = |n: usize, place: &str| format!("{round}.{n}.{place}");
    let all = || {
        let numbers = 0..cases.len();
        numbers.flat_map(|n| PLACES.iter().map(move |place| (n, *place)))
    };
    let given: Vec<_> = all()
        .flat_map(|(n, place)| {
            let documents = documents_of_a_group().into_iter();
            documents.map(move |(key, value)| in_group(&group(n, place), key, Some(&value)))
        })
        .collect();
    let rows = given.iter();
    documents.write(
        NAMESPACE,
        rows.map(|(key, value)| (key.as_str(), value.clone())),
    );
    let before = reader.snapshot();
    let asked = all()
        .map(|(n, place)| asking(before.clone(), channel, &group(n, place), &cases[n].options));
    let asked: Vec<Bytes> = asked.collect();
    set_indexes(&reader, judged_with);
    let change = |place: &'static str| {
        let changes = cases.iter().enumerate();
        let changes =
            changes.map(|(n, case)| in_group(&group(n, place), case.key, case.value.as_ref()));
        let changes: Vec<_> = changes.collect();
        writing(
            before.clone(),
            channel,
            &format!("{round} {place}"),
            &changes,
        )
    };
    let codes = documents.commit(&[vec![change(PLACES[0])]]);
    assert_eq!(codes, [[Code::VALID]]);
    let last = [vec![change(PLACES[3])], asked].concat();
    let blocks = [vec![change(PLACES[1])], vec![change(PLACES[2])], last];
    let codes = documents.commit_behind_first(&blocks);
    for ((n, place), code) in all().zip(&codes[2][1..]) {
        let Case {
            options,
            key,
            value,
            conflict,
        } = &cases[n];
        let expected = if *conflict {
            Code::PHANTOM_READ_CONFLICT
        } else {
            Code::VALID
        };
        assert_eq!(
            *code, expected,
            "{options} against {key} = {value:?} in {place}; asked with {asked_with:?}, judged \
             with {judged_with:?}"
        );
    }
    // The next round need not read these.
    let rows = reader.snapshot();
    let rows = rows.range(NAMESPACE, "", RangeEnd::Unbounded, usize::MAX);
    let rows = rows.unwrap();
    documents.write(NAMESPACE, rows.iter().map(|(key, _)| (key.as_str(), None)));
}

/// Asks and judges every case with no index, with one, and with several.
pub(crate) fn conflicts_are_those_of_the_documents_asked_for(
    mut documents: Documents,
    channel: &str,
) {
    let none: &[Value] = &[];
    let one: &[Value] = &[json!(["group", "n"])];
    let several: &[Value] = &[
        json!(["n"]),
        json!(["group"]),
        json!(["status", "n"]),
        json!(["group", "n"]),
    ];
    let mut round = 0;
    let mut judge = |cases: &[Case], with| {
        round += 1;
        judge(&mut documents, channel, &round.to_string(), cases, with);
    };
    for with in [(none, none), (none, several), (several, none)] {
        judge(&unsorted_cases(), with);
    }
    for judged_with in [none, several] {
        judge(&cases_by_key(), (none, judged_with));
    }
    for with in [(one, none), (one, several)] {
        judge(&sorted_cases(), with);
    }
}

/// Sixty documents, for which a range would have only hashes.
pub(crate) fn many_rows_are_protected_one_by_one(mut documents: Documents, channel: &str) {
    let groups = ["join", "leave", "change", "outside"];
    let given: Vec<_> = groups
        .iter()
        .flat_map(|group| {
            let keys = (0..60).map(|n| (format!("k{n:02}"), open_at(n)));
            keys.map(|(key, value)| in_group(group, &key, Some(&value)))
        })
        .collect();
    let rows = given.iter();
    documents.write(
        NAMESPACE,
        rows.map(|(key, value)| (key.as_str(), value.clone())),
    );
    let before = documents.reader().snapshot();
    let asked = groups.map(|group| {
        let envelope = asking(before.clone(), channel, group, &json!({"limit": 100}));
        let queries = queries_of(&envelope);
        let Some(ReadsInfo::RawReads(rows)) = &queries[0].reads_info else {
            panic!("{queries:?}");
        };
        assert_eq!(rows.kv_reads.len(), 60);
        envelope
    });
    let changes = [
        in_group("join", "k60", Some(&open_at(60))),
        in_group("leave", "k30", None),
        in_group("change", "k59", Some(&open_at(59))),
        in_group("outside", "k60", Some(&closed_at(60))),
    ];
    let change = writing(before, channel, "changes", &changes);
    let codes = documents.commit(&[vec![change], asked.to_vec()]);
    let phantom = Code::PHANTOM_READ_CONFLICT;
    assert_eq!(codes[1], [phantom, phantom, phantom, Code::VALID]);
}

/// The queries of [`NAMESPACE`] that a transaction recorded.
fn queries_of(envelope: &Bytes) -> Vec<RangeQueryInfo> {
    let sets = sets_of(envelope).into_iter();
    let queries = sets.filter(|(namespace, _)| namespace == "ns$$q");
    queries
        .flat_map(|(_, set)| set.range_queries_info)
        .collect()
}

fn sets_of(envelope: &Bytes) -> Vec<(String, KvRwSet)> {
    let Content::Endorsed(endorsed) = Examined::read(envelope).content else {
        panic!("no call");
    };
    let sets = endorsed.read_write_set.namespaces.into_iter();
    sets.map(|set| (set.namespace, set.public)).collect()
}

#[test]
fn an_index_that_is_being_built_changes_no_verdict() {
    let mut documents = Documents::new();
    let given: Vec<_> = (0..3_000)
        .map(|n| in_group("g", &format!("k{n:04}"), Some(&open_at(n))))
        .collect();
    let rows = given.iter();
    documents.write(
        NAMESPACE,
        rows.map(|(key, value)| (key.as_str(), value.clone())),
    );
    for round in 0..6 {
        let snapshot = documents.reader().snapshot();
        let outside = json!({"limit": 5, "skip": round});
        let asked = [
            asking(snapshot.clone(), "main", "g", &json!({"limit": 5})),
            writing(
                snapshot.clone(),
                "main",
                &format!("w{round}"),
                &[in_group("g", "k0000", Some(&open_at(round)))],
            ),
        ];
        // The same snapshot is asked under another id, and the query is judged after the write.
        let mut simulator = Simulator::new(snapshot);
        let query = parse(&request("g", &outside));
        simulator.find(NAMESPACE, &query, PAGE_BYTES).unwrap();
        simulator.put("log", "late", "1".into());
        let late = chain::endorsed(
            "main",
            &format!("l{round}"),
            &simulator.into_read_write_set(),
        );
        let first = chain::endorsed("main", &format!("f{round}"), &set_in(&asked[0]));
        let fields = ["status", "n", "group"];
        put_index(
            &documents.reader(),
            &json!(fields[round % 3..]),
            Duration::ZERO,
        );
        let codes = documents.commit(&[vec![first, asked[1].clone(), late]]);
        assert_eq!(
            codes,
            [[Code::VALID, Code::VALID, Code::PHANTOM_READ_CONFLICT]],
            "{round}"
        );
        drop_indexes(&documents.reader());
    }
}

fn set_in(envelope: &Bytes) -> TxReadWriteSet {
    let sets = sets_of(envelope).into_iter();
    TxReadWriteSet {
        data_model: 0,
        ns_rwset: sets
            .map(|(namespace, set)| in_namespace(&namespace, &set))
            .collect(),
    }
}

fn in_namespace(namespace: &str, set: &KvRwSet) -> NsReadWriteSet {
    NsReadWriteSet {
        namespace: namespace.to_owned(),
        rwset: set.encode_to_vec().into(),
        collection_hashed_rwset: Vec::new(),
    }
}

#[test]
fn a_transaction_that_writes_nothing_reads_the_keys_it_was_shown() {
    let mut documents = Documents::new();
    let given = documents_of_a_group();
    let given: Vec<_> = given
        .iter()
        .map(|(key, value)| in_group("g", key, Some(value)))
        .collect();
    let rows = given.iter();
    documents.write(
        NAMESPACE,
        rows.map(|(key, value)| (key.as_str(), value.clone())),
    );
    let mut simulator = Simulator::new(documents.reader().snapshot());
    let query = parse(&request("g", &json!({"skip": 1, "limit": 2})));
    simulator.find(NAMESPACE, &query, PAGE_BYTES).unwrap();
    let envelope = chain::endorsed("main", "read", &simulator.into_read_write_set());
    let sets = sets_of(&envelope);
    let [(namespace, set)] = sets.as_slice() else {
        panic!("{sets:?}");
    };
    let keys: Vec<&str> = set.reads.iter().map(|read| read.key.as_str()).collect();
    assert_eq!((namespace.as_str(), keys), (NAMESPACE, vec!["g-b", "g-c"]));
    assert!(set.range_queries_info.is_empty());
}

#[test]
fn replay_and_a_second_judgement_agree() {
    let mut documents = Documents::new();
    let several = [json!(["group", "n"]), json!(["n"])];
    judge(
        &mut documents,
        "main",
        "r",
        &sorted_cases(),
        (&several, &several),
    );
    judge(
        &mut documents,
        "main",
        "s",
        &unsorted_cases(),
        (&several, &[]),
    );
    let rows = |documents: &Documents| {
        let snapshot = documents.reader().snapshot();
        [NAMESPACE, "log", "ns$$q"].map(|namespace| {
            snapshot
                .range(namespace, "", RangeEnd::Unbounded, usize::MAX)
                .unwrap()
        })
    };
    let before = rows(&documents);
    assert!(!before[1].is_empty() && before[2].is_empty());
    documents.close();
    // It is judged again without any index, from the blocks alone.
    let report = check(&open(documents.dir()), "main");
    assert_eq!(report.findings, []);
    std::fs::remove_dir_all(documents.dir().join("derived")).unwrap();
    documents.reopen();
    assert_eq!(rows(&documents), before);
}

/// A read-write set that a hostile endorser may sign: one write, and this beside queries.
fn hostile(beside: &KvRwSet) -> TxReadWriteSet {
    let write = KvRwSet {
        writes: vec![KvWrite {
            key: "hostile".into(),
            is_delete: false,
            value: "1".into(),
        }],
        ..KvRwSet::default()
    };
    TxReadWriteSet {
        data_model: 0,
        ns_rwset: vec![in_namespace("ns", &write), in_namespace("ns$$q", beside)],
    }
}

fn range(start: impl Into<String>, end: impl Into<String>) -> RangeQueryInfo {
    RangeQueryInfo {
        start_key: start.into(),
        end_key: end.into(),
        itr_exhausted: true,
        reads_info: Some(ReadsInfo::RawReads(QueryReads::default())),
    }
}

/// The record of a query in block 1 that was asked when only block 0 existed.
const SOUND: &str = r#"{"version":3,"height":1,"selector":{"a":1},"fields":[]}"#;

/// Starts and ends that are not a record.
fn malformed() -> Vec<(String, String)> {
    let selector = |selector: &str| SOUND.replace(r#"{"a":1}"#, selector);
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    let fields = json!(vec!["f"; 33]).to_string();
    let starts = [
        selector(&format!(r#"{{"a":"{}"}}"#, "x".repeat(64 << 10))),
        selector(&deep),
        selector(r#"{"a":{"$foo":1}}"#),
        selector(r#"{"a":{"$regex":"("}}"#),
        selector("[]"),
        SOUND.replace("[]", &fields),
        SOUND.replace(":3,", ":4,"),
        SOUND.replace(r#""height":1,"#, ""),
        SOUND.replace(r#""height":1,"#, r#""height":-1,"#),
        // These are earlier forms, which are not written any more.
        SOUND.replace(r#":3,"height":1,"#, ":1,"),
        selector(r#"{"a":{"$regex":"a"}}"#).replace(r#":3,"height":1,"#, ":2,"),
        SOUND.replace("\"fields\"", "\"more\":0,\"fields\""),
        SOUND.replace("[]", "[\"\"]"),
        SOUND.replace("[]", "[1]"),
        String::new(),
        "{}".to_owned(),
        "k1".to_owned(),
        "[3,1,{},[]]".to_owned(),
        r#"{"version":3}"#.to_owned(),
    ];
    let ends = [
        "",
        "k9",
        "[]",
        r#"{"from":{}}"#,
        r#"{"to":1}"#,
        r#"{"to":null}"#,
        r#"{"to":[[],"k",true]}"#,
        r#"{"to":{"values":[],"key":"k"}}"#,
        r#"{"to":{"values":[],"key":"k","included":true,"more":1}}"#,
    ];
    let starts = starts.into_iter().map(|start| (start, "{}".to_owned()));
    let ends = ends.map(|end| (SOUND.to_owned(), end.to_owned()));
    starts.chain(ends).collect()
}

fn queries(ranges: Vec<RangeQueryInfo>) -> KvRwSet {
    KvRwSet {
        range_queries_info: ranges,
        ..KvRwSet::default()
    }
}

/// A query with the rows that answered it.
fn answered(reads_info: Option<ReadsInfo>) -> RangeQueryInfo {
    RangeQueryInfo {
        reads_info,
        ..range(SOUND, "{}")
    }
}

/// Rows that never existed.
fn lies<'a>(keys: impl IntoIterator<Item = &'a str>, is_versioned: bool) -> ReadsInfo {
    let rows = keys.into_iter().map(|key| KvRead {
        key: key.to_owned(),
        version: is_versioned.then(|| Height::new(0, 0).into()),
    });
    ReadsInfo::RawReads(QueryReads {
        kv_reads: rows.collect(),
    })
}

/// Sets of queries that are never written here, each with its code.
fn hostile_sets() -> Vec<(KvRwSet, Code)> {
    let many = |count| queries(vec![range(SOUND, "{}"); count]);
    let write = KvWrite {
        key: "k".into(),
        is_delete: false,
        value: "{\"a\":1}".into(),
    };
    let with_read = KvRwSet {
        reads: vec![KvRead {
            key: "k".into(),
            version: None,
        }],
        ..many(1)
    };
    let with_write = KvRwSet {
        writes: vec![write],
        ..many(1)
    };
    let keys: Vec<String> = (0..10_001).map(|n| format!("k{n:05}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let halves = |count| {
        let (first, second) = keys[..count].split_at(5_000);
        queries(vec![
            answered(Some(lies(first.iter().copied(), true))),
            answered(Some(lies(second.iter().copied(), true))),
        ])
    };
    let one = |reads_info| queries(vec![answered(reads_info)]);
    let hashes = ReadsInfo::ReadsMerkleHashes(QueryReadsMerkleSummary::default());
    let at_height = |height: u64| {
        let start = SOUND.replace(r#""height":1"#, &format!(r#""height":{height}"#));
        queries(vec![range(start, "{}")])
    };
    let of_bytes = |count: usize| {
        let selector = json!({"a": "x".repeat(count - r#"{"a":""}"#.len())}).to_string();
        queries(vec![range(SOUND.replace(r#"{"a":1}"#, &selector), "{}")])
    };
    let phantom = Code::PHANTOM_READ_CONFLICT;
    let mut sets = vec![
        (of_bytes(64 << 10), Code::VALID),
        (of_bytes((64 << 10) + 1), Code::BAD_RWSET),
        (many(100), Code::VALID),
        (many(101), Code::BAD_RWSET),
        (with_read, Code::BAD_RWSET),
        (with_write, Code::ILLEGAL_WRITESET),
        (one(Some(lies([], true))), Code::VALID),
        (one(Some(lies(["k"], true))), phantom),
        (one(Some(lies(["k", "l"], true))), phantom),
        // These do not have the only valid form.
        (one(None), Code::BAD_RWSET),
        (one(Some(hashes)), Code::BAD_RWSET),
        (one(Some(lies(["k"], false))), Code::BAD_RWSET),
        (one(Some(lies(["l", "k"], true))), Code::BAD_RWSET),
        (one(Some(lies(["k", "k"], true))), Code::BAD_RWSET),
        (halves(10_000), phantom),
        (halves(10_001), Code::BAD_RWSET),
        // One height existed, the other cannot have been seen by anybody.
        (at_height(0), Code::VALID),
        (at_height(1), Code::VALID),
        (at_height(2), phantom),
        (at_height(u64::MAX), phantom),
    ];
    sets.extend(malformed().into_iter().map(|(start, end)| {
        let set = queries(vec![range(start, end)]);
        (set, Code::BAD_RWSET)
    }));
    sets
}

#[test]
fn what_cannot_be_a_query_is_told_by_its_code() {
    let mut documents = Documents::new();
    let sets = hostile_sets();
    let envelopes = sets.iter().enumerate();
    let envelopes = envelopes
        .map(|(n, (set, _))| chain::endorsed("main", &n.to_string(), &hostile(set)))
        .collect();
    let codes = documents.commit(&[envelopes]);
    for ((set, expected), code) in sets.iter().zip(&codes[0]) {
        assert_eq!(code, expected, "{set:?}");
    }
    let snapshot = documents.reader().snapshot();
    assert_eq!(snapshot.get("ns$$q", "k").unwrap(), None);
    let history = snapshot.history("ns$$q", "k", Order::OldestFirst, None, 9);
    assert_eq!(history.unwrap(), []);
    drop(snapshot);
    documents.close();
    assert_eq!(check(&open(documents.dir()), "main").findings, []);
}

#[test]
fn a_query_that_cannot_be_recorded_is_refused() {
    let mut documents = Documents::new();
    documents.write(NAMESPACE, [("k", Some("{}".to_owned()))]);
    let mut simulator = Simulator::new(documents.reader().snapshot());
    let long = json!({"selector": {"a": "x".repeat(64 << 10)}});
    let refused = simulator.find(NAMESPACE, &parse(&long), PAGE_BYTES);
    assert!(refused.unwrap_err().to_string().contains("65536 bytes"));
    let query = parse(&json!({"selector": {}}));
    for _ in 0..100 {
        simulator.find(NAMESPACE, &query, PAGE_BYTES).unwrap();
    }
    let refused = simulator.find(NAMESPACE, &query, PAGE_BYTES);
    assert!(refused.unwrap_err().to_string().contains("100 queries"));
}

/// A transaction that asked, at a height, for documents with a 1 at `a`, and found nothing.
fn asked_at(namespace: &str, height: u64) -> TxReadWriteSet {
    let start = SOUND.replace(r#""height":1"#, &format!(r#""height":{height}"#));
    let write = KvRwSet {
        writes: vec![KvWrite {
            key: "asked".into(),
            is_delete: false,
            value: "1".into(),
        }],
        ..KvRwSet::default()
    };
    TxReadWriteSet {
        data_model: 0,
        ns_rwset: vec![
            in_namespace("log", &write),
            in_namespace(
                &format!("{namespace}$$q"),
                &queries(vec![range(start, "{}")]),
            ),
        ],
    }
}

/// The verdicts on such transactions of one block.
fn verdicts(documents: &mut Documents, round: &str, asked: &[(&str, u64)]) -> Vec<Code> {
    let asked = asked.iter().enumerate();
    let envelopes = asked.map(|(n, (namespace, height))| {
        let nonce = format!("{round} {n}");
        chain::endorsed("main", &nonce, &asked_at(namespace, *height))
    });
    documents.commit(&[envelopes.collect()]).remove(0)
}

/// Checks that judging again, from the blocks alone, gives every verdict.
fn assert_judged_again_alike(mut documents: Documents) {
    documents.close();
    assert_eq!(check(&open(documents.dir()), "main").findings, []);
}

/// Under such names state has the hashes of private keys, and no documents.
#[test]
fn nobody_asks_a_namespace_that_is_made_of_another() {
    let mut documents = Documents::new();
    let asked = [("ns$$hprivate", 1), ("ns$$q", 1), ("ns", 1)];
    let bad = Code::BAD_RWSET;
    let codes = verdicts(&mut documents, "made", &asked);
    assert_eq!(codes, [bad, bad, Code::VALID]);
    assert_judged_again_alike(documents);
}

/// A record cannot express the meaning of such a filter.
#[test]
fn an_index_whose_filter_has_an_earlier_meaning_serves_no_transaction_that_writes() {
    let mut documents = Documents::new();
    documents.write(NAMESPACE, [("k", Some(r#"{"a":"x"}"#.to_owned()))]);
    let index = json!({
        "index": {"fields": ["a"], "partial_filter_selector": {"a": {"$regex": "^x"}}},
        "ddoc": "old",
    });
    let index = IndexRequest::parse(index.to_string().as_bytes()).unwrap();
    let wait = Duration::from_secs(30);
    let reader = documents.reader();
    reader.create_index(NAMESPACE, &index, wait).unwrap();
    drop(reader);
    let request = json!({"selector": {"a": {"$gt": ""}}, "use_index": "old"});
    let ask = |documents: &Documents| {
        let mut simulator = Simulator::new(documents.reader().snapshot());
        let found = simulator.find(NAMESPACE, &parse(&request), PAGE_BYTES);
        found.map_err(|error| error.to_string())
    };
    assert_eq!(ask(&documents).unwrap().documents.len(), 1);
    documents.close();
    let file = documents.dir().join("channels/main/indexes.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut definitions: Value = serde_json::from_str(&text).unwrap();
    let index = &mut definitions["indexes"][0];
    assert_eq!(
        index.as_object_mut().unwrap().remove("selectorVersion"),
        Some(json!("2"))
    );
    std::fs::write(&file, definitions.to_string()).unwrap();
    documents.reopen();
    let refused = ask(&documents).unwrap_err();
    assert!(refused.contains("make the index anew"), "{refused}");
}

/// After a restart nothing of the changes is left in memory.
#[test]
fn a_restart_between_question_and_judgement_changes_no_verdict() {
    let mut documents = Documents::new();
    let matching = || Some(r#"{"a":1}"#.to_owned());
    documents.write("joins", [("k", Some("{}".to_owned()))]);
    documents.write("leaves", [("k", matching())]);
    documents.write("outside", [("k", None), ("l", Some("{}".to_owned()))]);
    let height = documents.reader().height();
    documents.write("joins", [("k", matching())]);
    documents.write("leaves", [("k", None)]);
    documents.write("outside", [("k", Some("{}".to_owned())), ("l", None)]);
    documents.write("deleted", [("k", matching())]);
    documents.write("deleted", [("k", None)]);
    let asked = ["joins", "leaves", "outside", "deleted"].map(|namespace| (namespace, height));
    let phantom = Code::PHANTOM_READ_CONFLICT;
    let expected = [phantom, Code::VALID, Code::VALID, Code::VALID];
    assert_eq!(verdicts(&mut documents, "before", &asked), expected);
    documents.reopen();
    assert_eq!(verdicts(&mut documents, "after", &asked), expected);
    // These are asked after the changes.
    let late = asked.map(|(namespace, _)| (namespace, height + 3));
    let valid = [Code::VALID; 4];
    assert_eq!(verdicts(&mut documents, "late", &late[1..]), valid[1..]);
    assert_judged_again_alike(documents);
}

#[test]
fn a_question_of_more_than_256_blocks_ago_is_a_conflict() {
    let mut documents = Documents::new();
    let block = |n: u64| {
        vec![
            chain::Act::new(n.to_string())
                .put("k", "{}")
                .envelope("main"),
        ]
    };
    let blocks: Vec<_> = (1..=256).map(block).collect();
    documents.commit(&blocks);
    assert_eq!(documents.reader().height(), 257);
    let phantom = Code::PHANTOM_READ_CONFLICT;
    let asked = [("ns", 1), ("ns", 0), ("ns", 257), ("ns", 258)];
    let expected = [Code::VALID, phantom, Code::VALID, phantom];
    assert_eq!(verdicts(&mut documents, "at once", &asked), expected);
    documents.reopen();
    let asked = asked.map(|(namespace, height)| (namespace, height + 1));
    assert_eq!(verdicts(&mut documents, "reopened", &asked), expected);
    assert_judged_again_alike(documents);
}

#[test]
fn a_question_is_judged_over_100_000_keys_that_changed_and_no_more() {
    let mut documents = Documents::new();
    for (namespace, count) in [("edge", 100_000), ("over", 100_001)] {
        let keys: Vec<String> = (0..count).map(|n| format!("{n:06}")).collect();
        let rows = keys.iter().map(|key| (key.as_str(), Some("{}".to_owned())));
        documents.write(namespace, rows);
    }
    let asked = [("edge", 1), ("over", 1), ("edge", 3), ("over", 3)];
    let phantom = Code::PHANTOM_READ_CONFLICT;
    let expected = [Code::VALID, phantom, Code::VALID, Code::VALID];
    assert_eq!(verdicts(&mut documents, "at once", &asked), expected);
    documents.reopen();
    assert_eq!(verdicts(&mut documents, "reopened", &asked), expected);
    assert_judged_again_alike(documents);
}

/// Each document has 8 MB and takes 8 million steps, and half a million more for its block.
#[test]
fn a_transaction_takes_50_million_steps_and_a_block_500_million() {
    let mut documents = Documents::new();
    let large = format!("{{\"b\":\"{}\"}}", "x".repeat(8_000_000));
    for (namespace, keys) in [("edge", "12345"), ("over", "123456")] {
        let keys: Vec<String> = keys.chars().map(String::from).collect();
        let rows = keys.iter().map(|key| (key.as_str(), Some(large.clone())));
        documents.write(namespace, rows);
    }
    let (valid, phantom) = (Code::VALID, Code::PHANTOM_READ_CONFLICT);
    // They take 45.5 million steps, 51 million steps, and none.
    let asked = [("edge", 1), ("over", 2), ("over", 3)];
    let expected = [valid, phantom, valid];
    assert_eq!(verdicts(&mut documents, "one", &asked), expected);
    // Ten fit into a block, and one that reads hardly anything. The eleventh uses up the rest.
    let mut asked = vec![("edge", 1); 10];
    asked.extend([("edge", 3), ("edge", 1), ("edge", 3)]);
    let expected = [vec![valid; 11], vec![phantom; 2]].concat();
    assert_eq!(verdicts(&mut documents, "eleven", &asked), expected);
    // The next block has its own steps.
    assert_eq!(verdicts(&mut documents, "next", &asked[..1]), [valid]);
    assert_judged_again_alike(documents);
}

#[test]
fn a_transaction_that_writes_finds_at_most_10_000_documents() {
    let mut documents = Documents::new();
    let keys: Vec<String> = (0..10_001).map(|n| format!("k{n:05}")).collect();
    let rows = keys.iter().map(|key| (key.as_str(), Some("{}".to_owned())));
    documents.write(NAMESPACE, rows);
    let find = |limit: usize, skip: usize, is_writing: bool| {
        let mut simulator = Simulator::new(documents.reader().snapshot());
        let rest = json!({"selector": {"_id": {"$lt": "k00002"}}});
        let most = json!({"selector": {"_id": {"$gte": "k00002"}}, "limit": limit, "skip": skip});
        for request in [rest, most] {
            simulator
                .find(NAMESPACE, &parse(&request), PAGE_BYTES)
                .unwrap();
        }
        if is_writing {
            simulator.put("log", "found", "1".into());
        }
        simulator.check_writes().map_err(|error| error.to_string())
    };
    assert_eq!(find(9_998, 0, true), Ok(()));
    assert_eq!(find(9_000, 998, true), Ok(()));
    for (limit, skip) in [(9_999, 0), (9_000, 999)] {
        let refused = find(limit, skip, true).unwrap_err();
        assert!(refused.contains("10000 documents"), "{refused}");
        assert_eq!(find(limit, skip, false), Ok(()));
    }
}

/// `docs/format.md` describes these bytes, and Fabric's decoders read them in `tests/fabric-decode`.
#[test]
fn a_query_has_the_same_bytes_for_ever() {
    let mut documents = Documents::new();
    let rows = ["k1", "k3", "k7", "k8"]
        .iter()
        .zip(["10", "12.0", "12.50", "99"]);
    let rows = rows.map(|(key, total)| {
        let value = format!("{{\"status\":\"open\",\"total\":{total}}}");
        (*key, Some(value))
    });
    documents.write("orders", rows);
    let reader = documents.reader();
    let index = IndexRequest::parse(br#"{"index":{"fields":["total"]}}"#).unwrap();
    reader
        .create_index("orders", &index, Duration::from_secs(30))
        .unwrap();
    let mut request = json!({"selector": {"status": "open"}, "sort": ["total"], "limit": 1});
    let snapshot = reader.snapshot();
    let first = snapshot.find(
        "orders",
        &parse(&request),
        PAGE_BYTES,
        &mut Meter::default(),
    );
    request["bookmark"] = first.unwrap().bookmark.into();
    request["limit"] = 2.into();
    let mut simulator = Simulator::new(snapshot);
    simulator
        .find("orders", &parse(&request), PAGE_BYTES)
        .unwrap();
    simulator.put("log", "asked", "1".into());
    let written = hex::encode(simulator.into_read_write_set().encode_to_vec());
    let golden = include_str!("../golden/rich-query-3.hex");
    assert_eq!(written, golden.trim_end());
}
