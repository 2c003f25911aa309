//! What no client of ours sends.

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use quire_ca::token::Signed;
use serde_json::{Value, json};

use crate::kit::{Ca, Client, ca, newcomer, organization, send};

/// Sends a request that must be refused; `authorization` is a header's value, or nothing.
async fn refuse(ca: &Ca, line: &str, authorization: &str, body: &str) -> (u16, u64) {
    let (method, uri) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(uri);
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let reply = send(&ca.router, request).await;
    assert_eq!(reply.body["messages"], json!([]));
    assert!(!reply.body.to_string().contains("adminpw"));
    (reply.status.as_u16(), reply.code())
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_in_the_envelope() {
    let ca = ca().await;
    let admin = format!("Basic {}", STANDARD.encode("admin:adminpw"));
    let (deep, large) = ("[".repeat(60_000), "x".repeat(70_000));
    for (body, expected) in [
        ("", (400, 4)),
        ("{", (400, 5)),
        ("[]", (400, 5)),
        (&deep, (400, 5)),
        (&large, (413, 3)),
        ("{}", (400, 31)),
        (r#"{"caname":"other"}"#, (404, 19)),
        (r#"{"hosts":"a"}"#, (400, 5)),
    ] {
        let refused = refuse(&ca, "POST /api/v1/enroll", &admin, body).await;
        assert_eq!(refused, expected, "{body:.40}");
    }
}

#[tokio::test]
async fn whoever_does_not_say_who_it_is_is_refused_in_the_envelope() {
    let ca = ca().await;
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let (admin, half) = (basic("admin:adminpw"), basic("admin"));
    for (line, authorization, expected) in [
        ("GET /api/v1/enroll", "", (405, 1)),
        ("DELETE /api/v1/certificates", "", (405, 1)),
        ("POST /api/v1/enroll", "", (401, 2)),
        ("POST /api/v1/enroll", "Basic", (401, 20)),
        ("POST /api/v1/enroll", "Basic !!", (401, 20)),
        ("POST /api/v1/enroll", &half, (401, 20)),
        ("POST /api/v1/register", "", (401, 2)),
        ("POST /api/v1/register", "a.b", (401, 20)),
        ("POST /api/v1/register", "a.b.c", (401, 20)),
        ("POST /api/v1/register", &admin, (401, 20)),
        ("POST /api/v1/idemix/credential", "", (501, 0)),
        ("GET /nothing", "", (404, 0)),
    ] {
        let refused = refuse(&ca, line, authorization, "{}").await;
        assert_eq!(refused, expected, "{line} {authorization}");
    }
}

#[tokio::test]
async fn a_certificate_that_this_ca_did_not_issue_proves_nothing() {
    let ca = ca().await;
    // Another CA of the same organisation, with the same key: its registry does not have the certificate.
    let other = crate::kit::ca().await;
    let stranger = newcomer(&other, "admin2", json!({})).await;
    assert_eq!(
        stranger
            .ask(&ca, "GET", "identities", Value::Null)
            .await
            .code(),
        20
    );
    // The node's own identities are not the CA's.
    let own = organization().identity("client").unwrap().unwrap();
    let client = Client {
        key: rcgen::KeyPair::generate().unwrap(),
        certificate: own.certificate_pem().to_owned(),
    };
    assert_eq!(
        client
            .ask(&ca, "GET", "identities", Value::Null)
            .await
            .code(),
        20
    );
    // A good certificate with somebody else's key.
    let thief = Client {
        key: rcgen::KeyPair::generate().unwrap(),
        certificate: ca.admin.certificate.clone(),
    };
    assert_eq!(
        thief
            .ask(&ca, "GET", "identities", Value::Null)
            .await
            .code(),
        20
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_secrets_keeps_nobody_out_who_signs() {
    let ca = ca().await;
    let wrong = format!("Basic {}", STANDARD.encode("nobody:wrong"));
    let flood = (0..300).map(|_| {
        let request = Request::post("/api/v1/enroll").header("authorization", &wrong);
        let request = request.body(Body::from("{}")).unwrap();
        let router = ca.router.clone();
        tokio::spawn(async move { send(&router, request).await.status.as_u16() })
    });
    let flood: Vec<_> = flood.collect();
    let mut turned_away = 0;
    for (asked, one) in flood.into_iter().enumerate() {
        if asked % 10 == 0 {
            let reply = ca.admin.ask(&ca, "GET", "identities", Value::Null).await;
            assert_eq!(reply.status.as_u16(), 200, "{reply:?}");
        }
        let status = one.await.unwrap();
        assert!(matches!(status, 401 | 503), "{status}");
        turned_away += usize::from(status == 503);
    }
    assert!(turned_away > 0, "the queue was never full");
}

#[tokio::test]
async fn a_token_that_was_changed_anywhere_lets_nobody_in() {
    let ca = ca().await;
    let body = "{}";
    let signed = Signed {
        method: "POST",
        uri: "/gencrl",
        body: body.as_bytes(),
    };
    let token = ca.admin.token("POST", "/gencrl", body);
    assert!(ca.authority.authenticate(&token, &signed).is_ok());
    proptest!(ProptestConfig::with_cases(2000), |(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0x20..0x7f_u8, 0..3_u8), 1..4),
    )| {
        let mut bytes = token.clone().into_bytes();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let changed = String::from_utf8(bytes).unwrap();
        let found = ca.authority.authenticate(&changed, &signed);
        prop_assert!(found.is_err() || changed == token, "{}", changed);
    });
}
