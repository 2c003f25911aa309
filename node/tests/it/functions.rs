//! The functions of the built-in chaincode that only read, called over HTTP.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Answer, Client, Node, Request};

fn post(client: &Client, path: &str, body: &Value) -> Answer {
    let request = Request {
        method: "POST",
        path: format!("/v1/channels/main/{path}"),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: body.to_string(),
    };
    client.send(&request).unwrap()
}

fn call(function: &str, args: &Value) -> Value {
    json!({"chaincode": "orders", "function": function, "args": args})
}

#[test]
fn find_and_history_are_evaluated_and_submitted() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = Client::new(node.address());
    for total in 1..=4 {
        let args = json!([format!("o{}", total % 2), {"total": total}]);
        let answer = post(&client, "transactions", &call("put", &args));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let asked = call(
        "find",
        &json!([{"selector": {"total": {"$gt": 3}}, "fields": ["_id", "total"]}]),
    );
    let evaluated = post(&client, "evaluate", &asked);
    assert_eq!(evaluated.status, 200, "{}", evaluated.text());
    let result = evaluated.json()["result"].clone();
    assert_eq!(result["docs"], json!([{"_id": "o0", "total": 4}]));
    assert!(result["bookmark"].is_string() && result["warning"].is_string());
    let submitted = post(&client, "transactions", &asked);
    assert_eq!(submitted.status, 201, "{}", submitted.text());
    assert_eq!(submitted.json()["result"], result);

    let past = |page: &Value| {
        let answer = post(&client, "evaluate", &call("history", &json!(["o1", page])));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["result"].clone()
    };
    let first = past(&json!({"limit": 1}));
    let second = past(&json!({"limit": 1, "bookmark": first["bookmark"]}));
    let over_http = client.json("/v1/channels/main/history/orders/o1");
    let both = [&first["entries"][0], &second["entries"][0]];
    // Who wrote is told over HTTP, and no matter of the chaincode's.
    let signed = both.map(|entry| {
        let mut entry = entry.clone();
        entry["creator"] = "client".into();
        entry["creatorMspId"] = "QuireMSP".into();
        entry
    });
    assert_eq!(json!(signed), over_http["entries"]);
    assert_eq!(second["bookmark"], Value::Null);

    for (function, args, code) in [
        ("find", json!([]), "INVALID_ARGUMENT"),
        ("find", json!([{"limit": 1}]), "INVALID_ARGUMENT"),
        (
            "find",
            json!([{"selector": {"a": {"$no": 1}}}]),
            "INVALID_SELECTOR",
        ),
        (
            "find",
            json!([{"selector": {"a": "x".repeat(70_000)}}]),
            "QUERY_TOO_EXPENSIVE",
        ),
        ("history", json!(["o1", {"limit": 0}]), "INVALID_ARGUMENT"),
    ] {
        let answer = post(&client, "evaluate", &call(function, &args));
        let status = if code == "QUERY_TOO_EXPENSIVE" {
            422
        } else {
            400
        };
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (status, &json!(code))
        );
    }
}

/// What queries leave in blocks is under a name that nobody can write to, nor find anything under.
#[test]
fn the_namespace_of_queries_is_nobodys() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = Client::new(node.address());
    let operation = json!({"op": "put", "namespace": "orders$$q", "key": "k", "value": 1});
    for body in [
        json!({"operations": [operation]}),
        json!({"chaincode": "orders$$q", "function": "put", "args": ["k", 1]}),
    ] {
        let answer = post(&client, "transactions", &body);
        let code = answer.json()["code"].clone();
        assert_eq!((answer.status, code), (400, json!("INVALID_NAME")));
    }
    let read = |path: &str| {
        let path = format!("/v1/channels/main/state/orders$$q{path}");
        client.send(&Request::get(path)).unwrap()
    };
    assert_eq!(read("/k").status, 404);
    assert_eq!(read("").json()["rows"], json!([]));
    let namespaces = client.json("/v1/channels/main/state").to_string();
    assert!(!namespaces.contains("$$q"), "{namespaces}");
}
