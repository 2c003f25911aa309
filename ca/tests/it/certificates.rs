//! Certificates, as they are asked for.

use serde_json::{Value, json};

use crate::kit::{Ca, DAY, ca, newcomer, number_and_key};

async fn count(ca: &Ca, query: &str) -> usize {
    let reply = ca
        .admin
        .ask(ca, "GET", &format!("certificates{query}"), Value::Null)
        .await;
    reply.result()["certs"].as_array().unwrap().len()
}

#[tokio::test]
async fn certificates_are_found_by_owner_number_and_time() {
    let ca = ca().await;
    let alice = newcomer(&ca, "alice", json!({"affiliation": "org1"})).await;
    let (serial, key) = number_and_key(&alice);
    let found = ca
        .admin
        .ask(&ca, "GET", "certificates?id=alice", Value::Null)
        .await
        .result();
    assert_eq!(found["certs"][0]["PEM"], alice.certificate);
    assert_eq!(count(&ca, "").await, 2);
    assert_eq!(count(&ca, &format!("?serial={serial}&aki={key}")).await, 1);
    assert_eq!(
        count(
            &ca,
            &format!(
                "?serial={}&aki={}",
                serial.to_uppercase(),
                key.to_uppercase()
            )
        )
        .await,
        1
    );
    assert_eq!(count(&ca, &format!("?serial={serial}&aki=12")).await, 0);
    assert_eq!(count(&ca, "?id=nobody").await, 0);
    ca.clock.advance(10 * DAY);
    let revoked = ca
        .admin
        .ask(&ca, "POST", "revoke", json!({"id": "alice"}))
        .await;
    assert_eq!(revoked.status, 200);
    for (query, expected) in [
        ("?notrevoked=true", 1),
        ("?revoked_start=-1d", 1),
        ("?revoked_end=-1d", 0),
        ("?revoked_start=-2d&revoked_end=-1h", 0),
        ("?revoked_start=2020-01-01&revoked_end=%2B1d", 1),
        ("?expired_start=%2B300d", 2),
        ("?expired_end=%2B300d", 0),
        ("?notexpired=true", 2),
    ] {
        assert_eq!(count(&ca, query).await, expected, "{query}");
    }
    for query in [
        "?notexpired=true&expired_end=-1d",
        "?notrevoked=1&revoked_start=-1d",
        "?revoked_start=soon",
    ] {
        let reply = ca
            .admin
            .ask(&ca, "GET", &format!("certificates{query}"), Value::Null)
            .await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, 67), "{query}");
    }
}

#[tokio::test]
async fn who_sees_certificates_sees_those_of_its_affiliation() {
    let ca = ca().await;
    let right = json!([{"name": "hf.Revoker", "value": "true"}]);
    let clerk = newcomer(&ca, "clerk", json!({"affiliation": "org1", "attrs": right})).await;
    newcomer(&ca, "near", json!({"affiliation": "org1.department1"})).await;
    newcomer(&ca, "far", json!({"affiliation": "org2"})).await;
    let seen = clerk
        .ask(&ca, "GET", "certificates", Value::Null)
        .await
        .result();
    assert_eq!(seen["certs"].as_array().unwrap().len(), 2);
    assert_eq!(count(&ca, "").await, 4);
}

#[tokio::test]
async fn a_long_list_comes_whole() {
    let ca = ca().await;
    for number in 0..205 {
        let body = json!({"name": format!("org1.n{number}")});
        assert_eq!(
            ca.admin.ask(&ca, "POST", "affiliations", body).await.status,
            201
        );
    }
    for number in 0..205 {
        let (_, request) = crate::kit::signing_request("admin");
        let body = json!({"certificate_request": request});
        let reply = ca.admin.ask(&ca, "POST", "reenroll", body).await;
        assert_eq!(reply.status, 201, "{number}");
    }
    assert_eq!(count(&ca, "").await, 206);
}
