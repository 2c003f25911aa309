//! Exchanges with real peers and a real orderer, and the channel on which they took place.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf as _, Bytes};
use quire_peer::OpenChannel;
use quire_testkit::conformance;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, Payload};
use quire_wire::hash::sha256;
use serde_json::Value;

use crate::kit::Node;

pub(crate) const CHANNEL: &str = "mychannel";
/// How many blocks the channel had when most exchanges took place, and at the end.
pub(crate) const MOST: u64 = 226;
pub(crate) const ALL: u64 = 232;

/// The node with the recorded channel, as it was when it had `height` blocks.
pub(crate) fn node_at(height: u64) -> (Node, Arc<OpenChannel>) {
    let node = Node::new();
    let dir = tempfile::tempdir().unwrap();
    let file = "fabric-network/two-orgs-ledger/blockfiles/peer0.org1-blockfile_000000";
    let blocks = conformance::read(file);
    let first = first_records(&blocks, height);
    fs::write(dir.path().join("blockfile_000000"), first).unwrap();
    let open = node.import(CHANNEL, dir.path());
    assert_eq!(*open.channel.heights.borrow(), height);
    (node, open)
}

/// The first records of a block file: each begins with its length.
fn first_records(file: &[u8], count: u64) -> &[u8] {
    let mut rest = file;
    for _ in 0..count {
        let length = varint(&mut rest);
        rest.advance(length);
    }
    &file[..file.len() - rest.len()]
}

fn varint(rest: &mut &[u8]) -> usize {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = rest.get_u8();
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// One exchange.
pub(crate) struct Exchange {
    pub(crate) label: String,
    pub(crate) method: String,
    pub(crate) node: String,
    pub(crate) requests: Vec<Bytes>,
    /// Hexadecimal digits, or `sha256:` and those of a digest.
    pub(crate) responses: Vec<String>,
    pub(crate) half_closed: bool,
    /// Whether the server ended the stream.
    pub(crate) ended: bool,
    pub(crate) code: i32,
    pub(crate) message: String,
    /// The time of the first request, if it says so.
    time: Option<SystemTime>,
}

/// The exchanges of a file, in their order.
pub(crate) fn exchanges(file: &str) -> Vec<Exchange> {
    let lines = conformance::read_lines(&format!("fabric-network/grpc-transcripts/{file}.jsonl"));
    lines.iter().map(Exchange::read).collect()
}

impl Exchange {
    fn read(line: &Value) -> Self {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let texts = |name: &str| {
            let texts = line[name].as_array().unwrap().iter();
            let texts = texts.map(|text| text.as_str().unwrap().to_owned());
            texts.collect::<Vec<_>>()
        };
        let requests = texts("requests_hex").into_iter();
        let requests: Vec<Bytes> = requests
            .map(|request| hex::decode(request).unwrap().into())
            .collect();
        Self {
            label: text("label"),
            method: text("method"),
            node: text("node"),
            time: requests.first().and_then(time),
            requests,
            responses: texts("responses_hex"),
            half_closed: line["client_half_closed"].as_bool().unwrap(),
            ended: line["ended_by"] == "server",
            code: i32::try_from(line["status"]["code"].as_i64().unwrap()).unwrap(),
            message: plain(line["status"]["message"].as_str().unwrap()),
        }
    }

    /// Sets the clock to the time of the exchange. A request that lies about its time is as old as the one before it.
    pub(crate) fn set_clock(&self, node: &Node) {
        if let Some(time) = self.time
            && !self.label.contains("timestamp")
        {
            node.clock.set(time);
        }
    }
}

fn time(envelope: &Bytes) -> Option<SystemTime> {
    let envelope = Envelope::decode(envelope.clone()).ok()?;
    let header = Payload::decode(envelope.payload).ok()?.header?;
    let header = ChannelHeader::decode(header.channel_header).ok()?;
    let time = header.timestamp?;
    let seconds = Duration::from_secs(u64::try_from(time.seconds).ok()?);
    Some(SystemTime::UNIX_EPOCH + seconds)
}

/// A text without the other space that Go's texts have now and then, lest anybody compares them.
pub(crate) fn plain(text: &str) -> String {
    text.replace('\u{a0}', " ")
}

/// Whether bytes are those of a recorded response.
pub(crate) fn is_recorded(response: &[u8], recorded: &str) -> bool {
    match recorded.strip_prefix("sha256:") {
        Some(digest) => hex::encode(sha256([response])) == digest,
        None => hex::encode(response) == recorded,
    }
}
