//! CouchDB's queries and answers, over HTTP against the real binary.
//!
//! What the answers say is compared in `ledger/tests/it/mango.rs`; this guards the way there and
//! back: routes, problem documents, and that nothing is lost between the engine and the socket.

use quire_testkit::conformance;
use serde_json::{Value, json};

use crate::kit::{Answer, Client, Node, Request};

fn read(file: &str) -> Value {
    serde_json::from_slice(&conformance::read(&format!("mango/{file}"))).unwrap()
}

fn send(client: &Client, method: &'static str, path: &str, body: &Value) -> Answer {
    let request = Request {
        method,
        path: format!("/v1/channels/main/{path}"),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: if body.is_null() {
            String::new()
        } else {
            body.to_string()
        },
    };
    client.send(&request).unwrap()
}

fn load(client: &Client, namespace: &str, dataset: &Value) {
    let operations = dataset.as_array().unwrap().iter().map(|document| {
        let mut value = document.clone();
        let key = value.as_object_mut().unwrap().remove("_id");
        json!({"op": "put", "namespace": namespace, "key": key, "value": value})
    });
    let body = json!({"operations": operations.collect::<Value>()});
    let answer = send(client, "POST", "transactions", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// What is wrong with the answer to one request.
fn objection(expected: &Value, answer: &Answer) -> Option<String> {
    let body = answer.json();
    let got = |member: &str| body[member].clone();
    let is_error = expected["status"] != 200;
    let fine = if is_error {
        // CouchDB says 500 where the client is at fault.
        answer.status == 400
            && body["code"].is_string()
            && (expected["status"] == 500
                || (got("error") == expected["error"] && got("reason") == expected["reason"]))
    } else {
        let documents = body["docs"].as_array()?;
        let ids: Value = documents
            .iter()
            .map(|document| document["_id"].clone())
            .collect();
        answer.status == 200
            && answer.header("quire-height").is_some()
            && (expected["ids"].is_null() || ids == expected["ids"])
            && (expected["docs"].is_null() || same_documents(&expected["docs"], documents))
            && (expected.get("bookmark_changed").is_some()
                || got("warning").is_null() == expected["warning"].is_null())
            && (got("bookmark") == "nil") == (expected["bookmark_is_nil"] == true)
            && got("bookmark").is_string() == (expected["has_bookmark"] == true)
    };
    (!fine).then(|| format!("expected {expected}, got {} {body}", answer.status))
}

/// Revisions differ by design, and -0.0 stays what it was.
fn same_documents(expected: &Value, got: &[Value]) -> bool {
    let plain = |document: &Value| {
        let mut document = document.clone();
        let members = document.as_object_mut().unwrap();
        members.remove("_rev");
        for value in members.values_mut() {
            if value.is_number() && value.as_f64() == Some(0.0) {
                *value = 0.into();
            }
        }
        document
    };
    let expected: Vec<Value> = expected.as_array().unwrap().iter().map(plain).collect();
    expected == got.iter().map(plain).collect::<Vec<_>>()
}

fn run(client: &Client, namespace: &str, case: &Value) -> Vec<String> {
    let find = format!("state/{namespace}/_find");
    let mut request = case["request"].clone();
    let expected = &case["expected"];
    let mut wrong = Vec::new();
    let Some(pages) = expected["pages"].as_array() else {
        wrong.extend(objection(expected, &send(client, "POST", &find, &request)));
        if !case["explain"].is_null() {
            let explain = format!("state/{namespace}/_explain");
            let explained = send(client, "POST", &explain, &request).json();
            for member in ["type", "name", "ddoc"] {
                if explained["index"][member] != case["explain"]["index"][member] {
                    wrong.push(format!("explain {member}: {}", explained["index"]));
                }
            }
        }
        return wrong;
    };
    let mut last = Value::Null;
    for page in pages {
        let answer = send(client, "POST", &find, &request);
        wrong.extend(objection(page, &answer));
        let bookmark = answer.json()["bookmark"].clone();
        if page["status"] == 200 && page["bookmark_changed"] != (bookmark != last) {
            wrong.push(format!("bookmark {last}, then {bookmark}"));
        }
        request["bookmark"] = bookmark.clone();
        last = bookmark;
    }
    wrong
}

#[test]
fn every_query_that_couchdb_answered_is_answered_alike_over_http() {
    let (datasets, cases) = (read("datasets.json"), read("cases.json"));
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let client = node.client();
    let mut failed = Vec::new();
    let cases = cases.as_array().unwrap();
    for (number, case) in cases.iter().enumerate() {
        let namespace = format!("case{number}");
        load(
            &client,
            &namespace,
            &datasets[case["dataset"].as_str().unwrap()],
        );
        for index in case["index"].as_array().into_iter().flatten() {
            let answer = send(&client, "POST", &format!("state/{namespace}/_index"), index);
            assert_eq!(answer.json()["result"], "created", "{}", answer.text());
        }
        for wrong in run(&client, &namespace, case) {
            failed.push(format!("{}: {wrong}", case["name"]));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {}: {failed:#?}",
        failed.len(),
        cases.len()
    );
}

#[test]
fn indexes_are_made_listed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let client = node.client();
    load(&client, "ns", &json!([{"_id": "a", "n": 1}]));
    let index = json!({"index": {"fields": ["n"]}, "name": "n", "ddoc": "d"});
    let made = send(&client, "POST", "state/ns/_index", &index).json();
    assert_eq!(
        made,
        json!({"result": "created", "id": "_design/d", "name": "n"})
    );
    let again = send(&client, "POST", "state/ns/_index", &index).json();
    assert_eq!(again["result"], "exists");
    let listed = send(&client, "GET", "state/ns/_index", &Value::Null).json();
    assert_eq!(listed["total_rows"], 2);
    assert_eq!(listed["indexes"][0]["name"], "_all_docs");
    assert_eq!(
        listed["indexes"][1],
        json!({
            "ddoc": "_design/d", "name": "n", "type": "json", "partitioned": false,
            "def": {"fields": [{"n": "asc"}]}, "state": "ready",
        })
    );
    for path in [
        "state/ns/_index/_design/d/json/n",
        "state/ns/_index/d/json/n",
    ] {
        let is_first = path.contains("_design");
        let answer = send(&client, "DELETE", path, &Value::Null);
        assert_eq!(
            answer.status,
            if is_first { 200 } else { 404 },
            "{}",
            answer.text()
        );
        if !is_first {
            assert_eq!(answer.json()["code"], "INDEX_NOT_FOUND");
            assert_eq!(answer.json()["error"], "not_found");
        }
    }
    let nowhere = client.send(&Request {
        method: "POST",
        path: "/v1/channels/nowhere/state/ns/_find".to_owned(),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: "{}".to_owned(),
    });
    let nowhere = nowhere.unwrap().json();
    assert_eq!(
        (&nowhere["code"], &nowhere["error"]),
        (&json!("CHANNEL_NOT_FOUND"), &json!("not_found"))
    );
}
