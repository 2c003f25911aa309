//! Queries that a real CouchDB answered: our answers must be the same.
//!
//! These tests guard against every way of reading CouchDB's semantics almost right, and against indexes that
//! do not follow state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quire_ledger::{
    FindError, Found, Halt, IndexError, IndexRequest, IndexState, MAX_STEPS, Meter, Migration,
    Query, Reader, Stop, TooExpensive,
};
use quire_testkit::conformance;
use serde_json::{Value, json};

use crate::kit::Documents;

const PAGE_BYTES: usize = 8 << 20;
const WAIT: Duration = Duration::from_secs(30);

fn read(file: &str) -> Value {
    serde_json::from_slice(&conformance::read(&format!("mango/{file}"))).unwrap()
}

/// An answer in the form of the record.
fn find(reader: &Reader, query: &Query) -> Found {
    let snapshot = reader.snapshot();
    let found = snapshot.find("ns", query, PAGE_BYTES, &mut Meter::default());
    found.unwrap()
}

fn answer(reader: &Reader, namespace: &str, request: &Value) -> Result<Found, FindError> {
    let query = Query::parse(request.to_string().as_bytes())?;
    reader
        .snapshot()
        .find(namespace, &query, PAGE_BYTES, &mut Meter::default())
}

fn documents(found: &Found) -> Vec<Value> {
    let parse = |text: &String| serde_json::from_str(text).unwrap();
    found.documents.iter().map(parse).collect()
}

/// A document without what differs by design: the revision, which here is a version.
fn comparable(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(members) = document.as_object_mut() {
        if let Some(rev) = members.get_mut("_rev") {
            *rev = "rev".into();
        }
        // CouchDB turns -0.0 into 0.0; here values stay as they were written.
        for value in members.values_mut() {
            if value.is_number() && value.as_f64() == Some(0.0) {
                *value = 0.into();
            }
        }
    }
    document
}

/// What is wrong with an answer.
fn objections(expected: &Value, got: &Result<Found, FindError>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, expected: Value, got: Value| {
        if expected != got {
            wrong.push(format!("{what}: expected {expected}, got {got}"));
        }
    };
    let found = match got {
        Err(FindError::Query(error)) if expected["status"] == 400 => {
            check("error", expected["error"].clone(), error.error().into());
            check(
                "reason",
                expected["reason"].clone(),
                error.to_string().into(),
            );
            return wrong;
        }
        Err(FindError::Query(_)) if expected["status"] == 500 => return wrong,
        Err(error) => return vec![format!("expected {expected}, got {error:?}")],
        Ok(_) if expected["status"] != 200 => {
            return vec![format!("expected {expected}, got documents")];
        }
        Ok(found) => found,
    };
    let documents = documents(found);
    if expected["ids"].is_array() {
        let ids = documents
            .iter()
            .map(|document| document["_id"].clone())
            .collect();
        check("ids", expected["ids"].clone(), ids);
    }
    if let Some(wanted) = expected["docs"].as_array() {
        let without_rev = |document: &Value| {
            let mut document = comparable(document);
            let projected = wanted
                .first()
                .is_some_and(|first| first.get("_rev").is_some());
            if !projected {
                document.as_object_mut().unwrap().remove("_rev");
            }
            document
        };
        let wanted = wanted.iter().map(comparable).collect();
        check("docs", wanted, documents.iter().map(without_rev).collect());
    }
    check(
        "bookmark",
        expected["has_bookmark"].clone(),
        found.bookmark.is_some().into(),
    );
    let is_nil = found.bookmark.as_deref() == Some("nil");
    check("nil", expected["bookmark_is_nil"].clone(), is_nil.into());
    check(
        "warning",
        expected["warning"].clone(),
        found.warning.clone().into(),
    );
    wrong
}

