//! Random documents, changes and selectors: on every engine, with indexes and without, the answer is that of
//! an evaluator that knows nothing about normal forms, collation, ranges or bookmarks.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use quire_ledger::{FindError, IndexRequest, Meter, Query, Reader, StateEngine, TooExpensive};
use serde_json::{Map, Value, json};

use crate::kit::Documents;
use crate::kit::couchdb::{CouchDb, at_port, channel_name};
use crate::kit::pouchdb::PouchDb;

const KEYS: [&str; 8] = ["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"];
const FIELDS: [&str; 3] = ["a", "b", "c.d"];

/// Values in their order; the evaluator compares by position.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(false),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(1.5),
        json!(9_007_199_254_740_993_u64),
        json!(""),
        json!("1"),
        json!("a"),
        json!("A"),
        json!("ab"),
        json!("b"),
        json!([]),
        json!([1]),
        json!([1, "a"]),
        json!(["a"]),
        json!({}),
        json!({"x": 1}),
        json!({"x": 2}),
    ]
}

fn place(value: &Value) -> usize {
    values().iter().position(|known| known == value).unwrap()
}

type Document = BTreeMap<&'static str, Value>;

#[derive(Clone, Debug)]
enum Selector {
    Field(&'static str, &'static str, Value),
    And(Vec<Selector>),
    Or(Vec<Selector>),
    Nor(Vec<Selector>),
    Not(Box<Selector>),
}

impl Selector {
    fn to_json(&self) -> Value {
        let all = |parts: &[Self]| parts.iter().map(Self::to_json).collect::<Vec<_>>();
        match self {
            Self::Field(field, operator, argument) => {
                json!({(*field): {(*operator): argument}})
            }
            Self::And(parts) => json!({"$and": all(parts)}),
            Self::Or(parts) => json!({"$or": all(parts)}),
            Self::Nor(parts) => json!({"$nor": all(parts)}),
            Self::Not(part) => json!({"$not": part.to_json()}),
        }
    }

    /// Whether a document matches or, without `wanted`, matches the opposite. A missing field matches
    /// neither.
    fn holds(&self, document: &Document, wanted: bool) -> bool {
        let combine = |parts: &[Self], wanted: bool, all: bool| {
            let mut parts = parts.iter().map(|part| part.holds(document, wanted));
            if all {
                parts.all(|held| held)
            } else {
                parts.any(|held| held)
            }
        };
        match self {
            Self::Field(field, operator, argument) => match document.get(field) {
                None => *operator == "$exists" && argument.as_bool() != Some(wanted),
                Some(value) => compare(value, operator, argument) == wanted,
            },
            Self::And(parts) => combine(parts, wanted, wanted),
            Self::Or(parts) => combine(parts, wanted, !wanted),
            Self::Nor(parts) => combine(parts, !wanted, wanted),
            Self::Not(part) => part.holds(document, !wanted),
        }
    }
}

fn compare(value: &Value, operator: &str, argument: &Value) -> bool {
    let list = || argument.as_array().unwrap();
    match operator {
        "$eq" => place(value) == place(argument),
        "$ne" => place(value) != place(argument),
        "$lt" => place(value) < place(argument),
        "$lte" => place(value) <= place(argument),
        "$gt" => place(value) > place(argument),
        "$gte" => place(value) >= place(argument),
        "$exists" => argument.as_bool().unwrap(),
        "$in" => match value {
            Value::Array(elements) => elements.iter().any(|element| list().contains(element)),
            _ => list().contains(value),
        },
        "$nin" => !compare(value, "$in", argument),
        "$beginsWith" => {
            let start = argument.as_str().unwrap();
            value.as_str().is_some_and(|text| text.starts_with(start))
        }
        "$size" => value.as_array().map(|elements| elements.len() as u64) == argument.as_u64(),
        "$elemMatch" => {
            let wanted = &argument["$eq"];
            value
                .as_array()
                .is_some_and(|elements| elements.contains(wanted))
        }
        other => panic!("{other}"),
    }
}

fn value() -> impl Strategy<Value = Value> {
    select(values())
}

