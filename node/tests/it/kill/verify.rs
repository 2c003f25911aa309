//! Compares what a node holds with what was acknowledged.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use quire_wire::transaction::Opened;

use super::writer::{Expected, NAMESPACE, Writer, state_path};
use crate::kit::Client;

/// Where a transaction stands in the blocks.
type Places = HashMap<String, (u64, u64)>;

/// Asserts that every acknowledged transaction is valid, in state, in history and in its block,
/// each exactly once, and that there is no other one.
pub(super) fn everything(client: &Client, writers: &[Writer]) {
    let places = valid_transactions(client);
    let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged.len()).sum();
    let unanswered = writers
        .iter()
        .flat_map(|writer| &writer.acknowledged)
        .filter(|acknowledged| acknowledged.unanswered > 0)
        .count();
    println!("{acknowledged} transactions, {unanswered} of them sent more than once");
    assert_eq!(
        places.len(),
        acknowledged,
        "valid transactions in the blocks"
    );
    std::thread::scope(|scope| {
        for writer in writers {
            let places = &places;
            scope.spawn(move || {
                transactions(client, writer, places);
                for (key, expected) in &writer.keys {
                    state(client, writer, key, expected);
                    history(client, writer, key, expected);
                }
                replays(client, writer);
            });
        }
    });
}

/// Every valid endorser transaction of every block; one that stands there twice fails.
fn valid_transactions(client: &Client) -> Places {
    let mut places = Places::new();
    for number in 1..client.height() {
        let path = format!("/v1/channels/main/blocks/{number}");
        let bytes = Bytes::from(client.get(&path, "application/x-protobuf").body);
        let block = quire_wire::common::Block::decode(bytes).unwrap();
        let codes = &block.metadata.unwrap().metadata[2];
        let envelopes = block.data.unwrap().data;
        assert_eq!(codes.len(), envelopes.len(), "block {number}");
        for (tx, (envelope, code)) in (0u64..).zip(envelopes.iter().zip(codes)) {
            let opened = Opened::read(envelope).unwrap();
            assert!(opened.is_endorser_transaction(), "block {number}");
            let id = opened.derived_tx_id();
            assert_eq!(opened.channel_header.tx_id, id);
            if *code == 0 {
                let before = places.insert(id.clone(), (number, tx));
                assert_eq!(before, None, "{id} is valid twice");
            }
        }
    }
    places
}

fn transactions(client: &Client, writer: &Writer, places: &Places) {
    for acknowledged in &writer.acknowledged {
        let id = &acknowledged.transaction_id;
        assert_eq!(
            places.get(id),
            Some(&(acknowledged.block, acknowledged.tx)),
            "{id} in its block"
        );
        let status = client.json(&format!("/v1/channels/main/transactions/{id}"));
        assert_eq!(status["status"], "VALID", "{status}");
        assert_eq!(status["blockNumber"], acknowledged.block, "{status}");
        assert_eq!(status["txNumber"], acknowledged.tx, "{status}");
    }
}

fn state(client: &Client, writer: &Writer, key: &str, expected: &Expected) {
    let path = state_path(key);
    let Some(value) = &expected.value else {
        let answer = client
            .send(&crate::kit::Request {
                method: "GET",
                path,
                headers: Vec::new(),
                body: String::new(),
            })
            .unwrap();
        assert_eq!(answer.status, 404, "{key} was deleted: {}", answer.text());
        return;
    };
    let answer = client.get(&path, "application/json");
    assert_eq!(answer.json(), *value, "{key}");
    let last = &writer.acknowledged[*expected.writes.last().unwrap()];
    assert_eq!(
        answer.header("etag"),
        Some(format!("\"{}\"", last.version()).as_str()),
        "{key}"
    );
}

fn history(client: &Client, writer: &Writer, key: &str, expected: &Expected) {
    let base = state_path(key).replacen("/state/", "/history/", 1);
    let mut found = Vec::new();
    let mut bookmark = String::new();
    loop {
        let page = client.json(&format!("{base}?order=asc&limit=50{bookmark}"));
        for entry in page["entries"].as_array().unwrap() {
            found.push(entry["transactionId"].as_str().unwrap().to_owned());
        }
        match page["bookmark"].as_str() {
            Some(next) => bookmark = format!("&bookmark={}", percent_encoded(next)),
            None => break,
        }
    }
    let written: Vec<_> = expected
        .writes
        .iter()
        .map(|position| writer.acknowledged[*position].transaction_id.clone())
        .collect();
    assert_eq!(found, written, "history of {NAMESPACE}/{key}");
}

/// Asking again gives the first answer again, and changes nothing.
fn replays(client: &Client, writer: &Writer) {
    let again = writer
        .acknowledged
        .iter()
        .filter(|acknowledged| acknowledged.unanswered > 0);
    for acknowledged in again.chain(writer.acknowledged.iter().rev().take(10)) {
        let answer = client.send(&acknowledged.request).unwrap();
        assert_eq!(answer.status, acknowledged.status, "{}", answer.text());
        assert_eq!(answer.json()["transactionId"], acknowledged.transaction_id);
        assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        encoded.push('%');
        encoded.push_str(&hex::encode([byte]));
    }
    encoded
}
