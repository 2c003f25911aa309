//! Tests that two ways to judge a rich query, by what was written since and by asking again, agree on random
//! histories, and what the first way costs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quire_disk::OsDisk;
use quire_wire::hash::data_hash;
use quire_wire::rwset::{
    CollectionHashedReadWriteSet, HashedRwSet, KvMetadataEntry, KvMetadataWrite, KvRead, KvRwSet,
    KvWrite, KvWriteHash, NsReadWriteSet, QueryReads, RangeQueryInfo, ReadsInfo, TxReadWriteSet,
};
use quire_wire::tx_id::tx_id;
use quire_wire::{Code, Message as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::recent::Recent;
use super::rescan;
use super::rich;
use crate::id_store::CreateOptions;
use crate::model::examined::{Examined, Origin};
use crate::offline::check::{Depth, check_channel};
use crate::query::asked::Asked;
use crate::query::work::Meter;
use crate::validation::pending::Pending;
use crate::validation::record::Records;
use crate::{
    Block, Committed, IndexRequest, Ledger, Ledgers, Ordered, Purpose, Query, Simulator, golden,
};

const CHANNEL: &str = golden::CHANNEL;
const NAMESPACE: &str = "ns";

/// Choices that a seed repeats: `SplitMix64`.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()].clone()
    }
}

/// A channel, with the end of its chain.
struct World {
    open: Option<(Ledger, Ledgers)>,
    dir: TempDir,
    number: u64,
    previous: Bytes,
    /// Every verdict, by transaction id.
    codes: BTreeMap<String, Code>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
        let first = golden::endorsed(b"first", &TxReadWriteSet::default());
        let first = block(0, Bytes::new(), vec![first]);
        let previous = Bytes::copy_from_slice(&first.hash());
        let ledger = ledgers.create(CHANNEL, first, CreateOptions::default());
        Self {
            open: Some((ledger.unwrap(), ledgers)),
            dir,
            number: 1,
            previous,
            codes: BTreeMap::new(),
        }
    }

    fn ledger(&mut self) -> &mut Ledger {
        &mut self.open.as_mut().unwrap().0
    }

    fn reopen(&mut self) {
        self.open = None;
        let ledgers = Ledgers::open(Arc::new(OsDisk), self.dir.path(), Purpose::Use).unwrap();
        let (ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        self.open = Some((ledger, ledgers));
    }

    /// The next block.
    fn block(&mut self, envelopes: Vec<(Bytes, Records)>) -> Ordered {
        let examined = envelopes.iter().map(|(envelope, records)| {
            Examined::judged_by(envelope, CHANNEL, Origin::Quire, *records)
        });
        let examined = examined.collect();
        let envelopes = envelopes.into_iter().map(|(envelope, _)| envelope);
        let block = block(self.number, self.previous.clone(), envelopes.collect());
        self.number += 1;
        self.previous = Bytes::copy_from_slice(&block.hash());
        Ordered::made_here(block, examined, crate::Signatures::Proven)
    }

    fn note(&mut self, committed: Vec<Committed>) {
        for block in committed {
            let transactions = block.transactions.into_iter();
            let known = transactions.filter_map(|(id, code)| Some((id?, code)));
            self.codes.extend(known);
        }
    }

    /// Commits a block with one transaction that makes these writes.
    fn write(&mut self, writes: impl IntoIterator<Item = (String, String)>) {
        let writes = writes.into_iter().map(|(key, value)| put(&key, value));
        let set = KvRwSet {
            writes: writes.collect(),
            ..KvRwSet::default()
        };
        let nonce = self.number.to_string();
        let envelope = golden::endorsed(
            nonce.as_bytes(),
            &results(vec![in_namespace(NAMESPACE, &set)]),
        );
        let block = self.block(vec![(envelope, Records::OfNow)]);
        let committed = self.ledger().commit(vec![block]).unwrap();
        assert_eq!(committed[0].transactions[0].1, Code::VALID);
    }
}