fn explain_objections(case: &Value, reader: &Reader, namespace: &str) -> Vec<String> {
    let expected = &case["explain"];
    if expected.is_null() {
        return Vec::new();
    }
    let query = Query::parse(case["request"].to_string().as_bytes()).unwrap();
    let explained = reader.snapshot().explain(namespace, &query).unwrap();
    let mut wrong = Vec::new();
    let index = json!({
        "type": explained["index"]["type"],
        "name": explained["index"]["name"],
        "ddoc": explained["index"]["ddoc"],
    });
    let range = expected["range"].as_object().unwrap();
    let pairs = [
        ("index", &expected["index"], &index),
        (
            "selector",
            &expected["normalized_selector"],
            &explained["selector"],
        ),
        ("limit", &expected["limit"], &explained["limit"]),
        ("skip", &expected["skip"], &explained["skip"]),
        ("covering", &expected["covering"], &explained["covering"]),
    ];
    let ranges = range
        .iter()
        .map(|(name, value)| (name.as_str(), value, &explained["mrargs"][name]));
    for (what, expected, got) in pairs.into_iter().chain(ranges) {
        if expected != got {
            wrong.push(format!("explain {what}: expected {expected}, got {got}"));
        }
    }
    wrong
}

fn run(case: &Value, reader: &Reader, namespace: &str) -> Vec<String> {
    let mut request = case["request"].clone();
    let expected = &case["expected"];
    let Some(pages) = expected["pages"].as_array() else {
        let mut wrong = objections(expected, &answer(reader, namespace, &request));
        wrong.extend(explain_objections(case, reader, namespace));
        return wrong;
    };
    let mut wrong = Vec::new();
    let mut last = None;
    for (number, page) in pages.iter().enumerate() {
        let got = answer(reader, namespace, &request);
        let mut page = page.clone();
        if page["status"] == 200 {
            // The record of pages has no warnings.
            let bookmark = got.as_ref().unwrap().bookmark.clone();
            let has_changed = bookmark != last;
            if page["bookmark_changed"] != has_changed {
                wrong.push(format!("page {number}: bookmark changed: {has_changed}"));
            }
            page["warning"] = got.as_ref().unwrap().warning.clone().into();
            request["bookmark"] = bookmark.clone().into();
            last = bookmark;
        }
        wrong.extend(objections(&page, &got));
    }
    wrong
}

/// Asks every recorded query of a channel's state. This is part of every engine's contract.
pub(crate) fn answers_are_couchdbs(mut chain: Documents) {
    let datasets = read("datasets.json");
    let cases = read("cases.json");
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 201);
    let mut failed = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let namespace = format!("case{number}");
        let dataset = datasets[case["dataset"].as_str().unwrap()]
            .as_array()
            .unwrap();
        let rows = dataset.iter().map(|document| {
            let mut value = document.clone();
            value.as_object_mut().unwrap().remove("_id");
            (document["_id"].as_str().unwrap(), Some(value.to_string()))
        });
        // Half of the documents exist before the index, and half come after it.
        let rows: Vec<_> = rows.collect();
        let (before, after) = rows.split_at(rows.len() / 2);
        chain.write(&namespace, before.iter().cloned());
        for index in case["index"].as_array().into_iter().flatten() {
            let request = IndexRequest::parse(index.to_string().as_bytes()).unwrap();
            assert!(
                chain
                    .reader()
                    .create_index(&namespace, &request, WAIT)
                    .unwrap()
            );
        }
        chain.write(&namespace, after.iter().cloned());
        let wrong = run(case, &chain.reader(), &namespace);
        if !wrong.is_empty() {
            failed.insert(case["name"].as_str().unwrap(), wrong);
        }
    }
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
}

fn index(fields: &Value, name: &str) -> IndexRequest {
    let body = json!({"index": {"fields": fields}, "name": name, "ddoc": name});
    IndexRequest::parse(body.to_string().as_bytes()).unwrap()
}

fn used(reader: &Reader, request: &Value) -> String {
    let query = Query::parse(request.to_string().as_bytes()).unwrap();
    let explained = reader.snapshot().explain("ns", &query).unwrap();
    explained["index"]["name"].as_str().unwrap().to_owned()
}

fn ids(reader: &Reader, request: &Value) -> Vec<String> {
    let found = answer(reader, "ns", request).unwrap();
    let id = |document: &Value| document["_id"].as_str().unwrap().to_owned();
    documents(&found).iter().map(id).collect()
}

