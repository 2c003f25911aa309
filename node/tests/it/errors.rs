//! The error table of the contract, a row a row, as bytes on a socket. Rows that nothing outside
//! can cause (a state database that is away, a chaincode that refuses, a bug) are tested in the
//! gateway's own tests, on a socket too; a failing disk has tests of its own beside this one.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::kit::{Client, Node, RawAnswer, Request, exchange, run};

const JSON: &str = "Content-Type: application/json";
const KEY: &str = "/v1/channels/main/state/orders/1";
const TRANSACTIONS: &str = "/v1/channels/main/transactions";
const FIND: &str = "POST /v1/channels/main/state/orders/_find";
const DROP: &str = "DELETE /v1/channels/main/state/orders/_index/none/json/none";

/// Sends a request of these lines and reads to the end.
fn send(address: &str, line: &str, headers: &[&str], body: &str) -> RawAnswer {
    let headers: Vec<_> = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n{body}",
        body.len(),
        headers.concat()
    );
    RawAnswer::read(&exchange(address, request.as_bytes())).unwrap()
}

#[track_caller]
fn expect(answer: &RawAnswer, status: u16, code: &str) -> serde_json::Value {
    match answer.judge(status, code) {
        Ok(problem) => problem,
        Err(what) => panic!("{what}"),
    }
}

#[test]
fn rows_of_a_single_request() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let address = node.address();
    assert_eq!(
        send(address, &format!("PUT {KEY}"), &[JSON], "1").status,
        201
    );
    let never = format!("GET {TRANSACTIONS}/{}", "0".repeat(64));
    let post = format!("POST {TRANSACTIONS}");
    let put = format!("PUT {KEY}");
    let big = format!("\"{}\"", "x".repeat(1 << 20));
    let long_header = format!("X-Filler: {}", "x".repeat(70 << 10));
    let long_target = format!("GET /{}", "x".repeat(70 << 10));
    #[rustfmt::skip]
    let rows: &[(&str, &[&str], &str, u16, &str)] = &[
        (&put, &[JSON], "{", 400, "INVALID_JSON"),
        ("PUT /v1/channels/main/state/a%20b/1", &[JSON], "1", 400, "INVALID_NAME"),
        (&post, &[JSON], "{}", 400, "INVALID_ARGUMENT"),
        (&put, &[JSON], r#"{"_id": 1}"#, 400, "RESERVED_MEMBER"),
        ("GET /v1/channels", &["Origin: http://elsewhere.example"], "", 403, "FORBIDDEN"),
        ("GET /v1/channels/nowhere", &[], "", 404, "CHANNEL_NOT_FOUND"),
        ("GET /v1/channels/main/state/orders/none", &[], "", 404, "KEY_NOT_FOUND"),
        ("GET /v1/channels/main/blocks/99", &[], "", 404, "BLOCK_NOT_FOUND"),
        (&never, &[], "", 404, "TRANSACTION_NOT_FOUND"),
        ("GET /v1/nothing", &[], "", 404, "ROUTE_NOT_FOUND"),
        (FIND, &[JSON], r#"{"selector":{"a":{"$no":1}}}"#, 400, "INVALID_SELECTOR"),
        (DROP, &[], "", 404, "INDEX_NOT_FOUND"),
        ("DELETE /v1/channels", &[], "", 405, "METHOD_NOT_ALLOWED"),
        ("GET /v1/channels/main/blocks/0", &["Accept: text/html"], "", 406, "NOT_ACCEPTABLE"),
        ("POST /v1/channels", &[JSON], r#"{"name":"main"}"#, 409, "CHANNEL_EXISTS"),
        (&put, &[JSON, "If-Match: \"9.9\""], "1", 412, "PRECONDITION_FAILED"),
        (&put, &[JSON], &big, 413, "TOO_LARGE"),
        (&put, &["Content-Type: text/plain"], "1", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (&put, &[JSON, "Idempotency-Key: k"], "1", 200, ""),
        (&put, &[JSON, "Idempotency-Key: k"], "2", 422, "IDEMPOTENCY_KEY_REUSED"),
        ("GET /v1/channels", &[&long_header], "", 431, "HEADERS_TOO_LARGE"),
        (&long_target, &[], "", 431, "HEADERS_TOO_LARGE"),
    ];
    for (line, headers, body, status, code) in rows {
        let answer = send(address, line, headers, body);
        if code.is_empty() {
            assert_eq!(answer.status, *status, "{answer:?}");
            continue;
        }
        expect(&answer, *status, code);
        assert_eq!(answer.header("allow").is_some(), *status == 405, "{line}");
    }
}

#[test]
fn what_never_reaches_a_handler_gets_a_problem_too() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let headers: String = (0..200).map(|_| "x: y\r\n").collect();
    for (bytes, status, code) in [
        ("hello\r\n\r\n".to_owned(), 400, "INVALID_ARGUMENT"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "INVALID_ARGUMENT"),
        (
            format!("GET / HTTP/1.1\r\n{headers}\r\n"),
            431,
            "HEADERS_TOO_LARGE",
        ),
        (
            format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(2 << 20)),
            431,
            "HEADERS_TOO_LARGE",
        ),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(2 << 20)),
            431,
            "HEADERS_TOO_LARGE",
        ),
    ] {
        let answer = RawAnswer::read(&exchange(node.address(), bytes.as_bytes())).unwrap();
        expect(&answer, status, code);
    }
    // Also behind a good request on the same connection.
    let bytes = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut rest = [0; 4096];
    while !rest.ends_with(b"}") {
        let read = stream.read(&mut rest[..]).unwrap();
        rest.rotate_left(read);
    }
    stream.write_all(b"hello\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    expect(&RawAnswer::read(&answer).unwrap(), 400, "INVALID_ARGUMENT");
}

