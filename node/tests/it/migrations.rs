//! Query indexes shipped as files: each file is applied once to every channel, and a folder that
//! cannot be trusted keeps the node from starting.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Answer, Client, Node, PouchDb, Request, run};

/// How long an index of few documents may take to be built.
const PATIENCE: Duration = Duration::from_secs(60);

/// A data directory and a folder of files.
struct Deployment {
    dir: TempDir,
}

impl Deployment {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("files")).unwrap();
        let deployment = Self { dir };
        for (name, text) in files {
            deployment.write(name, text);
        }
        deployment
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join("files").join(name), text).unwrap();
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn flags(&self) -> [String; 2] {
        let files = self.dir.path().join("files");
        ["--migrations".to_owned(), files.display().to_string()]
    }

    fn start(&self) -> Node {
        self.start_with(&[])
    }

    fn start_with(&self, more: &[&str]) -> Node {
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Node::start_with(&self.data(), &[&flags[..], more].concat())
    }

    /// What is remembered of a channel's indexes.
    fn stored(&self, channel: &str) -> String {
        let file = format!("channels/{channel}/indexes.json");
        std::fs::read_to_string(self.data().join(file)).unwrap()
    }
}

fn definition(namespace: &str, name: &str, fields: &Value) -> Value {
    let index = json!({"fields": fields});
    json!({"namespace": namespace, "index": index, "ddoc": name, "name": name, "type": "json"})
}

fn send(client: &Client, method: &'static str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = Request {
        method,
        path: format!("/v1/channels{path}"),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body,
    };
    client.send(&request).unwrap()
}

/// Names of the indexes of `orders` in their order, all of them built.
fn indexes(client: &Client, channel: &str) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = client.json(&format!("/v1/channels/{channel}/state/orders/_index"));
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

fn explained(client: &Client) -> Value {
    let query = json!({"selector": {"total": {"$gt": 1}}});
    let answer = send(client, "POST", "/main/state/orders/_explain", &query);
    answer.json()["index"]["name"].clone()
}

#[test]
fn a_file_is_applied_once_to_every_channel_also_to_those_made_later() {
    let by_total = definition("orders", "by-total", &json!(["total"]));
    let mut by_owner = definition("orders", "by-owner", &json!([{"owner": "desc"}]));
    by_owner["channel"] = "second".into();
    let first = json!([by_total, by_owner]).to_string();
    let deployment = Deployment::new(&[("0001-orders.json", &first), ("README.md", "Ours.")]);

    // An index over documents that are there before the file is.
    let node = Node::start(&deployment.data());
    for key in 0..5 {
        let path = format!("/main/state/orders/{key}");
        let put = send(&node.client(), "PUT", &path, &json!({"total": key}));
        assert_eq!(put.status, 201, "{}", put.text());
    }
    assert!(node.stop().success());
    let node = deployment.start();
    let client = node.client();
    assert_eq!(indexes(&client, "main"), ["by-total"]);
    assert_eq!(explained(&client), "by-total");
    let query = json!({"selector": {"total": {"$gt": 1}}});
    let found = send(&client, "POST", "/main/state/orders/_find", &query).json();
    assert_eq!(found["docs"].as_array().unwrap().len(), 3, "{found}");

    let made = send(&client, "POST", "", &json!({"name": "second"}));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(indexes(&client, "second"), ["by-owner", "by-total"]);

    // What was deleted stays deleted, also after a kill.
    let path = "/main/state/orders/_index/by-total/json/by-total";
    assert_eq!(send(&client, "DELETE", path, &Value::Null).status, 200);
    let stored = [deployment.stored("main"), deployment.stored("second")];
    node.kill();
    let node = deployment.start();
    assert_eq!(indexes(&node.client(), "main"), [""; 0]);
    assert_eq!(explained(&node.client()), "_all_docs");
    let unchanged = [deployment.stored("main"), deployment.stored("second")];
    assert_eq!(stored, unchanged);
    assert!(!node.log().contains("0001-orders.json"), "{}", node.log());
    assert!(node.stop().success());

    let second = definition("orders", "by-due", &json!(["due"])).to_string();
    deployment.write("0002-by-due.json", &second);
    let node = deployment.start();
    assert_eq!(indexes(&node.client(), "main"), ["by-due"]);
    assert_eq!(
        indexes(&node.client(), "second"),
        ["by-due", "by-owner", "by-total"]
    );
    assert!(node.stop().success());

    // A deployment that is rolled back has fewer files.
    std::fs::remove_file(deployment.dir.path().join("files/0002-by-due.json")).unwrap();
    let node = deployment.start();
    assert_eq!(indexes(&node.client(), "main"), ["by-due"]);
    assert!(node.log().contains("0002-by-due.json"), "{}", node.log());
}