fn field() -> impl Strategy<Value = Selector> {
    let operators = select(vec!["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]);
    let compared = (operators, value());
    let condition = prop_oneof![
        6 => compared,
        1 => any::<bool>().prop_map(|should| ("$exists", json!(should))),
        1 => (select(vec!["$in", "$nin"]), vec(value(), 0..3))
            .prop_map(|(operator, list)| (operator, json!(list))),
        1 => select(vec!["", "a", "b"]).prop_map(|start| ("$beginsWith", json!(start))),
        1 => (0..3_u64).prop_map(|size| ("$size", json!(size))),
        1 => select(vec![json!(1), json!("a")]).prop_map(|one| ("$elemMatch", json!({"$eq": one}))),
    ];
    (select(FIELDS.to_vec()), condition)
        .prop_map(|(field, (operator, argument))| Selector::Field(field, operator, argument))
}

fn selector() -> impl Strategy<Value = Selector> {
    field().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 1..4).prop_map(Selector::And),
            1 => vec(inner.clone(), 1..4).prop_map(Selector::Or),
            1 => vec(inner.clone(), 1..3).prop_map(Selector::Nor),
            1 => inner.prop_map(|part| Selector::Not(Box::new(part))),
        ]
    })
}

fn document() -> impl Strategy<Value = Document> {
    let fields = FIELDS.map(|field| {
        proptest::option::weighted(0.8, value().prop_map(move |value| (field, value)))
    });
    fields.prop_map(|fields| fields.into_iter().flatten().collect())
}

fn text(document: &Document) -> String {
    let mut members = Map::new();
    for (field, value) in document {
        match field.split_once('.') {
            Some((outer, inner)) => members.insert(outer.to_owned(), json!({inner: value})),
            None => members.insert((*field).to_owned(), value.clone()),
        };
    }
    Value::Object(members).to_string()
}

fn changes() -> impl Strategy<Value = Changes> {
    vec(
        (
            select(KEYS.to_vec()),
            proptest::option::weighted(0.8, document()),
        ),
        0..10,
    )
}

/// The ids on all pages of a query; `None` if no index gives the order.
fn ask(reader: &Reader, mut request: Value) -> Option<Vec<String>> {
    let mut ids = Vec::new();
    loop {
        let query = Query::parse(request.to_string().as_bytes()).unwrap();
        let found = reader
            .snapshot()
            .find("ns", &query, 1 << 20, &mut Meter::default())
            .ok()?;
        if found.documents.is_empty() {
            return Some(ids);
        }
        ids.extend(found.documents.iter().map(|text| {
            let document: Value = serde_json::from_str(text).unwrap();
            document["_id"].as_str().unwrap().to_owned()
        }));
        request["bookmark"] = found.bookmark.into();
    }
}

