//! Tests writes without a key: statuses, tags, conditions, and what is recorded.

use std::time::Duration;

use quire_peer::{EnvelopeTooLarge, Refused, SubmitError};
use serde_json::{Value, json};

use crate::kit::Node;

const KEY: &str = "./state/orders/1001";

#[tokio::test]
async fn a_document_is_created_replaced_merged_and_deleted() {
    let client = Node::new().client();

    let created = client.put(KEY, &[], r#"{"total": 12.50}"#).await;
    created.assert_status(201);
    assert_eq!(created.header("etag"), Some("\"1.0\""));
    let id = created.json()["transactionId"].as_str().unwrap().to_owned();
    let location = format!("/v1/channels/main/transactions/{id}");
    assert_eq!(created.header("location"), Some(location.as_str()));
    assert_eq!(
        created.text(),
        format!(
            r#"{{"transactionId":"{id}","status":"VALID","code":"VALID","blockNumber":1,"txNumber":0,"result":{{"previousVersion":null}}}}"#
        )
    );
    assert_eq!(created.header("idempotency-replayed"), None);

    let replaced = client
        .put(KEY, &["if-match: \"1.0\""], r#"{"total": 15.00}"#)
        .await;
    replaced.assert_status(200);
    assert_eq!(replaced.header("etag"), Some("\"2.0\""));

    let merged = client.patch(KEY, &[], r#"{"paid": true}"#).await;
    merged.assert_status(200);
    assert_eq!(merged.json()["result"]["previousVersion"], "2.0");
    let value = client.get(KEY).await;
    assert_eq!(value.header("etag"), Some("\"3.0\""));
    assert_eq!(value.json()["paid"], true);

    client.delete(KEY, &[]).await.assert_status(200);
    client.get(KEY).await.assert_problem(404, "KEY_NOT_FOUND");
    client
        .delete(KEY, &[])
        .await
        .assert_problem(404, "KEY_NOT_FOUND");
    client
        .patch(KEY, &[], "{}")
        .await
        .assert_problem(404, "KEY_NOT_FOUND");
    // A deleted key is created again.
    client.put(KEY, &[], "1").await.assert_status(201);
}

#[tokio::test]
async fn conditions_that_do_not_hold_are_412_before_and_after_ordering() {
    let node = Node::new();
    let client = node.client();
    client
        .put(KEY, &["if-none-match: *"], "1")
        .await
        .assert_status(201);
    for condition in [
        "if-match: \"0.0\"",
        "if-match: W/\"1.0\"",
        "if-none-match: *",
    ] {
        let answer = client.put(KEY, &[condition], "2").await;
        answer.assert_problem(412, "PRECONDITION_FAILED");
        assert!(answer.json().get("transactionId").is_none(), "{answer:?}");
        assert_about(&answer.json(), 0, "1001", &json!("1.0"));
    }

    // Both see version 1.0; the block decides.
    node.orderer.hold();
    let write = |value: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.put(KEY, &["if-match: \"1.0\""], value).await })
    };
    let first = write("3");
    node.orderer.until_waiting(1).await;
    let second = write("4");
    node.orderer.until_waiting(2).await;
    node.orderer.release();
    first.await.unwrap().assert_status(200);
    let lost = second.await.unwrap();
    lost.assert_problem(412, "PRECONDITION_FAILED");
    assert!(lost.json()["transactionId"].is_string());
    assert_eq!(lost.json()["blockNumber"], 2);
    // This is the version just before the transaction, whatever it is now.
    assert_about(&lost.json(), 0, "1001", &json!("2.0"));
    assert_eq!(client.get(KEY).await.text(), "3");
}

/// Fails unless a problem names the operation, the key in `orders` and the version that was found.
#[track_caller]
fn assert_about(problem: &Value, operation: u64, key: &str, version: &Value) {
    assert_eq!(problem["operation"], operation, "{problem}");
    assert_eq!(problem["namespace"], "orders", "{problem}");
    assert_eq!(problem["key"], key, "{problem}");
    assert_eq!(problem.get("version"), Some(version), "{problem}");
}

