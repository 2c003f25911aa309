//! Requests that a careless or hostile client sends: each gets its documented problem document, the
//! node stays up, and nothing reaches the chain.

use std::net::Shutdown;

use tempfile::TempDir;

use super::kit::{Node, RawAnswer, exchange, exchange_and};

const JSON: &str = "Content-Type: application/json\r\n";

/// One request by hand and what must come of it.
struct Case {
    method: &'static str,
    path: String,
    headers: String,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn case(method: &'static str, path: &str, body: &str, status: u16, code: &'static str) -> Case {
    Case {
        method,
        path: path.to_owned(),
        headers: if body.is_empty() { "" } else { JSON }.to_owned(),
        body: body.as_bytes().to_vec(),
        status,
        code,
    }
}

fn with(headers: &str, mut case: Case) -> Case {
    headers.clone_into(&mut case.headers);
    case
}

const ORDER: &str = "/v1/channels/main/state/orders/1001";
const ORDERS: &str = "/v1/channels/main/state/orders";
const TRANSACTIONS: &str = "/v1/channels/main/transactions";
const EVALUATE: &str = "/v1/channels/main/evaluate";

fn bodies() -> Vec<Case> {
    let put = |body: &str| case("PUT", ORDER, body, 400, "INVALID_JSON");
    let submit = |body: &str, code| case("POST", TRANSACTIONS, body, 400, code);
    let mut not_utf8 = put("x");
    not_utf8.body = b"{\"a\": \"\xff\"}".to_vec();
    let crowd = format!(
        r#"{{"operations": [{}]}}"#,
        vec![r#"{"op": "put", "namespace": "a", "key": "k", "value": 1}"#; 1001].join(",")
    );
    let mut cases = vec![
        put("{"),
        put("{\"a\": 1,}"),
        put("{\"a\": 1} {}"),
        put("{\"a\": 1, \"a\": 2}"),
        put("{\"a\": {\"b\": 1, \"b\": 2}}"),
        put(r#"{"a": "\ud800"}"#),
        put("{\"a\": NaN}"),
        put(&"[".repeat(20_000)),
        not_utf8,
        case("PUT", ORDER, r#"{"_id": 1}"#, 400, "RESERVED_MEMBER"),
        case("PUT", ORDER, r#"{"~version": 1}"#, 400, "RESERVED_MEMBER"),
        submit("{", "INVALID_JSON"),
        submit("[]", "INVALID_ARGUMENT"),
        submit("{}", "INVALID_ARGUMENT"),
        submit(r#"{"operations": []}"#, "INVALID_ARGUMENT"),
        submit(&crowd, "INVALID_ARGUMENT"),
        case("POST", EVALUATE, "{", 400, "INVALID_JSON"),
        case(
            "POST",
            "/v1/channels",
            r#"{"name": "Main"}"#,
            400,
            "INVALID_NAME",
        ),
        case(
            "POST",
            "/v1/channels",
            r#"{"nme": "other"}"#,
            400,
            "INVALID_ARGUMENT",
        ),
        with(
            "Content-Type: text/plain\r\n",
            case("PUT", ORDER, "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ),
        with(
            "",
            case("POST", TRANSACTIONS, "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ),
    ];
    for operation in [
        r#"{"op": "upsert", "namespace": "a", "key": "k", "value": 1}"#,
        r#"{"op": "put", "namespace": "a", "key": "k"}"#,
        r#"{"op": "put", "namespace": "a", "key": "k", "value": 1, "ifVersoin": "1.0"}"#,
        r#"{"op": "put", "namespace": "a", "key": "k", "value": 1, "ifVersion": "one"}"#,
    ] {
        let body = format!(r#"{{"operations": [{operation}]}}"#);
        cases.push(submit(&body, "INVALID_ARGUMENT"));
    }
    cases.push(submit(
        r#"{"operations": [{"op": "put", "namespace": "a b", "key": "k", "value": 1}]}"#,
        "INVALID_NAME",
    ));
    cases
}

fn oversized() -> Vec<Case> {
    let value = format!("\"{}\"", "x".repeat(1 << 20));
    let flood = format!("\"{}\"", "x".repeat(64 << 20));
    let operation = format!(
        r#"{{"operations": [{{"op": "put", "namespace": "a", "key": "k", "value": {value}}}]}}"#
    );
    vec![
        case("PUT", ORDER, &value, 413, "TOO_LARGE"),
        case("POST", TRANSACTIONS, &operation, 413, "TOO_LARGE"),
        case("PUT", ORDER, &flood, 413, "TOO_LARGE"),
        case("POST", TRANSACTIONS, &flood, 413, "TOO_LARGE"),
    ]
}

fn names() -> Vec<Case> {
    let long_key = format!("{ORDERS}/{}", "k".repeat(1025));
    let long_namespace = format!("/v1/channels/main/state/{}/k", "n".repeat(65));
    [
        "/v1/channels/main/state/a%20b/k",
        "/v1/channels/main/state/-a/k",
        &long_namespace,
        "/v1/channels/main/state/orders/_hidden",
        "/v1/channels/main/state/orders/%00k",
        "/v1/channels/main/state/orders/%zz",
        "/v1/channels/main/state/orders/%f",
        "/v1/channels/main/state/orders/%ff",
        &long_key,
    ]
    .map(|path| case("PUT", path, "{}", 400, "INVALID_NAME"))
    .into()
}

fn places() -> Vec<Case> {
    let never_seen = format!("{TRANSACTIONS}/{}", "0".repeat(64));
    let rows = |query| format!("{ORDERS}?{query}");
    [
        ("GET", "/v1/channels/nowhere", 404, "CHANNEL_NOT_FOUND"),
        (
            "PUT",
            "/v1/channels/nowhere/state/a/1",
            404,
            "CHANNEL_NOT_FOUND",
        ),
        (
            "GET",
            "/v1/channels/nowhere/state/a/1",
            404,
            "CHANNEL_NOT_FOUND",
        ),
        (
            "POST",
            "/v1/channels/nowhere/transactions",
            404,
            "CHANNEL_NOT_FOUND",
        ),
        ("GET", ORDER, 404, "KEY_NOT_FOUND"),
        ("DELETE", ORDER, 404, "KEY_NOT_FOUND"),
        ("GET", "/v1/channels/main/blocks/99", 404, "BLOCK_NOT_FOUND"),
        (
            "GET",
            "/v1/channels/main/blocks/first",
            400,
            "INVALID_ARGUMENT",
        ),
        ("GET", &never_seen, 404, "TRANSACTION_NOT_FOUND"),
        ("GET", "/", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v2/channels", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/channels/main/stat", 404, "ROUTE_NOT_FOUND"),
        ("POST", ORDER, 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", TRANSACTIONS, 405, "METHOD_NOT_ALLOWED"),
        (
            "PUT",
            "/v1/channels/main/blocks/0",
            405,
            "METHOD_NOT_ALLOWED",
        ),
        ("GET", &rows("limt=5"), 400, "INVALID_ARGUMENT"),
        ("GET", &rows("limit=many"), 400, "INVALID_ARGUMENT"),
        ("GET", &rows("limit=1001"), 400, "INVALID_ARGUMENT"),
        (
            "GET",
            "/v1/channels/main/history/a/1?order=up",
            400,
            "INVALID_ARGUMENT",
        ),
    ]
    .map(|(method, path, status, code)| {
        let body = if matches!(method, "PUT" | "POST") {
            "{}"
        } else {
            ""
        };
        case(method, path, body, status, code)
    })
    .into()
}

fn headers() -> Vec<Case> {
    let put = |headers: &str, status, code| {
        with(
            &format!("{JSON}{headers}\r\n"),
            case("PUT", ORDER, "{}", status, code),
        )
    };
    let key_too_long = format!("Idempotency-Key: {}", "k".repeat(256));
    vec![
        put(&key_too_long, 400, "INVALID_ARGUMENT"),
        put("Idempotency-Key: two words", 400, "INVALID_ARGUMENT"),
        put("Prefer: respond-async", 400, "INVALID_ARGUMENT"),
        put("If-Match: \"12.0\"", 412, "PRECONDITION_FAILED"),
        put("If-Match: *", 412, "PRECONDITION_FAILED"),
        put("Origin: http://elsewhere.example", 403, "FORBIDDEN"),
        put("X-Forwarded-For: 10.0.0.1", 403, "FORBIDDEN"),
        put("Forwarded: for=10.0.0.1", 403, "FORBIDDEN"),
    ]
}

#[test]
fn bad_requests_get_their_documented_problem_and_leave_no_trace() {
    let data = TempDir::new().unwrap();
    let mut node = Node::start(data.path());
    let client = node.client();
    let height = client.height();
    let mut failures = Vec::new();
    for case in [bodies(), oversized(), names(), places(), headers()]
        .into_iter()
        .flatten()
    {
        let body = String::from_utf8_lossy(&case.body[..case.body.len().min(60)]).into_owned();
        let path: String = case.path.chars().take(80).collect();
        let request = format!("{} {path} {}{body}", case.method, case.headers);
        if let Err(what) = judge(node.address(), &case) {
            failures.push(format!("{request}\n    {what}"));
        }
        assert!(node.is_running(), "{request}\nended it:\n{}", node.log());
    }
    assert!(
        failures.is_empty(),
        "{} requests got another answer:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(client.get("/healthz", "application/json").status, 200);
    assert_eq!(client.height(), height);
    assert!(node.stop().success());
}

#[test]
fn a_foreign_host_header_is_refused() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let request =
        "GET /v1/channels HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n";
    let answer = exchange(node.address(), request.as_bytes());
    assert!(
        answer.starts_with(b"HTTP/1.1 403 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[test]
fn what_is_not_http_harms_nobody() {
    let data = TempDir::new().unwrap();
    let mut node = Node::start(data.path());
    let huge_header = format!(
        "GET /v1/channels HTTP/1.1\r\nHost: {}\r\nX-Filler: {}\r\n\r\n",
        node.address(),
        "x".repeat(2 << 20)
    );
    let garbage: [&[u8]; 5] = [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        huge_header.as_bytes(),
    ];
    for bytes in garbage {
        let answer = exchange_and(node.address(), bytes, |stream| {
            drop(stream.shutdown(Shutdown::Write));
        });
        let text = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty()
                || text.starts_with("HTTP/1.1 4") && text.contains("application/problem+json"),
            "{text}"
        );
    }
    assert!(node.is_running(), "it ended:\n{}", node.log());
    assert_eq!(
        node.client().get("/healthz", "application/json").status,
        200
    );
}

/// Sends a case by hand and compares the problem document.
fn judge(address: &str, case: &Case) -> Result<(), String> {
    let mut request = format!(
        "{} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n",
        case.method,
        case.path,
        case.body.len(),
        case.headers
    )
    .into_bytes();
    request.extend_from_slice(&case.body);
    let answer = RawAnswer::read(&exchange(address, &request))?;
    answer.judge(case.status, case.code)?;
    if case.status == 405 && answer.header("allow").is_none() {
        return Err("405 has no Allow".to_owned());
    }
    Ok(())
}
