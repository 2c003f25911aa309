//! Ledgers of a real network that hold malformed envelopes, keys written twice and what stops a peer of
//! Fabric, imported and served: every read of them is answered.

use std::collections::BTreeSet;
use std::path::Path;

use quire_testkit::conformance;
use serde_json::Value;

use crate::kit::{Client, Node, Request, quire};

/// Imports a block file of a peer under the name of a channel.
fn import(data: &Path, file: &str, channel: &str) {
    let dir = conformance::block_files(&format!("fabric-network/{file}"));
    let mut command = quire(&[]);
    command.arg("channel").arg("import").arg("--data").arg(data);
    command.arg("--blockfiles").arg(dir.path());
    let imported = command.arg("--channel").arg(channel).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
}

/// A name as a path segment: everything but letters and digits in percent.
fn segment(name: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    if name.is_empty() {
        "~".to_owned()
    } else {
        name.bytes().map(one).collect()
    }
}

/// Every block of a channel, by pages; each must be the block that is read alone.
fn blocks(client: &Client, channel: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let base = format!("/v1/channels/{channel}/blocks");
    let mut path = format!("{base}?limit=7");
    loop {
        let page = client.json(&path);
        all.extend(page["blocks"].as_array().unwrap().iter().cloned());
        let bookmark = match &page["bookmark"] {
            Value::String(bookmark) => bookmark.clone(),
            Value::Number(bookmark) => bookmark.to_string(),
            _ => break,
        };
        path = format!("{base}?limit=7&bookmark={bookmark}");
    }
    for (number, block) in all.iter().enumerate() {
        assert_eq!(*block, client.json(&format!("{base}/{number}")));
        let raw = client.get(&format!("{base}/{number}"), "application/x-protobuf");
        assert_eq!(raw.status, 200);
        let hash = block["hash"].as_str().unwrap();
        assert_eq!(
            client.json(&format!("{base}?hash={hash}"))["number"],
            number
        );
    }
    all
}

/// Reads everything that a block says there is.
fn read_all(client: &Client, channel: &str, block: &Value) -> usize {
    let base = format!("/v1/channels/{channel}");
    let mut keys = BTreeSet::new();
    for transaction in block["transactions"].as_array().unwrap() {
        let code = transaction["code"].as_str().unwrap();
        assert!(
            !code.is_empty() && !code.starts_with("UNKNOWN_"),
            "{transaction}"
        );
        let id = transaction["transactionId"].as_str().unwrap();
        let told = client.json(&format!("{base}/transactions/{id}"));
        let is_first =
            told["blockNumber"] == block["number"] && told["txNumber"] == transaction["txNumber"];
        assert!(
            is_first || code == "DUPLICATE_TXID" || told["code"] != "VALID",
            "{told}"
        );
        if is_first {
            assert_eq!(told["code"], code, "{told}");
        }
        let envelope = client.get(&format!("{base}/transactions/{id}/envelope"), "*/*");
        assert_eq!(envelope.status, 200, "{id}");
        let found = client.json(&format!("{base}/blocks?transactionId={id}"));
        assert_eq!(found["number"], told["blockNumber"]);
        for set in transaction["readWriteSets"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let namespace = set["namespace"].as_str().unwrap();
            for write in set["writes"].as_array().into_iter().flatten() {
                keys.insert((
                    namespace.to_owned(),
                    write["key"].as_str().unwrap().to_owned(),
                ));
            }
        }
    }
    for (namespace, key) in &keys {
        let (namespace, key) = (segment(namespace), segment(key));
        if key == "~" {
            continue;
        }
        let history = client.get(&format!("{base}/history/{namespace}/{key}"), "*/*");
        assert_eq!(history.status, 200, "{namespace}/{key}: {}", history.text());
        let state = client.send(&Request::get(format!("{base}/state/{namespace}/{key}")));
        let state = state.unwrap();
        assert!(
            matches!(state.status, 200 | 404),
            "{namespace}/{key}: {}",
            state.status
        );
    }
    keys.len()
}

#[test]
fn every_read_of_a_ledger_with_malformed_envelopes_is_answered() {
    let data = tempfile::tempdir().unwrap();
    let peers = [
        (
            "two-orgs-ledger/blockfiles/peer0.org1-blockfile_000000",
            "two",
            233,
        ),
        ("two-orgs-poison/peer0.org1-blockfile_000000", "poison", 140),
    ];
    for (file, channel, _) in peers {
        import(data.path(), file, channel);
    }
    let node = Node::start(data.path());
    let client = node.client();
    for (_, channel, height) in peers {
        let blocks = blocks(&client, channel);
        assert_eq!(blocks.len(), height, "{channel}");
        let keys = blocks.iter().map(|block| read_all(&client, channel, block));
        let keys: usize = keys.sum();
        assert!(keys > 100, "{channel}: {keys}");
        let namespaces = client.json(&format!("/v1/channels/{channel}/state"));
        for namespace in namespaces["namespaces"].as_array().unwrap() {
            let name = segment(namespace["name"].as_str().unwrap());
            let path = format!("/v1/channels/{channel}/state/{name}?limit=1000");
            let rows = client.get(&path, "*/*");
            assert_eq!(rows.status, 200, "{path}: {}", rows.text());
        }
    }
    // A key that one write set names twice is not written, and one that expired is gone.
    let twice = Request::get("/v1/channels/two/state/labcc/f15".to_owned());
    let twice = client.send(&twice).unwrap();
    assert_eq!(twice.status, 404, "{}", twice.text());
    let state = client.json("/v1/channels/two/state");
    let names = state["namespaces"].as_array().unwrap().iter();
    assert!(
        !names
            .into_iter()
            .any(|namespace| namespace["name"] == "labcc$$hcollOrg1")
    );
    assert!(node.stop().success());
    let mut check = quire(&[]);
    check.args(["check", "--signatures", "--revalidate", "--data"]);
    let checked = check.arg(data.path()).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}
