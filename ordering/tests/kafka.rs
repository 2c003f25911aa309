//! Logs of Fabric's orderers give the blocks that those orderers made of them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use quire_ordering::Cut;
use quire_ordering::kafka::{Replay, Rules, Step};
use quire_testkit::conformance::read_lines;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, Payload, header_type};
use quire_wire::config::BatchSize;
use quire_wire::kafka::{KafkaMessage, KafkaMetadata, class};
use serde_json::{Value, json};

/// The channel of a recorded case: each configuration raises its sequence by one, and what has "bad" in it does not
/// hold any more.
#[derive(Debug)]
struct Channel {
    sequence: Cell<u64>,
    resubmits: bool,
}

impl Rules<()> for Channel {
    fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    fn resubmits(&self) -> bool {
        self.resubmits
    }

    fn batch_timeout(&self) -> Duration {
        Duration::MAX
    }

    fn class(&self, envelope: &Bytes) -> Option<i32> {
        let envelope = Envelope::decode(envelope.clone()).ok()?;
        let header = Payload::decode(envelope.payload).ok()?.header?;
        match ChannelHeader::decode(header.channel_header).ok()?.r#type {
            header_type::CONFIG => Some(class::CONFIG),
            header_type::CONFIG_UPDATE => None,
            _ => Some(class::NORMAL),
        }
    }

    fn check(&self, envelope: &Bytes) -> Result<(), String> {
        if envelope.windows(3).any(|window| window == b"bad") {
            return Err("invalid now".to_owned());
        }
        Ok(())
    }

    fn configure(&self, envelope: &Bytes) -> Result<Bytes, String> {
        self.check(envelope).map(|()| envelope.clone())
    }

    fn known(&self, _: &Bytes) {}
}

/// One recorded log, and an orderer that reads it.
struct Log {
    replay: Replay<()>,
    channel: Channel,
    /// The names of envelopes, by their bytes.
    names: BTreeMap<Bytes, Value>,
    timer: bool,
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn offset(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

impl Log {
    fn new(case: &Value) -> Self {
        let small = |member: &str| u32::try_from(number(&case[member])).unwrap();
        let limits = BatchSize {
            max_message_count: small("max_message_count"),
            absolute_max_bytes: u32::MAX,
            preferred_max_bytes: small("preferred_max_bytes"),
        };
        let start = &case["start"];
        let metadata = KafkaMetadata {
            last_offset_persisted: offset(&case["last_offset_persisted_at_start"]),
            last_original_offset_processed: offset(&start["last_original_offset_processed"]),
            last_resubmitted_config_offset: offset(&start["last_resubmitted_config_offset"]),
        };
        Self {
            replay: Replay::after(number(&start["last_cut_block"]), metadata, limits),
            channel: Channel {
                sequence: Cell::new(number(&start["config_sequence"])),
                resubmits: case["resubmission_capability"] == true,
            },
            names: BTreeMap::new(),
            timer: false,
        }
    }

    /// Reads the message of a step, and checks what comes of it.
    fn read(&mut self, step: &Value) {
        let bytes = hex::decode(step["message_hex"].as_str().unwrap()).unwrap();
        let message = KafkaMessage::decode(&*bytes).unwrap();
        if let Some(quire_wire::kafka::Kind::Regular(regular)) = &message.kind {
            self.names
                .insert(regular.payload.clone(), step["label"].clone());
        }
        let first = self.replay.next_block();
        let found = self
            .replay
            .message(offset(&step["offset"]), message, &self.channel);
        assert_eq!(found.is_err(), step["chain_exits"] == true, "{step}");
        let Ok(found) = found else { return };
        assert_eq!(found.dropped.is_some(), step["error"].is_string(), "{step}");
        let posted = found.again.iter();
        let posted: Vec<_> = posted
            .map(|(message, ())| hex::encode(message.encode_to_vec()))
            .collect();
        let recorded = step["posted_hex"].as_array().cloned().unwrap_or_default();
        assert_eq!(json!(posted), Value::Array(recorded), "{step}");
        self.check_blocks(first, &found, step);
        self.timer = self.replay.pending_count() > 0 && (self.timer || starts_timer(step));
    }

    fn check_blocks(&self, first: u64, found: &Step<()>, step: &Value) {
        let recorded = step["blocks"].as_array().cloned().unwrap_or_default();
        assert_eq!(found.cuts.len(), recorded.len(), "{step}");
        for ((number, cut), block) in (first..).zip(&found.cuts).zip(&recorded) {
            let Cut { batch, known } = cut;
            assert_eq!(known.len(), batch.envelopes.len());
            let names: Vec<_> = batch.envelopes.iter().map(|it| &self.names[it]).collect();
            assert_eq!(json!(names), block["messages"], "{step}");
            assert_eq!(json!(batch.is_config), block["config"], "{step}");
            assert_eq!(json!(number), block["number"], "{step}");
            let metadata = hex::encode(&batch.consenter_metadata);
            assert_eq!(json!(metadata), block["metadata_hex"], "{step}");
            if batch.is_config {
                self.channel.sequence.set(self.channel.sequence.get() + 1);
            }
        }
    }

    fn check_state(&self, step: &Value) {
        let metadata = self.replay.metadata();
        let state = json!({
            "config_sequence": self.channel.sequence.get(),
            "ingress_blocked": self.replay.waits_for_configuration(),
            "last_cut_block": self.replay.next_block() - 1,
            "last_original_offset_processed": metadata.last_original_offset_processed,
            "last_resubmitted_config_offset": metadata.last_resubmitted_config_offset,
            "timer_running": self.timer,
        });
        assert_eq!(state, step["state"], "{step}");
    }
}

/// Fabric starts its timer when an envelope waits, and at no other message.
fn starts_timer(step: &Value) -> bool {
    step["label"].is_string() && step["error"].is_null() && step["posted_hex"].is_null()
}

#[test]
fn a_log_of_fabrics_orderers_gives_their_blocks() {
    let cases = read_lines("rules/blocks/kafka_chain.jsonl");
    assert_eq!(cases.len(), 100);
    let (mut messages, mut exits) = (0, 0);
    for case in &cases {
        let mut log = Log::new(case);
        for step in case["steps"].as_array().unwrap() {
            if step["event"] == "timer_expired" {
                let cut = hex::encode(log.replay.time_to_cut().encode_to_vec());
                assert_eq!(step["posted_hex"], cut, "{step}");
                log.timer = false;
            } else {
                messages += 1;
                log.read(step);
            }
            if step["chain_exits"] == true {
                exits += 1;
                break;
            }
            log.check_state(step);
        }
    }
    assert_eq!((messages, exits), (1183, 48));
}
