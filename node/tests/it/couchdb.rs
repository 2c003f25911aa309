//! State on CouchDB, with the real binary: a server that goes away, kills in the middle of commits, and
//! engines that are swapped.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::proxy::{Fault, Head, Proxy};
use crate::kit::{Answer, Client, Node, PouchDb, Request, quire, run};

/// How long something may take that comes by itself.
const PATIENCE: Duration = Duration::from_secs(60);

fn on_couchdb(data: &Path, port: u16) -> Node {
    let url = format!("http://127.0.0.1:{port}");
    let flags = ["--state", "couchdb", "--couchdb-url", &url];
    Node::start_with(data, &flags)
}

fn request(method: &'static str, path: &str, body: &Value) -> Request {
    Request {
        method,
        path: format!("/v1/channels/main/state/{path}"),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: body.to_string(),
    }
}

fn put(client: &Client, key: usize, value: &Value) -> Answer {
    let mut request = request("PUT", &format!("orders/k{key:03}"), value);
    let id = format!("{key}-{value}");
    request.headers.push(("Idempotency-Key", id));
    client.send(&request).unwrap()
}

/// Everything that reads of state say.
fn answers(client: &Client) -> Value {
    let listed = client.json("/v1/channels/main/state/orders?limit=1000");
    let find = json!({"selector": {"v": {"$gte": 2}}, "sort": ["v"], "limit": 500});
    let found = client
        .send(&request("POST", "orders/_find", &find))
        .unwrap();
    assert_eq!(found.status, 200, "{}", found.text());
    let explained = client
        .send(&request("POST", "orders/_explain", &find))
        .unwrap();
    json!({
        "listed": listed,
        "found": found.json()["docs"],
        "index": explained.json()["index"]["name"],
        "namespaces": client.json("/v1/channels/main/state"),
    })
}

fn make_index(client: &Client) {
    let index = json!({"index": {"fields": ["v"]}, "ddoc": "by-v", "name": "by-v"});
    let made = client
        .send(&request("POST", "orders/_index", &index))
        .unwrap();
    assert_eq!(made.status, 200, "{}", made.text());
}

fn has_index(client: &Client) -> bool {
    let listed = client.json("/v1/channels/main/state/orders/_index");
    listed["indexes"][1]["state"] == "ready"
}

