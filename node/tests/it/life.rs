//! `quire channel pause`, `resume` and `remove`, and `quire identity list`, as an operator uses them.

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Node, check, run};

fn printed(arguments: &[&str], data: &std::path::Path) -> String {
    let output = run(arguments, data);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out
}

fn channels(node: &Node) -> Vec<String> {
    let told = node.client().json("/v1/channels");
    let rows = told["channels"].as_array().unwrap().iter();
    rows.map(|row| row["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_paused_channel_is_not_served_and_a_removed_one_is_gone() {
    let data = TempDir::new().unwrap();
    let data = data.path();
    printed(&["channel", "create", "archive"], data);
    let node = Node::start(data);
    assert_eq!(channels(&node), ["archive", "main"]);
    let refused = run(&["channel", "pause", "archive"], data);
    assert_eq!(refused.status.code(), Some(2));
    assert!(node.stop().success());
    printed(&["channel", "pause", "archive"], data);
    assert!(printed(&["channel", "list"], data).contains("archive\tInactive"));
    let node = Node::start(data);
    assert_eq!(channels(&node), ["main"]);
    assert!(node.stop().success());
    assert!(check(data).status.success());
    printed(&["channel", "resume", "archive"], data);
    let node = Node::start(data);
    assert_eq!(channels(&node), ["archive", "main"]);
    assert!(node.stop().success());
    let refused = run(&["channel", "remove", "archive"], data);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("the last has the hash "), "{told}");
    assert!(told.contains("was not typed"), "{told}");
    assert!(data.join("channels/archive").exists());
    let said = printed(&["channel", "remove", "archive", "--yes"], data);
    assert!(said.contains("channel archive is removed"), "{said}");
    assert!(!data.join("channels/archive").exists());
    let node = Node::start(data);
    assert_eq!(channels(&node), ["main"]);
    assert!(node.stop().success());
    assert!(check(data).status.success());
    assert_eq!(
        run(&["channel", "remove", "archive"], data).status.code(),
        Some(2)
    );
}

#[test]
fn what_ends_is_listed_with_its_date_and_is_on_a_gauge() {
    let data = TempDir::new().unwrap();
    let data = data.path();
    printed(&["channel", "create", "main"], data);
    let token = ["token", "create", "--identity", "shop", "--role", "reader"];
    printed(&[&token[..], &["--expires", "14d"]].concat(), data);
    printed(&[&token[..], &["--expires", "90d"]].concat(), data);
    let listed = printed(&["identity", "list", "--json"], data);
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let of = |kind: &str| -> Vec<String> {
        let rows = listed.iter().filter(|row| row["kind"] == kind);
        rows.map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut own = of("own");
    own.sort();
    assert_eq!(own, ["client", "node", "orderer"]);
    assert_eq!(of("caller"), ["shop"]);
    assert_eq!(of("ca"), ["organization/ca/ca-cert.pem"]);
    assert_eq!(of("token").len(), 2);
    let told = printed(&["identity", "list"], data);
    assert!(
        (told.contains("14 days") || told.contains("13 days"))
            && told.contains("never issued again"),
        "{told}"
    );
    let node = Node::start_with(data, &["--operations-listen", "127.0.0.1:0"]);
    let log = node.log();
    let operations = log
        .split("metrics")
        .nth(1)
        .and_then(|rest| rest.split("127.0.0.1:").nth(1));
    let port: String = operations
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let client = crate::kit::Client::new(&format!("127.0.0.1:{port}"));
    let metrics = client.get("/metrics", "text/plain").text();
    for series in [
        "quire_ends_timestamp_seconds{kind=\"own\",name=\"node\"}",
        "quire_ends_timestamp_seconds{kind=\"caller\",name=\"next\"}",
        "quire_ends_timestamp_seconds{kind=\"token\",name=\"next\"}",
    ] {
        assert!(metrics.contains(series), "{metrics}");
    }
}
