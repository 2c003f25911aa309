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

/// They come every few seconds, all day long.
#[test]
fn scrapes_and_probes_leave_a_line_at_debug_only() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    let ask = |path: &str, request_id: String| {
        let request = Request {
            method: "GET",
            path: path.to_owned(),
            headers: vec![("X-Request-Id", request_id)],
            body: String::new(),
        };
        assert_eq!(client.send(&request).unwrap().status, 200, "{path}");
    };
    let probes = ["/metrics", "/healthz", "/readyz"];
    for path in probes {
        ask(path, format!("quiet{}", path.replace('/', "-")));
    }
    ask("/version", "told-version".to_owned());
    let spec = put_spec(&client, r#"{"spec":"request=debug:info"}"#);
    assert_eq!(spec.status, 204);
    for path in probes {
        ask(path, format!("told{}", path.replace('/', "-")));
    }
    let log = node.log_after_stop();
    assert!(!log.contains("quiet-"), "{log}");
    for told in ["version", "metrics", "healthz", "readyz"] {
        assert!(log.contains(&format!("told-{told}")), "{told}: {log}");
    }
}

/// A refused one is worth a line.
#[test]
fn a_scrape_that_is_refused_leaves_a_line_at_info() {
    let data = TempDir::new().unwrap();
    let node = Node::start_with(data.path(), &["--no-metrics"]);
    let request = Request {
        method: "GET",
        path: "/metrics".to_owned(),
        headers: vec![("X-Request-Id", "refused-1".to_owned())],
        body: String::new(),
    };
    assert_eq!(node.client().send(&request).unwrap().status, 404);
    let log = node.log_after_stop();
    assert!(log.contains("refused-1"), "{log}");
}
