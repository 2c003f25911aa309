//! A channel that Fabric peers wrote, imported and served: what HTTP says of it is what its blocks
//! say, read here by code that shares nothing with the server but the message definitions.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use quire_testkit::conformance;
use quire_wire::Message as _;
use quire_wire::common::header_type::ENDORSER_TRANSACTION;
use quire_wire::rwset::{KvRwSet, TxReadWriteSet};
use quire_wire::transaction::Opened;
use serde_json::{Value, json};

use crate::kit::{Client, Node, Request, quire};

/// How long an index of few documents may take to be built.
const PATIENCE: Duration = Duration::from_secs(60);

const SOUND: [&str; 3] = ["v2.0-testchannel", "sample-prod", "v3.1-conflicts"];

/// Where the block file of a ledger of a Fabric peer is recorded.
fn block_file(ledger: &str) -> String {
    format!("fabric-ledgers/{ledger}/blockfile_000000")
}

fn import(data: &Path, ledger: &str, channel: &str) -> std::process::Output {
    let blockfiles = conformance::block_files(&block_file(ledger));
    let mut command = quire(&[]);
    command.arg("channel").arg("import").arg("--data").arg(data);
    command
        .arg("--blockfiles")
        .arg(blockfiles.path())
        .arg("--channel")
        .arg(channel);
    command.output().unwrap()
}

#[test]
fn every_channel_of_a_peer_is_taken_over_but_for_a_damaged_one_and_those_that_are_here() {
    let root = tempfile::tempdir().unwrap();
    let (peer, data) = (root.path().join("ledgersData"), root.path().join("data"));
    let keep = |channel: &str, bytes: &[u8]| {
        let folder = peer.join("chains/chains").join(channel);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("blockfile_000000"), bytes).unwrap();
    };
    let all = || {
        let peer = peer.to_str().unwrap();
        let arguments = ["channel", "import", "--ledgers-data", peer];
        let output = crate::kit::run(&arguments, &data);
        let told = String::from_utf8(output.stdout).unwrap();
        (
            output.status.code(),
            told,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, _, said) = all();
    assert_eq!(code, Some(2), "{said}");
    assert!(!data.exists(), "{said}");

    for ledger in SOUND {
        let name = ledger.replace('.', "-");
        keep(&name, &conformance::read(&block_file(ledger)));
    }
    let mut damaged = conformance::read(&block_file("sample-prod"));
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    keep("damaged", &damaged);
    let (code, told, said) = all();
    assert_eq!(code, Some(1), "{told}{said}");
    assert!(told.contains("damaged: not imported"), "{told}");
    assert_eq!(told.matches("imported: ").count(), 3, "{told}");
    assert!(
        told.contains("v3-1-conflicts: imported: 120 blocks"),
        "{told}"
    );

    keep("damaged", &conformance::read(&block_file("sample-prod")));
    let (code, told, said) = all();
    assert_eq!(code, Some(0), "{told}{said}");
    assert_eq!(told.matches("is here already").count(), 3, "{told}");
    assert!(told.contains("damaged: imported: 8 blocks"), "{told}");
    assert!(crate::kit::check(&data).status.success());
}

/// Length-prefixed values of a block file, read front to back.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn number(&mut self) -> u64 {
        prost::encoding::decode_varint(&mut self.0).unwrap()
    }

    fn take(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.number()).unwrap();
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn list(&mut self) -> Vec<&'a [u8]> {
        (0..self.number()).map(|_| self.take()).collect()
    }
}

/// Every write of every valid endorser transaction, by namespace and key, oldest first, as the
/// history of the key should tell it.
fn expected_histories(ledger: &str) -> BTreeMap<(String, String), Vec<Value>> {
    let file = conformance::read(&block_file(ledger));
    let mut records = Bytes(&file);
    let mut histories: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    while !records.0.is_empty() {
        let mut block = Bytes(records.take());
        let number = block.number();
        block.take();
        block.take();
        let (envelopes, metadata) = (block.list(), block.list());
        for (tx, envelope) in envelopes.into_iter().enumerate() {
            let opened = Opened::read(&envelope.to_vec().into()).unwrap();
            if metadata[2][tx] != 0 || opened.channel_header.r#type != ENDORSER_TRANSACTION {
                continue;
            }
            let results = opened.endorsed_call().unwrap().action.results;
            for set in TxReadWriteSet::decode(results).unwrap().ns_rwset {
                for write in KvRwSet::decode(set.rwset).unwrap().writes {
                    let mut entry = json!({
                        "transactionId": opened.channel_header.tx_id,
                        "blockNumber": number,
                        "txNumber": tx,
                        "isDelete": write.is_delete,
                    });
                    let (member, value) = match serde_json::from_slice(&write.value) {
                        _ if write.is_delete => ("value", Value::Null),
                        Ok(value) => ("value", value),
                        Err(_) => ("valueBase64", BASE64.encode(&write.value).into()),
                    };
                    entry[member] = value;
                    let key = (set.namespace.clone(), write.key);
                    histories.entry(key).or_default().push(entry);
                }
            }
        }
    }
    histories
}

