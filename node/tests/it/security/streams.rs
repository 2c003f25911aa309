//! What stays open outlives no credential: batches and event streams end with the token that opened
//! them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::{create, id, send, token};
use crate::kit::Node;

const BATCH: &str = "POST /v1/channels/main/transactions:batch";
const EVENTS: &str = "GET /v1/channels/main/events";
/// The end of a body sent in chunks.
const END: &str = "\r\n0\r\n\r\n";

/// A request whose answer is read while it comes.
struct Open {
    stream: TcpStream,
    told: String,
}

impl Open {
    fn new(node: &Node, route: &str, token: &str) -> Self {
        let stream = TcpStream::connect(node.address()).unwrap();
        let patience = Some(Duration::from_secs(40));
        stream.set_read_timeout(patience).unwrap();
        let mut head = format!("{route} HTTP/1.1\r\nHost: {}\r\n", node.address());
        if route == BATCH {
            head += "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n";
        }
        if !token.is_empty() {
            head += "Authorization: Bearer ";
            head += token;
            head += "\r\n";
        }
        let mut open = Self {
            stream,
            told: String::new(),
        };
        open.write(&format!("{head}\r\n"));
        open
    }

    fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Sends a line that writes the key.
    fn put(&mut self, key: &str) {
        let line =
            format!(r#"{{"chaincode":"orders","function":"put","args":["{key}",1]}}"#) + "\n";
        self.write(&format!("{:x}\r\n{line}\r\n", line.len()));
    }

    /// Reads until the answer has the text; no event may come before.
    fn until(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.told.contains(text) {
            let count = self.stream.read(&mut buffer);
            let count = count.unwrap_or_else(|error| panic!("{error}: {}", self.told));
            assert_ne!(count, 0, "ended without {text:?}: {}", self.told);
            self.told += &String::from_utf8_lossy(&buffer[..count]);
            assert!(!self.told.contains("event: "), "{}", self.told);
        }
    }
}

/// Ends what `shown` is good for in each of the ways there are, with something opened before; gives
/// that thing, and a token that is good.
fn each_end(open: impl Fn(&Node, &str) -> Open, check: impl Fn(&Node, Open, &str)) {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let mut good = String::new();
    // Callers without a token are let in until the first one is made.
    for end in ["create", "rotate", "revoke"] {
        let shown = if good.is_empty() {
            String::new()
        } else {
            writer(data.path())
        };
        let opened = open(&node, &shown);
        if end == "create" {
            good = writer(data.path());
        } else {
            token(data.path(), &[end, id(&shown)]);
        }
        check(&node, opened, &good);
    }
    assert!(node.stop().success());
}

fn writer(data: &Path) -> String {
    create(data, "--identity shop --role writer")
}

#[test]
fn a_batch_writes_nothing_once_its_token_has_ended() {
    let open = |node: &Node, token: &str| {
        let mut batch = Open::new(node, BATCH, token);
        batch.put("before");
        batch.until(r#"{"line":1,"status":20"#);
        batch
    };
    each_end(open, |node, mut batch, good| {
        batch.put("after");
        batch.until(r#"{"line":2,"status":"#);
        batch.until(END);
        let told = &batch.told;
        assert!(told.contains(r#"{"line":2,"status":401,"#), "{told}");
        assert!(told.contains(r#""code":"UNAUTHENTICATED""#), "{told}");
        let after = "GET /v1/channels/main/state/orders/after";
        assert_eq!(send(&node.client(), after, good, "").status, 404);
    });
}

#[test]
fn an_event_stream_tells_nothing_once_its_token_has_ended() {
    let open = |node: &Node, token: &str| {
        let mut events = Open::new(node, EVENTS, token);
        events.until(": heartbeat");
        events
    };
    each_end(open, |node, mut events, good| {
        let order = "PUT /v1/channels/main/state/orders/secret";
        let status = send(&node.client(), order, good, "1").status;
        assert!(matches!(status, 200 | 201), "{status}");
        events.until(END);
    });
}