fn block(number: u64, previous_hash: Bytes, envelopes: Vec<Bytes>) -> Block {
    Block {
        number,
        previous_hash,
        data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
        envelopes,
        metadata: Vec::new(),
    }
}

fn put(key: &str, value: String) -> KvWrite {
    KvWrite {
        key: key.into(),
        is_delete: value.is_empty(),
        value: value.into(),
    }
}

fn in_namespace(namespace: &str, set: &KvRwSet) -> NsReadWriteSet {
    NsReadWriteSet {
        namespace: namespace.into(),
        rwset: set.encode_to_vec().into(),
        collection_hashed_rwset: Vec::new(),
    }
}

fn results(ns_rwset: Vec<NsReadWriteSet>) -> TxReadWriteSet {
    TxReadWriteSet {
        data_model: 0,
        ns_rwset,
    }
}

/// A value, usually a document; an empty value deletes.
fn value(rng: &mut Rng) -> String {
    match rng.below(12) {
        0..=2 => return String::new(),
        3 => return rng.one_of(&["7", "[1]", "no JSON"]).to_owned(),
        _ => (),
    }
    let mut document = json!({});
    for (name, values) in [
        ("group", [json!("a"), json!("b"), json!(null)]),
        ("n", [json!(1), json!(2.0), json!(3)]),
        ("s", [json!("x"), json!("xy"), json!("y")]),
    ] {
        if rng.below(5) > 0 {
            document[name] = rng.one_of(&values);
        }
    }
    document.to_string()
}

fn key(rng: &mut Rng) -> String {
    format!("k{}", rng.below(6))
}

/// The writes of a transaction, in all forms that Fabric's clients can make.
fn writing(rng: &mut Rng) -> TxReadWriteSet {
    let mut set = KvRwSet::default();
    for _ in 0..rng.below(3) {
        let (key, value) = (key(rng), value(rng));
        set.writes.push(put(&key, value));
    }
    if rng.below(4) == 0 {
        let entries = vec![KvMetadataEntry::default(); usize::from(rng.below(2) == 0)];
        let key = key(rng);
        set.metadata_writes.push(KvMetadataWrite { key, entries });
    }
    if rng.below(6) == 0 {
        // Nobody wrote this version, so the transaction is invalid and writes nothing.
        let version = Some(crate::Height::new(0, 7).into());
        let key = key(rng);
        set.reads.push(KvRead { key, version });
    }
    let mut namespace = in_namespace(NAMESPACE, &set);
    if rng.below(5) == 0 {
        // A collection without a name means the public keys.
        let hashed = HashedRwSet {
            hashed_writes: vec![KvWriteHash {
                key_hash: key(rng).into(),
                value_hash: value(rng).into(),
                ..KvWriteHash::default()
            }],
            ..HashedRwSet::default()
        };
        namespace.collection_hashed_rwset = vec![CollectionHashedReadWriteSet {
            hashed_rwset: hashed.encode_to_vec().into(),
            ..CollectionHashedReadWriteSet::default()
        }];
    }
    results(vec![namespace])
}

fn request(rng: &mut Rng) -> Value {
    let selector = rng.one_of(&[
        json!({}),
        json!({"group": "a"}),
        json!({"group": {"$exists": false}}),
        json!({"n": {"$gt": 1}}),
        json!({"n": {"$in": [2, 3]}, "group": "b"}),
        json!({"$or": [{"group": "a"}, {"n": 3}]}),
        json!({"$not": {"group": "b"}}),
        json!({"s": {"$regex": "^x"}}),
        json!({"s": {"$beginsWith": "x"}, "n": {"$lte": 2}}),
        json!({"_id": {"$gt": "k1", "$lte": "k4"}}),
        json!({"_rev": {"$gt": "2"}}),
    ]);
    let mut request = json!({"selector": selector, "skip": rng.below(3) / 2});
    if rng.below(2) == 0 {
        request["limit"] = (1 + rng.below(3)).into();
    }
    match rng.below(4) {
        0 => request["sort"] = json!(["n"]),
        1 => request["sort"] = json!([{"n": "desc"}]),
        _ => (),
    }
    request
}

