//! State on CouchDB, with the real binary: a server that goes away, kills in the middle of commits, and
//! engines that are swapped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::{Mutex, MutexGuard};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::couchdb::CouchDb;
use crate::kit::proxy::{Fault, Head, Proxy};
use crate::kit::{Answer, Client, Node, PouchDb, Request, quire, run};

/// How long something may take that comes by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a proxy before it: `pouchdb-server`, or a CouchDB that is named and already runs.
struct Server {
    proxy: Proxy,
    /// Where it is itself.
    authority: String,
    kind: Kind,
}

/// Asks a server without a proxy between.
struct Direct {
    client: Client,
    authorization: Option<String>,
}

impl Direct {
    fn ask(&self, method: &'static str, path: &str, body: &Value) -> Answer {
        let mut headers = vec![("Content-Type", "application/json".to_owned())];
        let authorization = self.authorization.clone();
        headers.extend(authorization.map(|value| ("Authorization", value)));
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = path.to_owned();
        let request = Request {
            method,
            path,
            headers,
            body,
        };
        self.client.send(&request).unwrap()
    }
}

enum Kind {
    PouchDb {
        _process: PouchDb,
    },
    CouchDb {
        named: CouchDb,
        /// With the file that holds the password.
        secrets: TempDir,
        /// Its channel is `main` too, in every test.
        _alone: MutexGuard<'static, ()>,
    },
}

/// Who asks, as a header says it.
fn authorization(named: &CouchDb) -> String {
    let account = format!("{}:{}", named.user, named.password);
    format!("Basic {}", BASE64.encode(account))
}

impl Server {
    /// Calls a test with each server there is.
    fn each(test: impl Fn(Self)) {
        let pouchdb = PouchDb::start();
        let authority = format!("127.0.0.1:{}", pouchdb.port());
        test(Self {
            proxy: Proxy::start(&authority),
            authority,
            kind: Kind::PouchDb { _process: pouchdb },
        });
        if let Some(named) = CouchDb::named() {
            test(Self::named(named));
        }
    }

    fn named(named: CouchDb) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock();
        let secrets = TempDir::new().unwrap();
        std::fs::write(secrets.path().join("password"), &named.password).unwrap();
        let server = Self {
            proxy: Proxy::start(&named.authority),
            authority: named.authority.clone(),
            kind: Kind::CouchDb {
                named,
                secrets,
                _alone: alone,
            },
        };
        // What an earlier test left.
        let databases = server.ask("GET", "/_all_dbs", &Value::Null).json();
        for database in databases.as_array().unwrap() {
            let database = database.as_str().unwrap();
            if database.starts_with("main_") {
                let path = format!("/{}", database.replace('$', "%24"));
                assert_eq!(server.ask("DELETE", &path, &Value::Null).status, 200);
            }
        }
        server
    }

    /// How a node is told of it.
    fn flags(&self) -> Vec<String> {
        let url = format!("http://127.0.0.1:{}", self.proxy.port());
        let mut flags = ["--state", "couchdb", "--couchdb-url", &url]
            .map(str::to_owned)
            .to_vec();
        if let Kind::CouchDb { named, secrets, .. } = &self.kind {
            let file = secrets.path().join("password").display().to_string();
            let user = &named.user;
            let account = ["--couchdb-user", user, "--couchdb-password-file", &file];
            flags.extend(account.map(str::to_owned));
        }
        flags
    }

    fn start(&self, data: &Path) -> Node {
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Node::start_with(data, &flags)
    }

    fn directly(&self) -> Direct {
        Direct {
            client: Client::new(&self.authority),
            authorization: match &self.kind {
                Kind::CouchDb { named, .. } => Some(authorization(named)),
                Kind::PouchDb { .. } => None,
            },
        }
    }

    fn ask(&self, method: &'static str, path: &str, body: &Value) -> Answer {
        self.directly().ask(method, path, body)
    }

    /// Changes a document behind the node's back.
    fn tamper(&self, database: &str, id: &str, change: impl FnOnce(&mut Value)) {
        let path = format!("/{database}/{id}");
        let mut document = self.ask("GET", &path, &Value::Null).json();
        change(&mut document);
        let written = self.ask("PUT", &path, &document);
        // One that goes is 200 to CouchDB.
        assert!(matches!(written.status, 200 | 201), "{}", written.text());
    }
}

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
    Server::each(|server| loses_none(&server));
}