#[test]
fn heads_and_bodies_that_drip_are_cut_off_with_408() {
    let data = TempDir::new().unwrap();
    let flags = ["--head-timeout", "1", "--body-timeout", "1"];
    let node = Node::start_with(data.path(), &flags);
    let head = "PUT /v1/channels/main/state/orders/1 HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 100\r\n";
    for begin in [head.to_owned(), format!("{head}\r\n")] {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        let mut dripping = stream.try_clone().unwrap();
        let drip = std::thread::spawn(move || {
            // A byte now and then keeps nobody waiting for longer.
            while dripping.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        expect(&RawAnswer::read(&answer).unwrap(), 408, "REQUEST_TIMEOUT");
        drip.join().unwrap();
    }
    assert_eq!(node.client().height(), 1);
}

#[test]
fn a_lost_race_is_409_and_an_outcome_that_is_not_known_yet_504() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let address = node.address();
    send(address, &format!("PUT {KEY}"), &[JSON], "{}");
    let lost = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|client| {
                scope.spawn(move || {
                    let headers = [
                        "Content-Type: application/merge-patch+json",
                        "Quire-Max-Attempts: 1",
                    ];
                    let mut answers = (0..50).map(|turn| {
                        let body = format!(r#"{{"m{client}": {turn}}}"#);
                        send(address, &format!("PATCH {KEY}"), &headers, &body)
                    });
                    answers.find(|answer| answer.status != 200)
                })
            })
            .collect();
        let lost = clients.into_iter().map(|client| client.join().unwrap());
        lost.flatten().next().expect("one of 800 loses")
    });
    let problem = expect(&lost, 409, "MVCC_READ_CONFLICT");
    assert!(problem["transactionId"].is_string() && problem["blockNumber"].is_u64());

    // A small transaction on an idle node may be final before anybody can be told that it is not.
    let mut early = (0..100).map(|turn| {
        let key = format!("Idempotency-Key: hurry-{turn}");
        let headers = [JSON, "Prefer: wait=0", &key];
        let value = format!("\"{}\"", "x".repeat(900_000));
        send(address, &format!("PUT {KEY}"), &headers, &value)
    });
    let early = early.find(|answer| answer.status != 200);
    let early = early.expect("one of a hundred is not final at once");
    let problem = expect(&early, 504, "COMMIT_TIMEOUT");
    assert!(problem["transactionId"].is_string());
    let location = early.header("location").expect("where to look").to_owned();
    let outcome = node.client().json(&format!("{location}&wait=10"));
    assert_eq!(outcome["status"], "VALID");
    assert_eq!(outcome["transactionId"], problem["transactionId"]);
}

