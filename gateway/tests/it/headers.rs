//! Checks headers by the grammar of their RFCs, and bodies by what their headers say.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quire_gateway::{Backend, Cors, Limits, Server};
use quire_identity::{AccessRole, NewToken};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::Node;
use crate::socket::Plain;

const JSON: &str = "content-type: application/json";
const KEY: &str = "./state/orders/1";

/// Puts the node on the network, and returns its address.
async fn serve(node: &Arc<Node>) -> String {
    let backend = Arc::clone(node) as Arc<dyn Backend>;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::new(backend, Limits::default(), Cors::default());
    tokio::spawn(server.run(listener, Plain));
    address
}

/// Sends a request after which the other side ends, and reads until it does.
async fn talk(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[track_caller]
fn assert_problem(answer: &str, status: u16, what: &str) {
    let told = answer.split(' ').nth(1).unwrap_or_default();
    assert_eq!(told, status.to_string(), "{what}\n{answer}");
    let kind = "content-type: application/problem+json";
    assert!(answer.contains(kind), "{what}\n{answer}");
}

#[tokio::test]
async fn a_request_names_one_host() {
    let node = Node::new();
    let address = serve(&node).await;
    let head = |request: &str, hosts: &[&str]| {
        let lines = [&[request], hosts, &["Connection: close\r\n\r\n"]].concat();
        lines.join("\r\n")
    };
    let own = format!("Host: {address}");
    let get = "GET /v1/channels HTTP/1.1";
    let absolute = format!("GET http://{address}/v1/channels HTTP/1.1");
    for (request, hosts, status) in [
        (get, &[own.as_str()][..], 200),
        (get, &["hOsT:localhost"], 200),
        (get, &["Host: [::1]:7080"], 200),
        ("GET /v1/channels HTTP/1.0", &[], 200),
        (&absolute, &[&own], 200),
        (get, &[], 400),
        ("GET /healthz HTTP/1.1", &[], 400),
        ("GET /nowhere HTTP/1.1", &[], 400),
        ("OPTIONS /v1/channels HTTP/1.1", &[], 400),
        (&absolute, &[], 400),
        (get, &["Host:"], 400),
        (get, &["Host: :7080"], 400),
        (get, &["Host: user@localhost"], 400),
        (get, &["Host: localhost, localhost"], 400),
        (get, &["Host: localhost/x"], 400),
        ("GET /v1/channels HTTP/1.0", &["Host:"], 400),
        (get, &[&own, &own], 400),
        (get, &[&own, "Host: elsewhere.example"], 403),
        (get, &["Host: elsewhere.example"], 403),
        (&absolute, &["Host: elsewhere.example"], 403),
        (
            "GET /v1/channels HTTP/1.0",
            &["Host: elsewhere.example"],
            403,
        ),
    ] {
        let answer = talk(&address, &head(request, hosts)).await;
        let what = format!("{request} {hosts:?}");
        if status == 200 {
            assert!(answer.contains(" 200 "), "{what}\n{answer}");
        } else {
            assert_problem(&answer, status, &what);
        }
    }
    // With a token any host is accepted, but there must be only one.
    let new = NewToken {
        identity: "client".to_owned(),
        role: AccessRole::Reader,
        channels: Vec::new(),
        expires: None,
        certificate: false,
    };
    let (_, secret) = node.tokens.create(new, node.now()).unwrap();
    let bearer = format!("Authorization: Bearer {}", secret.unwrap().expose());
    for (hosts, status) in [
        (&["Host: ledger.example"][..], 200),
        (&[], 400),
        (&["Host: ledger.example", "Host: elsewhere.example"], 400),
    ] {
        let lines = [hosts, &[&bearer]].concat();
        let answer = talk(&address, &head(get, &lines)).await;
        let start = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&start), "{hosts:?}\n{answer}");
    }
}

#[tokio::test]
async fn what_is_no_http_here_gets_a_problem_document() {
    let node = Node::new();
    let address = serve(&node).await;
    let long = "x".repeat(140_000);
    let many = "X-A: b\r\n".repeat(200);
    for (request, status) in [
        ("nothing".to_owned() + "\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: localhost\r\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nA B: c\r\n\r\n".to_owned(),
            400,
        ),
        (
            format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
            431,
        ),
        (
            "PUT /v1/channels/main/state/a/k HTTP/1.1\r\nHost: localhost\r\n\
             Transfer-Encoding: gzip\r\n\r\n"
                .to_owned(),
            400,
        ),
        (
            "PUT /v1/channels/main/state/a/k HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nConnection: close\r\n\
             Transfer-Encoding: gzip, chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n"
                .to_owned(),
            400,
        ),
        (
            "PUT /v1/channels/main/state/a/k HTTP/1.1\r\nHost: localhost\r\n\
             Content-Length: 1\r\nContent-Length: 2\r\n\r\n1"
                .to_owned(),
            400,
        ),
    ] {
        let answer = talk(&address, &request).await;
        assert_problem(&answer, status, &request[..request.len().min(200)]);
    }
}