fn loses_none(server: &Server) {
    let data = TempDir::new().unwrap();
    let proxy = &server.proxy;
    let node = server.start(data.path());
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
    let node = server.start(data.path());
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
    Server::each(|server| survives_kills(&server));
}

fn survives_kills(server: &Server) {
    let data = TempDir::new().unwrap();
    let mut node = server.start(data.path());
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
        node = server.start(data.path());
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
    Server::each(|server| swaps(&server));
}

fn swaps(server: &Server) {
    let data = TempDir::new().unwrap();
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
            server.start(data.path())
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
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("password");
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
fn check<S: AsRef<str>>(data: &Path, flags: &[S]) -> (Option<i32>, String) {
    let flags = flags.iter().map(AsRef::as_ref);
    let arguments: Vec<&str> = std::iter::once("check").chain(flags).collect();
    let ended = run(&arguments, data);
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
    let (code, told) = check::<&str>(data.path(), &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("note"), "{told}");
    assert!(node.stop().success());

    let (code, told) = check::<&str>(data.path(), &[]);
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
    let (code, told) = check::<&str>(data.path(), &[]);
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
    let (code, told) = check::<&str>(data.path(), &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("note"), "{told}");
}

/// A transaction of many operations.
fn transaction(operations: &[Value]) -> Request {
    Request {
        method: "POST",
        path: "/v1/channels/main/transactions".to_owned(),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: json!({"chaincode": "documents", "function": "apply", "args": [operations]})
            .to_string(),
    }
}

fn puts(namespace: &str, count: usize, round: usize) -> Vec<Value> {
    let put = |n: usize| {
        json!({
            "op": "put", "namespace": namespace, "key": format!("k{n:04}"),
            "value": {"n": n, "round": round},
        })
    };
    (0..count).map(put).collect()
}

/// Counts what is asked of a server from now on.
fn count_calls(server: &Server) -> Arc<Mutex<Vec<String>>> {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&calls);
    server.proxy.set(move |head| {
        let path = head.path.split('?').next().unwrap_or_default();
        told.lock().push(format!("{} {path}", head.method));
        Fault::None
    });
    calls
}

#[test]
fn the_keys_that_a_transaction_names_are_read_together() {
    Server::each(|server| {
        let data = TempDir::new().unwrap();
        let node = server.start(data.path());
        let client = node.client();
        let commit = |operations: &[Value]| {
            let answer = client.send(&transaction(operations)).unwrap();
            assert_eq!(answer.status, 201, "{}", answer.text());
            answer.json()
        };
        // The namespace has to be made first.
        commit(&puts("orders", 1, 0));
        let calls = count_calls(&server);
        for round in 0..2 {
            commit(&puts("orders", 1000, round));
        }
        let made = std::mem::take(&mut *calls.lock());
        assert!(made.len() <= 16, "{} calls: {made:?}", made.len());

        // Every operation there is, in several namespaces.
        commit(&puts("other", 400, 0));
        let mut operations = Vec::new();
        let key = |n: usize| format!("k{n:04}");
        for n in 0..200 {
            let namespace = if n % 2 == 0 { "orders" } else { "other" };
            let key = key(n);
            operations.push(match n % 5 {
                0 => json!({"op": "merge", "namespace": namespace, "key": key, "value": {"m": n}}),
                1 => json!({"op": "delete", "namespace": namespace, "key": key}),
                2 => json!({"op": "create", "namespace": namespace, "key": format!("new{n}"), "value": n}),
                3 => json!({"op": "put", "namespace": namespace, "key": key, "value": {"n": -1}}),
                _ => json!({"op": "merge", "namespace": namespace, "key": key, "value": {"n": null}}),
            });
        }
        calls.lock().clear();
        commit(&operations);
        let made = std::mem::take(&mut *calls.lock());
        assert!(made.len() <= 16, "{} calls: {made:?}", made.len());
        let read = client.json("/v1/channels/main/state/orders/k0000");
        assert_eq!(read, json!({"n": 0, "round": 1, "m": 0}));
        let gone = client
            .send(&Request::get(
                "/v1/channels/main/state/other/k0001".to_owned(),
            ))
            .unwrap();
        assert_eq!(gone.status, 404);

        // Into namespaces that are new, nothing is read that cannot be there.
        calls.lock().clear();
        commit(&puts("fresh", 1000, 0));
        let made = std::mem::take(&mut *calls.lock());
        assert!(made.len() <= 16, "{} calls: {made:?}", made.len());
    });
}

