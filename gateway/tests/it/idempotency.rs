//! Idempotency keys: lost answers, duplicates, crashes, and lost races.

use quire_peer::SubmitError;
use tokio::task::JoinHandle;

use crate::kit::{Answer, Client, Node};

const KEY: &str = "./state/orders/1001";
const K: &str = "idempotency-key: k-1";
const BY_KEY: &str = "/v1/channels/main/transactions?idempotencyKey=k-1";

fn spawn_patch(
    client: &Client,
    headers: &'static [&'static str],
    body: &'static str,
) -> JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { client.patch(KEY, headers, body).await })
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_for_ever() {
    let node = Node::new();
    let first = node.client().put(KEY, &[K], "1").await;
    first.assert_status(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    node.client().put(KEY, &[], "2").await.assert_status(200);
    let ordered = node.orderer.submitted();

    for (client, key) in [
        (node.client(), K),
        (node.client(), "idempotency-key: \"k-1\""),
    ] {
        let again = client.put(KEY, &[key, "prefer: wait=9"], "1").await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(
            (again.status, again.body),
            (first.status, first.body.clone())
        );
        assert_eq!(again.headers["etag"], first.headers["etag"]);
        assert_eq!(again.headers["location"], first.headers["location"]);
    }
    assert_eq!(node.orderer.submitted(), ordered);
    assert_eq!(node.client().get(KEY).await.text(), "2");
}

#[tokio::test]
async fn another_request_with_the_key_is_422() {
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[K], "1").await.assert_status(201);
    let other = client.put(KEY, &[K], "2").await;
    other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let other = client.put(KEY, &[K, "quire-max-attempts: 2"], "1").await;
    other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let other = client.put("./state/orders/1002", &[K], "1").await;
    other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let same = client.put(KEY, &[K, "quire-max-attempts: 5"], "1").await;
    same.assert_status(201);
}

const JSON: &str = "content-type: application/json";
const BATCH: &str = "POST ./transactions:batch";

/// Route, headers and body.
type Sent = (&'static str, Vec<&'static str>, String);

/// Lists of requests; all requests of a list are the same request.
fn of_one_request() -> [Vec<Sent>; 3] {
    const NDJSON: &str = "content-type: application/x-ndjson";
    let call = r#"{"chaincode":"orders","function":"put","args":["1",1]}"#;
    let line = r#"{"chaincode":"orders","function":"put","args":["1",1],"idempotencyKey":"k-1"}"#;
    let (post, put) = ("POST ./transactions", "PUT ./state/orders/1001");
    let delete = "DELETE ./state/orders/1001";
    let one = || "1".to_owned();
    [
        vec![
            (post, vec![JSON], call.to_owned()),
            (post, vec![JSON], format!("{call}\n")),
            (post, vec![JSON], format!(" {call}\r\n")),
            (post, vec![JSON], format!("\u{feff}{call}")),
            ("POST ./transactions?&", vec![JSON], call.to_owned()),
            (
                "POST /v1/channels/%6Dain/transactions",
                vec![JSON],
                call.to_owned(),
            ),
            (BATCH, vec![NDJSON], line.to_owned()),
            (BATCH, vec![NDJSON], format!("{line}\n")),
            (BATCH, vec![NDJSON], format!("{line}\r\n")),
            (BATCH, vec![NDJSON], format!("\u{feff} \t{line} \r\n")),
        ],
        vec![
            (put, vec![JSON, "if-match: \"1.0\", \"1.1\""], one()),
            (put, vec![JSON, "if-match: \"1.0\",\"1.1\","], one()),
            (
                put,
                vec![
                    JSON,
                    "if-match: ,",
                    "if-match: \"1.0\"",
                    "if-match: \"1.1\"",
                ],
                "1".to_owned(),
            ),
            (
                put,
                vec![
                    "content-type: Application/JSON ;charset=utf8",
                    "if-match: \"1.0\"  ,\t \"1.1\"",
                ],
                "\u{feff}1".to_owned(),
            ),
            (
                "PUT ./state/o%72ders/10%301?",
                vec![
                    JSON,
                    "content-encoding: identity",
                    "if-match: \"1.0\", \"1.1\"",
                ],
                "1".to_owned(),
            ),
        ],
        vec![
            (delete, vec![], String::new()),
            (delete, vec![JSON], String::new()),
            (delete, vec![JSON], "{}".to_owned()),
            (
                delete,
                vec!["content-type: text/plain"],
                " { }\r\n".to_owned(),
            ),
            (delete, vec![JSON], "null".to_owned()),
        ],
    ]
}

