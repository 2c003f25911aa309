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
use quire_wire::kafka::{KafkaMessage, KafkaMessageRegular, KafkaMetadata, class};
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

    fn is_configuration(&self, envelope: &Bytes, (): &()) -> bool {
        self.class(envelope) == Some(class::CONFIG)
    }
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

fn limits(case: &Value) -> BatchSize {
    let small = |member: &str| u32::try_from(number(&case[member])).unwrap();
    BatchSize {
        max_message_count: small("max_message_count"),
        absolute_max_bytes: u32::MAX,
        preferred_max_bytes: small("preferred_max_bytes"),
    }
}

impl Log {
    fn new(case: &Value) -> Self {
        let start = &case["start"];
        let metadata = KafkaMetadata {
            last_offset_persisted: offset(&case["last_offset_persisted_at_start"]),
            last_original_offset_processed: offset(&start["last_original_offset_processed"]),
            last_resubmitted_config_offset: offset(&start["last_resubmitted_config_offset"]),
        };
        Self {
            replay: Replay::after(number(&start["last_cut_block"]), metadata, limits(case)),
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

/// The envelopes of the blocks that an orderer makes which begins after a block, and the sequence that it ends with.
fn blocks_after(log: &mut Log, messages: &[(i64, Vec<u8>)]) -> Vec<(u64, Vec<Bytes>, Bytes)> {
    let mut blocks = Vec::new();
    for (offset, bytes) in messages {
        let message = KafkaMessage::decode(bytes.as_slice()).unwrap();
        let first = log.replay.next_block();
        let Ok(step) = log.replay.message(*offset, message, &log.channel) else {
            break;
        };
        for (number, cut) in (first..).zip(step.cuts) {
            if cut.batch.is_config {
                log.channel.sequence.set(log.channel.sequence.get() + 1);
            }
            blocks.push((number, cut.batch.envelopes, cut.batch.consenter_metadata));
        }
    }
    blocks
}

#[test]
fn an_orderer_that_begins_again_after_any_block_makes_the_same_blocks() {
    let mut beginnings = 0;
    for case in &read_lines("rules/blocks/kafka_chain.jsonl") {
        let steps = case["steps"].as_array().unwrap().iter();
        let messages: Vec<_> = steps
            .filter(|step| step["event"] == "message")
            .map(|step| {
                let bytes = hex::decode(step["message_hex"].as_str().unwrap()).unwrap();
                (offset(&step["offset"]), bytes)
            })
            .collect();
        let all = blocks_after(&mut Log::new(case), &messages);
        for (place, (number, _, metadata)) in all.iter().enumerate() {
            beginnings += 1;
            let mut log = Log::new(case);
            let metadata = KafkaMetadata::decode(metadata.clone()).unwrap();
            let rest = messages
                .iter()
                .filter(|(offset, _)| *offset > metadata.last_offset_persisted)
                .cloned();
            // The configuration in force is that of the block.
            let until = messages
                .iter()
                .filter(|(offset, _)| *offset <= metadata.last_offset_persisted)
                .cloned();
            blocks_after(&mut log, &until.collect::<Vec<_>>());
            let mut anew = Log::new(case);
            anew.channel.sequence.set(log.channel.sequence.get());
            anew.replay = Replay::after(*number, metadata, limits(case));
            let last = messages
                .iter()
                .find(|(offset, _)| *offset == metadata.last_offset_persisted);
            let last = KafkaMessage::decode(last.unwrap().1.as_slice()).unwrap();
            anew.replay.resumes(&all[place].1, &last);
            let blocks = blocks_after(&mut anew, &rest.collect::<Vec<_>>());
            let envelopes = |blocks: &[(u64, Vec<Bytes>, Bytes)]| {
                let blocks = blocks.iter();
                blocks
                    .map(|(number, envelopes, _)| (*number, envelopes.clone()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                envelopes(&blocks),
                envelopes(&all[place + 1..]),
                "case {}",
                case["case"]
            );
        }
    }
    assert!(beginnings > 300, "{beginnings}");
}

#[test]
fn a_configuration_that_is_called_an_ordinary_envelope_comes_into_no_block() {
    let channel_header = ChannelHeader {
        r#type: header_type::CONFIG,
        ..ChannelHeader::default()
    };
    let payload = Payload {
        header: Some(quire_wire::common::Header {
            channel_header: channel_header.encode_to_vec().into(),
            ..Default::default()
        }),
        ..Payload::default()
    };
    let envelope = Envelope {
        payload: payload.encode_to_vec().into(),
        ..Envelope::default()
    };
    let regular = KafkaMessageRegular {
        payload: envelope.encode_to_vec().into(),
        config_seq: 1,
        class: class::NORMAL,
        original_offset: 0,
    };
    let kind = Some(quire_wire::kafka::Kind::Regular(regular));
    let mut log = Log::new(&read_lines("rules/blocks/kafka_chain.jsonl")[0]);
    let step = log.replay.message(30, KafkaMessage { kind }, &log.channel);
    assert!(step.unwrap().dropped.is_some());
    assert_eq!(log.replay.pending_count(), 0);
}