#[test]
fn lines_of_a_batch_share_the_calls_that_read_for_them() {
    Server::each(|server| {
        let data = TempDir::new().unwrap();
        let node = server.start(data.path());
        let client = node.client();
        assert_eq!(put(&client, 0, &json!({"v": 0})).status, 201);
        let calls = count_calls(&server);
        let line = |n: usize| json!({"chaincode": "orders", "function": "put", "args": [format!("b{n:04}"), {"v": n}]});
        let lines: Vec<String> = (0..2000).map(|n| format!("{}\n", line(n))).collect();
        let answer = client.send(&Request {
            method: "POST",
            path: "/v1/channels/main/transactions:batch".to_owned(),
            headers: vec![("Content-Type", "application/x-ndjson".to_owned())],
            body: lines.concat(),
        });
        let answer = answer.unwrap().text();
        assert_eq!(answer.matches("\"status\":201").count(), 2000, "{answer}");
        let made = calls.lock().len();
        assert!(made < 1000, "{made} calls for 2000 lines");
    });
}

#[test]
fn a_commit_asks_as_much_after_many_documents_and_a_restart_as_at_first() {
    let data = TempDir::new().unwrap();
    Server::each(|server| {
        let data = data
            .path()
            .join(if matches!(server.kind, Kind::CouchDb { .. }) {
                "couchdb"
            } else {
                "pouchdb"
            });
        let node = server.start(&data);
        let asked = |node: &Node, key: usize| {
            let calls = count_calls(&server);
            assert_eq!(put(&node.client(), key, &json!({"v": key})).status, 201);
            let mut made = calls.lock().clone();
            server.proxy.set(|_| Fault::None);
            // The savepoint is written when nobody waits, and its revision is read once.
            made.retain(|call| !call.contains("/main%5F/"));
            made
        };
        asked(&node, 1);
        let first = asked(&node, 2);
        for round in 0..5 {
            let operations = puts("orders", 1000, round);
            let answer = node.client().send(&transaction(&operations)).unwrap();
            assert_eq!(answer.status, 201);
        }
        assert_eq!(asked(&node, 3), first);
        assert!(node.stop().success());
        let node = server.start(&data);
        assert_eq!(asked(&node, 4), first);
    });
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one outage, told from its beginning to its end"
)]
fn who_is_refused_asks_no_more_than_couchdb_forgives_and_goes_on_when_it_is_mended() {
    let data = TempDir::new().unwrap();
    let server = PouchDb::start();
    let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
    let url = format!("http://127.0.0.1:{}", proxy.port());
    let file = data.path().join("password");
    std::fs::write(&file, "sesame-open\n").unwrap();
    let file = file.display().to_string();
    let flags = [
        "--state",
        "couchdb",
        "--couchdb-url",
        &url,
        "--couchdb-user",
        "ledger",
        "--couchdb-password-file",
        &file,
    ];
    let data = data.path().join("data");
    let admin = Client::new(&format!("127.0.0.1:{}", server.port()));
    let made = admin.send(&Request {
        method: "PUT",
        path: "/_config/admins/ledger".to_owned(),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: json!("sesame-open").to_string(),
    });
    assert_eq!(made.unwrap().status, 200);
    let node = Node::start_with(&data, &flags);
    let client = node.client();
    assert_eq!(put(&client, 1, &json!({"v": 1})).status, 201);

    let refused = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&refused);
    let refuse = move |_: &Head| {
        told.fetch_add(1, Ordering::SeqCst);
        Fault::Status(401)
    };
    proxy.set(refuse.clone());
    // Thirty requests, and nobody asking for some seconds: one attempt.
    for key in 0..10 {
        refuses(
            &client,
            &request("PUT", &format!("orders/k{key:03}"), &json!({"v": key})),
        );
        refuses(
            &client,
            &Request::get(format!("/v1/channels/main/state/orders/k{key:03}")),
        );
        refuses(
            &client,
            &request("POST", "orders/_find", &json!({"selector": {}})),
        );
    }
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(refused.load(Ordering::SeqCst), 1);
    let health = health(&client);
    assert_eq!(health.status, 503);
    let reasons = health.json()["failed_checks"].to_string();
    assert!(reasons.contains("refuses authentication"), "{reasons}");
    assert!(
        reasons.contains("user ledger") && reasons.contains("401"),
        "{reasons}"
    );
    // A start stops at once, and says who is refused where.
    assert!(node.stop().success());
    let before = refused.load(Ordering::SeqCst);
    let begun = Instant::now();
    let ended = run(
        &[&["run", "--listen", "127.0.0.1:0"], &flags[..]].concat(),
        &data,
    );
    assert!(!ended.status.success());
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(told.contains(&url) && told.contains("ledger"), "{told}");
    assert!(!told.contains("sesame-open"), "{told}");
    assert_eq!(refused.load(Ordering::SeqCst), before + 1);
    assert!(begun.elapsed() < Duration::from_secs(20), "it did not wait");

    proxy.set(|_| Fault::None);
    let node = Node::start_with(&data, &flags);
    let client = node.client();
    // In the middle of a commit: what is durable waits, and nothing is lost.
    let mut writes = 0;
    proxy.set(move |head| {
        writes += usize::from(head.path.ends_with("/_bulk_docs"));
        if writes > 0 {
            Fault::Status(403)
        } else {
            Fault::None
        }
    });
    let waiting = {
        let client = node.client();
        std::thread::spawn(move || put(&client, 7, &json!({"v": 7})))
    };
    wait_for("trouble", &node, || self::health(&client).status == 503);
    refuses(&client, &request("PUT", "orders/k008", &json!({"v": 8})));
    proxy.set(|_| Fault::None);
    assert_eq!(waiting.join().unwrap().status, 201);
    wait_for("health", &node, || self::health(&client).status == 200);
    assert_eq!(put(&client, 8, &json!({"v": 8})).status, 201);
    let log = node.log_after_stop();
    assert!(!log.contains("sesame-open"), "{log}");
}

