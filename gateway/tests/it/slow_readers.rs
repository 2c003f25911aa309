//! Answers that are taken slowly: at a modest rate they may last as long as they need, at a lower rate they
//! are cut off. The clock moves only while somebody waits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use quire_gateway::{Backend, ClientInfo, Cors, Limits, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::kit::Node;
use crate::memory::{MIB, with_history};

/// The page of a history of a mebibyte.
const PAGE: &str = "/v1/channels/main/history/orders/1?limit=1000";

/// A server whose ledger has [`PAGE`].
async fn with_page() -> (Arc<Node>, Server) {
    let (node, _) = with_history(64 * MIB, 4).await;
    let backend = Arc::clone(&node) as Arc<dyn Backend>;
    let server = Server::new(backend, Limits::default(), Cors::default());
    (node, server)
}

/// A connection that buffers `bytes` for the client; the task ends with it.
fn connect(server: &Server, bytes: usize) -> (DuplexStream, JoinHandle<()>) {
    let (client, stream) = duplex(bytes);
    let server = server.clone();
    let connection = async move { server.connection(stream, ClientInfo::default()).await };
    (client, tokio::spawn(connection))
}

async fn ask(client: &mut DuplexStream, path: &str) {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
}

/// The value of a metric.
async fn metric(server: &Server, name: &str) -> i64 {
    let (mut client, _) = connect(server, MIB);
    ask(&mut client, "/metrics").await;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let value = answer
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_taken_byte_by_byte_is_given_up() {
    let (_node, server) = with_page().await;
    let (mut client, task) = connect(&server, 4096);
    ask(&mut client, PAGE).await;
    let stall = Limits::default().stall_timeout;
    assert_eq!(stall, Duration::from_secs(30));
    let trickles = async {
        loop {
            sleep(Duration::from_secs(29)).await;
            client.read_u8().await.unwrap();
        }
    };
    tokio::select! {
        ended = timeout(3 * stall, task) => ended.expect("an end").unwrap(),
        () = trickles => {}
    }
    let answers = "quire_memory_bytes{kind=\"answers\"}";
    assert_eq!(metric(&server, answers).await, 0, "nothing is held for it");
    assert_eq!(metric(&server, "quire_connections_cut_off_total").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_taken_at_ten_kibibytes_a_second_comes_whole() {
    let (_node, server) = with_page().await;
    let (mut client, _) = connect(&server, 4096);
    ask(&mut client, PAGE).await;
    let begun = Instant::now();
    let mut answer = Vec::new();
    loop {
        let before = answer.len();
        let mut piece = (&mut client).take(10 << 10);
        piece.read_to_end(&mut answer).await.unwrap();
        if answer.len() == before {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(answer.len() > MIB && answer.ends_with(b"}\r\n0\r\n\r\n"));
    assert!(begun.elapsed() > 3 * Limits::default().stall_timeout);
}

/// Takes a value of a mebibyte over HTTP/2, in frames of 16 KiB, and returns the number of bytes taken.
async fn take_frames(server: &Server, pause: Duration) -> usize {
    let (client, _) = connect(server, 4096);
    let mut client_of_http2 = http2::Builder::new(TokioExecutor::new());
    client_of_http2.initial_stream_window_size(16 << 10);
    let io = TokioIo::new(client);
    let (mut sender, connection) = client_of_http2.handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/v1/channels/main/state/orders/large");
    let request = request.body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = Body::new(response.into_body());
    let mut taken = 0;
    let mut next = async || {
        std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
    };
    while let Some(Ok(frame)) = next().await {
        taken += frame.into_data().unwrap().len();
        sleep(pause).await;
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_large_answer_may_take_its_time_and_no_more() {
    let node = Node::new();
    let value = format!("\"{}\"", "x".repeat(MIB - 100));
    let client = node.client();
    let put = client.put("./state/orders/large", &[], &value).await;
    put.assert_status(201);
    let server = Server::new(node, Limits::default(), Cors::default());
    let begun = Instant::now();
    let taken = take_frames(&server, Duration::from_secs(1)).await;
    assert_eq!(taken, value.len());
    assert!(begun.elapsed() > Limits::default().stall_timeout * 2);
    let taken = take_frames(&server, Duration::from_secs(4)).await;
    assert!(taken < value.len() / 2, "{taken} bytes at 4 KiB a second");
    assert_eq!(metric(&server, "quire_connections_cut_off_total").await, 1);
}