/// A proxy, an editor or another library may change how a request is transported, which does not make it
/// another request.
#[tokio::test]
async fn a_request_is_the_same_however_it_is_transported() {
    for requests in of_one_request() {
        // It does not matter which came first.
        for first in 0..requests.len() {
            let node = Node::new();
            let client = node.client();
            client.put(KEY, &[], "{}").await.assert_status(201);
            let before = node.orderer.submitted();
            for (route, headers, body) in requests[first..].iter().chain(&requests) {
                let (method, path) = route.split_once(' ').unwrap();
                let mut headers = headers.clone();
                if *route != BATCH {
                    headers.push("idempotency-key: k-1");
                }
                let answer = client.send(method, path, &headers, body.clone()).await;
                let what = format!("{route} {headers:?} {body:?} after {:?}", requests[first]);
                let told = answer.text();
                let is_good = if *route == BATCH {
                    told.contains("\"status\":201,")
                } else {
                    matches!(answer.status, 200 | 201)
                };
                assert!(is_good, "{what}: {} {told}", answer.status);
            }
            assert_eq!(node.orderer.submitted(), before + 1);
        }
    }
}

#[tokio::test]
async fn blanks_around_a_value_are_stored_and_belong_to_the_request() {
    let node = Node::new();
    let client = node.client();
    let sent = " {\"a\": 1.0}\r\n";
    client.put(KEY, &[K], sent).await.assert_status(201);
    assert_eq!(client.get(KEY).await.text(), sent);
    client.put(KEY, &[K], sent).await.assert_status(201);
    // A value is kept with the blanks around it, so they belong to the request.
    for other in ["{\"a\": 1.0}", "{\"a\": 1.0}\n"] {
        let other = client.put(KEY, &[K], other).await;
        other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    }
}

