//! What an operator's Prometheus sees. Guards against metrics that are there and say nothing.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use tempfile::TempDir;

use super::kit::{Client, Node, RawAnswer, Request, exchange};

fn put(client: &Client, key: &str, idempotency_key: &str) -> u16 {
    let request = Request {
        method: "PUT",
        path: format!("/v1/channels/main/state/orders/{key}"),
        headers: vec![
            ("Content-Type", "application/json".to_owned()),
            ("Idempotency-Key", idempotency_key.to_owned()),
        ],
        body: r#"{"total": 12.50}"#.to_owned(),
    };
    client.send(&request).unwrap().status
}

/// The value of the series whose line begins with `series`.
fn value(client: &Client, series: &str) -> u64 {
    let text = client.get("/metrics", "text/plain").text();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.trim().parse().unwrap()
}

#[test]
fn a_write_its_repetition_and_its_misuse_are_each_counted_once() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    assert_eq!(put(&client, "1", "a"), 201);
    assert_eq!(put(&client, "1", "a"), 201);
    assert_eq!(put(&client, "2", "a"), 422);
    let route = "/v1/channels/{channel}/state/{namespace}/{key}";
    let requests = |outcome: &str, status: u16| {
        format!(
            "quire_gateway_requests_total{{method=\"PUT\",outcome=\"{outcome}\",\
             route=\"{route}\",status=\"{status}\"}}"
        )
    };
    let key_met = |met: &str| format!("quire_gateway_idempotency_total{{met=\"{met}\"}}");
    for (series, expected) in [
        (requests("OK", 201), 2),
        (requests("IDEMPOTENCY_KEY_REUSED", 422), 1),
        (key_met("new"), 1),
        (key_met("replayed"), 1),
        (key_met("reused"), 1),
        (key_met("joined"), 0),
        ("ledger_blockchain_height{channel=\"main\"}".to_owned(), 2),
        (
            "ledger_transaction_count{chaincode=\"orders:1\",channel=\"main\",\
             transaction_type=\"ENDORSER_TRANSACTION\",validation_code=\"VALID\"}"
                .to_owned(),
            1,
        ),
        (
            "quire_ledger_fsync_seconds_count{channel=\"main\"}".to_owned(),
            2,
        ),
        (
            "quire_queue_wait_seconds_count{channel=\"main\"}".to_owned(),
            1,
        ),
        ("quire_queue_transactions{channel=\"main\"}".to_owned(), 0),
    ] {
        assert_eq!(value(&client, &series), expected, "{series}");
    }
}

#[test]
fn a_damaged_block_is_counted_when_it_is_met() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    for key in ["1", "2", "3"] {
        assert_eq!(put(&node.client(), key, key), 201);
    }
    assert!(node.stop().success());
    // The engine knows the newest block, so opening reads none of those before it.
    let file = data.path().join("channels/main/blockfile_000000");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let at = bytes.windows(6).position(|six| six == b"orders").unwrap();
    file.write_all_at(b"OrderS", at as u64).unwrap();

    let node = Node::start(data.path());
    let client = node.client();
    let damage = "quire_damage_total{channel=\"main\"}";
    assert_eq!(value(&client, damage), 0);
    let answer = client.send(&Request::get("/v1/channels/main/blocks/1".to_owned()));
    assert_eq!(answer.unwrap().status, 500);
    assert_eq!(value(&client, damage), 1);
    assert_eq!(value(&client, "quire_damaged_blocks{channel=\"main\"}"), 1);
}

#[test]
fn the_operations_have_a_door_of_their_own_when_asked() {
    let data = TempDir::new().unwrap();
    let node = Node::start_under(&["env", "QUIRE_OPERATIONS_LISTEN=127.0.0.1:0"], data.path());
    let metrics = loop {
        let log = node.log();
        let mut lines = log.lines().map(str::trim);
        if let Some(address) = lines.find_map(|line| line.strip_prefix("metrics ")) {
            break address.to_owned();
        }
        assert!(!log.contains("curl"), "no address of the metrics in\n{log}");
        std::thread::yield_now();
    };
    let address = metrics.trim().strip_prefix("http://").unwrap();
    let operations = Client::new(address.strip_suffix("/metrics").unwrap());
    for path in ["/metrics", "/healthz", "/readyz", "/version"] {
        let get = || Request::get(path.to_owned());
        assert_eq!(operations.send(&get()).unwrap().status, 200, "{path}");
        assert_eq!(node.client().send(&get()).unwrap().status, 404, "{path}");
    }
    let get = Request::get("/v1/channels".to_owned());
    assert_eq!(operations.send(&get).unwrap().status, 404);
}

