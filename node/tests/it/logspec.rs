//! The log: a line a request, and levels that change while the node runs.

use serde_json::json;
use tempfile::TempDir;

use super::kit::{Answer, Client, Node, Request};

fn put_spec(client: &Client, body: &str) -> Answer {
    let request = Request {
        method: "PUT",
        path: "/logspec".to_owned(),
        headers: vec![("Content-Type", "application/json".into())],
        body: body.to_owned(),
    };
    client.send(&request).unwrap()
}

/// Makes one transaction under a request id; gives the transaction's id.
fn transaction(client: &Client, request_id: &str) -> String {
    let request = Request {
        method: "PUT",
        path: "/v1/channels/main/state/orders/1%0A2".to_owned(),
        headers: vec![
            ("Content-Type", "application/json".into()),
            ("X-Request-Id", request_id.to_owned()),
        ],
        body: "1".to_owned(),
    };
    let answer = client.send(&request).unwrap();
    answer.json()["transactionId"].as_str().unwrap().to_owned()
}

#[test]
fn a_request_leaves_a_line_and_levels_change_while_the_node_runs() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    assert_eq!(client.json("/logspec"), json!({"spec": "info"}));
    let id = transaction(&client, "loud-1");
    assert_eq!(
        put_spec(&client, r#"{"spec":"request=warn:info"}"#).status,
        204
    );
    assert_eq!(
        client.json("/logspec"),
        json!({"spec": "request=warn:info"})
    );
    transaction(&client, "quiet-1");
    for spec in [
        r#"{"spec":"loud"}"#,
        r#"{"spec":1}"#,
        "{}",
        r#"{"sepc":"info"}"#,
    ] {
        let answer = put_spec(&client, spec);
        assert_eq!(answer.status, 400, "{spec}");
        assert_eq!(answer.json()["code"], "INVALID_ARGUMENT");
    }
    assert_eq!(put_spec(&client, r#"{"spec":"INFO"}"#).status, 204);
    transaction(&client, "loud-2");
    let log = node.log_after_stop();
    let line = log.lines().find(|line| line.contains("loud-1")).unwrap();
    for part in [
        "method=\"PUT\"",
        "path=\"/v1/channels/main/state/orders/1%0A2\"",
        "status=201",
        "outcome=\"VALID\"",
        "channel=\"main\"",
        &format!("transaction=\"{id}\""),
        "duration_ms=",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!log.contains("quiet-1"), "{log}");
    assert!(log.contains("loud-2"), "{log}");
}
