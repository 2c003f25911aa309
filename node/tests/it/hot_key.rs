//! Many clients, one key: every merge loses to those before it in its block, and is tried again.

use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use super::kit::{Client, Node, Request};

const CLIENTS: usize = 64;
const MERGES: usize = 10;

fn merge(client: usize, turn: usize, attempts: &str) -> Request {
    Request {
        method: "PATCH",
        path: format!("/v1/channels/main/state/hot/with-{attempts}"),
        headers: vec![
            ("Content-Type", "application/merge-patch+json".into()),
            ("Idempotency-Key", format!("hot-{attempts}-{client}-{turn}")),
            ("Quire-Max-Attempts", attempts.into()),
        ],
        body: json!({format!("c{client}-{turn}"): turn}).to_string(),
    }
}

/// Lets all clients merge, and gives how many succeeded.
fn contend(node: &Node, attempts: &str) -> usize {
    let client = node.client();
    let path = format!("/v1/channels/main/state/hot/with-{attempts}");
    put_empty(&client, &path);
    let began = Instant::now();
    let succeeded: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = node.client();
                scope.spawn(move || {
                    let answers = (0..MERGES).map(|turn| {
                        let answer = client.send(&merge(number, turn, attempts)).unwrap();
                        if answer.status == 409 {
                            let code = &answer.json()["code"];
                            assert_eq!(code, "MVCC_READ_CONFLICT");
                        } else {
                            assert_eq!(answer.status, 200, "{}", answer.text());
                        }
                        answer.status == 200
                    });
                    answers.filter(|succeeded| *succeeded).count()
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    let took = began.elapsed();
    println!(
        "{attempts} attempts allowed: {succeeded} of {} merges succeed, {} a second",
        CLIENTS * MERGES,
        succeeded as u128 * 1000 / took.as_millis().max(1)
    );
    let members = client.json(&path).as_object().unwrap().len();
    assert_eq!(members, succeeded);
    succeeded
}

fn put_empty(client: &Client, path: &str) {
    let request = Request {
        method: "PUT",
        path: path.to_owned(),
        headers: vec![("Content-Type", "application/json".into())],
        body: "{}".to_owned(),
    };
    assert_eq!(client.send(&request).unwrap().status, 201);
}

#[test]
fn merges_into_one_key_succeed_within_their_attempts_or_fail_cleanly() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let alone = contend(&node, "1");
    // The default, and the most.
    for attempts in ["5", "10"] {
        let retried = contend(&node, attempts);
        assert!(retried > alone, "{alone} without retries by the server");
        // Losers take turns, so that hardly anybody runs out of attempts.
        assert!(retried * 100 >= CLIENTS * MERGES * 95, "{retried} with");
    }
}
