//! Requests made to harm: too large, too deep, aimed beside the path, or smuggling headers. Each gets
//! its documented answer, and none costs memory that stays.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{create, send};
use crate::kit::Node;
use crate::kit::exchange;

/// What the process may have grown by at its largest moment, in KiB: a few bodies of 8 MiB each, and what
/// the allocator keeps of them for each thread (up to 122 MiB, after three rounds as after twelve). One body of
/// 100 MB, held in a buffer that doubles, would take 192.
const GROWTH: u64 = 176 << 10;

const ORDER: &str = "/v1/channels/main/state/orders/1";
const TRANSACTIONS: &str = "/v1/channels/main/transactions";

/// Status and code of a raw answer.
fn verdict(answer: &[u8]) -> (u16, String) {
    let text = String::from_utf8_lossy(answer);
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or_default().to_owned();
    (status.unwrap_or_default(), code)
}

/// Sends 100 MB, or as much as the node takes, and gives its answer.
fn flood(node: &Node, path: &str, token: &str, chunked: bool) -> Vec<u8> {
    const BODY: usize = 100_000_000;
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut reader = stream.try_clone().unwrap();
    let length = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {BODY}")
    };
    let kind = if path.ends_with(":batch") {
        "application/x-ndjson"
    } else {
        "application/json"
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: {kind}\r\n{length}\r\n\r\n",
        node.address()
    );
    let mut answer = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let piece = vec![b' '; 1 << 20];
            let mut sent = stream.write_all(head.as_bytes());
            for _ in 0..BODY.div_ceil(piece.len()) {
                let size = if chunked {
                    format!("{:x}\r\n", piece.len())
                } else {
                    String::new()
                };
                let end = if chunked { "\r\n" } else { "" };
                sent = sent
                    .and_then(|()| stream.write_all(size.as_bytes()))
                    .and_then(|()| stream.write_all(&piece))
                    .and_then(|()| stream.write_all(end.as_bytes()));
            }
            // A server that has said no need not listen to the end.
            drop(sent);
        });
        let mut buffer = [0; 4096];
        // What came before a reset counts.
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..count]);
            // The end of a problem, or of a batch's line.
            if answer.ends_with(b"}") || answer.ends_with(b"}\n\r\n") {
                break;
            }
        }
        drop(reader.shutdown(std::net::Shutdown::Both));
    });
    answer
}

