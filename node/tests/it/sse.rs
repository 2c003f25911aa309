//! A listener that outlives the node's restarts sees every block once, in order.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::kit::{Client, Node, Random, Request, Whereabouts};

const RESTARTS: u64 = 20;

#[derive(Debug, Default)]
struct Seen {
    /// Blocks told so far: the next one has this number.
    blocks: AtomicU64,
    finish: AtomicBool,
}

/// Listens as a browser does: reconnects with the last id it was given.
fn listen(whereabouts: &Whereabouts, seen: &Seen) -> Vec<String> {
    let mut hashes = Vec::new();
    let mut last_id: Option<u64> = None;
    let mut connections = 0;
    while !seen.finish.load(Ordering::SeqCst) {
        let address = whereabouts.address();
        let Ok(mut stream) = TcpStream::connect(&address) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        stream
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let resume = last_id.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!(
            "GET /v1/channels/main/events?from=0 HTTP/1.0\r\nHost: localhost\r\n{resume}\r\n"
        );
        if stream.write_all(request.as_bytes()).is_err() {
            continue;
        }
        connections += 1;
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let status = lines.next().unwrap_or_default();
        assert!(
            status.is_empty() || status.starts_with("HTTP/1.0 200"),
            "{status}"
        );
        let mut id = None;
        let mut event: Option<Value> = None;
        for line in lines.skip_while(|line| !line.is_empty()) {
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.parse().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                event = Some(serde_json::from_str(data).unwrap());
            } else if line.is_empty() {
                // Only what came whole counts.
                if let Some(event) = event.take() {
                    assert_eq!(event["blockNumber"].as_u64(), id);
                    assert_eq!(id, Some(hashes.len() as u64), "in order, none twice");
                    hashes.push(event["blockHash"].as_str().unwrap().to_owned());
                }
                last_id = id.or(last_id);
                seen.blocks.store(hashes.len() as u64, Ordering::SeqCst);
            }
        }
    }
    println!("{} blocks over {connections} connections", hashes.len());
    hashes
}

fn write(whereabouts: &Whereabouts, seen: &Seen) {
    let mut number = 0;
    while !seen.finish.load(Ordering::SeqCst) {
        let client = Client::new(&whereabouts.address());
        let request = |number: u64| Request {
            method: "PUT",
            path: format!("/v1/channels/main/state/orders/{}", number % 10),
            headers: vec![("Content-Type", "application/json".into())],
            body: number.to_string(),
        };
        while !seen.finish.load(Ordering::SeqCst) && client.send(&request(number)).is_ok() {
            number += 1;
        }
    }
}

#[test]
fn a_listener_sees_every_block_once_through_twenty_restarts() {
    let mut random = Random::from_environment();
    let data = TempDir::new().unwrap();
    let whereabouts = Whereabouts::default();
    let seen = Arc::new(Seen::default());
    let mut node = Node::start(data.path());
    whereabouts.up(node.address());
    let spawn = |work: fn(&Whereabouts, &Seen) -> Vec<String>| {
        let (whereabouts, seen) = (whereabouts.clone(), Arc::clone(&seen));
        std::thread::spawn(move || work(&whereabouts, &seen))
    };
    let listener = spawn(listen);
    let writer = spawn(|whereabouts, seen| {
        write(whereabouts, seen);
        Vec::new()
    });
    for restart in 0..RESTARTS {
        let more = seen.blocks.load(Ordering::SeqCst) + 1 + random.below(20);
        while seen.blocks.load(Ordering::SeqCst) < more {
            assert!(!listener.is_finished(), "the listener failed, see above");
            std::thread::sleep(Duration::from_micros(500));
        }
        whereabouts.down();
        if restart % 2 == 0 {
            node.kill();
        } else {
            assert!(node.stop().success());
        }
        node = Node::start(data.path());
        whereabouts.up(node.address());
    }
    // The writer stops first, so that the height stands still.
    let client = node.client();
    seen.finish.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    let hashes = listener.join().expect("the listener failed, see above");
    assert!(hashes.len() as u64 > RESTARTS);
    for (number, hash) in hashes.iter().enumerate().rev().take(50) {
        let block = client.json(&format!("/v1/channels/main/blocks/{number}"));
        assert_eq!(block["hash"], hash.as_str());
    }
}
