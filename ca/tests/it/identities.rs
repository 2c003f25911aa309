//! Identities, and who may do what with them.

use serde_json::{Value, json};

use crate::kit::{Ca, Client, ca, enroll, newcomer};

fn ids(list: &Value) -> Vec<&str> {
    let list = list["identities"].as_array().unwrap();
    list.iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_identity_is_made_told_changed_and_removed() {
    let ca = ca().await;
    let body = json!({"id": "alice", "type": "client", "affiliation": "org1", "secret": "s3cret",
        "attrs": [{"name": "a", "value": "1"}], "max_enrollments": 3});
    let reply = ca.admin.ask(&ca, "POST", "identities", body.clone()).await;
    assert_eq!(reply.status, 201);
    let made = reply.result();
    assert_eq!(
        (&made["secret"], &made["caname"]),
        (&json!("s3cret"), &json!("ca-org1"))
    );
    let twice = ca.admin.ask(&ca, "POST", "identities", body).await;
    assert_eq!((twice.status.as_u16(), twice.code()), (409, 74));

    let told = ca
        .admin
        .ask(&ca, "GET", "identities/alice?ca=ca-org1", Value::Null)
        .await
        .result();
    assert_eq!(told["max_enrollments"], 3);
    assert_eq!(told["secret"], Value::Null);
    assert_eq!(told["attrs"][0], json!({"name": "a", "value": "1"}));
    assert_eq!(told["attrs"][1]["name"], "hf.EnrollmentID");

    let change = json!({"type": "peer", "affiliation": "org2", "max_enrollments": -2,
        "attrs": [{"name": "a", "value": ""}, {"name": "b", "value": "2", "ecert": true}]});
    let changed = ca
        .admin
        .ask(&ca, "PUT", "identities/alice", change)
        .await
        .result();
    assert_eq!(
        (&changed["type"], &changed["affiliation"]),
        (&json!("peer"), &json!("org2"))
    );
    assert_eq!(changed["max_enrollments"], 0);
    let text = changed["attrs"].to_string();
    for expected in [
        r#"{"name":"b","value":"2","ecert":true}"#,
        r#"{"name":"hf.Affiliation","value":"org2","ecert":true}"#,
        r#"{"name":"hf.Type","value":"peer","ecert":true}"#,
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains(r#""name":"a""#), "{text}");
    assert!(
        enroll(&ca.router, "alice", "s3cret", json!({}))
            .await
            .is_err(),
        "never is never"
    );

    let all = ca
        .admin
        .ask(&ca, "GET", "identities", Value::Null)
        .await
        .result();
    assert_eq!(ids(&all), ["admin", "alice"]);
    let removed = ca
        .admin
        .ask(&ca, "DELETE", "identities/alice", Value::Null)
        .await
        .result();
    assert_eq!(removed["id"], "alice");
    let gone = ca
        .admin
        .ask(&ca, "GET", "identities/alice", Value::Null)
        .await;
    assert_eq!((gone.status.as_u16(), gone.code()), (404, 63));
    let own = ca
        .admin
        .ask(&ca, "DELETE", "identities/admin", Value::Null)
        .await;
    assert_eq!((own.status.as_u16(), own.code()), (403, 56));
}

/// A registrar of clients and users in `org1`, and some whom it has nothing to do with.
async fn clerk(ca: &Ca) -> Client {
    newcomer(ca, "far", json!({"affiliation": "org2"})).await;
    newcomer(ca, "peer0", json!({"affiliation": "org1", "type": "peer"})).await;
    let rights = json!([
        {"name": "hf.Registrar.Roles", "value": "client,user"},
        {"name": "hf.Registrar.Attributes", "value": "app.*"},
    ]);
    newcomer(ca, "clerk", json!({"affiliation": "org1", "attrs": rights})).await
}

#[tokio::test]
async fn a_registrar_registers_within_its_types_affiliation_and_attributes() {
    let ca = ca().await;
    let clerk = clerk(&ca).await;
    for (body, expected) in [
        (json!({"id": "u1"}), 201),
        (
            json!({"id": "u2", "type": "user", "affiliation": "org1.department1"}),
            201,
        ),
        (
            json!({"id": "u3", "attrs": [{"name": "app.x", "value": "1"}]}),
            201,
        ),
        (json!({"id": "u4", "type": "peer"}), 403),
        (json!({"id": "u5", "type": "admin"}), 403),
        (json!({"id": "u6", "affiliation": "org2"}), 403),
        (json!({"id": "u7", "affiliation": "."}), 403),
        (json!({"id": "u8", "affiliation": "org1.nowhere"}), 403),
        (
            json!({"id": "u9", "attrs": [{"name": "b", "value": "1"}]}),
            403,
        ),
        (
            json!({"id": "u10", "attrs": [{"name": "hf.Revoker", "value": "true"}]}),
            403,
        ),
    ] {
        let reply = clerk.ask(&ca, "POST", "register", body.clone()).await;
        assert_eq!(reply.status.as_u16(), expected, "{body}: {reply:?}");
        if expected == 403 {
            assert_eq!(reply.code(), 71, "{body}");
        }
    }
    let seen = clerk
        .ask(&ca, "GET", "identities", Value::Null)
        .await
        .result();
    assert_eq!(ids(&seen), ["clerk", "u1", "u2", "u3"]);
}

#[tokio::test]
async fn a_registrar_changes_nobody_else_and_nothing_else() {
    let ca = ca().await;
    let clerk = clerk(&ca).await;
    clerk.register(&ca, json!({"id": "u1"})).await;
    for (method, path, body) in [
        ("GET", "identities/far", Value::Null),
        ("GET", "identities/peer0", Value::Null),
        ("GET", "identities/admin", Value::Null),
        ("PUT", "identities/admin", json!({"secret": "mine"})),
        ("PUT", "identities/u1", json!({"type": "peer"})),
        ("PUT", "identities/u1", json!({"affiliation": "org2"})),
        (
            "PUT",
            "identities/u1",
            json!({"attrs": [{"name": "hf.GenCRL", "value": "true"}]}),
        ),
        ("DELETE", "identities/peer0", Value::Null),
        ("POST", "revoke", json!({"id": "u1"})),
        ("POST", "gencrl", json!({})),
        ("GET", "affiliations", Value::Null),
    ] {
        let reply = clerk.ask(&ca, method, path, body).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code()),
            (403, 71),
            "{method} {path}"
        );
    }
    let nobody = newcomer(&ca, "nobody", json!({})).await;
    for path in ["identities", "certificates", "affiliations"] {
        let reply = nobody.ask(&ca, "GET", path, Value::Null).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (403, 71), "{path}");
    }
    assert_eq!(
        nobody
            .ask(&ca, "POST", "register", json!({"id": "x"}))
            .await
            .code(),
        71
    );
}

