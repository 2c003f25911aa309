//! A waiting caller is checked again: the end of its token ends the wait.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, HttpBody};
use axum::http::Request;
use bytes::Bytes;
use futures_util::stream::unfold;
use quire_gateway::{Backend as _, ClientCertificate, ClientInfo, Cors, Limits};
use quire_identity::{AccessRole, NewToken};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::kit::{Answer, Client, Node};

const KEY: &str = "./state/orders/1";
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A node, its gateway that sends no heartbeat for years, and a token with its id.
struct Watched {
    node: Arc<Node>,
    client: Client,
    id: String,
    bearer: String,
}

impl Watched {
    /// The token ends after a day.
    fn new() -> Self {
        let node = Node::new();
        let new = NewToken {
            identity: "client".to_owned(),
            role: AccessRole::Admin,
            channels: Vec::new(),
            expires: Some((node.now() + Duration::from_secs(86_400)).into()),
            certificate: false,
        };
        let (token, secret) = node.tokens.create(new, node.now()).unwrap();
        let limits = Limits {
            max_wait: YEAR,
            heartbeat: YEAR,
            body_timeout: YEAR,
            ..Limits::default()
        };
        Self {
            client: node.client_with(limits, Cors::default()),
            node,
            id: token.id.to_string(),
            bearer: format!("authorization: Bearer {}", secret.unwrap().expose()),
        }
    }

    /// Ends the token in one of the ways there are.
    fn end(&self, how: &str) {
        match how {
            "revoke" => drop(self.node.tokens.revoke(&self.id).unwrap()),
            "rotate" => drop(self.node.tokens.rotate(&self.id, None).unwrap()),
            _ => *self.node.clock.lock() += Duration::from_secs(86_400),
        }
    }

    fn get(&self, path: &str) -> JoinHandle<Answer> {
        let (client, path, bearer) = (self.client.clone(), path.to_owned(), self.bearer.clone());
        tokio::spawn(async move { client.get_with(&path, &bearer).await })
    }
}

