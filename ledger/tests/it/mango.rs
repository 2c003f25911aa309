//! Queries that a real CouchDB answered: our answers must be the same.
//!
//! Guards against every way of reading CouchDB's semantics almost right, and against indexes that do
//! not follow state.

use std::collections::BTreeMap;
use std::time::Duration;

use quire_ledger::{
    FindError, Found, IndexError, IndexRequest, IndexState, Migration, Query, Reader,
};
use serde_json::{Value, json};

use crate::kit::{Documents, conformance};

const PAGE_BYTES: usize = 8 << 20;
const WAIT: Duration = Duration::from_secs(30);

fn read(file: &str) -> Value {
    let text = std::fs::read_to_string(conformance("mango").join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// An answer in the form of the record.
fn answer(reader: &Reader, namespace: &str, request: &Value) -> Result<Found, FindError> {
    let query = Query::parse(request.to_string().as_bytes())?;
    reader.snapshot().find(namespace, &query, PAGE_BYTES)
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

/// Every recorded query, asked of a channel's state: part of every engine's contract.
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
        // Half of the documents are there before the index, and half come after it.
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
    chain.reopen();
    assert_eq!(chain.reader().indexes("ns").len(), 1);
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

    // As an earlier version stored it.
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