#[test]
fn bodies_of_100_mb_and_deep_json_are_refused_and_memory_stays_flat() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let token = create(data.path(), "--identity shop --role writer");
    let client = node.client();
    assert_eq!(
        send(&client, &format!("PUT {ORDER}"), &token, "1").status,
        201
    );
    let (before, _) = node.memory();
    for _ in 0..3 {
        for chunked in [false, true] {
            let answer = flood(&node, TRANSACTIONS, &token, chunked);
            assert_eq!(
                verdict(&answer),
                (413, "TOO_LARGE".to_owned()),
                "chunked: {chunked}"
            );
            let answer = flood(&node, TRANSACTIONS, "quire_no_token", chunked);
            assert_eq!(verdict(&answer), (401, "UNAUTHENTICATED".to_owned()));
            for query in ["_find", "_explain"] {
                let path = format!("/v1/channels/main/state/orders/{query}");
                let answer = flood(&node, &path, &token, chunked);
                assert_eq!(verdict(&answer), (413, "TOO_LARGE".to_owned()), "{query}");
            }
            // A line that is too long is the batch's last, and told in its place.
            let answer = flood(&node, &format!("{TRANSACTIONS}:batch"), &token, chunked);
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.contains(r#"{"line":1,"status":413,"#), "{answer}");
        }
    }
    let depth = 500_000;
    let deep = ["[", "{\"a\":"].map(|open| open.repeat(depth));
    let closed = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let inside = format!(r#"{{"chaincode":"orders","function":"put","args":["1",{closed}]}}"#);
    for body in [&deep[0], &deep[1], &closed, &inside] {
        for (method, path) in [
            ("PUT", ORDER),
            ("POST", TRANSACTIONS),
            ("POST", "/v1/channels/main/evaluate"),
            ("POST", "/v1/channels/main/state/orders/_find"),
            ("POST", "/v1/channels/main/state/orders/_explain"),
        ] {
            let answer = send(&client, &format!("{method} {path}"), &token, body);
            let (status, code) = super::problem(&answer);
            assert!(
                matches!(
                    (status, code.as_str()),
                    (400, "INVALID_JSON" | "INVALID_ARGUMENT")
                        | (413, "TOO_LARGE")
                        | (422, "QUERY_TOO_EXPENSIVE")
                ),
                "{method} {path} {}: {status} {code}",
                &body[..20]
            );
        }
    }
    let (after, now) = node.memory();
    println!("peak before {before} KiB, after {after} KiB, now {now} KiB");
    assert!(after < before + GROWTH, "{before} KiB grew to {after} KiB");
    assert_eq!(client_height(&client, &token), 2);
    assert!(node.stop().success());
}

fn client_height(client: &crate::kit::Client, token: &str) -> u64 {
    let channel = send(client, "GET /v1/channels/main", token, "").json();
    channel["height"].as_u64().unwrap()
}

/// Every route with a parameter in its path, the parameter written `*`.
const ROUTES: [&str; 37] = [
    "GET /v1/channels/*",
    "GET /v1/channels/*/state",
    "GET /v1/channels/*/state/orders",
    "GET /v1/channels/main/state/*",
    "GET /v1/channels/*/state/orders/1",
    "GET /v1/channels/main/state/*/1",
    "GET /v1/channels/main/state/orders/*",
    "PUT /v1/channels/*/state/orders/1",
    "PUT /v1/channels/main/state/*/1",
    "PUT /v1/channels/main/state/orders/*",
    "DELETE /v1/channels/main/state/orders/*",
    "POST /v1/channels/*/transactions",
    "GET /v1/channels/*/transactions/0",
    "GET /v1/channels/main/transactions/*",
    "GET /v1/channels/main/transactions/*/envelope",
    "POST /v1/channels/*/evaluate",
    "GET /v1/channels/*/blocks",
    "GET /v1/channels/main/blocks/*",
    "GET /v1/channels/main/history/*/1",
    "GET /v1/channels/*/history/orders/1",
    "GET /v1/channels/main/history/orders/*",
    "GET /v1/channels/*/transactions?idempotencyKey=k",
    "GET /v1/channels/*/transactions/0/envelope",
    "GET /v1/channels/*/blocks/0",
    "GET /v1/channels/*/events?from=0&to=0",
    "PATCH /v1/channels/main/state/orders/*",
    "POST /v1/channels/*/transactions:batch",
    "POST /v1/channels/*/state/orders/_find",
    "POST /v1/channels/main/state/*/_find",
    "POST /v1/channels/*/state/orders/_explain",
    "POST /v1/channels/main/state/*/_explain",
    "GET /v1/channels/*/state/orders/_index",
    "GET /v1/channels/main/state/*/_index",
    "POST /v1/channels/*/state/orders/_index",
    "POST /v1/channels/main/state/*/_index",
    "DELETE /v1/channels/main/state/orders/_index/*/json/x",
    "DELETE /v1/channels/main/state/orders/_index/x/json/*",
];

/// Where a key may be anything.
const STRANGE_KEYS: &str = "/v1/channels/main/state/orders/*";

const TRICKS: [&str; 22] = [
    "..",
    ".",
    "%2e%2e",
    "%2E",
    "../../other",
    "..%2f..%2fother",
    "%2e%2e/other",
    "..%5cother",
    "main%2f..%2fother",
    "other%00",
    "%00",
    "other%2f",
    "%6Fther%20",
    "%",
    "%4",
    "%zz",
    "%ff",
    "%c0%ae%c0%ae",
    "%u002e",
    "other;a=b",
    "%0d%0aSet-Cookie:%20a=b",
    "//other",
];

#[test]
fn path_tricks_lead_nowhere_in_any_parameter() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let admin = create(data.path(), "--identity boss --role admin");
    let client = node.client();
    let other = send(&client, "POST /v1/channels", &admin, r#"{"name": "other"}"#);
    assert_eq!(other.status, 201);
    let limited = create(data.path(), "--identity shop --role admin --channel main");
    let mut wrong = Vec::new();
    for token in [&admin, &limited] {
        for route in ROUTES {
            for trick in TRICKS {
                let head = route.replacen('*', trick, 1);
                let body = if head.starts_with('G') || head.starts_with('D') {
                    ""
                } else {
                    "{}"
                };
                let request = format!(
                    "{head} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
                     Content-Type: application/json\r\nConnection: close\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    node.address(),
                    body.len()
                );
                let answer = exchange(node.address(), request.as_bytes());
                let text = String::from_utf8_lossy(&answer).to_lowercase();
                let documented = is_documented(route, &head, &verdict(&answer));
                if !documented || text.contains("\nset-cookie") {
                    wrong.push(format!("{head}: {:?}", verdict(&answer)));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} answers:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(node.stop().success());
}

/// Whether it is an answer for a name that is none or leads nowhere. Reads accept any namespace, and a
/// page of one that holds nothing is empty; keys may be strange, and are escaped then.
fn is_documented(route: &str, head: &str, (status, code): &(u16, String)) -> bool {
    match (*status, code.as_str()) {
        (400, "INVALID_NAME" | "INVALID_ARGUMENT")
        | (403, "FORBIDDEN")
        | (405, "METHOD_NOT_ALLOWED")
        // Of the wrong type here, before any name is looked at.
        | (415, "UNSUPPORTED_MEDIA_TYPE") => true,
        (404, code) => code.ends_with("_NOT_FOUND"),
        (200, _) if route.contains("history") => true,
        (200, _) if route == "GET /v1/channels/main/state/*" => true,
        // Indexes and their queries are of any namespace that can be read, too.
        (200, _) if route.contains("main/state/*/_") => true,
        (200 | 201, _) => {
            // Names that only look strange: they are keys like any other.
            let odd_key = ["%5c", "%2f", "%00", "%6F", ";", "%0d"];
            let writes = ["PUT", "DELETE"].map(|method| format!("{method} {STRANGE_KEYS}"));
            writes.iter().any(|write| write == route)
                && odd_key.iter().any(|odd| head.contains(odd))
        }
        _ => false,
    }
}

#[test]
fn headers_cannot_be_smuggled_into_answers() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let ask = |head: &str, headers: &[u8]| {
        let start = format!(
            "{head} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nConnection: close\r\n",
            node.address()
        );
        let body = b"Content-Length: 1\r\n\r\n1";
        let request = [start.as_bytes(), headers, body].concat();
        String::from_utf8_lossy(&exchange(node.address(), &request)).into_owned()
    };
    let put = format!("PUT {ORDER}");
    for (head, headers) in [
        (put.as_str(), &b"X-Request-Id: a\nEvil: 1\r\n"[..]),
        (&put, b"X-Request-Id: a\rEvil: 1\r\n"),
        (&put, b"X-Request-Id: a\x00Evil: 1\r\n"),
        (&put, b"X-Request-Id: \xc4\x8d\xc4\x8aEvil: 1\r\n"),
        (&put, b"X-Request-Id: a%0d%0aEvil: 1\r\n"),
        (&put, b"X-Request-Id: <script>alert(1)</script>\r\n"),
        (
            &put,
            b"Idempotency-Key: k%0d%0aEvil:1\r\nPrefer: respond-async\r\n",
        ),
        (
            &put,
            b"Idempotency-Key: k\"&x=y#z\r\nPrefer: respond-async, wait=0\r\n",
        ),
        (&put, b"Origin: http://127.0.0.1\rEvil: 1\r\n"),
        ("PUT /v1/channels/main/state/orders/a%0d%0aEvil:%201", b""),
        ("GET /v1/channels/a%0d%0aEvil:%201", b""),
        ("GET /v1/channels/main/blocks?hash=a%0d%0aEvil:%201", b""),
    ] {
        let answer = ask(head, headers);
        let (top, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let smuggled = top
            .lines()
            .any(|line| line.to_lowercase().starts_with("evil"));
        assert!(!smuggled, "{head} {headers:?}\n{answer}");
        let visible = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r' | b'\n');
        assert!(top.bytes().all(visible), "{head} {headers:?}\n{answer}");
        let status: u16 = top.split(' ').nth(1).unwrap_or("400").parse().unwrap();
        assert!((200..500).contains(&status), "{head} {headers:?}\n{answer}");
        // An answer with two meanings: one body, of the length that the head says.
        let length = top
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: Option<usize> = length.map(|length| length.trim().parse().unwrap());
        assert!(length.is_none_or(|length| length == body.len()), "{answer}");
    }
    // Two lengths, or a length and chunks, are two requests to somebody.
    for lengths in [
        "Content-Length: 1\r\nContent-Length: 5",
        "Content-Length: 1\r\nTransfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Content-Length: +1",
    ] {
        let request = format!(
            "PUT {ORDER} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{lengths}\r\n\r\n1",
            node.address()
        );
        let answer =
            String::from_utf8_lossy(&exchange(node.address(), request.as_bytes())).into_owned();
        assert!(answer.starts_with("HTTP/1.1 4"), "{lengths}\n{answer}");
    }
    assert!(node.stop().success());
}
