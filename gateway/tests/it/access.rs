//! Nobody may do anything without a credential, or beyond its role and channels, and no web page of another
//! site may.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use quire_gateway::{Backend as _, Cors, Limits};
use quire_identity::{AccessRole, NewToken};

use crate::kit::{Client, Node};

const JSON: &str = "content-type: application/json";

/// Makes a token, and returns the header that shows it.
fn bearer(node: &Node, role: AccessRole, channels: &[&str]) -> String {
    let new = NewToken {
        identity: "client".to_owned(),
        role,
        channels: channels.iter().map(|&name| name.to_owned()).collect(),
        expires: None,
        certificate: false,
    };
    let (_, secret) = node.tokens.create(new, node.now()).unwrap();
    format!("authorization: Bearer {}", secret.unwrap().expose())
}

#[tokio::test]
async fn once_there_is_a_token_everything_but_health_needs_one() {
    let node = Node::new();
    let client = node.client();
    assert_eq!(client.get("/v1/channels").await.status, 200);
    let bearer = bearer(&node, AccessRole::Admin, &[]);
    for path in [
        "/v1/channels",
        "./state/ns/k",
        "./blocks/0",
        "/nowhere",
        "/",
    ] {
        let answer = client.get(path).await;
        answer.assert_problem(401, "UNAUTHENTICATED");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{path}");
    }
    for path in ["/healthz", "/readyz", "/version"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let answer = client.get_with("/v1/channels", &bearer).await;
    assert_eq!(answer.status, 200);
    for header in [
        "authorization: Bearer quire_x_y",
        "authorization: Negotiate x",
    ] {
        let answer = client.get_with("/v1/channels", header).await;
        answer.assert_problem(401, "UNAUTHENTICATED");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
    }
    // An invalid token is refused even if no token is needed.
    let open = Node::new().client();
    let answer = open.get_with("/v1/channels", &bearer).await;
    answer.assert_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn roles_include_each_other_and_no_more() {
    let node = Node::new();
    let client = node.client();
    let roles = [AccessRole::Reader, AccessRole::Writer, AccessRole::Admin];
    let bearers = roles.map(|role| bearer(&node, role, &[]));
    for (route, body, needed) in [
        ("GET /v1/channels", "", AccessRole::Reader),
        ("GET ./state/ns/other", "", AccessRole::Reader),
        (
            "POST ./evaluate",
            r#"{"chaincode":"ns","function":"get","args":["other"]}"#,
            AccessRole::Reader,
        ),
        ("PUT ./state/ns/k", "1", AccessRole::Writer),
        ("DELETE ./state/ns/k", "", AccessRole::Writer),
        ("POST ./transactions", "{}", AccessRole::Writer),
        ("POST /v1/channels", r#"{"name":"main"}"#, AccessRole::Admin),
    ] {
        let (method, path) = route.split_once(' ').unwrap();
        for (role, bearer) in roles.iter().zip(&bearers) {
            let headers: &[&str] = if body.is_empty() {
                &[bearer]
            } else {
                &[bearer, JSON]
            };
            let answer = client.send(method, path, headers, body).await;
            if *role >= needed {
                assert!(
                    !matches!(answer.status, 401 | 403),
                    "{route} {role:?}: {answer:?}"
                );
            } else {
                answer.assert_problem(403, "FORBIDDEN");
            }
        }
    }
}

#[tokio::test]
async fn a_token_reaches_its_channels_and_tells_nothing_of_others() {
    let node = Node::new();
    let client = node.client();
    let elsewhere = bearer(&node, AccessRole::Admin, &["elsewhere"]);
    for path in [
        "/v1/channels/main",
        "/v1/channels/%6Dain/blocks/0",
        "/v1/channels/main/state/ns/k",
        "/v1/channels/nowhere",
    ] {
        let answer = client.get_with(path, &elsewhere).await;
        answer.assert_problem(403, "FORBIDDEN");
    }
    let answer = client.get_with("/v1/channels", &elsewhere).await;
    assert_eq!(answer.json()["channels"].as_array().unwrap().len(), 0);
    let body = r#"{"name":"other"}"#;
    let answer = client.post("/v1/channels", &[&elsewhere], body).await;
    answer.assert_problem(403, "FORBIDDEN");
    let answer = client.get_with("/v1/channels/elsewhere", &elsewhere).await;
    answer.assert_problem(404, "CHANNEL_NOT_FOUND");

    // Everybody who may ask for anything may read how to ask.
    for path in ["/docs", "/openapi.json"] {
        let answer = client.get_with(path, &elsewhere).await;
        assert_eq!(answer.status, 200, "{path}");
        let answer = client.get(path).await;
        answer.assert_problem(401, "UNAUTHENTICATED");
    }
    let here = bearer(&node, AccessRole::Reader, &["elsewhere", "main"]);
    let answer = client.get_with("/v1/channels/main", &here).await;
    assert_eq!(answer.status, 200);
    let answer = client.get_with("/v1/channels", &here).await;
    assert_eq!(answer.json()["channels"][0]["name"], "main");
}

async fn preflight(client: &Client, origin: &str) -> crate::kit::Answer {
    let headers = [
        origin,
        "access-control-request-method: PUT",
        "access-control-request-headers: authorization,content-type",
    ];
    let path = "/v1/channels/main/state/ns/k";
    client.send("OPTIONS", path, &headers, Body::empty()).await
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_unless_they_are_named() {
    let node = Node::new();
    let shop = "origin: https://shop.example";
    let closed = node.client();
    closed
        .get_with("/v1/channels", shop)
        .await
        .assert_problem(403, "FORBIDDEN");
    preflight(&closed, shop)
        .await
        .assert_problem(403, "FORBIDDEN");

    let cors = Cors::new(["https://shop.example"]).unwrap();
    let client = node.client_with(Limits::default(), cors);
    let bearer = bearer(&node, AccessRole::Reader, &[]);
    let answer = preflight(&client, shop).await;
    assert_eq!(answer.status, 204);
    let allowed = |answer: &crate::kit::Answer| {
        let header = answer.header("access-control-allow-origin");
        header.map(str::to_owned)
    };
    assert_eq!(allowed(&answer).unwrap(), "https://shop.example");
    let headers = answer.header("access-control-allow-headers").unwrap();
    assert!(headers.contains("Authorization"), "{headers}");
    let answer = client
        .send("GET", "/v1/channels", &[shop, &bearer], Body::empty())
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(allowed(&answer).unwrap(), "https://shop.example");
    // The page may read what went wrong, too.
    let answer = client.get_with("/v1/channels", shop).await;
    answer.assert_problem(401, "UNAUTHENTICATED");
    assert_eq!(allowed(&answer).unwrap(), "https://shop.example");
    for other in [
        "https://shop.example.evil.example",
        "null",
        "http://shop.example",
    ] {
        let origin = format!("origin: {other}");
        let answer = client
            .send("GET", "/v1/channels", &[&origin, &bearer], Body::empty())
            .await;
        answer.assert_problem(403, "FORBIDDEN");
        assert_eq!(allowed(&answer), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_asks_too_often_waits_and_others_do_not() {
    let node = Node::new();
    let limits = Limits {
        requests_per_second: NonZeroU32::new(2),
        ..Limits::default()
    };
    let client = node.client_with(limits, Cors::default());
    let eager = bearer(&node, AccessRole::Reader, &[]);
    let other = bearer(&node, AccessRole::Reader, &[]);
    for _ in 0..2 {
        assert_eq!(client.get_with("/v1/channels", &eager).await.status, 200);
    }
    let answer = client.get_with("/v1/channels", &eager).await;
    answer.assert_problem(429, "RATE_LIMITED");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(client.get_with("/v1/channels", &other).await.status, 200);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(client.get_with("/v1/channels", &eager).await.status, 200);
}

#[tokio::test]
async fn behind_a_token_a_proxy_and_any_host_are_welcome() {
    let node = Node::new();
    let client = node.client();
    let headers = ["host: ledger.example", "x-forwarded-for: 10.0.0.1"];
    for header in headers
        .iter()
        .chain(&["x-forwarded-anything: 1", "forwarded: for=x"])
        .chain(&["via: 1.1 edge", "x-real-ip: 10.0.0.1"])
        .chain(&["cf-connecting-ip: 10.0.0.1", "true-client-ip: 10.0.0.1"])
    {
        let answer = client.get_with("/v1/channels", header).await;
        answer.assert_problem(403, "FORBIDDEN");
    }
    let two = ["host: 127.0.0.1", "host: elsewhere.example"];
    let answer = client
        .send("GET", "/v1/channels", &two, Body::empty())
        .await;
    answer.assert_problem(403, "FORBIDDEN");
    let bearer = bearer(&node, AccessRole::Reader, &[]);
    let headers = [headers[0], headers[1], &bearer];
    let answer = client
        .send("GET", "/v1/channels", &headers, Body::empty())
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn without_authentication_by_name_a_wrong_token_is_still_wrong() {
    let node = Node::new();
    let right = bearer(&node, AccessRole::Reader, &[]);
    let limits = Limits {
        local_only: false,
        ..Limits::default()
    };
    let client = Arc::clone(&node).client_with(limits, Cors::default());
    let answer = client
        .get_with("/v1/channels", "host: ledger.example")
        .await;
    assert_eq!(answer.status, 200);
    let answer = client
        .get_with("/v1/channels", "authorization: Bearer x")
        .await;
    answer.assert_problem(401, "UNAUTHENTICATED");
    let answer = client
        .send("PUT", "./state/ns/k", &[&right, JSON], "1")
        .await;
    answer.assert_problem(403, "FORBIDDEN");
}