async fn soon<T>(waiting: JoinHandle<T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    waited.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_its_token() {
    for how in ["revoke", "rotate", "expire"] {
        for by_key in [true, false] {
            let watched = Watched::new();
            watched.node.orderer.hold();
            let key = "idempotency-key: k";
            let headers = [watched.bearer.as_str(), key, "prefer: respond-async"];
            let accepted = watched.client.put(KEY, &headers, "1").await;
            let accepted = accepted.assert_status(202).json();
            let id = accepted["transactionId"].as_str().unwrap();
            let waiting = if by_key {
                watched.get("./transactions?idempotencyKey=k&wait=9999")
            } else {
                watched.get(&format!("./transactions/{id}?wait=9999"))
            };
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(!waiting.is_finished(), "{how} {by_key}");
            watched.end(how);
            let answer = soon(waiting).await;
            answer.assert_problem(401, "UNAUTHENTICATED");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_comes_is_told_to_those_who_still_may_know() {
    let watched = Watched::new();
    watched.node.orderer.hold();
    let headers = [
        watched.bearer.as_str(),
        "idempotency-key: k",
        "prefer: respond-async",
    ];
    watched
        .client
        .put(KEY, &headers, "1")
        .await
        .assert_status(202);
    let waiting = watched.get("./transactions?idempotencyKey=k&wait=9999");
    tokio::time::sleep(Duration::from_secs(60)).await;
    watched.node.orderer.release();
    let answer = soon(waiting).await;
    assert_eq!(answer.assert_status(200).json()["status"], "VALID");
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_that_says_nothing_ends_with_its_token() {
    for how in ["revoke", "rotate", "expire"] {
        let watched = Watched::new();
        let waiting = watched.get("./events");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished());
        watched.end(how);
        soon(waiting).await.assert_status(200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_client_sends_nothing_ends_with_its_token() {
    for how in ["revoke", "rotate", "expire"] {
        let watched = Watched::new();
        let (lines, sent) = mpsc::channel::<Bytes>(1);
        let next = async |mut sent: mpsc::Receiver<Bytes>| {
            let line = sent.recv().await?;
            Some((Ok::<_, std::io::Error>(line), sent))
        };
        let request = Request::post("/v1/channels/main/transactions:batch")
            .header("content-type", "application/x-ndjson")
            .header("authorization", &watched.bearer["authorization: ".len()..])
            .body(Body::from_stream(unfold(sent, next)))
            .unwrap();
        let router = watched.client.router.clone();
        let mut answer = router.oneshot(request).await.unwrap().into_body();
        let mut told = async || {
            let frame = poll_fn(|context| Pin::new(&mut answer).poll_frame(context)).await;
            let frame = frame?.unwrap().into_data().unwrap();
            Some(String::from_utf8(frame.to_vec()).unwrap())
        };
        let line = "{\"chaincode\":\"orders\",\"function\":\"put\",\"args\":[\"1\",1]}\n";
        lines.send(line.into()).await.unwrap();
        assert!(told().await.unwrap().contains("\"status\":201"));
        watched.end(how);
        let last = tokio::time::timeout(Duration::from_secs(5), told()).await;
        let last = last.expect("it is told soon").unwrap();
        assert!(last.starts_with("{\"line\":2,\"status\":401,"), "{last}");
        assert_eq!(told().await, None);
        drop(lines);
    }
}

/// The caller was let in before the body came.
#[tokio::test(start_paused = true)]
async fn a_request_whose_body_comes_after_the_end_of_its_token_is_not_carried_out() {
    for (method, path) in [
        ("PUT", "/v1/channels/main/state/orders/1"),
        ("PATCH", "/v1/channels/main/state/orders/1"),
        ("DELETE", "/v1/channels/main/state/orders/1"),
        ("POST", "/v1/channels/main/transactions"),
        ("POST", "/v1/channels/main/evaluate"),
        ("POST", "/v1/channels/main/state/orders/_find"),
        ("POST", "/v1/channels/main/state/orders/_explain"),
        ("POST", "/v1/channels/main/state/orders/_index"),
        ("DELETE", "/v1/channels/main/state/orders/_index/d/json/n"),
        ("POST", "/v1/channels"),
        ("PUT", "/logspec"),
    ] {
        let kind = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let watched = Watched::new();
        let (body, sent) = mpsc::channel::<Bytes>(1);
        let next = async |mut sent: mpsc::Receiver<Bytes>| {
            let line = sent.recv().await?;
            Some((Ok::<_, std::io::Error>(line), sent))
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .header("authorization", &watched.bearer["authorization: ".len()..])
            .body(Body::from_stream(unfold(sent, next)))
            .unwrap();
        let answer = tokio::spawn(watched.client.router.clone().oneshot(request));
        tokio::time::sleep(Duration::from_secs(1)).await;
        watched.end("revoke");
        let text = r#"{"chaincode":"orders","function":"put","args":["1",1]}"#;
        body.send(text.into()).await.unwrap();
        drop(body);
        let status = answer.await.unwrap().unwrap().status();
        assert_eq!(status, 401, "{method} {path}");
        assert_eq!(watched.node.orderer.submitted(), 0);
    }
}

/// Callers need no token until one is made; the first token ends their wait.
#[tokio::test(start_paused = true)]
async fn who_came_without_a_token_is_sent_away_when_the_first_is_made() {
    let node = Node::new();
    let limits = Limits {
        heartbeat: YEAR,
        ..Limits::default()
    };
    let client = node.client_with(limits, Cors::default());
    let waiting = tokio::spawn(async move { client.get("./events").await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished());
    let new = NewToken {
        identity: "client".to_owned(),
        role: AccessRole::Reader,
        channels: Vec::new(),
        expires: None,
        certificate: false,
    };
    node.tokens.create(new, node.now()).unwrap();
    soon(waiting).await.assert_status(200);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_lets_nobody_in_and_ends_the_waiting() {
    let node = Node::new();
    let limits = Limits {
        heartbeat: YEAR,
        ..Limits::default()
    };
    let new = NewToken {
        identity: "client".to_owned(),
        role: AccessRole::Writer,
        channels: Vec::new(),
        expires: None,
        certificate: true,
    };
    node.tokens.create(new, node.now()).unwrap();
    let info = ClientInfo {
        certificate: Some(Arc::new(ClientCertificate {
            common_name: "client".into(),
            chain: Vec::new(),
        })),
        certificate_sha256: None,
        address: None,
    };
    let mut client = node.client_with(limits, Cors::default());
    client.router = client.router.layer(Extension(info));
    let host = "host: 127.0.0.1";
    client.put(KEY, &[host], "1").await.assert_status(201);
    let listener = client.clone();
    let waiting = tokio::spawn(async move { listener.get_with("./events", host).await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished());
    node.revoked.store(true, Ordering::SeqCst);
    soon(waiting).await.assert_status(200);
    let refused = client.put(KEY, &[host], "2").await;
    refused.assert_problem(401, "UNAUTHENTICATED");
}