#[test]
fn a_database_that_is_somebody_elses_is_named_before_anything_is_ordered() {
    Server::each(|server| {
        let data = TempDir::new().unwrap();
        let node = server.start(data.path());
        let client = node.client();
        assert_eq!(put(&client, 1, &json!({"v": 1})).status, 201);
        assert_eq!(server.ask("PUT", "/main_extra", &Value::Null).status, 201);
        let theirs = server.ask("PUT", "/main_extra/theirs", &json!({"a": 1}));
        assert_eq!(theirs.status, 201);
        let height = client.height();
        let single = request("PUT", "extra/k1", &json!({"v": 1}));
        let mut operations = puts("orders", 2, 0);
        operations.extend(puts("extra", 2, 0));
        for request in [single.clone(), transaction(&operations)] {
            refuses(&client, &request);
            let detail = client.send(&request).unwrap().json()["detail"].to_string();
            assert!(
                detail.contains("main_extra") && !detail.contains("disk"),
                "{detail}"
            );
        }
        assert_eq!(client.height(), height, "nothing is ordered");
        assert_eq!(put(&client, 2, &json!({"v": 2})).status, 201);
        assert_eq!(health(&client).status, 200);
        // What is not asked for is not in the way, and what is empty is taken.
        assert_eq!(server.ask("PUT", "/main_empty", &Value::Null).status, 201);
        let empty = client
            .send(&request("PUT", "empty/k1", &json!({"v": 1})))
            .unwrap();
        assert_eq!(empty.status, 201, "{}", empty.text());
        assert_eq!(
            server.ask("DELETE", "/main_extra", &Value::Null).status,
            200
        );
        assert_eq!(client.send(&single).unwrap().status, 201);
    });
}

