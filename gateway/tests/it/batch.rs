//! Batches: order, isolation of bad lines, keys, limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use futures_util::{StreamExt as _, stream};
use quire_gateway::Limits;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::kit::{Answer, Client, Node};

const NDJSON: &str = "content-type: application/x-ndjson";
const BATCH: &str = "./transactions:batch";

fn put(key: &str, value: u64) -> Value {
    json!({"chaincode": "orders", "function": "put", "args": [key, {"n": value}]})
}

fn text(lines: &[Value]) -> String {
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    lines.join("\n")
}

async fn batch(client: &Client, body: impl Into<Body>) -> Vec<Value> {
    let answer = client.send("POST", BATCH, &[NDJSON], body).await;
    lines(&answer)
}

#[track_caller]
fn lines(answer: &Answer) -> Vec<Value> {
    answer.assert_status(200);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines = answer.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn answers_come_in_input_order_and_a_bad_line_fails_alone() {
    let node = Node::new();
    let client = node.client();
    let body = [
        put("1", 1).to_string(),
        "{".to_owned(),
        put("2", 2).to_string(),
        String::new(),
        json!({"chaincode": "orders", "function": "put", "args": ["_bad", 1]}).to_string(),
        json!({"chaincode": "orders", "function": "merge", "args": ["none", {}]}).to_string(),
        json!({"operations": [], "maxAttempts": 11}).to_string(),
        json!({"operations": [{"op": "create", "namespace": "orders", "key": "3", "value": 3}]})
            .to_string(),
    ]
    .join("\n");
    let answers = batch(&client, body).await;
    let told: Vec<_> = answers
        .iter()
        .map(|answer| {
            let code = answer["body"]["code"].as_str().unwrap();
            (answer["line"].as_u64(), answer["status"].as_u64(), code)
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some(1), Some(201), "VALID"),
            (Some(2), Some(400), "INVALID_JSON"),
            (Some(3), Some(201), "VALID"),
            (Some(5), Some(400), "INVALID_NAME"),
            (Some(6), Some(404), "KEY_NOT_FOUND"),
            (Some(7), Some(400), "INVALID_ARGUMENT"),
            (Some(8), Some(201), "VALID"),
        ]
    );
    assert!(answers[1]["body"]["requestId"].is_string());
    client.get("./state/orders/3").await.assert_status(200);
}

#[tokio::test]
async fn lines_of_one_key_take_effect_in_input_order() {
    let node = Node::new();
    let client = node.client();
    let mut lines = vec![put("hot", 0)];
    for number in 0..200 {
        lines.push(json!({"operations": [
            {"op": "merge", "namespace": "orders", "key": "hot", "value": {format!("m{}", number % 7): number}},
        ]}));
        lines.push(put(&format!("cold{number}"), number));
    }
    // What this line reads is not known beforehand, so it comes after all lines above.
    lines.push(json!({"chaincode": "orders", "function": "range", "args": [{"limit": 1000}]}));
    lines.push(put("hot", 1000));
    let answers = batch(&client, text(&lines)).await;
    assert!(answers.iter().all(|answer| answer["status"] == 201));
    let rows = &answers[401]["body"]["result"]["rows"];
    let hot = rows.as_array().unwrap().last().unwrap();
    assert_eq!(hot["key"], "hot");
    for member in 0..7u64 {
        let last = (0..200).rev().find(|number| number % 7 == member).unwrap();
        assert_eq!(hot["value"][format!("m{member}")], last);
    }
    let now = client.get("./state/orders/hot").await.json();
    assert_eq!(now, json!({"n": 1000}));
    let history = client
        .get("./history/orders/hot?order=asc&limit=1000")
        .await;
    let written = history.json()["entries"].clone();
    let order: Vec<_> = written.as_array().unwrap().iter().collect();
    assert_eq!(order.len(), 202);
    let first = &order[1]["value"];
    assert_eq!(first, &json!({"n": 0, "m0": 0}));
}

/// Results can be large, and a client may send ten thousand lines before it reads an answer.
#[tokio::test]
async fn no_results_are_kept_for_a_client_that_does_not_read() {
    let node = Node::new();
    let client = node.client();
    let body = text(&(0..50).map(|n| put(&n.to_string(), n)).collect::<Vec<_>>());
    let request = Request::post("/v1/channels/main/transactions:batch")
        .header("content-type", "application/x-ndjson")
        .body(Body::from(body))
        .unwrap();
    let unread = client.router.clone().oneshot(request).await.unwrap();
    let told = async {
        while node.orderer.submitted() < 50 || node.orderer.results_kept() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(30), told)
        .await
        .expect("all forgotten");
    let answers = to_bytes(unread.into_body(), usize::MAX).await.unwrap();
    assert_eq!(answers.split(|byte| *byte == b'\n').count(), 51);
}