fn wait_for(what: &str, node: &Node, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "{what} does not come:\n{}",
            node.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn health(client: &Client) -> Answer {
    client.send(&Request::get("/healthz".to_owned())).unwrap()
}

#[test]
fn a_server_that_is_away_delays_commits_and_loses_none() {
    let data = TempDir::new().unwrap();
    let server = PouchDb::start();
    let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
    let node = on_couchdb(data.path(), proxy.port());
    let client = node.client();
    for key in 0..5 {
        assert_eq!(put(&client, key, &json!({"v": key})).status, 201);
    }
    let takes_no_writes = |head: &Head| {
        if head.path.ends_with("/_bulk_docs") {
            Fault::Status(500)
        } else {
            Fault::None
        }
    };
    proxy.set(takes_no_writes);
    // What is durable already is kept until it can be seen.
    let later = |key: usize| {
        let client = node.client();
        std::thread::spawn(move || put(&client, key, &json!({"v": key})))
    };
    let waiting = later(10);
    wait_for("trouble", &node, || health(&client).status == 503);
    let reasons = health(&client).json()["failed_checks"].to_string();
    assert!(reasons.contains("state database"), "{reasons}");
    refuses(&client, &request("PUT", "orders/k011", &json!({"v": 11})));
    proxy.set(|_| Fault::None);
    assert_eq!(waiting.join().unwrap().status, 201);
    wait_for("health", &node, || health(&client).status == 200);
    assert_eq!(put(&client, 11, &json!({"v": 11})).status, 201);
    for (key, value) in [(1, 1), (10, 10), (11, 11)] {
        let read = client.json(&format!("/v1/channels/main/state/orders/k{key:03}"));
        assert_eq!(read, json!({"v": value}));
    }

    // Away when the node ends, with a block that state has not seen.
    proxy.set(takes_no_writes);
    let waiting = {
        let client = node.client();
        std::thread::spawn(move || client.send(&request("PUT", "orders/k012", &json!({"v": 12}))))
    };
    wait_for("trouble", &node, || health(&client).status == 503);
    node.kill();
    assert!(waiting.join().unwrap().is_err(), "nobody was told");
    proxy.set(|_| Fault::None);
    let node = on_couchdb(data.path(), proxy.port());
    let read = node.client().json("/v1/channels/main/state/orders/k012");
    assert_eq!(read, json!({"v": 12}));
}

fn refuses(client: &Client, request: &Request) {
    let answer = client.send(request).unwrap();
    assert_eq!(answer.status, 503, "{request:?}: {}", answer.text());
    assert_eq!(answer.json()["code"], "STATE_UNAVAILABLE");
    assert!(answer.header("Retry-After").is_some());
}

#[test]
fn a_server_that_is_gone_is_told_of_and_comes_back_by_itself() {
    let data = TempDir::new().unwrap();
    let mut server = PouchDb::start();
    let node = on_couchdb(data.path(), server.port());
    let client = node.client();
    assert_eq!(put(&client, 1, &json!({"v": 1})).status, 201);
    assert_eq!(health(&client).status, 200);
    server.stop();
    // Nobody asks for anything, and still it is known.
    wait_for("trouble", &node, || health(&client).status == 503);
    for request in [
        request("PUT", "orders/k001", &json!({"v": 2})),
        Request::get("/v1/channels/main/state/orders/k001".to_owned()),
        Request::get("/v1/channels/main/state/orders".to_owned()),
        request("POST", "orders/_find", &json!({"selector": {}})),
    ] {
        refuses(&client, &request);
    }
    // Blocks are not in CouchDB.
    assert!(client.json("/v1/channels/main/blocks/0").is_object());
    server.start_again();
    wait_for("health", &node, || health(&client).status == 200);
    assert_eq!(put(&client, 2, &json!({"v": 2})).status, 201);
    let read = client.json("/v1/channels/main/state/orders/k001");
    assert_eq!(read, json!({"v": 1}));
}

#[test]
fn kills_in_the_middle_of_commits_leave_what_was_acknowledged() {
    let data = TempDir::new().unwrap();
    let server = PouchDb::start();
    let mut node = on_couchdb(data.path(), server.port());
    make_index(&node.client());
    let mut acknowledged: Vec<Option<u64>> = vec![None; 40];
    for round in 0..12_u64 {
        let client = node.client();
        let writer = std::thread::spawn(move || {
            let mut written: Vec<(usize, u64)> = Vec::new();
            for n in 0..40_u64 {
                let key = usize::try_from((n * 7 + round) % 40).unwrap();
                let value = json!({"v": n % 6, "round": round});
                let mut request = request("PUT", &format!("orders/k{key:03}"), &value);
                let id = format!("{round}-{n}");
                request.headers.push(("Idempotency-Key", id));
                match client.send(&request) {
                    Ok(answer) if matches!(answer.status, 200 | 201) => written.push((key, round)),
                    _ => break,
                }
            }
            written
        });
        // Not a rule to wait for: the kill may come anywhere.
        std::thread::sleep(Duration::from_millis(60 + round * 37));
        node.kill();
        let written = writer.join().unwrap();
        for (key, round) in written {
            acknowledged[key] = Some(round);
        }
        node = on_couchdb(data.path(), server.port());
        let listed = node
            .client()
            .json("/v1/channels/main/state/orders?limit=1000");
        for (key, round) in acknowledged.iter().enumerate() {
            if let Some(round) = round {
                let rows = listed["rows"].as_array().unwrap();
                let row = rows.iter().find(|row| row["key"] == format!("k{key:03}"));
                let row = row.unwrap_or_else(|| panic!("k{key:03} of {round} is lost: {listed}"));
                // One that was not answered may have been written after it.
                let newest = row["value"]["round"].as_u64().unwrap();
                assert!(newest >= *round, "{row}");
            }
        }
    }
    // The embedded engine, made from the same blocks, says the same.
    let on_server = answers(&node.client());
    assert_eq!(on_server["index"], "by-v");
    assert!(node.stop().success());
    let node = Node::start(data.path());
    let client = node.client();
    wait_for("the index", &node, || has_index(&client));
    assert_eq!(answers(&client), on_server);
}

#[test]
fn swapping_the_engine_replays_the_blocks_and_changes_no_answer() {
    let data = TempDir::new().unwrap();
    let server = PouchDb::start();
    let mut node = Node::start(data.path());
    make_index(&node.client());
    for round in 0..4 {
        let client = node.client();
        for key in 0..30 {
            let value = json!({"v": (key * 3 + round) % 7, "amount": 1.5, "round": round});
            let status = put(&client, key + round * 4, &value).status;
            assert!(matches!(status, 200 | 201), "{status}");
        }
        let gone = request("DELETE", &format!("orders/k{round:03}"), &Value::Null);
        let gone = Request {
            body: String::new(),
            ..gone
        };
        assert_eq!(client.send(&gone).unwrap().status, 200);
        let before = answers(&client);
        assert_eq!(before["index"], "by-v");
        assert!(node.stop().success());
        node = if round % 2 == 0 {
            on_couchdb(data.path(), server.port())
        } else {
            Node::start(data.path())
        };
        let client = node.client();
        wait_for("the index", &node, || has_index(&client));
        assert_eq!(answers(&client), before, "round {round}");
    }
}

#[test]
fn the_password_of_couchdb_is_never_shown() {
    let data = TempDir::new().unwrap();
    let server = PouchDb::start();
    let url = format!("http://127.0.0.1:{}", server.port());
    let flags = [
        "--state",
        "couchdb",
        "--couchdb-url",
        &url,
        "--couchdb-user",
        "ledger",
    ];
    let shown = |word: &str| {
        let mut command = quire(&[]);
        command.arg(word).arg("--data").arg(data.path()).args(flags);
        command
            .env("QUIRE_COUCHDB_PASSWORD", "sesame-open")
            .output()
            .unwrap()
    };
    let config = shown("config");
    let text = String::from_utf8_lossy(&config.stdout).into_owned();
    assert!(
        text.contains("couchdb-user") && !text.contains("sesame"),
        "{text}"
    );

    // From now on the server wants to know who asks.
    let admin = Client::new(&format!("127.0.0.1:{}", server.port()));
    let made = admin.send(&Request {
        method: "PUT",
        path: "/_config/admins/ledger".to_owned(),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: json!("sesame-open").to_string(),
    });
    assert_eq!(made.unwrap().status, 200);
    let file = data.path().join("password");
    std::fs::write(&file, "sesame-open\n").unwrap();
    let mut flags = flags.to_vec();
    let file = file.display().to_string();
    flags.extend(["--couchdb-password-file", &file, "--log-spec", "trace"]);
    let node = Node::start_with(data.path(), &flags);
    assert_eq!(put(&node.client(), 1, &json!({"v": 1})).status, 201);
    let log = node.log_after_stop();
    assert!(!log.contains("sesame-open"));
    assert!(!log.contains("c2VzYW1lLW9wZW4"), "nor as base64");
}

/// `quire check` with further flags: its exit code, and what it said.
fn check(data: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let ended = run(&[&["check"], flags].concat(), data);
    let text = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(text).unwrap())
}

