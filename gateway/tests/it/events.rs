//! Server-sent events: what is sent, to whom, from where and until when.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::kit::{Client, Node};

/// The events of a stream that ends: id, name and data of each.
fn events(text: &str) -> Vec<(u64, String, Value)> {
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::to_owned)
    };
    let events = text.split("\n\n").filter(|event| event.contains("event: "));
    events
        .map(|event| {
            let id = field(event, "id: ").unwrap().parse().unwrap();
            let data = field(event, "data: ").unwrap();
            let data = serde_json::from_str(&data).unwrap();
            (id, field(event, "event: ").unwrap(), data)
        })
        .collect()
}

async fn fill(client: &Client) {
    for (namespace, key) in [("orders", "1"), ("carts", "a/b"), ("orders", "2")] {
        let operation = format!(
            r#"{{"operations":[{{"op":"put","namespace":"{namespace}","key":"{key}","value":1}}]}}"#
        );
        let answer = client.post("./transactions", &[], &operation).await;
        answer.assert_status(201);
    }
    client
        .delete("./state/orders/1", &[])
        .await
        .assert_status(200);
}

#[tokio::test]
async fn every_block_comes_once_in_order_with_its_writes() {
    let node = Node::new();
    let client = node.client();
    fill(&client).await;
    let answer = client.get("./events?from=0&to=4").await;
    answer.assert_status(200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("quire-height"), Some("5"));
    let events = events(answer.text());
    assert_eq!(
        events.iter().map(|event| event.0).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
    assert!(events.iter().all(|event| event.1 == "block"));
    let block = client.get("./blocks/2").await.json();
    let told = &events[2].2;
    assert_eq!(told["blockNumber"], 2);
    assert_eq!(told["blockHash"], block["hash"]);
    let transaction = &told["transactions"][0];
    assert_eq!(
        transaction["transactionId"],
        block["transactions"][0]["transactionId"]
    );
    assert_eq!(transaction["code"], "VALID");
    assert_eq!(transaction["chaincode"], "documents");
    assert_eq!(
        transaction["writes"],
        serde_json::json!([{"namespace": "carts", "key": "a/b", "isDelete": false}])
    );
    let deleted = &events[4].2["transactions"][0]["writes"][0];
    assert_eq!(deleted["isDelete"], true);
}

#[tokio::test]
async fn the_namespace_drops_transactions_but_no_block() {
    let node = Node::new();
    let client = node.client();
    fill(&client).await;
    let answer = client.get("./events?from=1&to=3&namespace=carts").await;
    let told: Vec<_> = events(answer.text())
        .iter()
        .map(|event| {
            let transactions = event.2["transactions"].as_array().unwrap();
            (event.0, transactions.len())
        })
        .collect();
    assert_eq!(told, [(1, 0), (2, 1), (3, 0)]);
}

#[tokio::test]
async fn last_event_id_wins_and_resumes_behind_it() {
    let node = Node::new();
    let client = node.client();
    fill(&client).await;
    let answer = client
        .get_with("./events?from=0&to=4", "last-event-id: 2")
        .await;
    let ids: Vec<_> = events(answer.text()).iter().map(|event| event.0).collect();
    assert_eq!(ids, [3, 4]);
    // Nothing is left to send: a browser stops asking.
    client
        .get_with("./events?from=0&to=4", "last-event-id: 4")
        .await
        .assert_status(204);
}

#[tokio::test]
async fn impossible_places_are_refused() {
    let node = Node::new();
    let client = node.client();
    fill(&client).await;
    for path in [
        "./events?from=6",
        "./events?from=3&to=2",
        "./events?from=x",
        "./events?frm=0",
    ] {
        client
            .get(path)
            .await
            .assert_problem(400, "INVALID_ARGUMENT");
    }
    for id in ["5", "x", "18446744073709551615"] {
        let answer = client
            .get_with("./events", &format!("last-event-id: {id}"))
            .await;
        answer.assert_problem(400, "INVALID_ARGUMENT");
    }
    client
        .get_with("./events", "accept: application/json")
        .await
        .assert_problem(406, "NOT_ACCEPTABLE");
}

struct Stream(axum::body::BodyDataStream);

impl Stream {
    async fn open(router: &Router, path: &str) -> Self {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Self(response.into_body().into_data_stream())
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let piece = timeout(Duration::from_secs(3600), self.0.next()).await;
        let piece = piece.unwrap()?.unwrap();
        Some(String::from_utf8(piece.to_vec()).unwrap())
    }
}

const EVENTS: &str = "/v1/channels/main/events";

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_where_it_is_and_new_blocks_come_at_once() {
    let node = Node::new();
    let client = node.client();
    let mut stream = Stream::open(&client.router, EVENTS).await;
    for _ in 0..3 {
        assert_eq!(stream.next().await.unwrap(), "id: 0\n: heartbeat\n\n");
    }
    fill(&client).await;
    for number in 1..5 {
        let event = stream.next().await.unwrap();
        assert!(
            event.starts_with(&format!("event: block\nid: {number}\n")),
            "{event}"
        );
    }
    assert_eq!(stream.next().await.unwrap(), "id: 4\n: heartbeat\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_stopping_node_ends_its_streams() {
    let node = Node::new();
    let client = node.client();
    let mut stream = Stream::open(&client.router, EVENTS).await;
    stream.next().await.unwrap();
    node.stopping.send_replace(true);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_thousand_listeners_read_a_block_once() {
    let node = Node::new();
    let client = node.client();
    let mut streams = Vec::new();
    for _ in 0..1000 {
        let mut stream = Stream::open(&client.router, EVENTS).await;
        stream.next().await.unwrap();
        streams.push(stream);
    }
    fill(&client).await;
    let mut first = Vec::new();
    for stream in &mut streams {
        let piece = stream.0.next().await.unwrap().unwrap();
        assert!(piece.starts_with(b"event: block\nid: 1\n"));
        // They must be the same bytes in memory, not only equal bytes.
        first.push(piece.as_ptr());
    }
    first.dedup();
    assert_eq!(first.len(), 1);
}

#[tokio::test]
async fn there_is_room_for_so_many_listeners() {
    let node = Node::new();
    let limits = quire_gateway::Limits {
        listeners: 1,
        ..Default::default()
    };
    let client = node.client_with(limits, quire_gateway::Cors::default());
    let stream = Stream::open(&client.router, EVENTS).await;
    let refused = client.get("./events").await;
    refused.assert_problem(503, "OVERLOADED");
    assert!(refused.header("retry-after").is_some());
    drop(stream);
    client.get("./events?to=0&from=0").await.assert_status(200);
}