#[tokio::test]
async fn duplicates_in_flight_wait_for_one_transaction() {
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[], "{}").await.assert_status(201);
    node.orderer.hold();
    let first = spawn_patch(&client, &[K], "{}");
    node.orderer.until_waiting(1).await;
    let second = spawn_patch(&client, &[K], "{}");
    let other = client.patch(KEY, &[K], r#"{"a":1}"#).await;
    other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let status = client.get(BY_KEY).await;
    assert_eq!(status.json()["status"], "PENDING");
    let watcher = tokio::spawn({
        let client = client.clone();
        async move { client.get(&format!("{BY_KEY}&wait=20")).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(node.orderer.waiting(), 1);
    node.orderer.release();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    first.assert_status(200);
    assert_eq!(first.body, second.body);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    let seen = watcher.await.unwrap();
    assert_eq!(seen.json()["status"], "VALID");
    assert_eq!(node.orderer.submitted(), 2);
}

#[tokio::test]
async fn a_retry_that_names_no_attempts_joins_and_one_that_names_others_is_judged_by_the_record() {
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[], "{}").await.assert_status(201);
    node.orderer.hold();
    let first = spawn_patch(&client, &[K, "quire-max-attempts: 2"], "{}");
    node.orderer.until_waiting(1).await;
    let silent = spawn_patch(&client, &[K], "{}");
    let same = spawn_patch(&client, &[K, "quire-max-attempts: 2"], "{}");
    let other = spawn_patch(&client, &[K, "quire-max-attempts: 3"], "{}");
    let patient = spawn_patch(
        &client,
        &[K, "quire-max-attempts: 3", "prefer: respond-async"],
        "{}",
    );
    let hasty = client
        .patch(KEY, &[K, "quire-max-attempts: 4", "prefer: wait=0"], "{}")
        .await;
    hasty.assert_problem(504, "COMMIT_TIMEOUT");
    node.orderer.release();
    let first = first.await.unwrap();
    first.assert_status(200);
    for joined in [silent, same] {
        assert_eq!(joined.await.unwrap().body, first.body);
    }
    // 202 would tell the caller that somebody else's transaction is its own.
    for refused in [other, patient] {
        let refused = refused.await.unwrap();
        refused.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    }
    assert_eq!(node.orderer.submitted(), 2);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_no_key_halfway() {
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[], "{}").await.assert_status(201);
    node.orderer.hold();
    let winner = spawn_patch(&client, &[], r#"{"a":1}"#);
    node.orderer.until_waiting(1).await;
    let gone = spawn_patch(&client, &[K], r#"{"b":2}"#);
    node.orderer.until_waiting(2).await;
    gone.abort();
    assert!(gone.await.is_err());
    // The first attempt loses to the winner; the second is made although nobody waits for it.
    node.orderer.release();
    winner.await.unwrap().assert_status(200);
    let status = client.get(&format!("{BY_KEY}&wait=20")).await;
    assert_eq!(status.json()["status"], "VALID");
    let replay = client.patch(KEY, &[K], r#"{"b":2}"#).await;
    assert_eq!(replay.header("idempotency-replayed"), Some("true"));
    assert_eq!(
        replay.json()["transactionId"],
        status.json()["transactionId"]
    );
}

#[tokio::test]
async fn attempts_found_in_blocks_are_continued_after_a_crash() {
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[], "{}").await.assert_status(201);
    node.orderer.hold();
    let winner = spawn_patch(&client, &[], r#"{"a":1}"#);
    node.orderer.until_waiting(1).await;
    let lost = spawn_patch(&client, &[K], r#"{"b":2}"#);
    node.orderer.until_waiting(2).await;
    node.orderer.release_silently();
    winner.await.unwrap().assert_problem(504, "COMMIT_TIMEOUT");
    let lost = lost.await.unwrap();
    lost.assert_problem(504, "COMMIT_TIMEOUT");
    assert_eq!(lost.header("location"), Some(BY_KEY));

    // The node restarts: the first attempt lost, so four remain.
    let client = node.client();
    assert_eq!(client.get(BY_KEY).await.json()["status"], "PENDING");
    let answer = client.patch(KEY, &[K], r#"{"b":2}"#).await;
    answer.assert_status(200);
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_ne!(answer.json()["transactionId"], lost.json()["transactionId"]);
    let again = client.patch(KEY, &[K], r#"{"b":2}"#).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.body, answer.body);
    let status = client.get(BY_KEY).await;
    assert_eq!(
        status.json()["transactionId"],
        answer.json()["transactionId"]
    );
}

#[tokio::test]
async fn what_a_crash_lost_is_ordered_again_under_the_same_id() {
    let node = Node::new();
    let client = node.client();
    node.orderer.hold();
    let accepted = client.put(KEY, &[K, "prefer: respond-async"], "1").await;
    accepted.assert_status(202);
    assert_eq!(accepted.json()["status"], "PENDING");
    assert_eq!(accepted.header("location"), Some(BY_KEY));
    assert_eq!(accepted.header("preference-applied"), Some("respond-async"));
    node.orderer.lose();

    let client = node.client();
    client
        .get(BY_KEY)
        .await
        .assert_problem(404, "TRANSACTION_NOT_FOUND");
    let answer = client.put(KEY, &[K], "1").await;
    answer.assert_status(201);
    assert_eq!(
        answer.json()["transactionId"],
        accepted.json()["transactionId"]
    );
}

#[tokio::test]
async fn what_an_earlier_process_ordered_is_awaited_and_not_ordered_twice() {
    let node = Node::new();
    node.orderer.hold();
    let accepted = node
        .client()
        .put(KEY, &[K, "prefer: respond-async"], "1")
        .await;
    accepted.assert_status(202);
    let retry = tokio::spawn({
        let client = node.client();
        async move { client.put(KEY, &[K], "1").await }
    });
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    node.orderer.release();
    let answer = retry.await.unwrap();
    answer.assert_status(201);
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    assert_eq!(node.orderer.submitted(), 1);
}

#[tokio::test]
async fn refusals_are_not_remembered() {
    let node = Node::new();
    let client = node.client();
    node.orderer.refuse(SubmitError::NotReady);
    let refused = client.put(KEY, &[K], "1").await;
    refused.assert_problem(503, "NOT_READY");
    assert!(refused.json().get("transactionId").is_none());
    client.put(KEY, &[K], "2").await.assert_status(201);
}

#[tokio::test]
async fn a_later_refusal_names_the_last_attempt() {
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[], "{}").await.assert_status(201);
    node.orderer.hold();
    let winner = tokio::spawn({
        let client = client.clone();
        async move { client.delete(KEY, &[]).await }
    });
    node.orderer.until_waiting(1).await;
    let patch = spawn_patch(&client, &[K], r#"{"b":2}"#);
    node.orderer.until_waiting(2).await;
    node.orderer.release();
    winner.await.unwrap().assert_status(200);
    let refused = patch.await.unwrap();
    refused.assert_problem(404, "KEY_NOT_FOUND");
    let id = refused.json()["transactionId"].as_str().unwrap().to_owned();
    let last = client.get(&format!("./transactions/{id}")).await;
    assert_eq!(last.json()["code"], "MVCC_READ_CONFLICT");
    // It is judged again: now there is something to patch.
    client.put(KEY, &[], "{}").await.assert_status(201);
    client
        .patch(KEY, &[K], r#"{"b":2}"#)
        .await
        .assert_status(200);
}

#[tokio::test]
async fn a_lost_condition_is_remembered() {
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[], "{}").await.assert_status(201);
    node.orderer.hold();
    let winner = spawn_patch(&client, &[], "{}");
    node.orderer.until_waiting(1).await;
    let loser = spawn_patch(&client, &[K, "if-match: \"1.0\""], "{}");
    node.orderer.until_waiting(2).await;
    node.orderer.release();
    winner.await.unwrap().assert_status(200);
    let lost = loser.await.unwrap();
    lost.assert_problem(412, "PRECONDITION_FAILED");
    let again = client.patch(KEY, &[K, "if-match: \"1.0\""], "{}").await;
    again.assert_problem(412, "PRECONDITION_FAILED");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json()["transactionId"], lost.json()["transactionId"]);
    let status = client.get(BY_KEY).await;
    assert_eq!(status.json()["code"], "MVCC_READ_CONFLICT");
    assert_eq!(status.json()["status"], "INVALID");
}

#[tokio::test]
async fn a_merge_that_lost_beside_a_create_is_tried_again_and_a_create_that_lost_is_not() {
    const CREATE: &str = r#"{"op":"create","namespace":"orders","key":"new","value":1}"#;
    let node = Node::new();
    let client = node.client();
    client.put(KEY, &[], "{}").await.assert_status(201);
    let post = |client: &Client, key: &'static str, operations: String| {
        let client = client.clone();
        let body = format!(r#"{{"operations":[{operations}]}}"#);
        tokio::spawn(async move { client.post("./transactions", &[key], &body).await })
    };
    node.orderer.hold();
    let winner = spawn_patch(&client, &[], r#"{"a":1}"#);
    node.orderer.until_waiting(1).await;
    let merge = r#"{"op":"merge","namespace":"orders","key":"1001","value":{"b":2}}"#;
    let both = post(&client, K, format!("{CREATE},{merge}"));
    node.orderer.until_waiting(2).await;
    node.orderer.release();
    winner.await.unwrap().assert_status(200);
    both.await.unwrap().assert_status(201);
    assert_eq!(client.get(KEY).await.json()["b"], 2);
    client
        .delete("./state/orders/new", &[])
        .await
        .assert_status(200);
    // This gateway has not seen the key lose a race, so nobody waits for a turn.
    let client = node.client();

    node.orderer.hold();
    let winner = post(&client, "idempotency-key: first", CREATE.to_owned());
    node.orderer.until_waiting(1).await;
    let loser = post(&client, "idempotency-key: second", CREATE.to_owned());
    node.orderer.until_waiting(2).await;
    node.orderer.release();
    winner.await.unwrap().assert_status(201);
    let lost = loser.await.unwrap();
    lost.assert_problem(412, "PRECONDITION_FAILED");
    let again = post(&client, "idempotency-key: second", CREATE.to_owned())
        .await
        .unwrap();
    again.assert_problem(412, "PRECONDITION_FAILED");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json()["transactionId"], lost.json()["transactionId"]);
}

#[tokio::test]
async fn respond_async_needs_a_key() {
    let client = Node::new().client();
    let answer = client.put(KEY, &["prefer: respond-async"], "1").await;
    answer.assert_problem(400, "INVALID_ARGUMENT");
    client
        .get("./transactions")
        .await
        .assert_problem(400, "INVALID_ARGUMENT");
}
