//! What all requests together hold: bodies, answers, batches and events have one budget.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::Request;
use bytes::Bytes;
use futures_util::stream::unfold;
use quire_gateway::{Cors, Limits, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::kit::{Answer, Client, Node};
use crate::socket::Plain;

/// Longer than this would be for ever.
const FOR_EVER: Duration = Duration::from_secs(60);
pub(crate) const MIB: usize = 1 << 20;

fn limits(memory_bytes: usize) -> Limits {
    Limits {
        memory_bytes,
        ..Limits::default()
    }
}

/// The bytes that are held for something, according to metrics.
async fn held(client: &Client, kind: &str) -> usize {
    let name = format!("quire_memory_bytes{{kind=\"{kind}\"}} ");
    let metrics = client.get("/metrics").await;
    let mut lines = metrics.text().lines();
    let value = lines.find_map(|line| line.strip_prefix(&name)).unwrap();
    value.parse().unwrap()
}

/// Waits until the held bytes satisfy `is_it`.
async fn until(client: &Client, kind: &str, is_it: impl Fn(usize) -> bool) {
    let comes = async {
        while !is_it(held(client, kind).await) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(FOR_EVER, comes).await.unwrap();
}

/// A request whose body comes in pieces.
struct Sent {
    pieces: mpsc::Sender<Bytes>,
    answer: JoinHandle<Answer>,
}

fn send(client: &Client, method: &str, path: &str, kind: &str) -> Sent {
    let (pieces, body) = mpsc::channel::<Bytes>(1);
    let next = async |mut body: mpsc::Receiver<Bytes>| {
        let piece = body.recv().await?;
        Some((Ok::<_, io::Error>(piece), body))
    };
    let body = Body::from_stream(unfold(body, next));
    let (client, method, path) = (client.clone(), method.to_owned(), path.to_owned());
    let kind = format!("content-type: {kind}");
    let answer = tokio::spawn(async move { client.send(&method, &path, &[&kind], body).await });
    Sent { pieces, answer }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come_to_their_end_have_a_share_and_no_more() {
    let client = Node::new().client_with(limits(8 * MIB), Cors::default());
    let mut unfinished = Vec::new();
    let refused = loop {
        let path = format!("./state/orders/{}", unfinished.len());
        let sent = send(&client, "PUT", &path, "application/json");
        for _ in 0..4 {
            // An error means that there is an answer.
            drop(sent.pieces.send(vec![b' '; MIB / 4].into()).await);
        }
        // There is room for another piece when the last one was taken, or when no piece will be taken any
        // more.
        drop(timeout(FOR_EVER, sent.pieces.reserve()).await.unwrap());
        if sent.pieces.is_closed() {
            break sent.answer.await.unwrap();
        }
        unfinished.push(sent);
        assert!(unfinished.len() < 10, "nothing is refused");
    };
    refused.assert_problem(503, "OVERLOADED");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.text().contains("--memory-budget"), "{refused:?}");
    assert!(held(&client, "bodies").await <= 7 * MIB);

    // There is room for small requests.
    let small = client.put("./state/orders/small", &[], "1").await;
    small.assert_status(201);
    client.get("./state/orders/small").await.assert_status(200);
    client.get("/healthz").await.assert_status(200);

    for sent in unfinished {
        sent.answer.abort();
    }
    until(&client, "bodies", |bytes| bytes == 0).await;
    let whole = format!("\"{}\"", "x".repeat(MIB / 2));
    client
        .put("./state/orders/1", &[], &whole)
        .await
        .assert_status(201);
    until(&client, "bodies", |bytes| bytes == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_client_is_gone_keeps_its_share_until_it_is_over() {
    let node = Node::new();
    let client = node.client_with(limits(8 * MIB), Cors::default());
    node.orderer.hold();
    let value = format!("\"{}\"", "x".repeat(MIB / 2));
    let asked = {
        let client = client.clone();
        tokio::spawn(async move {
            let key = ["idempotency-key: k"];
            client.put("./state/orders/1", &key, &value).await
        })
    };
    node.orderer.until_waiting(1).await;
    asked.abort();
    assert!(asked.await.is_err());
    assert!(held(&client, "bodies").await >= MIB / 2);
    node.orderer.release();
    until(&client, "bodies", |bytes| bytes == 0).await;
}

/// A node with a key whose history has `values` values of a quarter of a mebibyte.
pub(crate) async fn with_history(memory_bytes: usize, values: usize) -> (Arc<Node>, Client) {
    let node = Node::new();
    let client = node.client_with(limits(memory_bytes), Cors::default());
    for value in 0..values {
        let value = format!("\"{value}{}\"", "x".repeat(MIB / 4));
        client
            .put("./state/orders/1", &[], &value)
            .await
            .assert_status(200 + u16::from(value.starts_with("\"0")));
    }
    until(&client, "bodies", |bytes| bytes == 0).await;
    (node, client)
}

async fn begin(client: &Client, path: &str) -> Body {
    let path = format!("/v1/channels/main/{path}");
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = client.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

async fn next(body: &mut Body) -> Option<Bytes> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
    Some(frame?.unwrap().into_data().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_made_as_it_is_taken_and_is_whole_in_the_end() {
    let (_node, client) = with_history(64 * MIB, 12).await;
    for (path, member) in [
        ("history/orders/1?limit=1000", "entries"),
        ("state/orders?limit=1000", "rows"),
        ("blocks?limit=100", "blocks"),
    ] {
        let mut body = begin(&client, path).await;
        let mut all = Vec::new();
        while let Some(piece) = next(&mut body).await {
            all.extend_from_slice(&piece);
            let held = held(&client, "answers").await;
            assert!(held < 2 * MIB, "{path}: {held} bytes");
            drop(piece);
        }
        let document: serde_json::Value = serde_json::from_slice(&all).unwrap();
        let rows = document[member].as_array().unwrap();
        let expected = match member {
            "entries" => 12,
            "rows" => 1,
            _ => 13,
        };
        assert_eq!(rows.len(), expected, "{path}");
        assert!(document["bookmark"].is_null(), "{path}");
        drop(body);
        until(&client, "answers", |bytes| bytes < 100_000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_do_not_read_hold_a_piece_each_and_no_more_than_the_budget() {
    let (_node, client) = with_history(8 * MIB, 12).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let body = begin(&client, "history/orders/1?limit=1000").await;
        readers.push(body);
    }
    let held_by_all = held(&client, "answers").await;
    assert!(held_by_all < 20 * MIB / 2, "{held_by_all}");
    // The number of readers does not matter.
    let refused = loop {
        let path = "/v1/channels/main/history/orders/1?limit=1000";
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = client.router.clone().oneshot(request).await.unwrap();
        if response.status() == 503 {
            break response;
        }
        readers.push(response.into_body());
        assert!(readers.len() < 1000, "nobody is refused");
    };
    drop(refused);
    assert!(held(&client, "answers").await <= 8 * MIB);
    client.get("/healthz").await.assert_status(200);
    client
        .put("./state/orders/2", &[], "1")
        .await
        .assert_status(201);
    drop(readers);
    until(&client, "answers", |bytes| bytes < 100_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_its_share_until_the_last_of_it_is_taken() {
    let (_node, client) = with_history(8 * MIB, 1).await;
    let mut body = begin(&client, "state/orders/1").await;
    assert!(held(&client, "answers").await >= MIB / 4);
    let bytes = next(&mut body).await.unwrap();
    drop(body);
    assert!(held(&client, "answers").await >= MIB / 4);
    drop(bytes);
    until(&client, "answers", |bytes| bytes < 100_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_batch_that_does_not_end_have_a_share() {
    let client = Node::new().client_with(limits(8 * MIB), Cors::default());
    let path = "./transactions:batch";
    let sent = send(&client, "POST", path, "application/x-ndjson");
    for _ in 0..4 {
        sent.pieces.send(vec![b' '; MIB / 4].into()).await.unwrap();
    }
    until(&client, "batches", |bytes| bytes == MIB).await;
    sent.answer.abort();
    drop(sent.pieces);
    until(&client, "batches", |bytes| bytes == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_do_not_come_to_their_end_have_a_share_and_no_more() {
    let node = Node::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(node, limits(MIB), Cors::default());
    tokio::spawn(server.run(listener, Plain));
    let head = format!(
        "GET /version HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(60 << 10)
    );
    let mut unfinished = Vec::new();
    let refused = loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        let answers = stream.read_exact(&mut answer);
        if timeout(Duration::from_millis(100), answers).await.is_ok() {
            break answer;
        }
        unfinished.push(stream);
        assert!(unfinished.len() < 30, "nothing is refused");
    };
    assert_eq!(refused, b"HTTP/1.1 503");
    assert!(unfinished.len() > 10, "{}", unfinished.len());
    let mut first = unfinished.swap_remove(0);
    first.write_all(b"\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
}
