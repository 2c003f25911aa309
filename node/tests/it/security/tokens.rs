//! Tokens of a running node: each change counts from the next request on, and what an identity signed
//! stays its own whatever becomes of its tokens.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::{assert_problem, create, id, make, send, send_with, token, token_command};
use crate::kit::{Node, run};

const ORDER: &str = "PUT /v1/channels/main/state/orders/1001";
const CHANNEL: &str = "GET /v1/channels/main";

#[test]
fn tokens_made_rotated_and_revoked_on_a_running_node_take_effect_at_once() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    assert_eq!(send(&client, CHANNEL, "", "").status, 200);

    let first = create(data.path(), "--identity shop --role writer");
    assert_problem(&send(&client, CHANNEL, "", ""), 401, "UNAUTHENTICATED");
    assert_eq!(send(&client, ORDER, &first, "1").status, 201);
    let second = token(data.path(), &["rotate", id(&first)]);
    assert_eq!(id(&second), id(&first));
    assert_problem(&send(&client, CHANNEL, &first, ""), 401, "UNAUTHENTICATED");
    assert_eq!(send(&client, ORDER, &second, "2").status, 200);

    let list = token(data.path(), &["list"]);
    assert!(
        list.contains(id(&second)) && list.contains("shop\twriter\tall channels"),
        "{list}"
    );
    let secret = second.splitn(3, '_').nth(2).unwrap();
    assert!(!list.contains(secret), "{list}");
    assert!(!node.log().contains(secret), "{}", node.log());

    token(data.path(), &["revoke", id(&second)]);
    assert_problem(&send(&client, CHANNEL, &second, ""), 401, "UNAUTHENTICATED");
    // The last token is gone, and still nobody gets in without one.
    assert_problem(&send(&client, CHANNEL, "", ""), 401, "UNAUTHENTICATED");
    assert_eq!(send(&client, "GET /healthz", "", "").status, 200);
    assert!(
        !token_command(data.path(), &["revoke", id(&second)])
            .status
            .success()
    );
    assert!(node.stop().success());
}

#[test]
fn keys_of_a_rotated_token_name_the_same_transactions() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    let first = create(data.path(), "--identity shop --role writer");
    let put = |token: &str, key: &str, more: &[(&'static str, &str)], value: &str| {
        let more = [&[("Idempotency-Key", key)], more].concat();
        send_with(&client, ORDER, token, &more, value)
    };
    let done = put(&first, "key-1", &[], "1");
    assert_eq!(done.status, 201);
    let under_way = put(&first, "key-2", &[("Prefer", "respond-async")], "2");
    assert!(
        matches!(under_way.status, 200 | 202),
        "{}",
        under_way.text()
    );
    let ids = [&done, &under_way].map(|answer| answer.json()["transactionId"].clone());

    let second = token(data.path(), &["rotate", id(&first)]);
    let other = create(data.path(), "--identity shop --role writer");
    for token in [&second, &other] {
        let again = put(token, "key-1", &[], "1");
        assert_eq!(
            (again.status, &again.json()["transactionId"]),
            (201, &ids[0])
        );
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        let again = put(token, "key-2", &[], "2");
        assert_eq!(again.json()["transactionId"], ids[1], "{}", again.text());
        let path = "GET /v1/channels/main/transactions?idempotencyKey=key-2&wait=10";
        let outcome = send(&client, path, token, "").json();
        assert_eq!(outcome["transactionId"], ids[1]);
        assert_eq!(outcome["creator"], "shop");
        let reused = put(token, "key-1", &[], "3");
        assert_problem(&reused, 422, "IDEMPOTENCY_KEY_REUSED");
    }
    // Another identity's key is another key, also that of callers before there were tokens.
    let stranger = create(data.path(), "--identity client --role writer");
    let theirs = put(&stranger, "key-1", &[], "4");
    assert_eq!(theirs.status, 200, "{}", theirs.text());
    assert_ne!(theirs.json()["transactionId"], ids[0]);
    assert!(node.stop().success());
}

#[test]
fn roles_and_channels_hold_over_the_wire() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    let admin = create(data.path(), "--identity boss --role admin");
    let other = send(&client, "POST /v1/channels", &admin, r#"{"name": "other"}"#);
    assert_eq!(other.status, 201);
    let reader = create(data.path(), "--identity clerk --role reader");
    let writer = create(data.path(), "--identity shop --role writer --channel main");
    for (route, token, body) in [
        (ORDER, &reader, "1"),
        ("POST /v1/channels/main/transactions", &reader, "{}"),
        ("POST /v1/channels", &writer, r#"{"name": "third"}"#),
        ("POST /v1/channels", &reader, r#"{"name": "third"}"#),
        ("PUT /v1/channels/other/state/orders/1", &writer, "1"),
        ("GET /v1/channels/other/state/orders/1", &writer, ""),
        ("GET /v1/channels/%6fther", &writer, ""),
        ("GET /v1/channels/nowhere", &writer, ""),
    ] {
        assert_problem(&send(&client, route, token, body), 403, "FORBIDDEN");
    }
    assert_eq!(send(&client, ORDER, &writer, "1").status, 201);
    let path = "GET /v1/channels/other/state/orders";
    assert_eq!(send(&client, path, &reader, "").status, 200);
    let seen = send(&client, "GET /v1/channels", &writer, "").json();
    assert_eq!(seen["channels"].as_array().unwrap().len(), 1, "{seen}");
    assert!(node.stop().success());
}

/// The line of a request in the log.
fn line<'a>(log: &'a str, request_id: &str) -> &'a str {
    let id = format!("request_id=\"{request_id}\"");
    let mut lines = log.lines().filter(|line| line.contains(&id));
    let line = lines.next().unwrap_or_else(|| panic!("no {id} in\n{log}"));
    assert_eq!(lines.next(), None);
    line
}