#[test]
fn a_range_that_gained_a_row_is_409_too() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let address = node.address();
    let scans = r#"{"chaincode":"orders","function":"range","args":[{"limit":1000}]}"#;
    let lost = std::thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                for turn in 0..40 {
                    let key = format!("PUT /v1/channels/main/state/orders/{client}-{turn}");
                    assert_eq!(send(address, &key, &[JSON], "1").status, 201);
                }
            });
        }
        let scanners: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || {
                    let post = format!("POST {TRANSACTIONS}");
                    let once = [JSON, "Quire-Max-Attempts: 1"];
                    let mut answers = (0..40).map(|_| send(address, &post, &once, scans));
                    answers.find(|answer| answer.status != 201)
                })
            })
            .collect();
        let lost = scanners.into_iter().map(|client| client.join().unwrap());
        lost.flatten().next().expect("one of 320 loses")
    });
    let problem = expect(&lost, 409, "PHANTOM_READ_CONFLICT");
    assert!(problem["transactionId"].is_string() && problem["blockNumber"].is_u64());
}

#[test]
fn a_caller_without_a_token_or_with_too_many_requests_is_told_what_to_do() {
    let data = TempDir::new().unwrap();
    let node = Node::start_with(data.path(), &["--rate-limit", "5"]);
    let token = run(
        &["token", "create", "--identity", "shop", "--role", "writer"],
        data.path(),
    );
    let token = String::from_utf8(token.stdout).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let get = "GET /v1/channels";
    let answer = send(node.address(), get, &[], "");
    expect(&answer, 401, "UNAUTHENTICATED");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let wrong = send(node.address(), get, &[&format!("{bearer}x")], "");
    expect(&wrong, 401, "UNAUTHENTICATED");
    let challenge = wrong.header("www-authenticate").unwrap();
    assert!(challenge.contains("invalid_token"), "{challenge}");
    let mut answers = (0..1000).map(|_| send(node.address(), get, &[&bearer], ""));
    let limited = answers.find(|answer| answer.status != 200);
    let limited = limited.expect("a thousand take longer than five a second allow");
    expect(&limited, 429, "RATE_LIMITED");
    assert_eq!(limited.header("retry-after"), Some("1"));
}

#[test]
fn a_read_only_channel_takes_no_writes() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    assert!(Node::start(first.path()).stop().success());
    let blockfiles = first.path().join("channels/main");
    let blockfiles = blockfiles.to_str().unwrap();
    let words = [
        "channel",
        "import",
        "--channel",
        "other",
        "--blockfiles",
        blockfiles,
    ];
    let imported = run(&words, second.path());
    assert!(imported.status.success(), "{imported:?}");
    let node = Node::start(second.path());
    let path = "PUT /v1/channels/other/state/orders/1";
    let answer = send(node.address(), path, &[JSON], "1");
    expect(&answer, 409, "CHANNEL_READ_ONLY");
}

#[test]
fn a_damaged_block_is_named_and_never_served() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    for value in 0..3 {
        let answer = send(
            node.address(),
            &format!("PUT {KEY}"),
            &[JSON],
            &value.to_string(),
        );
        assert!(answer.status < 300);
    }
    assert!(node.stop().success());
    let node = Node::start(data.path());
    flip_in_block_of_key(&data.path().join("channels/main/blockfile_000000"));
    let answer = send(node.address(), "GET /v1/channels/main/blocks/1", &[], "");
    let problem = expect(&answer, 500, "BLOCK_CORRUPT");
    assert_eq!(problem["blockNumber"], 1);
    assert!(!answer.body.contains("blockfile"), "{}", answer.body);
}