fn post(client: &Client, path: &str, content_type: &str, body: &str) -> String {
    let request = Request {
        method: "POST",
        path: format!("/v1/channels/main/{path}"),
        headers: vec![("Content-Type", content_type.to_owned())],
        body: body.to_owned(),
    };
    let answer = client.send(&request).unwrap();
    assert!(answer.status < 300, "{path}: {}", answer.text());
    answer.text()
}

/// Each thing that is no request with one answer, once; and what of it is counted.
#[test]
fn queries_streams_batches_and_the_edge_are_counted_apart() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    let line = |key: u8| {
        format!(
            r#"{{"operations":[{{"op":"put","namespace":"n","key":"{key}","value":{{"a":{key}}}}}]}}"#
        )
    };
    let batch = format!("{}\n{}\nnothing\n", line(1), line(2));
    post(
        &client,
        "transactions:batch",
        "application/x-ndjson",
        &batch,
    );
    let find = |selector: &str| {
        let query = format!(r#"{{"selector":{selector}}}"#);
        post(&client, "state/n/_find", "application/json", &query);
    };
    find(r#"{"a":1}"#);
    let index = r#"{"index":{"fields":["a"]}}"#;
    post(&client, "state/n/_index", "application/json", index);
    find(r#"{"a":1}"#);
    let told = client.get("/v1/channels/main/events?from=0&to=1", "text/event-stream");
    assert_eq!(told.text().matches("event: block").count(), 2);
    let refused = exchange(node.address(), b"this is no request\r\n\r\n");
    assert_eq!(RawAnswer::read(&refused).unwrap().status, 400);

    for (series, expected) in [
        ("quire_batch_lines_total{outcome=\"OK\"}", 2),
        ("quire_batch_lines_total{outcome=\"INVALID_JSON\"}", 1),
        ("quire_batches_in_flight", 0),
        (
            "quire_queries_total{channel=\"main\",served_by=\"scan\"}",
            1,
        ),
        (
            "quire_queries_total{channel=\"main\",served_by=\"index\"}",
            1,
        ),
        ("quire_query_examined_documents_total{channel=\"main\"}", 3),
        ("quire_query_returned_documents_total{channel=\"main\"}", 2),
        (
            "quire_state_call_seconds_count{call=\"find\",channel=\"main\"}",
            2,
        ),
        ("quire_query_indexes{channel=\"main\",state=\"ready\"}", 1),
        ("deliver_streams_opened", 1),
        ("deliver_streams_closed", 1),
        ("quire_event_listeners", 0),
        (
            "deliver_blocks_sent{channel=\"main\",data_type=\"block\",filtered=\"false\"}",
            2,
        ),
        (
            "quire_edge_refusals_total{outcome=\"INVALID_ARGUMENT\",status=\"400\"}",
            1,
        ),
        ("quire_connections_total{arrival=\"refused\"}", 0),
    ] {
        assert_eq!(value(&client, series), expected, "{series}");
    }
}

#[test]
fn connections_beyond_the_bound_are_counted_as_refused() {
    let data = TempDir::new().unwrap();
    let node = Node::start_with(data.path(), &["--max-connections", "1"]);
    // Kept open by the client.
    let client = node.client();
    assert_eq!(value(&client, "quire_connections_open"), 1);
    let get = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let refused = RawAnswer::read(&exchange(node.address(), get));
    assert_eq!(refused.unwrap().status, 503);
    for (series, expected) in [
        ("quire_connections_total{arrival=\"refused\"}", 1),
        (
            "quire_edge_refusals_total{outcome=\"OVERLOADED\",status=\"503\"}",
            1,
        ),
    ] {
        assert_eq!(value(&client, series), expected, "{series}");
    }
}

#[test]
fn nothing_is_counted_where_that_is_asked() {
    let data = TempDir::new().unwrap();
    let node = Node::start_with(data.path(), &["--no-metrics"]);
    let client = node.client();
    assert_eq!(put(&client, "1", "a"), 201);
    let metrics = client.send(&Request::get("/metrics".to_owned()));
    assert_eq!(metrics.unwrap().status, 404);
    assert!(!node.log().contains("  metrics "));
}