#[tokio::test]
async fn a_query_that_is_too_large_names_its_namespace() {
    let client = Node::new().client();
    let patterns = vec![r#"{"a":{"$regex":"x"}}"#; 1_000].join(",");
    let selector = format!(r#"{{"$or":[{patterns}]}}"#);
    let query = format!(r#"{{"selector":{selector}}}"#);
    let find = format!(r#"{{"chaincode":"orders","function":"find","args":[{query}]}}"#);
    let index = format!(r#"{{"index":{{"fields":["a"],"partial_filter_selector":{selector}}}}}"#);
    for (path, body) in [
        ("./state/orders/_find", &query),
        ("./state/orders/_explain", &query),
        ("./state/orders/_index", &index),
        ("./evaluate", &find),
        ("./transactions", &find),
    ] {
        let answer = client.post(path, &[], body).await;
        answer.assert_problem(422, "QUERY_TOO_EXPENSIVE");
        assert_eq!(answer.json()["namespace"], "orders", "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_failed_condition_names_its_operation_key_and_version() {
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[], "1").await.assert_status(201);
    for (demand, key, found) in [
        (r#""ifVersion":"0.0""#, "1001", json!("1.0")),
        (r#""ifVersion":null"#, "1001", json!("1.0")),
        (r#""ifVersion":"1.0""#, "other", Value::Null),
    ] {
        let operations = format!(
            r#"{{"operations":[
                {{"op":"put","namespace":"orders","key":"first","value":1}},
                {{"op":"put","namespace":"orders","key":"{key}","value":1,{demand}}}]}}"#
        );
        for path in ["./transactions", "./transactions:batch"] {
            let is_batch = path.ends_with(":batch");
            let answer = if is_batch {
                let line = operations.replace('\n', "");
                let headers = ["content-type: application/x-ndjson"];
                client.send("POST", path, &headers, line).await
            } else {
                client.post(path, &[], operations.as_str()).await
            };
            let problem = if is_batch {
                answer.json()["body"].clone()
            } else {
                answer.assert_problem(412, "PRECONDITION_FAILED");
                answer.json()
            };
            assert_about(&problem, 1, key, &found);
        }
    }
    let read = client.get_with(KEY, "if-match: \"0.0\"").await;
    read.assert_problem(412, "PRECONDITION_FAILED");
    assert_eq!(read.json()["key"], "1001");
    assert_eq!(read.json()["version"], "1.0");
    assert!(read.json().get("operation").is_none());
}

#[tokio::test]
async fn a_reused_key_and_a_refusal_name_what_the_request_is_about() {
    let client = Node::new().client();
    let key = "idempotency-key: one";
    client.put(KEY, &[key], "1").await.assert_status(201);
    let reused = client.put(KEY, &[key], "2").await;
    reused.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(reused.json()["namespace"], "orders");
    assert_eq!(reused.json()["key"], "1001");
    assert_eq!(reused.json()["operation"], 0);
    let two = r#"{"operations":[
        {"op":"put","namespace":"a","key":"1","value":1},
        {"op":"put","namespace":"b","key":"2","value":1}]}"#;
    let reused = client.post("./transactions", &[key], two).await;
    reused.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    // It is not more about the one than about the other.
    for member in ["operation", "namespace", "key", "version"] {
        assert!(reused.json().get(member).is_none(), "{member}");
    }
}

#[tokio::test]
async fn an_unconditional_write_that_loses_is_tried_again() {
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[], "{}").await.assert_status(201);
    node.orderer.hold();
    let patch = |body: &'static str, headers: &'static [&'static str]| {
        let client = client.clone();
        tokio::spawn(async move { client.patch(KEY, headers, body).await })
    };
    let first = patch(r#"{"a":1}"#, &[]);
    node.orderer.until_waiting(1).await;
    let second = patch(r#"{"b":2}"#, &[]);
    node.orderer.until_waiting(2).await;
    let third = patch(r#"{"c":3}"#, &["quire-max-attempts: 1"]);
    node.orderer.until_waiting(3).await;
    node.orderer.release();
    first.await.unwrap().assert_status(200);
    second.await.unwrap().assert_status(200);
    third
        .await
        .unwrap()
        .assert_problem(409, "MVCC_READ_CONFLICT");
    assert_eq!(
        client.get(KEY).await.text().replace(' ', ""),
        r#"{"a":1,"b":2}"#
    );
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_away_is_a_504_with_a_place_to_look() {
    let node = Node::new();
    let client = node.client();
    node.orderer.hold();
    for headers in [&[] as &[&str], &["prefer: wait=1"], &["prefer: wait=0"]] {
        let answer = client.put(KEY, headers, "1").await;
        answer.assert_problem(504, "COMMIT_TIMEOUT");
        let id = answer.json()["transactionId"].as_str().unwrap().to_owned();
        let location = answer.header("location").unwrap();
        assert!(location.ends_with(&id), "{location}");
        let pending = client.get(location).await;
        assert_eq!(pending.assert_status(200).json()["status"], "PENDING");
    }
    node.orderer.release();
    assert_eq!(client.get(KEY).await.text(), "1");
}

#[tokio::test]
async fn an_outcome_that_is_lost_is_a_504_too() {
    let node = Node::new();
    let client = node.client();
    node.orderer.hold();
    let write = tokio::spawn({
        let client = client.clone();
        async move { client.put(KEY, &[], "1").await }
    });
    node.orderer.until_waiting(1).await;
    node.orderer.release_silently();
    let answer = write.await.unwrap();
    answer.assert_problem(504, "COMMIT_TIMEOUT");
    let found = client.get(answer.header("location").unwrap()).await;
    assert_eq!(found.json()["status"], "VALID");
    assert_eq!(found.json()["creator"], "client");
    assert_eq!(found.json()["timestamp"], "2027-01-15T08:00:00Z");
}

#[tokio::test]
async fn refusals_tell_what_to_do_and_keep_secrets() {
    let node = Node::new();
    let client = node.client();
    for (refusal, status, code, retry_after) in [
        (SubmitError::ReadOnly, 409, "CHANNEL_READ_ONLY", None),
        (SubmitError::NotReady, 503, "NOT_READY", Some("1")),
        (
            SubmitError::StateUnavailable,
            503,
            "STATE_UNAVAILABLE",
            Some("1"),
        ),
        (
            SubmitError::OrdererUnavailable("all brokers are down".to_owned()),
            503,
            "ORDERER_UNAVAILABLE",
            Some("1"),
        ),
        (
            SubmitError::StorageFailed,
            503,
            "STORAGE_FAILED",
            Some("30"),
        ),
        (
            SubmitError::TooLarge(EnvelopeTooLarge {
                size_bytes: 2,
                limit_bytes: 1,
            }),
            413,
            "TOO_LARGE",
            None,
        ),
        (
            SubmitError::Refused(Refused::NotAWriter("someone".to_owned())),
            403,
            "FORBIDDEN",
            None,
        ),
        (
            SubmitError::Overloaded {
                retry_after: Duration::from_millis(1500),
            },
            503,
            "OVERLOADED",
            Some("2"),
        ),
    ] {
        node.orderer.refuse(refusal);
        let answer = client.put(KEY, &[], "1").await;
        answer.assert_problem(status, code);
        assert_eq!(answer.header("retry-after"), retry_after, "{code}");
    }
    let answer = client
        .post("/v1/channels", &[], r#"{"name":"other"}"#)
        .await;
    answer.assert_problem(503, "STORAGE_FAILED");
    assert!(!answer.text().contains("secret"));
}

#[tokio::test]
async fn operations_are_one_transaction() {
    let client = Node::new().client();
    let body = r#"{"operations": [
        {"op": "create", "namespace": "orders", "key": "1", "value": {"total": 12.50}},
        {"op": "put", "namespace": "stock", "key": "a/b", "value": 7}]}"#;
    let answer = client.post("./transactions", &[], body).await;
    answer.assert_status(201);
    assert_eq!(answer.json()["result"].as_array().unwrap().len(), 2);
    assert_eq!(answer.header("etag"), None);
    let value = client.get("./state/orders/1").await;
    assert_eq!(value.text(), r#"{"total": 12.50}"#);
    assert_eq!(client.get("./state/stock/a%2Fb").await.text(), "7");

    let call = r#"{"chaincode":"orders","function":"put","args":["2", {"total": 1.0}]}"#;
    client
        .post("./transactions", &[], call)
        .await
        .assert_status(201);
    let call = r#"{"chaincode":"orders","function":"get","args":["2"]}"#;
    let answer = client.post("./evaluate", &[], call).await;
    answer.assert_status(200);
    assert_eq!(answer.header("quire-height"), Some("3"));
    assert!(answer.text().starts_with(r#"{"result":"#), "{answer:?}");
}
