//! The built-in chaincode over a real ledger: whether two transactions that touch the same key get
//! in each other's way is decided by what the simulator recorded, which unit tests over a map
//! cannot tell.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::{
    Answer, Call, Chaincode, ChaincodeError, Documents, Invocation, Proposed, Simulated,
    Transaction as Called,
};
use quire_disk::OsDisk;
use quire_ledger::{Block, CreateOptions, Ledger, Ledgers, Ordered, Purpose, Query, Simulator};
use quire_testkit::{Transaction, chain};
use quire_wire::{Code, Message};

const CHANNEL: &str = "main";

/// A function with its arguments.
type Step<'a> = (&'a str, &'a [&'static str]);

struct Bench {
    ledger: Ledger,
    _dir: tempfile::TempDir,
}

impl Bench {
    /// A channel with the document `a`, version `1.0`, in namespace `ns`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
        let genesis = block(0, Bytes::new(), vec!["no envelope".into()]);
        let ledger = ledgers
            .create(CHANNEL, genesis, CreateOptions::default())
            .unwrap();
        let mut bench = Self { ledger, _dir: dir };
        let codes = bench.commit(&[("create", &[r#""a""#, r#"{"n":1.10}"#])]);
        assert_eq!(codes, [Code::VALID]);
        bench
    }

    /// Simulates every step on the same snapshot and commits them in one block.
    fn commit(&mut self, steps: &[Step<'_>]) -> Vec<Code> {
        let documents = Documents::default();
        let calls = steps.iter().map(|step| (&documents as _, call(step)));
        self.commit_calls(&calls.collect::<Vec<_>>())
    }

    /// The same, with whatever chaincode.
    fn commit_calls(&mut self, calls: &[(&dyn Chaincode, Call)]) -> Vec<Code> {
        let (number, hash) = self.ledger.tip();
        let envelopes = calls.iter().enumerate().map(|(tx, (chaincode, call))| {
            let simulator = Simulator::new(self.ledger.reader().snapshot());
            let simulated = chaincode
                .invoke(call, &Called::default(), simulator)
                .done()
                .unwrap();
            let Simulated { simulator, answer } = simulated;
            let results = simulator.into_read_write_set().encode_to_vec();
            let result = answer.unwrap().payload;
            envelope(&format!("{number}.{tx}"), results.into(), result)
        });
        let next = block(number, Bytes::copy_from_slice(&hash), envelopes.collect());
        let committed = self
            .ledger
            .commit(vec![Ordered::new(next, CHANNEL)])
            .unwrap();
        committed[0]
            .transactions
            .iter()
            .map(|(_, code)| *code)
            .collect()
    }

    fn get(&self, key: &'static str) -> Result<Bytes, String> {
        self.evaluate(&("get", &[key]))
    }

    fn evaluate(&self, step: &Step<'_>) -> Result<Bytes, String> {
        let mut simulator = Simulator::new(self.ledger.reader().snapshot());
        let result = Documents::default().run(&call(step), &mut simulator);
        result.map_err(|error| error.to_string())
    }
}

fn call((function, args): &Step<'_>) -> Call {
    let is_apply = *function == "apply";
    Call {
        chaincode: if is_apply { "documents" } else { "ns" }.to_owned(),
        function: (*function).to_owned(),
        args: args
            .iter()
            .map(|arg| Bytes::from_static(arg.as_bytes()))
            .collect(),
    }
}

fn block(number: u64, previous_hash: Bytes, envelopes: Vec<Bytes>) -> Block {
    chain::block(number, previous_hash, envelopes).into()
}

/// An endorser transaction with this read-write set, unsigned.
fn envelope(nonce: &str, results: Bytes, result: Bytes) -> Bytes {
    let transaction = Transaction {
        results,
        result,
        ..Transaction::new(CHANNEL, "ns", nonce)
    };
    transaction.envelope()
}

#[test]
fn puts_that_demand_nothing_never_conflict() {
    let mut bench = Bench::new();
    let put: Step<'_> = ("put", &[r#""a""#, " 1.0 "]);
    assert_eq!(bench.commit(&[put, put]), [Code::VALID, Code::VALID]);
    assert_eq!(bench.get(r#""a""#).unwrap(), " 1.0 ");
}

#[test]
fn whatever_depends_on_the_key_loses_to_an_earlier_writer() {
    let put: Step<'_> = ("put", &[r#""a""#, "7"]);
    let dependent: [Step<'_>; 5] = [
        ("merge", &[r#""a""#, r#"{"m":1}"#]),
        ("delete", &[r#""a""#]),
        ("put", &[r#""a""#, "8", r#"{"ifVersion":"1.0"}"#]),
        ("put", &[r#""a""#, "8", r#"{"ifMatch":"*"}"#]),
        (
            "apply",
            &[
                r#"[{"op":"check","namespace":"ns","key":"a","ifVersion":"1.0"},
                  {"op":"put","namespace":"ns","key":"b","value":1}]"#,
            ],
        ),
    ];
    for step in dependent {
        let mut bench = Bench::new();
        let codes = bench.commit(&[put, step]);
        assert_eq!(codes, [Code::VALID, Code::MVCC_READ_CONFLICT], "{step:?}");
        assert_eq!(bench.get(r#""a""#).unwrap(), "7", "{step:?}");
    }
}

#[test]
fn of_two_creations_the_first_wins() {
    let mut bench = Bench::new();
    let codes = bench.commit(&[
        ("create", &[r#""b""#, "1"]),
        ("create", &[r#""b""#, "2"]),
        ("put", &[r#""b""#, "3", r#"{"ifNoneMatch":"*"}"#]),
    ]);
    let conflict = Code::MVCC_READ_CONFLICT;
    assert_eq!(codes, [Code::VALID, conflict, conflict]);
    assert_eq!(bench.get(r#""b""#).unwrap(), "1");
}

#[test]
fn what_was_created_and_deleted_in_one_list_never_existed() {
    let mut bench = Bench::new();
    let list = r#"[{"op":"create","namespace":"ns","key":"b","value":1},
                   {"op":"delete","namespace":"ns","key":"b"}]"#;
    assert_eq!(bench.commit(&[("apply", &[list])]), [Code::VALID]);
    assert_eq!(
        bench.get(r#""b""#).unwrap_err(),
        r#"there is no key "b" in namespace "ns""#
    );
}

/// A chaincode of somebody's own: books a seat of a room where fewer than two are taken.
#[derive(Debug)]
struct Seats;

impl Seats {
    fn book(call: &Call, simulator: &mut Simulator) -> Result<Bytes, ChaincodeError> {
        let (room, seat) = (&call.function, &call.args[0]);
        let taken = format!(r#"{{"selector":{{"room":"{room}"}},"fields":["_id"]}}"#);
        let taken = simulator.find("seats", &Query::parse(taken.as_bytes())?, 1 << 20)?;
        if taken.documents.len() >= 2 {
            return Err(ChaincodeError::refused("the room is full"));
        }
        let key = std::str::from_utf8(seat).unwrap();
        let value = format!(r#"{{"room":"{room}"}}"#);
        simulator.put("seats", key, value.into());
        Ok(Bytes::from_static(b"true"))
    }
}

impl Chaincode for Seats {
    fn invoke(
        &self,
        call: &Call,
        _: &dyn Proposed,
        mut simulator: Simulator,
    ) -> Invocation<Simulated> {
        let answer = Self::book(call, &mut simulator).map(Answer::of);
        Invocation::Done(Simulated { simulator, answer })
    }
}

#[test]
fn what_a_query_found_free_is_not_taken_twice() {
    let mut bench = Bench::new();
    let book = |room: &str, seat: &str| {
        let call = Call {
            chaincode: "seats".to_owned(),
            function: room.to_owned(),
            args: vec![Bytes::copy_from_slice(seat.as_bytes())],
        };
        (&Seats as &dyn Chaincode, call)
    };
    let phantom = Code::PHANTOM_READ_CONFLICT;
    // Two that saw the same empty room; one in another room is in nobody's way.
    let codes = bench.commit_calls(&[book("r1", "a"), book("r1", "b"), book("r2", "c")]);
    assert_eq!(codes, [Code::VALID, phantom, Code::VALID]);
    let codes = bench.commit_calls(&[book("r1", "b")]);
    assert_eq!(codes, [Code::VALID]);
    let mut simulator = Simulator::new(bench.ledger.reader().snapshot());
    let refused = Seats::book(&book("r1", "d").1, &mut simulator);
    assert_eq!(refused.unwrap_err().to_string(), "the room is full");
}

#[test]
fn find_and_history_answer_from_the_ledger() {
    let mut bench = Bench::new();
    let codes = bench.commit(&[("put", &[r#""b""#, r#"{"n":2}"#])]);
    assert_eq!(codes, [Code::VALID]);
    bench.commit(&[("delete", &[r#""a""#])]);
    let answer = |step: &Step<'_>| {
        let answer = bench.evaluate(step).unwrap();
        serde_json::from_slice::<serde_json::Value>(&answer).unwrap()
    };
    let found = answer(&("find", &[r#"{"selector":{"n":{"$gt":0}}}"#]));
    assert_eq!(
        found["docs"].to_string(),
        r#"[{"_id":"b","_rev":"2.0","n":2}]"#
    );
    let past = answer(&("history", &[r#""a""#]));
    let past = past["entries"].as_array().unwrap().iter();
    let past: Vec<_> = past
        .map(|entry| format!("{} {}", entry["blockNumber"], entry["value"]))
        .collect();
    assert_eq!(past, ["3 null", r#"1 {"n":1.10}"#]);
    // Neither writes, so neither loses to who does.
    let codes = bench.commit(&[
        ("put", &[r#""c""#, r#"{"n":3}"#]),
        ("find", &[r#"{"selector":{"n":{"$gt":0}}}"#]),
        ("history", &[r#""c""#]),
        ("put", &[r#""b""#, r#"{"n":0}"#]),
        ("find", &[r#"{"selector":{"n":{"$gt":0}}}"#]),
    ]);
    // What the last was shown is another version by now, as in Fabric.
    let conflict = Code::MVCC_READ_CONFLICT;
    assert_eq!(
        codes,
        [Code::VALID, Code::VALID, Code::VALID, Code::VALID, conflict]
    );
}

#[test]
fn a_key_that_joins_a_page_is_a_phantom() {
    let mut bench = Bench::new();
    let codes = bench.commit(&[("put", &[r#""aa""#, "1"]), ("range", &["{}"])]);
    assert_eq!(codes, [Code::VALID, Code::PHANTOM_READ_CONFLICT]);
}