#[test]
fn a_database_that_comes_in_the_way_is_waited_out_and_a_node_starts_meanwhile() {
    Server::each(|server| {
        let data = TempDir::new().unwrap();
        let node = server.start(data.path());
        let client = node.client();
        assert_eq!(put(&client, 1, &json!({"v": 1})).status, 201);
        // Somebody makes it after the node found its name free, and before the node makes it.
        let theirs = server.directly();
        let mut is_done = false;
        server.proxy.set(move |head| {
            if head.method == "PUT" && head.path.ends_with("extra") && !is_done {
                is_done = true;
                assert_eq!(theirs.ask("PUT", "/main_extra", &Value::Null).status, 201);
                let written = theirs.ask("PUT", "/main_extra/theirs", &json!({"a": 1}));
                assert_eq!(written.status, 201);
            }
            Fault::None
        });
        let waiting = {
            let client = node.client();
            std::thread::spawn(move || client.send(&request("PUT", "extra/k1", &json!({"v": 1}))))
        };
        let names_it = |client: &Client| {
            let health = health(client);
            let reasons = health.json()["failed_checks"].to_string();
            health.status == 503 && reasons.contains("main_extra") && !reasons.contains("disk")
        };
        wait_for("trouble", &node, || names_it(&client));
        let other = request("PUT", "orders/k002", &json!({"v": 2}));
        refuses(&client, &other);
        let detail = client.send(&other).unwrap().json()["detail"].to_string();
        assert!(
            detail.contains("main_extra") && !detail.contains("disk"),
            "{detail}"
        );
        let read = client.json("/v1/channels/main/state/orders/k001");
        assert_eq!(read, json!({"v": 1}));
        node.kill();
        assert!(waiting.join().unwrap().is_err(), "nobody was told");

        let node = server.start(data.path());
        let client = node.client();
        wait_for("trouble", &node, || names_it(&client));
        refuses(&client, &other);
        assert_eq!(
            client.json("/v1/channels/main/state/orders/k001"),
            json!({"v": 1})
        );
        assert_eq!(
            server.ask("DELETE", "/main_extra", &Value::Null).status,
            200
        );
        wait_for("health", &node, || health(&client).status == 200);
        assert_eq!(
            client.json("/v1/channels/main/state/extra/k1"),
            json!({"v": 1})
        );
        assert_eq!(client.send(&other).unwrap().status, 201);
        assert!(node.stop().success());
        let (code, told) = check(data.path(), &server.flags());
        assert_eq!(code, Some(0), "{told}");
    });
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one database, and what is done to it in turn"
)]
fn a_document_that_was_not_written_here_is_named_wherever_it_is_met() {
    Server::each(|server| {
        let data = TempDir::new().unwrap();
        let node = server.start(data.path());
        let client = node.client();
        for key in 1..9 {
            let value = json!({"v": key, "amount": 1.5});
            assert_eq!(put(&client, key, &value).status, 201);
        }
        assert_eq!(
            client
                .send(&request("PUT", "other/k001", &json!({"v": 9})))
                .unwrap()
                .status,
            201
        );
        let document = |database: &str, id: &str| {
            let mut document = server
                .ask("GET", &format!("/{database}/{id}"), &Value::Null)
                .json();
            document.as_object_mut().unwrap().remove("_rev");
            document
        };
        let add = |id: &str, mut document: Value| {
            document["_id"] = id.into();
            let added = server.ask("PUT", &format!("/main_orders/{id}"), &document);
            assert_eq!(added.status, 201, "{}", added.text());
        };
        let state = "/v1/channels/main/state/orders";
        let is_named = |key: &str| {
            for request in [
                Request::get(format!("{state}/{key}")),
                Request::get(state.to_owned()),
                Request::get(format!("{state}?start={key}&limit=1")),
                request(
                    "POST",
                    "orders/_find",
                    &json!({"selector": {"v": {"$gt": null}}}),
                ),
                request("PUT", &format!("orders/{key}"), &json!({"v": 1})),
            ] {
                let answer = client.send(&request).unwrap();
                assert_eq!(answer.status, 500, "{request:?}: {}", answer.text());
                let problem = answer.json();
                assert_eq!(problem["code"], "STATE_CORRUPT");
                let detail = problem["detail"].as_str().unwrap();
                assert!(
                    detail.contains(key) && detail.contains("orders"),
                    "{detail}"
                );
            }
            // Before it, ranges answer, and so does every other key.
            let before = Request::get(format!("{state}?end={key}"));
            assert_eq!(client.send(&before).unwrap().status, 200);
            assert_eq!(client.json(&format!("{state}/k001"))["v"], 1);
            let (code, told) = check::<&str>(data.path(), &[]);
            assert_eq!(code, Some(1), "{told}");
            assert!(
                told.contains(key) && told.contains("DAMAGED, 1 finding"),
                "{told}"
            );
            wait_for("the log", &node, || {
                node.log().contains(&format!("\\\"{key}\\\""))
            });
        };
        // One of somebody else's; one with another's body and envelope, in the same namespace and from
        // another; all of them keys that there are not.
        for (id, added) in [
            ("k020", json!({"a": 1})),
            ("k021", document("main_orders", "k001")),
            ("k022", document("main_other", "k001")),
        ] {
            add(id, added);
            is_named(id);
            server.tamper("main_orders", id, |document| {
                document["_deleted"] = true.into();
            });
            assert_eq!(
                client.send(&Request::get(state.to_owned())).unwrap().status,
                200
            );
        }
        // Two documents that somebody exchanged: sound in every way but for where they are.
        let theirs = document("main_orders", "k002");
        server.tamper("main_orders", "k003", |document| {
            let rev = document["_rev"].clone();
            *document = theirs.clone();
            document["_id"] = "k003".into();
            document["_rev"] = rev;
        });
        is_named("k003");
        assert!(node.stop().success());
        // What is wrong goes with a rebuild.
        let flags = server.flags();
        let mut words = vec!["rebuild", "--state", "--engine"];
        words.extend(flags[1..].iter().map(String::as_str));
        let rebuilt = run(&words, data.path());
        assert!(
            rebuilt.status.success(),
            "{}",
            String::from_utf8_lossy(&rebuilt.stderr)
        );
        let (code, told) = check(data.path(), &server.flags());
        assert_eq!(code, Some(0), "{told}");

        // Members beside the bytes, which no read here looks at, are looked at by a check.
        server.tamper("main_orders", "k004", |document| {
            assert!(document["~value"].is_string());
            document["amount"] = 2.into();
        });
        let (code, told) = check(data.path(), &server.flags());
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("k004") && told.contains("members"), "{told}");
    });
}