/// A name as a path segment: everything but letters, digits, `-` and `_` in percent.
fn segment(name: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    if name.is_empty() {
        "~".to_owned()
    } else {
        name.bytes().map(one).collect()
    }
}

fn history(client: &Client, channel: &str, namespace: &str, key: &str) -> Vec<Value> {
    let (namespace, key) = (segment(namespace), segment(key));
    let base = format!("/v1/channels/{channel}/history/{namespace}/{key}?order=asc&limit=3");
    let mut entries = Vec::new();
    let mut path = base.clone();
    loop {
        let page = client.json(&path);
        entries.extend(page["entries"].as_array().unwrap().iter().cloned());
        let Some(bookmark) = page["bookmark"].as_str() else {
            break;
        };
        path = format!("{base}&bookmark={}", segment(bookmark));
    }
    for entry in &mut entries {
        // When and by whom the client says it was made: told, but not by the block files' own order.
        for member in ["timestamp", "creator", "creatorMspId"] {
            let told = entry.as_object_mut().unwrap().remove(member).unwrap();
            assert!(told.is_string(), "{member}: {told}");
        }
    }
    entries
}

#[test]
fn the_histories_and_values_of_an_imported_channel_are_those_of_its_blocks() {
    let data = tempfile::tempdir().unwrap();
    for ledger in SOUND {
        let imported = import(data.path(), ledger, ledger);
        assert!(imported.status.success(), "{imported:?}");
    }
    let node = Node::start(data.path());
    let client = node.client();
    let mut keys = 0;
    for ledger in SOUND {
        for ((namespace, key), expected) in expected_histories(ledger) {
            let found = history(&client, ledger, &namespace, &key);
            assert_eq!(found, expected, "{ledger}: {namespace}/{key}");
            let path = format!(
                "/v1/channels/{ledger}/state/{}/{}",
                segment(&namespace),
                segment(&key)
            );
            let state = client.send(&Request::get(path)).unwrap();
            let last = expected.last().unwrap();
            if last["isDelete"] == true {
                assert_eq!(state.status, 404, "{ledger}: {namespace}/{key}");
            } else {
                let version = format!("\"{}.{}\"", last["blockNumber"], last["txNumber"]);
                assert_eq!(
                    state.header("etag"),
                    Some(version.as_str()),
                    "{namespace}/{key}"
                );
            }
            keys += 1;
        }
        let configuration = format!("/v1/channels/{ledger}/state/~/CHANNEL_CONFIG_ENV_BYTES");
        let configuration = client.get(&configuration, "*/*");
        assert_eq!(
            configuration.header("content-type"),
            Some("application/octet-stream")
        );
    }
    println!("{keys} keys compared");
    assert!(keys > 900, "{keys}");
    assert!(node.stop().success());
}

#[test]
fn an_imported_channel_takes_no_writes_and_stands_beside_main() {
    let data = tempfile::tempdir().unwrap();
    assert!(import(data.path(), "sample-prod", "prod").status.success());
    let again = import(data.path(), "sample-prod", "prod");
    assert_eq!(
        again.status.code(),
        Some(2),
        "a name is taken once: {again:?}"
    );
    let node = Node::start(data.path());
    let client = node.client();
    let put = |channel: &str| Request {
        method: "PUT",
        path: format!("/v1/channels/{channel}/state/marbles/m1"),
        headers: vec![("content-type", "application/json".to_owned())],
        body: "{}".to_owned(),
    };
    let refused = client.send(&put("prod")).unwrap();
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["code"], "CHANNEL_READ_ONLY");
    // The first start makes `main`, whatever was imported before it.
    assert_eq!(client.send(&put("main")).unwrap().status, 201);
    assert_eq!(client.json("/v1/channels/prod")["height"], 8);
    assert!(node.stop().success());
}