/// Changes one byte of the first transaction after block 0.
fn flip_in_block_of_key(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let needle = b"previousVersion";
    let found = bytes
        .windows(needle.len())
        .position(|window| window == needle);
    bytes[found.unwrap()] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn too_many_connections_and_requests_are_told_so() {
    let data = TempDir::new().unwrap();
    let node = Node::start_with(data.path(), &["--max-connections", "1"]);
    let holder = TcpStream::connect(node.address()).unwrap();
    let answer = loop {
        let answer = send(node.address(), "GET /version", &[], "");
        // The holder may come to be served a little later.
        if answer.status != 200 {
            break answer;
        }
    };
    expect(&answer, 503, "OVERLOADED");
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop(holder);
    while send(node.address(), "GET /version", &[], "").status != 200 {}
    assert!(node.stop().success());

    let node = Node::start_with(data.path(), &["--max-requests", "0"]);
    let answer = send(node.address(), "GET /v1/channels", &[], "");
    expect(&answer, 503, "OVERLOADED");
    assert_eq!(send(node.address(), "GET /readyz", &[], "").status, 200);
}

#[test]
fn a_stopping_node_answers_what_is_in_flight() {
    let data = TempDir::new().unwrap();
    let node = Node::start_with(data.path(), &["--grace", "1"]);
    let client = node.client();
    let events = "GET /v1/channels/main/events HTTP/1.0\r\nHost: localhost\r\n\r\n";
    let slow = "PUT /v1/channels/main/state/orders/1 HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let mut streams = [events, slow].map(|begin| {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        stream
    });
    let mut begun = [0; 15];
    streams[0].read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.0 200 OK");
    // One more answer shows that the node has come to the slow request.
    client.height();
    assert!(node.stop().success());
    let [mut events, mut slow] = streams;
    let mut answer = Vec::new();
    events.read_to_end(&mut answer).unwrap();
    answer.clear();
    slow.read_to_end(&mut answer).unwrap();
    let answer = RawAnswer::read(&answer).unwrap();
    expect(&answer, 503, "NOT_READY");
    assert!(answer.header("retry-after").is_some());
    let gone = Client::send(
        &client,
        &Request {
            method: "GET",
            path: "/version".to_owned(),
            headers: Vec::new(),
            body: String::new(),
        },
    );
    assert!(gone.is_err());
}

#[test]
fn a_reader_that_takes_nothing_is_cut_off() {
    let data = TempDir::new().unwrap();
    let node = Node::start_with(data.path(), &["--stall-timeout", "1"]);
    let value = format!("\"{}\"", "x".repeat(1_000_000));
    let answer = send(node.address(), &format!("PUT {KEY}"), &[JSON], &value);
    assert_eq!(answer.status, 201);
    // Events that name a thousand long keys each: many times what sockets hold.
    let names = (0..1000).map(|number| {
        let key = format!("{number}-{}", "k".repeat(1000));
        format!(r#"{{"op":"put","namespace":"orders","key":"{key}","value":1}}"#)
    });
    let names: Vec<_> = names.collect();
    let body = format!(r#"{{"operations":[{}]}}"#, names.join(","));
    for _ in 0..20 {
        let answer = send(
            node.address(),
            &format!("POST {TRANSACTIONS}"),
            &[JSON],
            &body,
        );
        assert_eq!(answer.status, 201);
    }
    let (before, _) = node.memory();
    let get = format!("GET {KEY} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(40);
    let listen = "GET /v1/channels/main/events?from=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for request in [get.as_str(), listen] {
        let mut readers: Vec<_> = (0..20)
            .map(|_| {
                let mut stream = TcpStream::connect(node.address()).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                stream
            })
            .collect();
        // It takes as long as it takes; the connections end although nothing was read.
        while let Some(stream) = readers.last_mut() {
            std::thread::sleep(Duration::from_millis(100));
            if stream.write_all(b"\r\n").is_err() {
                readers.pop();
            }
        }
    }
    let (after, _) = node.memory();
    println!("peak before {before} KiB, after 40 slow readers {after} KiB");
    assert!(
        after < before + (128 << 10),
        "{before} KiB grew to {after} KiB"
    );
    assert_eq!(send(node.address(), "GET /version", &[], "").status, 200);
}