#[test]
fn the_log_names_who_asked_by_which_token_from_where_and_refusals_are_counted() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    let ask = |route: &str, token: &str, request_id: &str| {
        let more = [("X-Request-Id", request_id)];
        send_with(&client, route, token, &more, "1").status
    };
    assert_eq!(ask(ORDER, "", "open"), 201);
    let writer = create(data.path(), "--identity shop --role writer");
    let reader = create(data.path(), "--identity clerk --role reader");
    assert_eq!(ask(ORDER, &writer, "written"), 200);
    assert_eq!(ask(ORDER, &reader, "refused"), 403);
    assert_eq!(ask(ORDER, "quire_0a1b2c3d4e5f6071_x", "unknown"), 401);
    let metrics = send(&client, "GET /metrics", &reader, "").text();
    for (code, expected) in [("FORBIDDEN", 1), ("UNAUTHENTICATED", 1), ("TOO_LARGE", 0)] {
        let series = format!("quire_refusals_total{{code=\"{code}\"}} {expected}");
        assert!(metrics.contains(&series), "no {series} in {metrics}");
    }
    let secrets: Vec<_> = [&writer, &reader]
        .iter()
        .map(|token| token.splitn(3, '_').nth(2).unwrap().to_owned())
        .collect();
    let (writer, reader) = (id(&writer).to_owned(), id(&reader).to_owned());
    let log = node.log_after_stop();
    for (request_id, parts) in [
        ("open", vec!["identity=\"client\"".to_owned()]),
        (
            "written",
            vec![
                "identity=\"shop\"".to_owned(),
                format!("token=\"{writer}\""),
            ],
        ),
        (
            "refused",
            vec![
                "identity=\"clerk\"".to_owned(),
                format!("token=\"{reader}\""),
            ],
        ),
        ("unknown", vec!["outcome=\"UNAUTHENTICATED\"".to_owned()]),
    ] {
        let line = line(&log, request_id);
        assert!(line.contains("peer=127.0.0.1:"), "{line}");
        for part in parts {
            assert!(line.contains(&part), "no {part} in {line}");
        }
    }
    assert!(!line(&log, "open").contains("token="));
    assert!(!line(&log, "unknown").contains("identity="));
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "{log}");
}

#[test]
fn an_expired_token_is_told_so_and_a_stopped_node_can_get_another() {
    let data = TempDir::new().unwrap();
    make(data.path());
    let expiring = create(data.path(), "--identity shop --role writer --expires 1m");
    let path = data.path().join("tokens/tokens.json");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file = std::fs::read_to_string(&path).unwrap();
    let (head, end) = file.split_once("\"expires\": \"").unwrap();
    let past = format!("{head}\"expires\": \"2001{}", &end[4..]);
    std::fs::write(&path, past).unwrap();

    let node = Node::start(data.path());
    let client = node.client();
    let answer = send(&client, CHANNEL, &expiring, "");
    assert_problem(&answer, 401, "UNAUTHENTICATED");
    assert_eq!(answer.json()["detail"], "The token has expired.");
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
    assert!(token(data.path(), &["list"]).contains("EXPIRED"));
    let renewed = token(data.path(), &["rotate", id(&expiring), "--expires", "1h"]);
    assert_eq!(send(&client, CHANNEL, &renewed, "").status, 200);
    assert!(node.stop().success());
    let stopped = token(data.path(), &["rotate", id(&renewed)]);
    let node = Node::start(data.path());
    assert_problem(
        &send(&node.client(), CHANNEL, &renewed, ""),
        401,
        "UNAUTHENTICATED",
    );
    assert_eq!(send(&node.client(), CHANNEL, &stopped, "").status, 200);
    assert!(node.stop().success());
}

#[test]
fn what_makes_no_sense_makes_no_token() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    for arguments in [
        "--identity node --role writer",
        "--identity orderer --role admin",
        "--identity ../shop --role writer",
        "--identity shop --role owner",
        "--identity shop --role writer --channel Main",
        "--identity shop --role writer --expires 2001-01-01",
        "--identity shop --role writer --expires soon",
    ] {
        let arguments: Vec<_> = ["create"].into_iter().chain(arguments.split(' ')).collect();
        let output = token_command(data.path(), &arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    assert!(!data.path().join("tokens/tokens.json").exists());
    assert_eq!(send(&node.client(), CHANNEL, "", "").status, 200);
    assert!(node.stop().success());
}

#[test]
fn a_file_of_tokens_that_cannot_be_read_keeps_the_node_from_starting() {
    let data = TempDir::new().unwrap();
    make(data.path());
    create(data.path(), "--identity shop --role writer");
    std::fs::write(data.path().join("tokens/tokens.json"), "{}").unwrap();
    let run = run(&["run", "--listen", "127.0.0.1:0"], data.path());
    assert_eq!(run.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(errors.contains("tokens.json holds no tokens"), "{errors}");
}