type Changes = Vec<(&'static str, Option<Document>)>;
/// A selector, the number of documents on a page, and whether the order is descending.
type Question = (Selector, u64, bool);

fn questions() -> impl Strategy<Value = Vec<Question>> {
    vec((selector(), 1..6_u64, any::<bool>()), 12)
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn every_answer_is_the_naive_one_with_indexes_and_without(
        first in changes(),
        second in changes(),
        questions in questions(),
    ) {
        answers_are_the_naive_ones(Documents::new(), [first, second], &questions)?;
    }
}

/// Some cases with state on a server: every answer needs calls to it.
fn answers_on_a_server_are_the_naive_ones(engine: &StateEngine) {
    let mut runner = TestRunner::new(cases(6));
    let inputs = (changes(), changes(), questions());
    let run = runner.run(&inputs, |(first, second, questions)| {
        let documents = Documents::on(engine.clone(), &channel_name());
        answers_are_the_naive_ones(documents, [first, second], &questions)
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

#[test]
fn every_answer_is_the_naive_one_on_pouchdb() {
    let server = PouchDb::start();
    answers_on_a_server_are_the_naive_ones(&at_port(server.port()));
}

#[test]
fn every_answer_is_the_naive_one_on_couchdb_where_one_is_named() {
    if let Some(server) = CouchDb::named() {
        answers_on_a_server_are_the_naive_ones(&server.engine(&server.authority));
    }
}

/// Asks before and after indexes are made, and changes the documents in between.
fn answers_are_the_naive_ones(
    mut chain: Documents,
    rounds: [Changes; 2],
    questions: &[Question],
) -> Result<(), TestCaseError> {
    let mut model: BTreeMap<&str, Document> = BTreeMap::new();
    let reader = chain.reader();
    let indexes = [
        json!(["a"]),
        json!(["b", "a"]),
        json!([{"c.d": "desc"}]),
        json!(["a", "c.d"]),
    ];
    for (round, changes) in rounds.into_iter().enumerate() {
        let rows = changes.iter();
        let rows = rows.map(|(key, document)| (*key, document.as_ref().map(text)));
        chain.write("ns", rows);
        for (key, document) in changes {
            match document {
                Some(document) => model.insert(key, document),
                None => model.remove(key),
            };
        }
        if round == 0 {
            for fields in &indexes {
                let body = json!({"index": {"fields": fields}}).to_string();
                let request = IndexRequest::parse(body.as_bytes()).unwrap();
                let wait = Duration::from_secs(30);
                reader.create_index("ns", &request, wait).unwrap();
            }
        }
        for question in questions {
            answer_is_the_naive_one(&reader, &model, question)?;
        }
    }
    Ok(())
}

fn answer_is_the_naive_one(
    reader: &Reader,
    model: &BTreeMap<&str, Document>,
    (selector, limit, is_descending): &Question,
) -> Result<(), TestCaseError> {
    let matching = model.iter();
    let matching = matching.filter(|(_, document)| selector.holds(document, true));
    let expected: Vec<_> = matching.clone().map(|(key, _)| (*key).to_owned()).collect();
    let request = json!({"selector": selector.to_json(), "limit": limit});
    let mut found = ask(reader, request.clone()).unwrap();
    found.sort_unstable();
    prop_assert_eq!(&found, &expected, "{}", &request);

    // The order is an index's, and documents without the field are not in it.
    let direction = if *is_descending { "desc" } else { "asc" };
    let mut sorted = request.clone();
    sorted["sort"] = json!([{"a": direction}]);
    the_work_is_counted_and_bounded(reader, &request)?;
    the_work_is_counted_and_bounded(reader, &sorted)?;
    let mut in_order: Vec<_> = matching
        .filter_map(|(key, document)| Some((place(document.get("a")?), (*key).to_owned())))
        .collect();
    in_order.sort_unstable();
    if *is_descending {
        in_order.reverse();
    }
    let mut expected: Vec<_> = in_order.into_iter().map(|(_, key)| key).collect();
    let mut found = ask(reader, sorted.clone()).unwrap();
    if used_wider_index(reader, &sorted) {
        // The order of ties is that of the index's other fields.
        found.sort_unstable();
        expected.sort_unstable();
    }
    prop_assert_eq!(&found, &expected, "{}", &sorted);
    Ok(())
}

/// The least steps of reading a document, whatever its size.
const READING: u64 = 100;

/// The counted steps cover every document that was read; that number is enough and one fewer is not, and no
/// meter counts more than it may.
fn the_work_is_counted_and_bounded(reader: &Reader, request: &Value) -> Result<(), TestCaseError> {
    let mut request = request.clone();
    request["execution_stats"] = true.into();
    let query = Query::parse(request.to_string().as_bytes()).unwrap();
    let snapshot = reader.snapshot();
    let ask = |limit| {
        let mut meter = Meter::new(limit, None);
        let found = snapshot.find("ns", &query, 1 << 20, &mut meter);
        (found, meter.spent())
    };
    let (found, spent) = ask(u64::MAX);
    let found = found.unwrap();
    // A query that cannot match has no statistics.
    let examined = found.stats.map_or(0, |stats| stats.documents_examined);
    prop_assert!(
        spent.reading >= examined * READING,
        "{} {:?}",
        request,
        spent
    );
    prop_assert!(spent.conditions >= examined, "{} {:?}", request, spent);
    for limit in [0, 1, 2, 3, 4].map(|fourth| spent.total() * fourth / 4) {
        let (again, counted) = ask(limit);
        prop_assert!(counted.total() <= limit);
        if limit == spent.total() {
            prop_assert_eq!(again.unwrap(), found.clone());
        } else {
            let why = TooExpensive::Steps {
                limit,
                spent: counted,
            };
            prop_assert!(matches!(again, Err(FindError::TooExpensive(told)) if told == why));
        }
    }
    Ok(())
}

fn used_wider_index(reader: &Reader, request: &Value) -> bool {
    let query = Query::parse(request.to_string().as_bytes()).unwrap();
    let explained = reader.snapshot().explain("ns", &query).unwrap();
    explained["index"]["def"]["fields"]
        .as_array()
        .unwrap()
        .len()
        > 1
}