#[test]
fn indexes_survive_a_restart_and_the_loss_of_the_embedded_engine() {
    let mut chain = Documents::new();
    chain.write(
        "ns",
        [
            ("a", Some(r#"{"n":2}"#.into())),
            ("b", Some(r#"{"n":1}"#.into())),
        ],
    );
    chain
        .reader()
        .create_index("ns", &index(&json!(["n"]), "n"), WAIT)
        .unwrap();
    let request = json!({"selector": {"n": {"$gt": 0}}, "sort": ["n"], "limit": 1});
    let found = answer(&chain.reader(), "ns", &request).unwrap();
    let mut second = request.clone();
    second["bookmark"] = found.bookmark.into();

    chain.reopen();
    assert_eq!(ids(&chain.reader(), &second), ["a"]);
    chain.write("ns", [("c", Some(r#"{"n":0.5}"#.into())), ("b", None)]);
    assert_eq!(ids(&chain.reader(), &request), ["c"]);

    chain.close();
    std::fs::remove_dir_all(chain.dir().join("derived")).unwrap();
    chain.reopen();
    let ready = || chain.reader().indexes("ns")[1].state == IndexState::Ready;
    let deadline = std::time::Instant::now() + WAIT;
    while !ready() || used(&chain.reader(), &request) != "n" {
        assert!(std::time::Instant::now() < deadline, "never ready");
        std::thread::yield_now();
    }
    assert_eq!(ids(&chain.reader(), &request), ["c"]);
    assert_eq!(ids(&chain.reader(), &json!({"selector": {"n": 2}})), ["a"]);
}

#[test]
fn an_index_is_made_once_replaced_by_name_and_gone_when_deleted() {
    let mut chain = Documents::new();
    chain.write("ns", [("a", Some(r#"{"n":2,"m":1}"#.into()))]);
    let reader = chain.reader();
    assert!(
        reader
            .create_index("ns", &index(&json!(["n"]), "i"), WAIT)
            .unwrap()
    );
    assert!(
        !reader
            .create_index("ns", &index(&json!(["n"]), "i"), WAIT)
            .unwrap()
    );
    assert!(
        reader
            .create_index("ns", &index(&json!(["m"]), "i"), WAIT)
            .unwrap()
    );
    assert_eq!(used(&reader, &json!({"selector": {"n": 2}})), "_all_docs");
    assert_eq!(used(&reader, &json!({"selector": {"m": 1}})), "i");
    let request = json!({"selector": {"m": 1}, "sort": ["m"]});
    let mut next = request.clone();
    next["bookmark"] = answer(&reader, "ns", &request).unwrap().bookmark.into();
    reader.delete_index("ns", "i", "i").unwrap();
    assert!(matches!(
        reader.delete_index("ns", "i", "i"),
        Err(IndexError::NotFound)
    ));
    assert_eq!(used(&reader, &json!({"selector": {"m": 1}})), "_all_docs");
    let gone = answer(&reader, "ns", &next).unwrap_err();
    assert!(matches!(gone, FindError::Query(_)), "{gone:?}");
}

#[test]
fn a_bookmark_belongs_to_one_query() {
    let mut chain = Documents::new();
    let rows = ["a", "b", "c"].map(|key| (key, Some(r#"{"n":1}"#.to_owned())));
    chain.write("ns", rows);
    let reader = chain.reader();
    let first = json!({"selector": {"n": 1}, "limit": 1});
    let bookmark = answer(&reader, "ns", &first).unwrap().bookmark.unwrap();
    let wider = json!({"selector": {"n": 1}, "limit": 5, "bookmark": bookmark});
    assert_eq!(ids(&reader, &wider), ["b", "c"]);
    let other = json!({"selector": {"n": {"$lt": 2}}, "bookmark": bookmark});
    for (namespace, request) in [("ns", &other), ("ns2", &wider)] {
        let error = answer(&reader, namespace, request).unwrap_err();
        let FindError::Query(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.error(), "invalid_bookmark");
    }
}

#[test]
fn what_is_no_object_is_passed_over() {
    let mut chain = Documents::new();
    let rows = [
        ("a", "[1]"),
        ("b", "5"),
        ("c", "no json"),
        ("d", r#"{"n":1}"#),
    ];
    chain.write("ns", rows.map(|(key, value)| (key, Some(value.to_owned()))));
    let reader = chain.reader();
    reader
        .create_index("ns", &index(&json!(["n"]), "n"), WAIT)
        .unwrap();
    assert_eq!(ids(&reader, &json!({"selector": {}})), ["d"]);
    assert_eq!(ids(&reader, &json!({"selector": {"n": 1}})), ["d"]);
}

#[test]
fn that_a_field_exists_is_a_bound_as_in_couchdb() {
    let mut chain = Documents::new();
    let rows = [("b", r#"{"a":1,"b":2}"#), ("a", r#"{"a":1}"#), ("c", "{}")];
    chain.write("ns", rows.map(|(key, value)| (key, Some(value.to_owned()))));
    let reader = chain.reader();
    let exists = json!({"selector": {"_id": {"$exists": true}}, "sort": ["_id"]});
    assert_eq!(ids(&reader, &exists), ["a", "b", "c"]);
    let backwards =
        json!({"selector": {"a": 1, "_id": {"$exists": true}}, "sort": [{"_id": "desc"}]});
    assert_eq!(ids(&reader, &backwards), ["b", "a"]);
    let unbounded = json!({"selector": {"_id": {"$ne": "a"}}, "sort": ["_id"]});
    let refused = answer(&reader, "ns", &unbounded).unwrap_err();
    assert!(matches!(refused, FindError::Query(_)), "{refused:?}");

    for (fields, name) in [(json!(["a"]), "a"), (json!(["a", "b"]), "ab")] {
        reader
            .create_index("ns", &index(&fields, name), WAIT)
            .unwrap();
    }
    for (selector, expected) in [
        (json!({"a": {"$exists": true}}), "a"),
        (json!({"a": 1}), "a"),
        (json!({"a": 1, "b": {"$exists": true}}), "ab"),
        (
            json!({"a": {"$exists": true}, "b": {"$exists": true}}),
            "ab",
        ),
        (json!({"a": 1, "b": {"$exists": false}}), "a"),
        (json!({"a": {"$exists": false}}), "_all_docs"),
    ] {
        let request = json!({"selector": selector});
        assert_eq!(used(&reader, &request), expected, "{request}");
    }
    let both = json!({"selector": {"a": 1, "b": {"$exists": true}}});
    assert_eq!(ids(&reader, &both), ["b"]);
    let query = Query::parse(both.to_string().as_bytes()).unwrap();
    let explained = reader.snapshot().explain("ns", &query).unwrap();
    assert_eq!(
        explained["selector_hints"][0]["indexable_fields"],
        json!(["a", "b"])
    );
    let keys = (
        &explained["mrargs"]["start_key"],
        &explained["mrargs"]["end_key"],
    );
    assert_eq!(keys, (&json!([1]), &json!([1, "<MAX>"])));
    for (selector, start, end) in [
        (json!({"_id": {"$exists": true}}), json!(""), "<MAX>"),
        (json!({"_id": {"$lt": "c"}}), json!(""), "c"),
        (json!({"_id": {"$gt": "b"}}), json!("b"), "<MAX>"),
        (json!({"c": 1}), json!(null), "<MAX>"),
    ] {
        let body = json!({ "selector": selector }).to_string();
        let query = Query::parse(body.as_bytes()).unwrap();
        let explained = reader.snapshot().explain("ns", &query).unwrap();
        let mrargs = &explained["mrargs"];
        assert_eq!(
            (&mrargs["start_key"], &mrargs["end_key"]),
            (&start, &json!(end)),
            "{selector}"
        );
    }
}

#[test]
fn names_of_indexes_to_use_are_read_as_in_couchdb() {
    for (name, is_name) in [
        (json!("d"), true),
        (json!("_design/d"), true),
        (json!("d/n"), true),
        (json!("_design/d/n"), true),
        (json!(""), true),
        (json!("d/n/m"), false),
        (json!("_design/d/n/m"), false),
        (json!(["d", "n/m"]), true),
        (json!(["d", "n", "m"]), false),
        (json!([1]), false),
        (json!(5), false),
        (json!(null), true),
    ] {
        let body = json!({"selector": {}, "use_index": name}).to_string();
        let refused = Query::parse(body.as_bytes()).err();
        let refused = refused.map(|error| error.error());
        let expected = (!is_name).then_some("invalid_index_name");
        assert_eq!(refused, expected, "{name}");
    }
}

/// CouchDB answers these differently, or not at all, as docs/mango.md lists.
#[test]
fn what_couchdb_cannot_answer_is_evaluated() {
    let mut chain = Documents::new();
    let rows = [
        (
            "a",
            r#"{"n":1,"l":[{"x":1},{"x":2}],"o":{"k":1},"t":["p","q"]}"#,
        ),
        ("b", r#"{"n":[null],"t":[[1]]}"#),
        ("c", r#"{"n":{"a":1,"b":2}}"#),
        ("d", r#"{"n":1e-400}"#),
        ("e", r#"{"n":0}"#),
    ];
    chain.write("ns", rows.map(|(key, value)| (key, Some(value.to_owned()))));
    let reader = chain.reader();
    for has_index in [false, true] {
        if has_index {
            let request = index(&json!(["n"]), "n");
            reader.create_index("ns", &request, WAIT).unwrap();
        }
        for (selector, expected) in [
            (r#"{"l":{"$elemMatch":{"$nor":[{"x":1}]}}}"#, "a"),
            (r#"{"l":{"$elemMatch":{"$nor":[{"x":1},{"x":2}]}}}"#, ""),
            (r#"{"l":{"$allMatch":{"$nor":[{"x":7}]}}}"#, "a"),
            (r#"{"o":{"$keyMapMatch":{"$nor":[{"$eq":"z"}]}}}"#, "a"),
            (r#"{"n":{"$in":[null]}}"#, "b"),
            (r#"{"n":{"$eq":[null]}}"#, "b"),
            (r#"{"n":{"$eq":{"a":1,"b":2}}}"#, "c"),
            (r#"{"t":{"$all":[[1]]}}"#, "b"),
            (r#"{"$and":[{"n":1},{"n":{"$gt":1}}]}"#, ""),
            (r#"{"n":1e-400}"#, "d"),
            (r#"{"n":{"$lt":1e-399,"$gt":0}}"#, "d"),
            (r#"{"n":{"$gt":1,"$lt":1e400}}"#, ""),
            (r#"{"$nor":[{"$and":[]}]}"#, "abcde"),
            (r#"{"$nor":[{"$nor":[]}]}"#, "abcde"),
            (r#"{"$nor":[{"l":{"$exists":true}},{"$and":[]}]}"#, "bcde"),
            (r#"{"$nor":[]}"#, ""),
        ] {
            let query = Query::parse(format!(r#"{{"selector":{selector}}}"#).as_bytes()).unwrap();
            let found = find(&reader, &query);
            let id = |document: &Value| document["_id"].as_str().unwrap().to_owned();
            let mut ids: Vec<String> = documents(&found).iter().map(id).collect();
            ids.sort();
            assert_eq!(ids.concat(), expected, "{selector} {has_index}");
        }
    }
    for selector in [
        json!({"n": {"$regex": "a\u{0}b"}}),
        json!({"n": {"$mod": [0, 0]}}),
    ] {
        let body = json!({ "selector": selector }).to_string();
        let refused = Query::parse(body.as_bytes()).unwrap_err();
        assert_eq!(refused.error(), "bad_arg", "{selector}");
    }
    for (fields, expected) in [
        (json!(["t", "t.0"]), json!({"t": ["p", "q"]})),
        (json!(["t.0", "t"]), json!({"t": ["p", "q"]})),
        (json!(["t.0", "t.1"]), json!({"t": {"0": "p", "1": "q"}})),
    ] {
        let request = json!({"selector": {"_id": "a"}, "fields": fields});
        let found = answer(&reader, "ns", &request).unwrap();
        assert_eq!(documents(&found), [expected], "{fields}");
    }
    let body = json!({"selector": {"n": 1}, "execution_stats": true, "limit": 1}).to_string();
    let query = Query::parse(body.as_bytes()).unwrap();
    let found = find(&reader, &query);
    let stats = found.stats.unwrap();
    assert_eq!((stats.documents_examined, stats.results_returned), (1, 1));
}

/// The normal form is kept, and it is deeper than the written form.
#[test]
fn an_index_whose_filter_could_not_be_read_again_is_not_made() {
    for (levels, is_made) in [
        (30, true),
        (60, true),
        (62, false),
        (66, false),
        (120, false),
    ] {
        let filter = (0..levels).fold(r#"{"a":1,"b":1}"#.to_owned(), |inner, level| {
            format!(r#"{{"x":{level},"$not":{inner}}}"#)
        });
        let body =
            format!(r#"{{"index": {{"fields": ["a"], "partial_filter_selector": {filter}}}}}"#);
        let parsed = IndexRequest::parse(body.as_bytes());
        assert_eq!(parsed.is_ok(), is_made, "{levels}");
        if let Err(refused) = parsed {
            assert_eq!(refused.to_string(), "nested deeper than 127 levels");
        }
    }
}

#[test]
fn an_index_that_no_path_could_drop_is_not_made() {
    let long = "n".repeat(1025);
    for (member, name, error) in [
        ("name", "", "invalid_empty_string"),
        ("ddoc", "", "invalid_empty_string"),
        ("ddoc", "_design/", "illegal_docid"),
        ("name", "..", "invalid_index_name"),
        ("name", ".", "invalid_index_name"),
        ("ddoc", "..", "invalid_index_name"),
        ("name", &long, "invalid_index_name"),
        ("ddoc", &long, "invalid_index_name"),
    ] {
        let body = json!({"index": {"fields": ["a"]}, member: name}).to_string();
        let refused = IndexRequest::parse(body.as_bytes()).unwrap_err();
        assert_eq!(refused.error(), error, "{member} {name}");
        if name.is_empty() {
            let reason = "Index name or ddoc cannot be empty string";
            assert_eq!(refused.to_string(), reason);
        }
        let file = json!({"namespace": "ns", "index": {"fields": ["a"]}, member: name});
        let refused = Migration::parse("0001-a.json", file.to_string().as_bytes());
        assert!(refused.is_err(), "{file}");
    }
    let names =
        json!({"index": {"fields": ["a"]}, "name": "a/b %..", "ddoc": "_design/x/_design/"});
    assert!(IndexRequest::parse(names.to_string().as_bytes()).is_ok());
}

#[test]
fn an_index_without_a_name_of_an_earlier_version_can_be_dropped() {
    let mut chain = Documents::new();
    chain.write("ns", [("a", Some(r#"{"n":2}"#.into()))]);
    for (fields, name) in [(json!(["n"]), "one"), (json!(["m"]), "two")] {
        let request = index(&fields, name);
        chain.reader().create_index("ns", &request, WAIT).unwrap();
    }
    chain.close();
    let mut folders = std::fs::read_dir(chain.dir().join("channels")).unwrap();
    let file = folders.next().unwrap().unwrap().path().join("indexes.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace(r#""one""#, r#""""#);
    let text = text.replace(r#""name": "two""#, r#""name": "..""#);
    std::fs::write(&file, &text).unwrap();

    chain.reopen();
    let reader = chain.reader();
    let listed = reader.indexes("ns");
    assert_eq!(listed.len(), 3);
    for listing in &listed[1..] {
        let member = |name: &str| listing.definition[name].as_str().unwrap().to_owned();
        let (ddoc, name) = (member("ddoc"), member("name"));
        let ddoc = ddoc.strip_prefix("_design/").unwrap();
        assert!(!ddoc.is_empty() && name.len() > 2, "{ddoc} {name}");
        reader.delete_index("ns", ddoc, &name).unwrap();
    }
    drop(reader);
    chain.reopen();
    assert_eq!(chain.reader().indexes("ns").len(), 1);
}

/// Replaces the filter of a channel's only index by one that an earlier release may have stored, and opens
/// the channel without derived data.
fn reopen_with_filter(chain: &mut Documents, filter: Value) {
    chain.close();
    let file = chain.dir().join("channels/main/indexes.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut stored: Value = serde_json::from_str(&text).unwrap();
    stored["indexes"][0]["partialFilterSelector"] = filter;
    std::fs::write(&file, stored.to_string()).unwrap();
    std::fs::remove_dir_all(chain.dir().join("derived")).unwrap();
    chain.reopen();
    let deadline = std::time::Instant::now() + WAIT;
    while chain.reader().indexes("ns")[1].state != IndexState::Ready {
        assert!(std::time::Instant::now() < deadline, "never ready");
        std::thread::yield_now();
    }
}

/// Before filters had limits, they could have more patterns, larger ones, more conditions and more values.
#[test]
fn an_index_of_before_is_opened_though_its_filter_may_not_be_made_any_more() {
    let mut chain = Documents::new();
    let rows = [("a", r#"{"n":"tom"}"#), ("b", r#"{"n":"zoe"}"#)];
    chain.write("ns", rows.map(|(key, value)| (key, Some(value.to_owned()))));
    let body = |filter: &Value| {
        let index = json!({"fields": ["n"], "partial_filter_selector": filter});
        let body = json!({"name": "i", "ddoc": "i", "index": index});
        IndexRequest::parse(body.to_string().as_bytes())
    };
    let request = body(&json!({"n": {"$regex": "^a"}})).unwrap();
    chain.reader().create_index("ns", &request, WAIT).unwrap();
    let mut conditions = vec![json!({"n": {"$regex": "^t"}}); 150];
    conditions.push(json!({"n": {"$not": {"$regex": "a{20000}"}}}));
    conditions.push(json!({"n": {"$nin": vec![1; 50_001]}}));
    conditions.extend(vec![json!({"n": {"$ne": 1}}); 10_000]);
    let filter = json!({ "$and": conditions });
    assert!(body(&filter).is_err());
    reopen_with_filter(&mut chain, filter);
    let query = json!({"selector": {"n": {"$gt": ""}}, "use_index": "i", "sort": ["n"]});
    assert_eq!(ids(&chain.reader(), &query), ["a"]);
}

/// The committing thread ends such a filter early, whatever its result would be.
#[test]
fn a_filter_that_takes_too_much_of_a_document_changes_no_answer() {
    let list = |length: usize, last: usize| {
        let zeros = std::iter::repeat_n(0, length - 1);
        zeros.chain([last]).collect::<Vec<_>>()
    };
    let document = |n: u32, length: usize, last: usize| {
        let document = json!({"n": n, "l": list(length, last)});
        Some(document.to_string())
    };
    let mut chain = Documents::new();
    chain.write(
        "ns",
        [
            ("cheap hit", document(1, 1, 1_000)),
            ("cheap miss", document(2, 1, 1)),
            ("hit", document(3, 4_000, 1_000)),
            ("miss", document(4, 4_000, 1)),
        ],
    );
    let wanted: Vec<_> = (1_000..4_000).collect();
    let index = json!({"fields": ["n"],
        "partial_filter_selector": {"l": {"$elemMatch": {"$in": wanted}}}});
    let body = json!({"name": "i", "ddoc": "i", "index": index}).to_string();
    let request = IndexRequest::parse(body.as_bytes()).unwrap();
    chain.reader().create_index("ns", &request, WAIT).unwrap();
    let query = json!({"selector": {"n": {"$gt": 0}}, "use_index": "i", "sort": ["n"]});
    let found = |chain: &Documents| ids(&chain.reader(), &query);
    assert_eq!(found(&chain), ["cheap hit", "hit"]);
    chain.write("ns", [("miss", document(4, 4_000, 1_000))]);
    assert_eq!(found(&chain), ["cheap hit", "hit", "miss"]);
    chain.write("ns", [("miss", document(0, 1, 1_000)), ("hit", None)]);
    chain.write("ns", [("cheap miss", document(5, 4_000, 1))]);
    assert_eq!(found(&chain), ["cheap hit"]);
    chain.write("ns", [("cheap miss", document(5, 1, 1))]);
    chain.write("ns", [("cheap hit", document(6, 4_000, 1_000))]);
    assert_eq!(found(&chain), ["cheap hit"]);
}

#[test]
fn an_index_may_name_a_field_twice() {
    let mut chain = Documents::new();
    let rows = [("a", r#"{"n":2}"#), ("b", r#"{"n":1}"#), ("c", "{}")];
    chain.write("ns", rows.map(|(key, value)| (key, Some(value.to_owned()))));
    let request = index(&json!(["n", "n"]), "twice");
    chain.reader().create_index("ns", &request, WAIT).unwrap();
    for (query, expected) in [
        (
            json!({"selector": {"n": {"$gt": 0}}, "sort": ["n"]}),
            vec!["b", "a"],
        ),
        (
            json!({"selector": {"n": {"$gt": 1}}, "sort": ["n", "n"]}),
            vec!["a"],
        ),
        (json!({"selector": {"n": 1}}), vec!["b"]),
    ] {
        assert_eq!(ids(&chain.reader(), &query), expected, "{query}");
        assert_eq!(used(&chain.reader(), &query), "twice", "{query}");
    }
}

/// A caller with memory for a number of bytes of documents at one time, and the most that was taken.
#[derive(Debug, Default)]
struct Room {
    bytes: usize,
    most: AtomicUsize,
}

impl Halt for Room {
    fn stop(&self) -> Option<Stop> {
        None
    }

    fn room(&self, bytes: usize) -> Option<quire_ledger::Room> {
        self.most.fetch_max(bytes, Ordering::Relaxed);
        (bytes <= self.bytes).then(|| Box::new(()) as quire_ledger::Room)
    }
}

#[test]
fn a_large_member_takes_memory_where_it_is_asked_about_only() {
    let mut chain = Documents::new();
    let list = json!({"n": 1, "l": vec![0; 100_000], "o": {"l": [vec![0; 50_000]]}});
    let small = json!({"n": 2, "l": vec![0; 10_000]});
    let rows = [("large", list), ("small", small)];
    chain.write(
        "ns",
        rows.map(|(key, value)| (key, Some(value.to_string()))),
    );
    let request = index(&json!(["n"]), "n");
    chain.reader().create_index("ns", &request, WAIT).unwrap();
    let find = |selector: Value, bytes: usize| {
        let room = Arc::new(Room {
            bytes,
            most: AtomicUsize::new(0),
        });
        let query = json!({ "selector": selector });
        let query = Query::parse(query.to_string().as_bytes()).unwrap();
        let halt = Arc::clone(&room) as Arc<dyn Halt>;
        let mut meter = Meter::new(MAX_STEPS, Some(halt));
        let found = chain
            .reader()
            .snapshot()
            .find("ns", &query, 8 << 20, &mut meter);
        (
            found.map(|found| found.documents.len()),
            room.most.load(Ordering::Relaxed),
        )
    };
    assert!(matches!(find(json!({"n": {"$gt": 0}}), 0), (Ok(2), 0)));
    // Each value takes a hundred bytes, besides the text.
    let (found, most) = find(json!({"l": {"$elemMatch": {"$eq": 0}}}), usize::MAX);
    assert_eq!((found.unwrap(), most), (2, 100_000 * 102 + 1));
    let (found, most) = find(json!({"o.l.0.1": 0}), usize::MAX);
    assert_eq!((found.unwrap(), most / 1_000), (1, 5_100));
    let (found, _) = find(json!({"l": {"$size": 10_000}}), 10_000_000);
    let Err(FindError::TooExpensive(TooExpensive::Memory { bytes })) = found else {
        panic!("{found:?}");
    };
    assert_eq!(bytes, 100_000 * 102 + 1);
}

#[test]
fn a_filter_of_texts_means_for_ever_what_it_meant_when_its_index_was_made() {
    let mut chain = Documents::new();
    let rows = [("a", r#"{"n":"Émile"}"#), ("b", r#"{"n":"tom"}"#)];
    chain.write("ns", rows.map(|(key, value)| (key, Some(value.to_owned()))));
    let body = json!({"name": "i", "ddoc": "i", "index": {"fields": ["n"],
        "partial_filter_selector": {"n": {"$regex": "^\\w"}}}});
    let request = IndexRequest::parse(body.to_string().as_bytes()).unwrap();
    chain.reader().create_index("ns", &request, WAIT).unwrap();
    let query = json!({"selector": {"n": {"$gt": ""}}, "use_index": "i", "sort": ["n"]});
    assert_eq!(ids(&chain.reader(), &query), ["a", "b"]);

    // This is the form of an earlier version.
    chain.close();
    let mut folders = std::fs::read_dir(chain.dir().join("channels")).unwrap();
    let file = folders.next().unwrap().unwrap().path().join("indexes.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut stored: Value = serde_json::from_str(&text).unwrap();
    let index = stored["indexes"][0].as_object_mut().unwrap();
    assert_eq!(index.shift_remove("selectorVersion"), Some(json!("2")));
    std::fs::write(&file, stored.to_string()).unwrap();
    std::fs::remove_dir_all(chain.dir().join("derived")).unwrap();
    chain.reopen();
    let deadline = std::time::Instant::now() + WAIT;
    while chain.reader().indexes("ns")[1].state != IndexState::Ready {
        assert!(std::time::Instant::now() < deadline, "never ready");
        std::thread::yield_now();
    }
    assert_eq!(ids(&chain.reader(), &query), ["b"]);
    let again = chain.reader().create_index("ns", &request, WAIT).unwrap();
    assert!(again, "the meaning is another one");
    assert_eq!(ids(&chain.reader(), &query), ["a", "b"]);
}