/// The read-write set of a transaction that asks for a page, or for the page after it; `None` if the page
/// says nothing about the ledger.
fn asking(ledger: &Ledger, nonce: &str, rng: &mut Rng) -> Option<TxReadWriteSet> {
    let snapshot = ledger.reader().snapshot();
    let mut request = request(rng);
    let parse = |request: &Value| Query::parse(request.to_string().as_bytes()).unwrap();
    if rng.below(3) == 0 {
        let mut before = Simulator::new(snapshot.clone());
        let found = before.find(NAMESPACE, &parse(&request), 1 << 20).unwrap();
        let bookmark = found.bookmark.filter(|bookmark| bookmark != "nil");
        request["bookmark"] = bookmark.into();
        request["skip"] = 0.into();
    }
    let mut simulator = Simulator::new(snapshot);
    simulator
        .find(NAMESPACE, &parse(&request), 1 << 20)
        .unwrap();
    simulator.put("log", nonce, "1".into());
    let set = simulator.into_read_write_set();
    (set.ns_rwset.len() > 1).then_some(set)
}

/// The same set in the form of records without a height.
fn as_before(set: &TxReadWriteSet) -> TxReadWriteSet {
    let mut set = set.clone();
    for namespace in &mut set.ns_rwset {
        let mut queries = KvRwSet::decode(namespace.rwset.clone()).unwrap();
        for query in &mut queries.range_queries_info {
            let mut start: Value = serde_json::from_str(&query.start_key).unwrap();
            let about_texts = ["\"$regex\"", "\"$beginsWith\""];
            let is_about_texts = about_texts
                .iter()
                .any(|name| query.start_key.contains(name));
            start["version"] = if is_about_texts { 2 } else { 1 }.into();
            start.as_object_mut().unwrap().remove("height").unwrap();
            query.start_key = start.to_string();
        }
        namespace.rwset = queries.encode_to_vec().into();
    }
    set
}

