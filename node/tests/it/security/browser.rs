//! A browser on this machine that shows the page of a stranger: nothing that the page can send is
//! served while no token is asked for, and nothing is when one is.

use std::fmt::Write as _;

use tempfile::TempDir;

use super::create;
use crate::kit::Node;
use crate::kit::exchange;

/// Sends a request with exactly these headers; gives status line and the rest.
fn ask(node: &Node, head: &str, headers: &[String], body: &str) -> String {
    let mut request = format!("{head} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        write!(request, "{header}\r\n").unwrap();
    }
    write!(request, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let answer = exchange(node.address(), request.as_bytes());
    String::from_utf8_lossy(&answer).into_owned()
}

const PUT: &str = "PUT /v1/channels/main/state/orders/1001";
const POST: &str = "POST /v1/channels/main/transactions";
const CALL: &str = r#"{"chaincode":"orders","function":"put","args":["1",1]}"#;
/// What a proxy adds.
const OF_PROXIES: [&str; 6] = [
    "Forwarded: for=10.0.0.1",
    "X-Forwarded-For: 10.0.0.1",
    "x-forwarded-by: x",
    "Via: 1.1 edge",
    "X-Real-IP: 10.0.0.1",
    "CF-Connecting-IP: 10.0.0.1",
];

#[test]
fn dns_rebinding_and_cross_origin_posts_are_refused_on_the_open_loopback() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let own = format!("Host: {}", node.address());
    let port = node.address().split(':').nth(1).unwrap().to_owned();
    let json = "Content-Type: application/json".to_owned();
    let line = |text: &str| text.to_owned();
    let height = node.client().height();
    // A name of the attacker's that leads to 127.0.0.1: the page is of the same origin then.
    let rebound = [
        format!("Host: attacker.example:{port}"),
        format!("Origin: http://attacker.example:{port}"),
        json.clone(),
    ];
    let mut refused = vec![
        (PUT, rebound.to_vec()),
        (POST, rebound.to_vec()),
        ("GET /v1/channels/main/state/orders", rebound[..1].to_vec()),
        ("GET /healthz", rebound[..1].to_vec()),
        (
            "GET /v1/channels",
            vec![own.clone(), line("Host: attacker.example")],
        ),
    ];
    for origin in [
        "https://attacker.example",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://127.0.0.1.attacker.example",
        "file://",
    ] {
        let origin = format!("Origin: {origin}");
        for kind in [json.as_str(), "Content-Type: text/plain", "X-Nothing: 1"] {
            refused.push((POST, vec![own.clone(), origin.clone(), line(kind)]));
        }
        let asks = line("Access-Control-Request-Method: PUT");
        refused.push(("OPTIONS /v1/channels", vec![own.clone(), origin, asks]));
    }
    for forwarded in OF_PROXIES {
        refused.push((POST, vec![own.clone(), json.clone(), line(forwarded)]));
    }
    for (head, headers) in refused {
        let answer = ask(&node, head, &headers, CALL);
        assert!(
            answer.starts_with("HTTP/1.1 403 "),
            "{head} {headers:?}\n{answer}"
        );
        assert!(answer.contains("\"FORBIDDEN\""), "{answer}");
        assert!(
            !answer.to_lowercase().contains("access-control-"),
            "{answer}"
        );
    }
    // A form can post without asking, but not as JSON.
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        let kind = format!("Content-Type: {kind}");
        let answer = ask(&node, POST, &[own.clone(), kind], CALL);
        assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    }
    assert_eq!(node.client().height(), height);
    let answer = ask(&node, POST, &[own, json], CALL);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(node.stop().success());
}

#[test]
fn a_page_without_the_token_gets_nothing_and_with_it_only_from_a_named_origin() {
    let data = TempDir::new().unwrap();
    let shop = "https://shop.example";
    let node = Node::start_with(data.path(), &["--cors-origin", shop]);
    let token = create(data.path(), "--identity shop --role writer");
    let bearer = format!("Authorization: Bearer {token}");
    let own = format!("Host: {}", node.address());
    let json = "Content-Type: application/json".to_owned();
    let from = |origin: &str| vec![own.clone(), json.clone(), format!("Origin: {origin}")];
    let answer = ask(&node, POST, &from(shop), CALL);
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let with_token = |origin: &str| [from(origin), vec![bearer.clone()]].concat();
    let answer = ask(&node, POST, &with_token("https://attacker.example"), CALL);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let answer = ask(&node, POST, &with_token(shop), CALL);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(
        answer.contains("access-control-allow-origin: https://shop.example"),
        "{answer}"
    );
    assert!(
        !answer.contains("access-control-allow-credentials"),
        "{answer}"
    );
    assert!(node.stop().success());
}
