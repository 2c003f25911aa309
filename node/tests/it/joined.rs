//! Copies of one request that arrive together.

use std::sync::Barrier;

use tempfile::TempDir;

use super::kit::{Node, Request};

const COPIES: usize = 200;

#[test]
fn two_hundred_copies_of_a_request_are_one_transaction_and_one_answer() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    let request = Request {
        method: "POST",
        path: "/v1/channels/main/transactions".into(),
        headers: vec![
            ("Content-Type", "application/json".into()),
            ("Idempotency-Key", "one".into()),
        ],
        body: r#"{"operations":[{"op":"create","namespace":"orders","key":"1","value":{}}]}"#
            .into(),
    };
    let together = Barrier::new(COPIES);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let copies: Vec<_> = (0..COPIES)
            .map(|_| {
                let client = node.client();
                let (together, request) = (&together, &request);
                scope.spawn(move || {
                    together.wait();
                    client.send(request).unwrap()
                })
            })
            .collect();
        let copies = copies.into_iter();
        copies.map(|copy| copy.join().unwrap()).collect()
    });
    let replayed = |answer: &&super::kit::Answer| answer.header("idempotency-replayed").is_some();
    let replays = answers.iter().filter(replayed).count();
    println!("{COPIES} copies, {replays} of the answers marked as replayed");
    assert_eq!(replays, COPIES - 1);
    for answer in &answers {
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    // Block 0, and one with one transaction.
    assert_eq!(client.height(), 2);
    let block = client.json("/v1/channels/main/blocks/1");
    assert_eq!(block["transactions"].as_array().unwrap().len(), 1);
}