#[tokio::test]
async fn a_name_that_is_the_nodes_own_or_none_is_not_registered() {
    let ca = ca().await;
    for name in [
        "node",
        "orderer",
        "client",
        "org-admin",
        "",
        "a b",
        "../x",
        &"a".repeat(65),
        "é",
    ] {
        let reply = ca
            .admin
            .ask(&ca, "POST", "register", json!({"id": name}))
            .await;
        assert_eq!(reply.status, 400, "{name}");
    }
    for body in [
        json!({"id": "x", "max_enrollments": -2}),
        json!({"id": "x", "type": "a,b"}),
        json!({"id": "x", "secret": "s".repeat(1025)}),
        json!({"id": "x", "attrs": [{"name": "a", "value": "v".repeat(4096)}]}),
        json!({"id": "x", "attrs": "none"}),
        json!({"id": 7}),
    ] {
        let reply = ca.admin.ask(&ca, "POST", "register", body.clone()).await;
        assert!(
            reply.status == 400 || reply.status == 403,
            "{body}: {reply:?}"
        );
    }
}

#[tokio::test]
async fn names_in_a_body_may_be_in_any_case_and_null_says_nothing() {
    let ca = ca().await;
    let body =
        json!({"ID": "alice", "Type": null, "attrs": null, "Secret": "s", "MAX_ENROLLMENTS": null});
    assert_eq!(ca.admin.register(&ca, body).await, "s");
    let told = ca
        .admin
        .ask(&ca, "GET", "identities/alice", Value::Null)
        .await
        .result();
    assert_eq!(
        (&told["type"], &told["max_enrollments"]),
        (&json!("client"), &json!(-1))
    );
}

#[tokio::test]
async fn a_type_that_is_a_role_is_written_as_the_role_is() {
    let ca = ca().await;
    ca.admin
        .register(&ca, json!({"id": "a", "type": "Admin"}))
        .await;
    let told = ca.admin.ask(&ca, "GET", "identities/a", Value::Null).await;
    let told = told.result();
    assert_eq!(told["type"], "admin");
    assert!(!told.to_string().contains("Admin"), "{told}");
    let change = json!({"type": "PEER"});
    let told = ca.admin.ask(&ca, "PUT", "identities/a", change).await;
    let told = told.result();
    assert_eq!(told["type"], "peer");
    assert!(!told.to_string().contains("PEER"), "{told}");
}

#[tokio::test]
async fn a_registrar_does_nothing_to_whoever_has_rights_that_are_not_its_own_to_give() {
    let ca = ca().await;
    let rights = json!([
        {"name": "hf.Registrar.Roles", "value": "client"},
        {"name": "hf.Registrar.Attributes", "value": "app.*"},
        {"name": "hf.AffiliationMgr", "value": "true"},
    ]);
    let clerk = newcomer(
        &ca,
        "clerk",
        json!({"affiliation": "org1", "attrs": rights}),
    )
    .await;
    let right = json!([{"name": "hf.Revoker", "value": "true"}]);
    newcomer(
        &ca,
        "boss",
        json!({"affiliation": "org1.department1", "attrs": right}),
    )
    .await;
    let force = "affiliations/org1.department1?force=true";
    for (method, path, body) in [
        ("PUT", "identities/boss", json!({"secret": "mine"})),
        ("PUT", "identities/boss", json!({"max_enrollments": -1})),
        (
            "PUT",
            "identities/boss",
            json!({"attrs": [{"name": "app.x", "value": "1"}]}),
        ),
        ("DELETE", "identities/boss", Value::Null),
        ("DELETE", force, Value::Null),
    ] {
        let reply = clerk.ask(&ca, method, path, body).await;
        let found = (reply.status.as_u16(), reply.code());
        assert_eq!(found, (403, 71), "{method} {path}");
    }
    let own = clerk
        .ask(&ca, "PUT", "identities/clerk", json!({"secret": "mine"}))
        .await;
    assert_eq!(own.status, 200, "{own:?}");
    let admin = ca
        .admin
        .ask(&ca, "DELETE", "identities/boss", Value::Null)
        .await;
    assert_eq!(admin.status, 200, "{admin:?}");
}

#[tokio::test]
async fn a_body_of_wrong_types_is_not_told_again() {
    let ca = ca().await;
    let body = json!({"id": "x", "max_enrollments": "hunter2"});
    let reply = ca.admin.ask(&ca, "POST", "register", body).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, 5));
    assert!(!reply.body.to_string().contains("hunter2"), "{reply:?}");
}
