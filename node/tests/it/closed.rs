//! One channel that does not open: the others are served, and everybody who asks is told which and why.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Answer, Client, Node, Request, run};

fn send(client: &Client, method: &'static str, path: &str, body: &str) -> Answer {
    let mut headers = Vec::new();
    if !body.is_empty() {
        headers.push(("Content-Type", "application/json".to_owned()));
    }
    let request = Request {
        method,
        path: path.to_owned(),
        headers,
        body: body.to_owned(),
    };
    client.send(&request).unwrap()
}

const CHANNELS: [&str; 3] = ["main", "second", "third"];

/// Three channels of three blocks.
fn made() -> TempDir {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    for channel in CHANNELS {
        if channel != "main" {
            let body = json!({"name": channel}).to_string();
            assert_eq!(send(&client, "POST", "/v1/channels", &body).status, 201);
        }
        for key in 1..3 {
            let path = format!("/v1/channels/{channel}/state/orders/{key}");
            assert_eq!(send(&client, "PUT", &path, "{}").status, 201);
        }
    }
    assert!(node.stop().success());
    data
}

fn blocks(data: &Path, channel: &str) -> std::path::PathBuf {
    data.join("channels").join(channel).join("blockfile_000000")
}

/// Flips a bit near the end of the blocks, in one that a start must be able to believe.
fn damage(data: &Path, channel: &str) {
    let file = blocks(data, channel);
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn assert_closed(client: &Client, channel: &str) {
    let at = format!("/v1/channels/{channel}");
    for (method, path, body) in [
        ("GET", at.clone(), ""),
        ("GET", format!("{at}/state"), ""),
        ("GET", format!("{at}/state/orders/1"), ""),
        ("GET", format!("{at}/state/orders"), ""),
        ("PUT", format!("{at}/state/orders/1"), "{}"),
        ("DELETE", format!("{at}/state/orders/1"), ""),
        ("GET", format!("{at}/history/orders/1"), ""),
        ("GET", format!("{at}/blocks/latest"), ""),
        ("GET", format!("{at}/blocks"), ""),
        ("GET", format!("{at}/events"), ""),
        ("GET", format!("{at}/transactions/00"), ""),
        ("POST", format!("{at}/transactions"), r#"{"operations":[]}"#),
        (
            "POST",
            format!("{at}/state/orders/_find"),
            r#"{"selector":{}}"#,
        ),
        ("GET", format!("{at}/state/orders/_index"), ""),
    ] {
        let answer = send(client, method, &path, body);
        let problem = answer.json();
        assert_eq!(answer.status, 503, "{method} {path}: {problem}");
        assert_eq!(problem["code"], "STORAGE_FAILED", "{method} {path}");
        assert_eq!(answer.header("retry-after"), Some("30"));
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(channel), "{detail}");
        // Where on the disk it is, is for the operator.
        assert!(!detail.contains("blockfile"), "{detail}");
    }
    let body = json!({"name": channel}).to_string();
    let again = send(client, "POST", "/v1/channels", &body);
    assert_eq!(
        (again.status, &again.json()["code"]),
        (409, &json!("CHANNEL_EXISTS"))
    );
}

fn assert_served(client: &Client, channel: &str) {
    let at = format!("/v1/channels/{channel}");
    let info = send(client, "GET", &at, "").json();
    assert!(info["height"].as_u64().unwrap() >= 3, "{info}");
    let put = send(client, "PUT", &format!("{at}/state/orders/1"), r#"{"n":1}"#);
    assert_eq!(put.status, 200, "{}", put.text());
}

#[test]
fn the_others_are_served_and_everybody_is_told_which_is_not() {
    let data = made();
    let copy = TempDir::new().unwrap();
    fs::copy(
        blocks(data.path(), "second"),
        copy.path().join("blockfile_000000"),
    )
    .unwrap();
    damage(data.path(), "second");
    let node = Node::start(data.path());
    let client = node.client();
    assert_closed(&client, "second");
    for channel in ["main", "third"] {
        assert_served(&client, channel);
    }
    assert_eq!(send(&client, "GET", "/v1/channels/nowhere", "").status, 404);
    let listed: Value = client.json("/v1/channels");
    assert_eq!(listed["channels"][0]["name"], "main");
    assert!(listed["channels"][0].get("state").is_none(), "{listed}");
    let second = json!({"name": "second", "height": null, "state": "failed"});
    assert_eq!(listed["channels"][1], second);

    let health = send(&client, "GET", "/healthz", "");
    assert_eq!(health.status, 503);
    let failed = health.json()["failed_checks"].clone();
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    assert_eq!(failed[0]["component"], "channel second");
    let reason = failed[0]["reason"].as_str().unwrap();
    assert!(reason.contains("blockfile_000000"), "{reason}");
    assert!(reason.contains("quire repair"), "{reason}");
    assert_eq!(send(&client, "GET", "/readyz", "").status, 200);
    let metrics = send(&client, "GET", "/metrics", "").text();
    for (channel, value) in [("main", 0), ("second", 1), ("third", 0)] {
        let line = format!("quire_channel_failed{{channel=\"{channel}\"}} {value}");
        assert!(metrics.contains(&line), "{line}");
    }
    assert!(!metrics.contains("ledger_blockchain_height{channel=\"second\"}"));
    let log = node.log();
    assert!(
        log.contains("second") && log.contains("quire repair"),
        "{log}"
    );

    // Commands act on such a node.
    let checked = run(&["check"], data.path());
    let text = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{text}");
    assert!(text.contains("second: 2 blocks"), "{text}");
    assert!(
        text.contains("main: 4 blocks, 4 transactions: sound"),
        "{text}"
    );
    assert!(
        run(&["channel", "create", "fourth"], data.path())
            .status
            .success()
    );
    assert_served_new(&client);
    let token = ["token", "create", "--identity", "shop", "--role", "reader"];
    assert!(run(&token, data.path()).status.success());
    assert_eq!(send(&client, "GET", "/v1/channels", "").status, 401);
    assert!(node.stop().success());

    let from = copy.path().to_str().unwrap();
    let repaired = run(
        &["repair", "--channel", "second", "--from", from],
        data.path(),
    );
    assert!(repaired.status.success(), "{repaired:?}");
    let node = Node::start(data.path());
    assert_eq!(send(&node.client(), "GET", "/healthz", "").status, 200);
    assert!(node.stop().success());
}

fn assert_served_new(client: &Client) {
    let put = send(client, "PUT", "/v1/channels/fourth/state/orders/1", "{}");
    assert_eq!(put.status, 201, "{}", put.text());
}

#[test]
fn any_channel_may_be_the_one_and_any_file_of_its_own_the_reason() {
    for (channel, file) in [
        ("main", "blockfile_000000"),
        ("third", "indexes.json"),
        ("second", ""),
    ] {
        let data = made();
        let folder = data.path().join("channels").join(channel);
        if file.is_empty() {
            fs::remove_dir_all(folder).unwrap();
        } else {
            fs::write(folder.join(file), "garbage").unwrap();
        }
        let node = Node::start(data.path());
        let client = node.client();
        assert_closed(&client, channel);
        for other in CHANNELS.iter().filter(|other| **other != channel) {
            assert_served(&client, other);
        }
        let health = send(&client, "GET", "/healthz", "").json();
        let component = &health["failed_checks"][0]["component"];
        assert_eq!(component, &format!("channel {channel}"));
        let checked = run(&["check"], data.path());
        assert_eq!(checked.status.code(), Some(1), "{checked:?}");
        assert!(node.stop().success());
    }
}

#[test]
fn a_node_without_any_channel_to_serve_does_not_start() {
    let data = made();
    for channel in CHANNELS {
        damage(data.path(), channel);
    }
    let output = run(&["run", "--listen", "127.0.0.1:0"], data.path());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for channel in CHANNELS {
        assert!(text.contains(channel), "{text}");
    }
    assert!(text.contains("quire repair"), "{text}");
}