/// Makes a history, and returns pairs of nonces of transactions that asked the same: one is judged by what
/// was written since, the other by asking again.
fn happen(world: &mut World, rng: &mut Rng) -> Vec<[String; 2]> {
    let index = IndexRequest::parse(br#"{"index":{"fields":["n"]}}"#).unwrap();
    let reader = world.ledger().reader();
    let wait = Duration::from_secs(30);
    reader.create_index(NAMESPACE, &index, wait).unwrap();
    drop(reader);
    let mut asked = Vec::new();
    let mut waiting: Vec<(u64, [(Bytes, Records); 2])> = Vec::new();
    let (mut batch, mut envelopes) = (Vec::new(), Vec::new());
    for step in 0..200 {
        match rng.below(16) {
            0..=5 => {
                let nonce = format!("writes {step}");
                let envelope = golden::endorsed(nonce.as_bytes(), &writing(rng));
                envelopes.push((envelope, Records::OfNow));
            }
            6..=10 => {
                let nonces = [format!("new {step}"), format!("old {step}")];
                if let Some(set) = asking(world.ledger(), &nonces[0], rng) {
                    let old = golden::endorsed(nonces[1].as_bytes(), &as_before(&set));
                    let new = golden::endorsed(nonces[0].as_bytes(), &set);
                    let pair = [(new, Records::OfNow), (old, Records::OfAnyVersion)];
                    waiting.push((step + rng.below(20), pair));
                    asked.push(nonces);
                }
            }
            // No orderer makes a block without envelopes.
            11..=13 if envelopes.is_empty() => (),
            11..=13 => batch.push(world.block(std::mem::take(&mut envelopes))),
            14 if !batch.is_empty() => {
                let blocks = std::mem::take(&mut batch);
                let committed = match rng.below(3) {
                    0 => world.ledger().commit(blocks),
                    _ => world.ledger().begin(blocks),
                };
                world.note(committed.unwrap());
            }
            _ if batch.is_empty() && envelopes.is_empty() => {
                let committed = world.ledger().finish().unwrap();
                world.note(committed);
                world.reopen();
            }
            _ => (),
        }
        for (_, pair) in waiting.extract_if(.., |(due, _)| *due <= step) {
            envelopes.extend(pair);
        }
    }
    envelopes.extend(waiting.into_iter().flat_map(|(_, pair)| pair));
    if !envelopes.is_empty() {
        batch.push(world.block(envelopes));
    }
    let committed = world.ledger().commit(batch).unwrap();
    world.note(committed);
    asked
}

/// How many queries of a random history were still right, and how many were not.
fn judge_both_ways(seed: u64) -> [usize; 2] {
    let mut world = World::new();
    let asked = happen(&mut world, &mut Rng(seed));
    let mut counts = [0; 2];
    for nonces in asked {
        let [new, old] = nonces.map(|nonce| {
            let id = tx_id(nonce.as_bytes(), b"creator");
            (world.codes[&id], nonce)
        });
        assert_eq!(
            new.0, old.0,
            "{} and {} with QUIRE_TEST_SEED={seed}",
            new.1, old.1
        );
        counts[usize::from(new.0 == Code::PHANTOM_READ_CONFLICT)] += 1;
    }
    world.open = None;
    let ledgers = Ledgers::open(Arc::new(OsDisk), world.dir.path(), Purpose::Use).unwrap();
    let depth = Depth {
        verdicts: true,
        ..Depth::default()
    };
    let report = check_channel(&ledgers, CHANNEL, depth, &mut |_| {}).unwrap();
    assert_eq!(report.findings, [], "QUIRE_TEST_SEED={seed}");
    counts
}

#[test]
fn what_was_written_since_says_what_asking_again_says() {
    let seed = std::env::var("QUIRE_TEST_SEED").ok();
    if let Some(seed) = seed {
        judge_both_ways(seed.parse().unwrap());
        return;
    }
    let counts = (0..24).map(judge_both_ways);
    let [held, lost] = counts.fold([0, 0], |sum, count| [sum[0] + count[0], sum[1] + count[1]]);
    println!("{held} queries held and {lost} did not");
    assert!(held > 200 && lost > 200, "{held} {lost}");
}

/// A query for everything with a 7 at `a`, as seen at a height.
fn sevens(height: u64, rows: &[(&str, crate::Height)]) -> RangeQueryInfo {
    let rows = rows.iter();
    let rows = rows.map(|(key, version)| super::record::row(key, *version));
    RangeQueryInfo {
        start_key: format!(
            r#"{{"version":3,"height":{height},"selector":{{"a":{{"$eq":7}}}},"fields":[]}}"#
        ),
        end_key: "{}".into(),
        itr_exhausted: true,
        reads_info: Some(ReadsInfo::RawReads(QueryReads {
            kv_reads: rows.collect(),
        })),
    }
}

/// The code of a query after the last block, with this many steps, and the steps that it took.
fn judged(world: &mut World, query: &RangeQueryInfo, steps: u64) -> (Code, u64) {
    let ledger = world.ledger();
    let snapshot = ledger.followers.state.snapshot().unwrap();
    let pending = Pending::new(snapshot.as_ref());
    let mut recent = Recent::of(ledger.reader());
    recent.begin_batch(ledger.tip().0, ledger.tip().0);
    let mut meter = Meter::fixed(steps);
    let queries = std::slice::from_ref(query);
    let code = rich::judge(NAMESPACE, queries, &pending, &mut recent, &mut meter).unwrap();
    (code, meter.spent().total())
}

/// The costs of judging are those in `docs/format.md`. Verdicts depend on them, so they must not change.
#[test]
fn steps_are_counted_as_the_format_says() {
    let mut world = World::new();
    let (match_, other) = (r#"{"a":7}"#.to_owned(), r#"{"a":12345}"#.to_owned());
    world.write([("row".to_owned(), match_.clone())]);
    let height = world.number;
    world.write([
        ("k".to_owned(), other.clone()),
        ("long key".to_owned(), other),
    ]);
    let written = world.ledger().reader().block(height).unwrap().unwrap();
    let bytes: usize = written.envelopes.iter().map(Bytes::len).sum();
    let selector = {
        let mut meter = Meter::fixed(u64::MAX);
        let query = sevens(height, &[]);
        let asked = Asked::read(&query.start_key, &query.end_key).unwrap().asked;
        let version = crate::Height::new(height, 0);
        let document = crate::query::document::Document::parse(
            "k",
            version,
            br#"{"a":12345}"#,
            &asked.wanted(),
        );
        assert_eq!(
            asked.includes("k", &document.unwrap(), &mut meter),
            Ok(false)
        );
        meter.spent().total()
    };
    let query = sevens(height, &[("row", crate::Height::new(height - 1, 0))]);
    // The costs are for the record, a row, a block, the names of its keys, and its documents.
    let record = 10 * (query.start_key.len() + query.end_key.len()) as u64;
    let names = 20 + 1 + 20 + 8;
    let documents = 2 * (300 + 11 + selector);
    let steps = record + 500 + 1_000 + bytes as u64 / 16 + names + documents;
    assert_eq!(judged(&mut world, &query, u64::MAX), (Code::VALID, steps));
    assert_eq!(judged(&mut world, &query, steps), (Code::VALID, steps));
    for fewer in 0..steps {
        let (code, spent) = judged(&mut world, &query, fewer);
        // A query that needs more uses up all steps.
        assert_eq!((code, spent), (Code::PHANTOM_READ_CONFLICT, fewer));
    }
}

/// The pattern `(x{0,90}){0,90}` has many more steps than its record has bytes.
#[test]
fn a_pattern_takes_steps_before_it_is_asked_of_anything() {
    let mut world = World::new();
    let with = |selector: &str| {
        let mut query = sevens(1, &[]);
        query.start_key = query.start_key.replace(r#"{"a":{"$eq":7}}"#, selector);
        query
    };
    let plain = with(r#"{"a":{"$eq":"(x{0,90}){0,90}"}}"#);
    let pattern = with(r#"{"$nor":[{"a":{"$regex":"(x{0,90}){0,90}"}}]}"#);
    let [(_, plain), (code, steps)] =
        [plain, pattern].map(|query| judged(&mut world, &query, u64::MAX));
    assert_eq!(code, Code::VALID);
    assert!(steps - plain > 50 * 90 * 90, "{plain} {steps}");
}

/// Records of versions 1 and 2 were written before queries had limits.
#[test]
fn a_record_of_before_is_judged_though_a_query_may_not_be_so_large_any_more() {
    let mut branches = vec![json!({"a": {"$regex": "^x"}}); 150];
    branches.push(json!({"a": {"$regex": "x{20000}"}}));
    branches.push(json!({"a": {"$eq": 7}}));
    let large = json!({"$or": branches}).to_string();
    let mut world = World::new();
    let height = world.number;
    world.write([("row".to_owned(), r#"{"a":7}"#.to_owned())]);
    let row = ("row", crate::Height::new(height, 0));
    let record = |version: &str, rows: &[_]| {
        let mut query = sevens(height + 1, rows);
        let start = query.start_key.replace(r#"{"a":{"$eq":7}}"#, &large);
        query.start_key = start.replace(r#""version":3,"height":2"#, version);
        query
    };
    let asked = [
        (record(r#""version":2"#, &[row]), Records::OfAnyVersion),
        (record(r#""version":2"#, &[]), Records::OfAnyVersion),
        (record(r#""version":2"#, &[row]), Records::OfNow),
        (
            record(r#""version":3,"height":2"#, &[row]),
            Records::OfAnyVersion,
        ),
    ];
    let envelopes = (0..).zip(asked).map(|(nonce, (query, records))| {
        let set = KvRwSet {
            range_queries_info: vec![query],
            ..KvRwSet::default()
        };
        let set = results(vec![in_namespace("ns$$q", &set)]);
        (golden::endorsed(&[nonce], &set), records)
    });
    let envelopes = envelopes.collect();
    let block = world.block(envelopes);
    let committed = world.ledger().commit(vec![block]).unwrap();
    let codes = committed[0].transactions.iter().map(|(_, code)| *code);
    let expected = [
        Code::VALID,
        Code::PHANTOM_READ_CONFLICT,
        Code::BAD_RWSET,
        Code::BAD_RWSET,
    ];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
}

/// There are more names than are kept.
#[test]
fn blocks_that_are_not_kept_are_read_again() {
    let mut world = World::new();
    let height = world.number;
    world.write([("hit".to_owned(), r#"{"a":7}"#.to_owned())]);
    for block in 0..5 {
        let name = |n: u32| format!("{block}{n}{}", "x".repeat(16 << 10));
        world.write((0..256).map(|n| (name(n), "1".to_owned())));
    }
    assert!(
        !world.ledger().judge.recent.has(height) && world.ledger().judge.recent.has(height + 5)
    );
    let nonces = ["early", "late"];
    let asked = nonces.iter().zip([height, height + 1]);
    let asked = asked.map(|(nonce, height)| {
        let set = KvRwSet {
            range_queries_info: vec![sevens(height, &[])],
            ..KvRwSet::default()
        };
        let set = results(vec![in_namespace("ns$$q", &set)]);
        let envelope = golden::endorsed(nonce.as_bytes(), &set);
        (envelope, Records::OfNow)
    });
    let asked = asked.collect();
    let block = world.block(asked);
    let committed = world.ledger().commit(vec![block]).unwrap();
    let codes = committed[0].transactions.iter().map(|(_, code)| *code);
    let expected = [Code::PHANTOM_READ_CONFLICT, Code::VALID];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
}

/// Prints how long both ways take over 100,000 documents without an index.
#[test]
fn judging_takes_as_long_as_what_was_written_and_not_as_what_there_is() {
    let mut world = World::new();
    let document = |n: u32| {
        format!(
            "{{\"a\":{},\"text\":\"{}\"}}",
            n % 1_000 + 10,
            "x".repeat(200)
        )
    };
    for block in 0..10 {
        let keys = block * 10_000..(block + 1) * 10_000;
        world.write(keys.map(|n| (format!("k{n:06}"), document(n))));
    }
    let height = world.number;
    for n in 0..10 {
        world.write((0..10).map(|key| (format!("k{key:06}"), document(n + key))));
    }
    let query = sevens(height, &[]);
    let began = Instant::now();
    let (code, steps) = judged(&mut world, &query, u64::MAX);
    let by_changes = began.elapsed();
    assert_eq!(code, Code::VALID);
    // The steps are those of a hundred documents, not of a hundred thousand.
    assert!(steps < 100 * 1_000, "{steps}");

    let snapshot = world.ledger().followers.state.snapshot().unwrap();
    let pending = Pending::new(snapshot.as_ref());
    let asked = Asked::read(&query.start_key, &query.end_key).unwrap().asked;
    let began = Instant::now();
    let holds = rescan::still_holds(NAMESPACE, &asked, query.reads_info.as_ref(), &pending);
    let asked_again = began.elapsed();
    assert!(holds.unwrap());
    println!(
        "100,000 documents, 10 keys written in each of 10 blocks: {asked_again:?} asked again, \
         {by_changes:?} by what was written since, blocks read from disk, {steps} steps"
    );
}