/// This holds before 1970 too.
#[tokio::test]
async fn answers_are_dated_by_the_node_s_clock() {
    let node = Node::new();
    let address = serve(&node).await;
    let day = Duration::from_secs(86_400);
    for (clock, date) in [
        (
            SystemTime::UNIX_EPOCH + day,
            Some("Fri, 02 Jan 1970 00:00:00 GMT"),
        ),
        (
            SystemTime::UNIX_EPOCH - day,
            Some("Wed, 31 Dec 1969 00:00:00 GMT"),
        ),
        (SystemTime::UNIX_EPOCH + day * 4_000_000, None),
    ] {
        *node.clock.lock() = clock;
        for request in [
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            "no request\r\n\r\n",
        ] {
            let answer = talk(&address, request).await.to_lowercase();
            let dates = answer.lines();
            let mut dates = dates.filter_map(|line| line.strip_prefix("date: "));
            let expected = date.map(str::to_lowercase);
            assert_eq!(dates.next(), expected.as_deref(), "{request}\n{answer}");
            assert_eq!(dates.next(), None);
        }
    }
}

#[tokio::test]
async fn a_body_in_a_coding_is_refused_whatever_it_is_of() {
    let client = Node::new().client();
    client
        .put("./state/orders/2", &[], "1")
        .await
        .assert_status(201);
    let find = r#"{"selector":{}}"#;
    let index = r#"{"index":{"fields":["a"]},"ddoc":"d","name":"n"}"#;
    let call = r#"{"chaincode":"orders","function":"put","args":["1",1]}"#;
    for coding in [
        "gzip",
        "br",
        "identity, gzip",
        "GZip,",
        "x-anything",
        "aws-chunked",
    ] {
        let coding = format!("content-encoding: {coding}");
        for (route, kind, body) in [
            ("PUT ./state/orders/1", JSON, "1"),
            ("PUT ./state/orders/1", JSON, "\u{1f}\u{8b}"),
            (
                "PATCH ./state/orders/2",
                "content-type: application/merge-patch+json",
                "{}",
            ),
            ("DELETE ./state/orders/2", JSON, "{}"),
            ("POST ./transactions", JSON, call),
            (
                "POST ./transactions:batch",
                "content-type: application/x-ndjson",
                call,
            ),
            ("POST ./evaluate", JSON, call),
            ("POST ./state/orders/_find", JSON, find),
            ("POST ./state/orders/_explain", JSON, find),
            ("POST ./state/orders/_index", JSON, index),
            ("POST /v1/channels", JSON, r#"{"name":"x"}"#),
            ("PUT /logspec", JSON, r#"{"spec":"info"}"#),
        ] {
            let (method, path) = route.split_once(' ').unwrap();
            let answer = client.send(method, path, &[kind, &coding], body).await;
            answer.assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
            assert_eq!(
                answer.header("accept-encoding"),
                Some("identity"),
                "{route}"
            );
        }
    }
    client.get(KEY).await.assert_problem(404, "KEY_NOT_FOUND");
    for coding in ["identity", "Identity , identity", "", ","] {
        let coding = format!("content-encoding: {coding}");
        let answer = client.put(KEY, &[&coding], "1").await;
        assert!(matches!(answer.status, 200 | 201), "{coding}: {answer:?}");
    }
    // The request has nothing to unpack.
    let answer = client.delete(KEY, &["content-encoding: gzip"]).await;
    answer.assert_status(200);
}

#[tokio::test]
async fn a_body_of_utf_8_may_say_so_in_any_spelling() {
    let client = Node::new().client();
    for kind in [
        "application/json; charset=utf8",
        "application/json;charset=\"UTF8\"",
        "application/json; charset=UTF-8;",
        "APPLICATION/JSON",
        "application/json; profile=\"a; charset=latin1\"",
    ] {
        let kind = format!("content-type: {kind}");
        let answer = client.send("PUT", KEY, &[&kind], "1").await;
        assert!(matches!(answer.status, 200 | 201), "{kind}: {answer:?}");
    }
    for kinds in [
        &["content-type: application/json; charset=utf-16"][..],
        &["content-type: application/json, text/plain"],
        &["content-type: text/plain", JSON],
        &["content-type: "],
    ] {
        let answer = client.send("PUT", KEY, kinds, "1").await;
        answer.assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_not_of_the_json_behind_it() {
    let client = Node::new().client();
    let marked = |text: &str| format!("\u{feff}{text}");
    let call = r#"{"chaincode":"orders","function":"put","args":["2",2]}"#;
    let merge = "content-type: application/merge-patch+json";
    let lines = "content-type: application/x-ndjson";
    for (route, kind, body, status) in [
        ("PUT ./state/orders/1", JSON, marked(r#"{"a":1}"#), 201),
        ("PATCH ./state/orders/1", merge, marked(r#"{"b":2}"#), 200),
        ("POST ./transactions", JSON, marked(call), 201),
        ("POST ./evaluate", JSON, marked(call), 200),
        (
            "POST ./state/orders/_find",
            JSON,
            marked(r#"{"selector":{}}"#),
            200,
        ),
        (
            "POST ./state/orders/_index",
            JSON,
            marked(r#"{"index":{"fields":["a"]},"ddoc":"d","name":"n"}"#),
            200,
        ),
        ("PUT /logspec", JSON, marked(r#"{"spec":"info"}"#), 204),
        ("POST ./transactions:batch", lines, marked(call), 200),
        (
            "POST ./transactions:batch",
            lines,
            format!("{}\r\n{}\n\u{feff}", marked(call), marked(call)),
            200,
        ),
    ] {
        let (method, path) = route.split_once(' ').unwrap();
        let answer = client.send(method, path, &[kind], body).await;
        answer.assert_status(status);
        if kind == lines {
            let told = answer
                .text()
                .lines()
                .map(|line| line.contains(r#""status":201,"#));
            assert!(
                told.clone().count() > 0 && told.clone().all(|good| good),
                "{answer:?}"
            );
        }
    }
    assert_eq!(client.get(KEY).await.text(), r#"{"a":1,"b":2}"#);
    // Inside the text it is a letter like any other.
    let answer = client.put(KEY, &[], "\u{feff}\"\u{feff}\"").await;
    answer.assert_status(200);
    assert_eq!(client.get(KEY).await.text(), "\"\u{feff}\"");
    for body in ["\u{feff}", "\u{feff}\u{feff}1", "1\u{feff}"] {
        client
            .put(KEY, &[], body)
            .await
            .assert_problem(400, "INVALID_JSON");
    }
}

#[tokio::test]
async fn a_delete_takes_a_body_that_says_nothing_and_no_other() {
    let client = Node::new().client();
    for body in ["", "{}", " {\r\n} ", "null", "\n", "\u{feff}{}"] {
        client.put(KEY, &[], "1").await.assert_status(201);
        let answer = client.send("DELETE", KEY, &[JSON], body.to_owned()).await;
        answer.assert_status(200);
    }
    client.put(KEY, &[], "1").await.assert_status(201);
    for body in [
        r#"{"ifVersion":"1.0"}"#,
        "{} {}",
        "{",
        "[]",
        "false",
        "\"\"",
        "nul",
    ] {
        let answer = client.send("DELETE", KEY, &[JSON], body.to_owned()).await;
        answer.assert_problem(400, "INVALID_ARGUMENT");
    }
    client.get(KEY).await.assert_status(200);
    let index = r#"{"index":{"fields":["a"]},"ddoc":"d","name":"n"}"#;
    client
        .post("./state/orders/_index", &[], index)
        .await
        .assert_status(200);
    let path = "./state/orders/_index/d/json/n";
    client
        .send("DELETE", path, &[JSON], "{}")
        .await
        .assert_status(200);
}

#[tokio::test]
async fn empty_elements_of_lists_say_nothing() {
    let client = Node::new().client();
    client.put(KEY, &[], "1").await.assert_status(201);
    for (header, status) in [
        ("if-match: \"1.0\",", 200),
        ("if-match: ,, \"1.0\"", 200),
        ("if-match: ,*", 200),
        ("if-match: \"2.0\",", 412),
        ("if-match: ,", 400),
        ("if-match: ", 400),
        ("if-match: \"1.0\" \"2.0\"", 400),
        ("if-none-match: \"1.0\",", 304),
        ("if-none-match: , W/\"1.0\" ,", 304),
        ("if-none-match: \"2.0\",", 200),
    ] {
        let answer = client.get_with(KEY, header).await;
        assert_eq!(answer.status, status, "{header}");
    }
    let answer = client
        .get_with("./blocks/0", "accept: , application/x-protobuf,")
        .await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    let answer = client
        .put(KEY, &["if-match: ,\"1.0\" ,", "prefer: ,wait=5,"], "2")
        .await;
    answer.assert_status(200);
}

#[tokio::test]
async fn an_empty_last_event_id_is_none() {
    let client = Node::new().client();
    client.put(KEY, &[], "1").await.assert_status(201);
    let path = "./events?from=0&to=1";
    for headers in [&["last-event-id: "][..], &["last-event-id:   "], &[]] {
        let answer = client.send("GET", path, headers, "").await;
        answer.assert_status(200);
        assert!(answer.text().contains("\"blockNumber\":0"), "{answer:?}");
    }
    let answer = client.get_with(path, "last-event-id: 0").await;
    assert!(!answer.text().contains("\"blockNumber\":0"), "{answer:?}");
    for headers in [
        &["last-event-id: x"][..],
        &["last-event-id: 0", "last-event-id: 1"],
        &["last-event-id: 99"],
    ] {
        let answer = client.send("GET", path, headers, "").await;
        answer.assert_problem(400, "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn a_part_of_a_value_does_not_replace_the_whole() {
    let client = Node::new().client();
    client.put(KEY, &[], "12").await.assert_status(201);
    let answer = client.put(KEY, &["content-range: bytes 0-0/2"], "3").await;
    answer.assert_problem(400, "INVALID_ARGUMENT");
    assert_eq!(client.get(KEY).await.text(), "12");
}