#[tokio::test]
async fn a_line_with_a_key_is_the_equivalent_single_request() {
    let node = Node::new();
    let client = node.client();
    let single = put("1", 1).to_string();
    let mut line = put("1", 1);
    line["idempotencyKey"] = json!("k-1");
    let mut other = put("1", 2);
    other["idempotencyKey"] = json!("\"k-1\"");
    let answers = batch(&client, text(&[line.clone(), line, other])).await;
    assert_eq!(answers[0]["status"], 201);
    assert_eq!(answers[1]["body"], answers[0]["body"]);
    assert_eq!(answers[2]["status"], 422);
    assert_eq!(node.orderer.submitted(), 1);

    let again = client
        .post("./transactions", &["idempotency-key: k-1"], &single)
        .await;
    again.assert_status(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), answers[0]["body"]);
}

#[tokio::test]
async fn what_is_no_batch_is_refused_as_a_whole() {
    let node = Node::new();
    let client = node.client();
    let send = async |headers: &[&str]| client.send("POST", BATCH, headers, "").await;
    send(&[NDJSON, "idempotency-key: k"])
        .await
        .assert_problem(400, "INVALID_ARGUMENT");
    send(&["content-type: application/json"])
        .await
        .assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    send(&[NDJSON, "accept: application/json"])
        .await
        .assert_problem(406, "NOT_ACCEPTABLE");
    assert!(lines(&send(&[NDJSON]).await).is_empty());
}

#[tokio::test]
async fn there_are_at_most_ten_thousand_lines() {
    let node = Node::new();
    let client = node.client();
    // These lines only read, because only the counting is tested.
    let line = json!({"chaincode": "orders", "function": "merge", "args": ["none", {}]});
    let body = format!("{line}\n").repeat(10_003);
    let answers = batch(&client, body).await;
    assert_eq!(answers.len(), 10_001);
    assert_eq!(answers[9_999]["status"], 404);
    let last = &answers[10_000];
    assert_eq!(
        (last["line"].as_u64(), last["status"].as_u64()),
        (Some(10_001), Some(413))
    );
}

#[tokio::test(start_paused = true)]
async fn a_line_that_does_not_come_ends_the_batch_with_408() {
    let node = Node::new();
    let client = node.client();
    let first = format!("{}\n{{", put("1", 1));
    let body = stream::once(async move { Ok::<_, Infallible>(first) });
    let body = futures_util::StreamExt::chain(body, stream::pending());
    let answers = batch(&client, Body::from_stream(body)).await;
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0]["status"], 201);
    assert_eq!(answers[1]["status"], 408);
    assert_eq!(answers[1]["body"]["code"], "REQUEST_TIMEOUT");
}

#[tokio::test(start_paused = true)]
async fn blank_lines_and_pieces_of_a_line_buy_no_time() {
    let node = Node::new();
    let client = node.client();
    let time = Limits::default().body_timeout;
    for (piece, number) in [("\n", 4), (" \r\n", 4), (" ", 2)] {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let pieces = stream::unfold((), move |()| {
            let counted = Arc::clone(&counted);
            async move {
                let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
                if first {
                    let line = format!("{}\n", put("1", 1));
                    return Some((Ok::<_, Infallible>(line), ()));
                }
                sleep(time * 2 / 5).await;
                Some((Ok(piece.to_owned()), ()))
            }
        });
        let answers = batch(&client, Body::from_stream(pieces)).await;
        assert_eq!(answers.len(), 2, "{piece:?}");
        assert_eq!(answers[1]["line"], number, "{piece:?}");
        assert_eq!(answers[1]["status"], 408, "{piece:?}");
        // These are the line, two pieces in time, and a piece that came too late.
        assert_eq!(sent.load(Ordering::Relaxed), 4, "{piece:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_line_has_its_own_time() {
    let node = Node::new();
    let client = node.client();
    let time = Limits::default().body_timeout;
    let slow = stream::iter(0..5).then(move |number| async move {
        sleep(time * 4 / 5).await;
        Ok::<_, Infallible>(format!("{}\n", put("1", number)))
    });
    let answers = batch(&client, Body::from_stream(slow)).await;
    assert_eq!(answers.len(), 5);
    assert!(
        answers
            .iter()
            .all(|answer| answer["body"]["code"] == "VALID")
    );
}
