//! Affiliations.

use serde_json::{Value, json};

use crate::kit::{ca, newcomer};

#[tokio::test]
async fn affiliations_are_added_told_renamed_and_removed() {
    let ca = ca().await;
    let ask =
        async |method: &str, path: &str, body: Value| ca.admin.ask(&ca, method, path, body).await;
    let all = ask("GET", "affiliations", Value::Null).await.result();
    assert_eq!(all["name"], "");
    assert_eq!(
        all["affiliations"][0]["affiliations"][1]["name"],
        "org1.department2"
    );

    let missing = ask("POST", "affiliations", json!({"name": "org3.a"})).await;
    assert_eq!((missing.status.as_u16(), missing.code()), (400, 60));
    let added = ask("POST", "affiliations?force=true", json!({"name": "org3.a"})).await;
    assert_eq!(added.status, 201);
    let twice = ask("POST", "affiliations", json!({"name": "org3"})).await;
    assert_eq!((twice.status.as_u16(), twice.code()), (409, 60));
    let one = ask("GET", "affiliations/org3", Value::Null).await.result();
    assert_eq!(
        one,
        json!({"name": "org3", "affiliations": [{"name": "org3.a"}], "caname": "ca-org1"})
    );

    newcomer(&ca, "alice", json!({"affiliation": "org3.a"})).await;
    let held = ask("PUT", "affiliations/org3", json!({"name": "org4"})).await;
    assert_eq!((held.status.as_u16(), held.code()), (400, 64));
    for new in ["org1", "org3.b", "org9.a", "", "a..b"] {
        let reply = ask("PUT", "affiliations/org3?force=true", json!({"name": new})).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, 64), "{new}");
    }
    let renamed = ask(
        "PUT",
        "affiliations/org3?force=true",
        json!({"name": "org4"}),
    )
    .await
    .result();
    assert_eq!(
        renamed["affiliations"][0]["identities"][0]["affiliation"],
        "org4.a"
    );
    let alice = ask("GET", "identities/alice", Value::Null).await.result();
    assert_eq!(alice["affiliation"], "org4.a");
    let gone = ask("GET", "affiliations/org3", Value::Null).await;
    assert_eq!((gone.status.as_u16(), gone.code()), (404, 63));

    let held = ask("DELETE", "affiliations/org4", Value::Null).await;
    assert_eq!((held.status.as_u16(), held.code()), (403, 71));
    let removed = ask("DELETE", "affiliations/org4?force=true", Value::Null)
        .await
        .result();
    assert_eq!(removed["affiliations"][0]["identities"][0]["id"], "alice");
    assert_eq!(
        ask("GET", "identities/alice", Value::Null).await.status,
        404
    );
    let bad = ask("DELETE", "affiliations/org2?force=perhaps", Value::Null).await;
    assert_eq!((bad.status.as_u16(), bad.code()), (400, 61));
}

#[tokio::test]
async fn a_manager_acts_within_its_affiliation() {
    let ca = ca().await;
    let right = json!([{"name": "hf.AffiliationMgr", "value": "true"}]);
    let clerk = newcomer(&ca, "clerk", json!({"affiliation": "org1", "attrs": right})).await;
    newcomer(&ca, "alice", json!({"affiliation": "org1.department1"})).await;
    let all = clerk
        .ask(&ca, "GET", "affiliations", Value::Null)
        .await
        .result();
    assert_eq!(all["name"], "org1");
    let inside = clerk
        .ask(&ca, "POST", "affiliations", json!({"name": "org1.new"}))
        .await;
    assert_eq!(inside.status, 201);
    for (method, path, body) in [
        ("POST", "affiliations", json!({"name": "org2.new"})),
        ("GET", "affiliations/org2", Value::Null),
        ("PUT", "affiliations/org1.new", json!({"name": "org2.new"})),
        ("DELETE", "affiliations/org1", Value::Null),
        ("DELETE", "affiliations/org2", Value::Null),
        // Identities hang on it, and the caller is no registrar.
        (
            "DELETE",
            "affiliations/org1.department1?force=true",
            Value::Null,
        ),
        (
            "PUT",
            "affiliations/org1.department1?force=true",
            json!({"name": "org1.x"}),
        ),
    ] {
        let reply = clerk.ask(&ca, method, path, body).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code()),
            (403, 71),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn no_part_of_an_affiliation_is_a_role_of_the_node() {
    let ca = ca().await;
    for name in ["org1.admin", "Peer", "org1.ORDERER.x", "org1.Client"] {
        let body = json!({"name": name});
        let added = ca
            .admin
            .ask(&ca, "POST", "affiliations?force=true", body.clone());
        let added = added.await;
        assert_eq!((added.status.as_u16(), added.code()), (400, 60), "{name}");
        let renamed = ca
            .admin
            .ask(&ca, "PUT", "affiliations/org2?force=true", body);
        let renamed = renamed.await;
        assert_eq!(
            (renamed.status.as_u16(), renamed.code()),
            (400, 64),
            "{name}"
        );
    }
}