#[test]
fn files_in_the_data_directory_need_no_setting() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("migrations");
    std::fs::create_dir_all(&folder).unwrap();
    let text = definition("orders", "by-total", &json!(["total"])).to_string();
    std::fs::write(folder.join("0001-orders.json"), text).unwrap();
    let node = Node::start(dir.path());
    assert_eq!(indexes(&node.client(), "main"), ["by-total"]);
}

#[test]
fn a_bad_file_keeps_the_node_from_starting_and_is_named() {
    let good = definition("orders", "by-total", &json!(["total"])).to_string();
    let unknown = good.replacen('{', r#"{"colour": 1, "#, 1);
    let homeless = good.replacen(r#""namespace":"orders""#, r#""w":1"#, 1);
    assert!(!homeless.contains("namespace"), "{homeless}");
    for (files, expected) in [
        (
            &[("0001-a.json", "{\n \"index\": }")][..],
            &["0001-a.json", "line 2 column 11"][..],
        ),
        (&[("0001-a.json", "")], &["0001-a.json", "not JSON"]),
        (
            &[("0001-a.json", &good[..]), ("0002-b.json", "[]")],
            &["0002-b.json"],
        ),
        (
            &[("0001-a.json", &unknown)],
            &["0001-a.json", "Invalid key colour"],
        ),
        (&[("0001-a.json", &homeless)], &["0001-a.json", "namespace"]),
        (
            &[(
                "0001-a.json",
                r#"{"namespace": "orders", "index": {"fields": [1]}}"#,
            )],
            &["0001-a.json", "Invalid sort field"],
        ),
        (
            &[(
                "0001-a.json",
                r#"{"namespace": "or ders", "index": {"fields": ["x"]}}"#,
            )],
            &["0001-a.json", "bad namespace"],
        ),
        (
            &[("0001-a.json", &good), ("0001-b.json", &good)],
            &["0001-a.json", "0001-b.json"],
        ),
        (
            &[("0001-a.json", &good), ("0003-c.json", &good)],
            &["0002", "0003-c.json"],
        ),
        (&[("orders.json", &good)], &["orders.json", "four digits"]),
    ] {
        let deployment = Deployment::new(files);
        let data = deployment.data();
        let [flag, folder] = deployment.flags();
        for command in ["run", "config"] {
            let ended = run(&[command, &flag, &folder], &data);
            assert_eq!(ended.status.code(), Some(2), "{files:?}");
            let told = String::from_utf8(ended.stderr).unwrap();
            for expected in expected {
                assert!(told.contains(expected), "{command}, {expected}: {told}");
            }
        }
        assert!(!data.exists(), "nothing was made");
    }
    let dir = TempDir::new().unwrap();
    let ended = run(&["run", "--migrations", "/nowhere/at-all"], dir.path());
    assert_eq!(ended.status.code(), Some(2));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains("/nowhere/at-all"), "{told}");
}

#[test]
fn a_file_that_is_changed_after_it_was_applied_keeps_the_node_from_starting() {
    let good = definition("orders", "by-total", &json!(["total"])).to_string();
    let deployment = Deployment::new(&[("0001-orders.json", &good)]);
    assert!(deployment.start().stop().success());
    deployment.write("0001-orders.json", &good.replace("total", "sum"));
    let [flag, folder] = deployment.flags();
    let mut node = Node::spawn_with(&[], &deployment.data(), &[&flag, &folder]);
    assert!(!node.comes_up(), "it started:\n{}", node.log());
    let told = node.log_after_stop();
    for expected in ["channel main", "0001-orders.json was changed"] {
        assert!(told.contains(expected), "{told}");
    }
    // Its word may change, its content not.
    let folder = Path::new(&folder);
    std::fs::remove_file(folder.join("0001-orders.json")).unwrap();
    deployment.write("0001-orders-by-total.json", &good);
    let node = deployment.start();
    assert_eq!(indexes(&node.client(), "main"), ["by-total"]);
}

#[test]
fn files_are_applied_to_state_on_couchdb_too() {
    let server = PouchDb::start();
    let url = format!("http://127.0.0.1:{}", server.port());
    let good = definition("orders", "by-total", &json!(["total"])).to_string();
    let deployment = Deployment::new(&[("0001-orders.json", &good)]);
    let couchdb = ["--state", "couchdb", "--couchdb-url", &url];
    for is_first in [true, false] {
        let node = deployment.start_with(&couchdb);
        assert_eq!(indexes(&node.client(), "main"), ["by-total"]);
        assert_eq!(explained(&node.client()), "by-total");
        assert_eq!(node.log().contains("0001-orders.json"), is_first);
        assert!(node.stop().success());
    }
}

#[test]
fn the_files_of_the_example_are_applied() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/world-countries");
    let data = TempDir::new().unwrap();
    let node = Node::start_with(data.path(), &["--migrations", folder.to_str().unwrap()]);
    let listed = node
        .client()
        .json("/v1/channels/main/state/countries/_index");
    assert_eq!(listed["indexes"][1]["name"], "by-region-and-area");
}
