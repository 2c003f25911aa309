//! Hashes and transaction ids, against what Fabric's own functions made.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is a failed test"
)]

use bytes::Bytes;
use quire_testkit::conformance::read_lines;
use quire_wire::Message as _;
use quire_wire::common::Header;
use quire_wire::hash::{block_hash, header_der, proposal_hash};
use quire_wire::kafka::{
    KafkaMessage, KafkaMessageConnect, KafkaMessageRegular, KafkaMessageTimeToCut, KafkaMetadata,
    Kind,
};
use quire_wire::peer::Proposal;
use quire_wire::tx_id::tx_id;
use serde_json::Value;

fn bytes(case: &Value, member: &str) -> Vec<u8> {
    hex::decode(case[member].as_str().unwrap()).unwrap()
}

fn text<'v>(case: &'v Value, member: &str) -> &'v str {
    case[member].as_str().unwrap()
}

#[test]
fn headers_have_the_bytes_and_the_hash_of_fabric() {
    let cases = read_lines("rules/blocks/header_hash.jsonl");
    assert_eq!(cases.len(), 40);
    for case in &cases {
        let number = text(case, "number").parse().unwrap();
        let (previous, data) = (
            bytes(case, "previous_hash_hex"),
            bytes(case, "data_hash_hex"),
        );
        let der = hex::encode(header_der(number, &previous, &data));
        assert_eq!(der, text(case, "header_bytes_hex"), "{case}");
        let hash = hex::encode(block_hash(number, &previous, &data));
        assert_eq!(hash, text(case, "hash_hex"), "{case}");
    }
}

#[test]
fn transaction_ids_and_proposal_hashes_are_those_of_fabric() {
    let cases = read_lines("rules/blocks/txid_and_proposal_hash.jsonl");
    assert_eq!(cases.len(), 20);
    for case in &cases {
        let id = tx_id(&bytes(case, "nonce_hex"), &bytes(case, "creator_hex"));
        assert_eq!(id, text(case, "txid"), "{case}");
        let proposal = Proposal::decode(Bytes::from(bytes(case, "proposal_hex"))).unwrap();
        let header = Header::decode(proposal.header).unwrap();
        let payload = bytes(case, "payload_for_tx_hex");
        let hash = proposal_hash(&header.channel_header, &header.signature_header, &payload);
        for member in ["proposal_hash1_hex", "proposal_hash2_hex"] {
            assert_eq!(hex::encode(hash), text(case, member), "{case}");
        }
    }
}

fn kafka_message(fields: &Value) -> KafkaMessage {
    let bytes = |member| Bytes::from(bytes(fields, member));
    let offset = |member: &str| fields[member].as_i64().unwrap();
    let kind = match text(fields, "kind") {
        "regular" => Some(Kind::Regular(KafkaMessageRegular {
            payload: bytes("payload_hex"),
            config_seq: fields["config_seq"].as_u64().unwrap(),
            class: i32::try_from(offset("class")).unwrap(),
            original_offset: offset("original_offset"),
        })),
        "time_to_cut" => Some(Kind::TimeToCut(KafkaMessageTimeToCut {
            block_number: fields["block_number"].as_u64().unwrap(),
        })),
        "connect" => Some(Kind::Connect(KafkaMessageConnect {
            payload: bytes("payload_hex"),
        })),
        "none" => None,
        other => panic!("{other}"),
    };
    KafkaMessage { kind }
}

#[test]
fn messages_of_a_topic_have_the_bytes_of_fabrics_orderers() {
    let cases = read_lines("rules/blocks/kafka_messages.jsonl");
    assert_eq!(cases.len(), 20);
    for case in &cases {
        let fields = &case["fields"];
        let expected = text(case, "bytes_hex");
        if fields["kind"] != "metadata" {
            let message = kafka_message(fields);
            assert_eq!(hex::encode(message.encode_to_vec()), expected, "{case}");
            assert_eq!(
                KafkaMessage::decode(&*bytes(case, "bytes_hex")),
                Ok(message)
            );
            continue;
        }
        let offset = |member: &str| fields[member].as_i64().unwrap();
        let metadata = KafkaMetadata {
            last_offset_persisted: offset("last_offset_persisted"),
            last_original_offset_processed: offset("last_original_offset_processed"),
            last_resubmitted_config_offset: offset("last_resubmitted_config_offset"),
        };
        assert_eq!(hex::encode(metadata.encode_to_vec()), expected, "{case}");
        assert_eq!(
            KafkaMetadata::decode(&*bytes(case, "bytes_hex")),
            Ok(metadata)
        );
    }
}