/// Names of the indexes of a namespace of `live`, all of them built.
fn indexes(client: &Client, namespace: &str) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = client.json(&format!("/v1/channels/live/state/{namespace}/_index"));
        let listed = listed["indexes"].as_array().unwrap().clone();
        if listed.iter().all(|index| index["state"] == "ready") {
            let named = listed.iter().skip(1);
            let name = |index: &Value| index["name"].as_str().unwrap().to_owned();
            return named.map(name).collect();
        }
        assert!(Instant::now() < deadline, "{listed:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn post(client: &Client, path: &str, body: &Value) -> crate::kit::Answer {
    let request = Request {
        method: "POST",
        path: format!("/v1/channels/live/state/{path}"),
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.to_string(),
    };
    client.send(&request).unwrap()
}

/// Which index answers a query for `field`.
fn chosen(client: &Client, field: &str) -> Value {
    let query = json!({"selector": {field: {"$gt": null}}, "sort": [field]});
    let answer = post(client, "kv/_explain", &query);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["index"]["name"].clone()
}

#[test]
fn an_imported_channel_gets_the_indexes_that_are_asked_for_and_those_of_files() {
    let data = tempfile::tempdir().unwrap();
    let imported = import(data.path(), "v3.1-conflicts", "live");
    assert!(imported.status.success(), "{imported:?}");
    let files = tempfile::tempdir().unwrap();
    let shipped = json!({
        "namespace": "kv", "index": {"fields": ["colour"]},
        "ddoc": "shipped", "name": "shipped", "type": "json", "channel": "live",
    });
    let file = files.path().join("0001-colour.json");
    std::fs::write(file, shipped.to_string()).unwrap();
    let flags = ["--migrations", files.path().to_str().unwrap()];

    let node = Node::start_with(data.path(), &flags);
    let client = node.client();
    assert_eq!(indexes(&client, "kv"), ["shipped"]);
    let asked = json!({"index": {"fields": ["owner"]}, "ddoc": "o", "name": "o"});
    let made = post(&client, "kv/_index", &asked);
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(indexes(&client, "kv"), ["o", "shipped"]);
    assert_eq!(chosen(&client, "owner"), "o");
    let query = json!({"selector": {"owner": {"$gt": null}}, "sort": ["owner"]});
    let found = post(&client, "kv/_find", &query);
    assert_eq!(found.status, 200, "{}", found.text());
    let measured = client.get("/metrics", "*/*");
    let gauge = "quire_query_indexes{channel=\"live\",state=\"ready\"} 2";
    assert!(measured.text().contains(gauge), "{}", measured.text());
    assert!(node.stop().success());

    // The next start finds both built, and lets them go as they came.
    let node = Node::start_with(data.path(), &flags);
    let client = node.client();
    assert_eq!(indexes(&client, "kv"), ["o", "shipped"]);
    assert_eq!(chosen(&client, "colour"), "shipped");
    let path = "/v1/channels/live/state/kv/_index/o/json/o".to_owned();
    let gone = Request {
        method: "DELETE",
        path,
        headers: Vec::new(),
        body: String::new(),
    };
    assert_eq!(client.send(&gone).unwrap().status, 200);
    assert_eq!(indexes(&client, "kv"), ["shipped"]);
    assert!(node.stop().success());
}

#[test]
fn a_channel_that_is_imported_while_the_node_runs_gets_indexes() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let imported = import(data.path(), "v3.1-conflicts", "live");
    assert!(imported.status.success(), "{imported:?}");
    let client = node.client();
    let asked = json!({"index": {"fields": ["owner"]}, "ddoc": "o", "name": "o"});
    let made = post(&client, "kv/_index", &asked);
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(indexes(&client, "kv"), ["o"]);
    assert!(node.stop().success());
}

#[test]
fn a_damaged_ledger_is_refused_with_the_finding() {
    let data = tempfile::tempdir().unwrap();
    let refused = import(data.path(), "glued-together", "glued");
    assert_eq!(refused.status.code(), Some(1));
    let finding = String::from_utf8(refused.stdout).unwrap();
    assert!(
        finding.contains("block 8") && finding.contains("3183 trailing bytes"),
        "{finding}"
    );
    let node = Node::start(data.path());
    let channels = node.client().json("/v1/channels");
    assert_eq!(
        channels["channels"].as_array().unwrap().len(),
        1,
        "{channels}"
    );
    assert!(node.stop().success());
}