/// Changes a document behind the node's back.
fn tamper(server: &PouchDb, key: &str, change: impl FnOnce(&mut Value)) {
    let server = Client::new(&format!("127.0.0.1:{}", server.port()));
    let path = format!("/main_orders/{key}");
    let mut document = server.json(&path);
    change(&mut document);
    let written = server.send(&Request {
        method: "PUT",
        path,
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: document.to_string(),
    });
    let written = written.unwrap();
    assert_eq!(written.status, 201, "{}", written.text());
}

#[test]
fn check_compares_what_couchdb_has_with_the_blocks_or_says_that_it_did_not() {
    let data = TempDir::new().unwrap();
    let mut server = PouchDb::start();
    let node = on_couchdb(data.path(), server.port());
    for key in 0..40 {
        let value = json!({"v": key, "amount": 1.50});
        assert_eq!(put(&node.client(), key, &value).status, 201);
    }
    // A running node knows where its state is.
    let (code, told) = check(data.path(), &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("note"), "{told}");
    assert!(node.stop().success());

    let (code, told) = check(data.path(), &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("state is on CouchDB and was not looked at"),
        "{told}"
    );
    assert!(!told.contains("at height"), "{told}");
    let url = format!("http://127.0.0.1:{}", server.port());
    let couchdb = ["--state", "couchdb", "--couchdb-url", &url];
    let (code, told) = check(data.path(), &couchdb);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        !told.contains("note") && !told.contains("not looked"),
        "{told}"
    );

    tamper(&server, "k007", |document| {
        document["_deleted"] = true.into();
    });
    let (code, told) = check(data.path(), &couchdb);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("DAMAGED, 1 finding"), "{told}");
    assert!(
        told.contains("orders/k007 = {\"v\":7,\"amount\":1.5"),
        "{told}"
    );
    assert!(told.contains("found none"), "{told}");
    tamper(&server, "k009", |document| {
        document["~value"] = "e30=".into();
    });
    let (code, told) = check(data.path(), &couchdb);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("damaged document"), "{told}");
    let node = on_couchdb(data.path(), server.port());
    let (code, told) = check(data.path(), &[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(node.stop().success());

    server.stop();
    let (code, told) = check(data.path(), &couchdb);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("41 transactions: sound"), "{told}");
    let unseen = format!("not looked at: state on CouchDB at {url}");
    assert!(told.contains(&unseen), "{told}");
    server.start_again();

    // As it says.
    let rebuilt = [
        "rebuild",
        "--state",
        "--engine",
        "couchdb",
        "--couchdb-url",
        &url,
    ];
    assert!(run(&rebuilt, data.path()).status.success());
    let (code, told) = check(data.path(), &couchdb);
    assert_eq!(code, Some(0), "{told}");

    // Back on the embedded engine there is nothing else to look at.
    assert!(Node::start(data.path()).stop().success());
    let (code, told) = check(data.path(), &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("note"), "{told}");
}
