//! Rows of the error table that nothing outside a node can cause, tested as bytes on a socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use quire_chaincode::ChaincodeError;
use quire_gateway::{Backend, ClientInfo, Cors, Handshake, Limits, Server};
use quire_ledger::ReadError;
use quire_peer::{EnvelopeTooLarge, SubmitError};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::Node;

/// Nothing between the network and HTTP.
#[derive(Clone)]
pub(crate) struct Plain;

impl Handshake for Plain {
    type Stream = TcpStream;

    async fn shake(&self, tcp: TcpStream) -> io::Result<(TcpStream, ClientInfo)> {
        Ok((tcp, ClientInfo::default()))
    }
}

/// Submits a transaction over the socket, and returns head and problem document of the answer.
async fn submit(address: &str) -> (String, Value) {
    let body = r#"{"chaincode":"orders","function":"put","args":["1",1]}"#;
    let request = format!(
        "POST /v1/channels/main/transactions HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), serde_json::from_str(body).unwrap())
}

/// Fails unless the document is a problem and names the same request as the head.
fn assert_belongs(head: &str, problem: &Value) {
    let kind = "\r\ncontent-type: application/problem+json";
    assert!(head.contains(kind), "{head}");
    let id = problem["requestId"].as_str().unwrap();
    assert!(head.contains(&format!("\r\nx-request-id: {id}")), "{head}");
}

const TOO_LARGE: EnvelopeTooLarge = EnvelopeTooLarge {
    size_bytes: 2,
    limit_bytes: 1,
};

#[tokio::test]
async fn what_only_the_node_can_cause_is_told_with_its_code_and_no_more() {
    let node = Node::new();
    let backend = Arc::clone(&node) as Arc<dyn Backend>;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::new(backend, Limits::default(), Cors::default());
    tokio::spawn(server.run(listener, Plain));
    let secret = "where the node keeps it";
    let later = Duration::from_millis(2_500);
    let chaincode = SubmitError::Chaincode;
    let away = SubmitError::OrdererUnavailable(secret.to_owned());
    for (error, status, code, retry_after) in [
        (
            SubmitError::Overloaded { retry_after: later },
            503,
            "OVERLOADED",
            Some("3"),
        ),
        (SubmitError::NotReady, 503, "NOT_READY", Some("1")),
        (
            SubmitError::StateUnavailable,
            503,
            "STATE_UNAVAILABLE",
            Some("1"),
        ),
        (away, 503, "ORDERER_UNAVAILABLE", Some("1")),
        (
            SubmitError::StorageFailed,
            503,
            "STORAGE_FAILED",
            Some("30"),
        ),
        (SubmitError::ReadOnly, 409, "CHANNEL_READ_ONLY", None),
        (SubmitError::TooLarge(TOO_LARGE), 413, "TOO_LARGE", None),
        (
            chaincode(ChaincodeError::refused("no credit")),
            422,
            "CHAINCODE_ERROR",
            None,
        ),
        (
            chaincode(ChaincodeError::Read(ReadError::Missing(secret.to_owned()))),
            500,
            "INTERNAL",
            None,
        ),
    ] {
        node.orderer.refuse(error);
        let (head, problem) = submit(&address).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{code}: {head}"
        );
        let told = head
            .lines()
            .find_map(|line| line.strip_prefix("retry-after: "));
        assert_eq!(told, retry_after, "{code}");
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:quire:problem:{code}"));
        assert_belongs(&head, &problem);
        assert!(!problem.to_string().contains(secret), "{problem}");
        if status == 422 {
            assert_eq!(problem["detail"], "no credit");
        }
    }
    let (head, _) = submit(&address).await;
    assert!(head.starts_with("http/1.1 201 "), "{head}");
}

/// Answers to a connection that is kept, one after the other.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).await.unwrap();
        assert_ne!(count, 0, "the connection ended");
        answer.extend_from_slice(&bytes[..count]);
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if length.unwrap().parse::<usize>().unwrap() <= body.len() {
            return head.to_owned();
        }
    }
}

#[tokio::test]
async fn a_connection_whose_request_is_refused_before_its_body_came_goes_on() {
    let backend = Node::new() as Arc<dyn Backend>;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::new(backend, Limits::default(), Cors::default());
    tokio::spawn(server.run(listener, Plain));
    let mut stream = TcpStream::connect(&address).await.unwrap();
    for path in ["/v1/channels/nowhere/state/a/1", "/nowhere"] {
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // This is like a network on which head and body are two packets.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(b"{}").await.unwrap();
        let head = answer(&mut stream).await;
        assert!(head.starts_with("http/1.1 404 "), "{head}");
    }
    let head = format!("GET /version HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let head = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
}
