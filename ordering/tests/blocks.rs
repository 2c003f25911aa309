//! Blocks that the cutter and the block writer make, against what Fabric's own functions made of the same.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use quire_ordering::{
    Batch, BlockSigner, BlockWriter, Cutter, consenter_metadata, envelope_size_bytes, last_config,
};
use quire_testkit::conformance::read_lines;
use quire_wire::Message as _;
use quire_wire::common::{Block, Metadata, SignatureHeader, metadata_slot};
use quire_wire::config::BatchSize;
use quire_wire::hash::block_hash;
use quire_wire::tx_id::NONCE_BYTES;
use serde_json::{Value, json};

fn number(value: &Value, member: &str) -> usize {
    usize::try_from(value[member].as_u64().unwrap()).unwrap()
}

fn batch_size(value: &Value) -> BatchSize {
    let number = |member: &str| u32::try_from(number(value, member)).unwrap();
    BatchSize {
        max_message_count: number("max_message_count"),
        absolute_max_bytes: number("absolute_max_bytes"),
        preferred_max_bytes: number("preferred_max_bytes"),
    }
}

#[test]
fn batches_are_cut_where_fabric_cuts_them() {
    let cases = read_lines("rules/blocks/cutter.jsonl");
    assert_eq!(cases.len(), 170);
    let mut steps = 0;
    for case in &cases {
        let mut cutter = Cutter::new(batch_size(&case["batch_size"]));
        for step in case["steps"].as_array().unwrap() {
            steps += 1;
            let told = format!("case {}, {step}", case["case"]);
            match step["op"].as_str().unwrap() {
                "ordered" => {
                    let payload = vec![0; number(step, "payload_len")];
                    let signature = vec![0; number(step, "signature_len")];
                    let size = envelope_size_bytes(&payload, &signature);
                    let (batches, pending) = cutter.ordered(number(step, "id"), size);
                    assert_eq!(json!(batches), step["batches"], "{told}");
                    assert_eq!(json!(pending), step["pending"], "{told}");
                }
                "cut" => assert_eq!(json!(cutter.cut()), step["batch"], "{told}"),
                "config" => cutter.set_limits(batch_size(step)),
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!(steps, 2419);
}

/// Signs as the recorded orderer did, if what is signed is what that signed.
#[derive(Debug)]
struct Recorded {
    creator: Bytes,
    nonce: Bytes,
    signed: Vec<u8>,
    signature: Bytes,
}

impl Recorded {
    fn of(case: &Value, block: &Block) -> Self {
        let slot = slots(block)[metadata_slot::SIGNATURES].clone();
        let [signature] = &Metadata::decode(slot).unwrap().signatures[..] else {
            panic!("one signature")
        };
        let header = hex::decode(case["slot0_signature_header_hex"].as_str().unwrap()).unwrap();
        let header = SignatureHeader::decode(Bytes::from(header)).unwrap();
        Self {
            creator: header.creator,
            nonce: header.nonce,
            signed: hex::decode(case["signed_bytes_hex"].as_str().unwrap()).unwrap(),
            signature: signature.signature.clone(),
        }
    }
}

impl BlockSigner for Recorded {
    fn creator(&self) -> &Bytes {
        &self.creator
    }
    fn nonce(&self) -> [u8; NONCE_BYTES] {
        self.nonce[..].try_into().unwrap()
    }
    fn sign(&self, message: &[u8]) -> Bytes {
        assert_eq!(message, self.signed);
        self.signature.clone()
    }
}

fn slots(block: &Block) -> &[Bytes] {
    let metadata = block.metadata.as_ref();
    metadata.map_or(&[], |metadata| &metadata.metadata)
}

fn block(case: &Value) -> Block {
    let bytes = STANDARD
        .decode(case["block_b64"].as_str().unwrap())
        .unwrap();
    Block::decode(Bytes::from(bytes)).unwrap()
}

#[test]
fn blocks_are_written_as_fabrics_orderer_writes_them() {
    let cases = read_lines("rules/blocks/writer_chain.jsonl");
    assert_eq!(cases.len(), 15);
    let genesis = block(&cases[0]).header.unwrap();
    let mut writer = BlockWriter::after(&genesis, 0);
    for case in &cases[1..] {
        let expected = block(case);
        let consenter = case["consenter_metadata_hex"].as_str().unwrap();
        let batch = Batch {
            envelopes: expected.data.clone().unwrap().data,
            is_config: case["kind"] == "config",
            consenter_metadata: hex::decode(consenter).unwrap().into(),
        };
        let written = writer.next_block(batch, &Recorded::of(case, &expected));
        assert_eq!(written, expected, "{case}");
        let header = written.header.as_ref().unwrap();
        let hash = block_hash(header.number, &header.previous_hash, &header.data_hash);
        assert_eq!(json!(hex::encode(hash)), case["header_hash_hex"]);
        assert_eq!(
            json!(last_config(slots(&written)).unwrap()),
            case["last_config"]
        );
    }
}

#[test]
fn metadata_is_found_where_fabric_finds_it() {
    let cases = read_lines("rules/blocks/metadata_accessors.jsonl");
    assert_eq!(cases.len(), 10);
    for case in &cases {
        let block = block(case);
        let note = case["note"].as_str().unwrap();
        match consenter_metadata(slots(&block)) {
            // Fabric says that there is no metadata.
            Ok(found) if note == "no metadata" => assert_eq!(found, ""),
            Ok(found) => assert_eq!(hex::encode(found), case["consenter_metadata_value_hex"]),
            Err(error) => assert!(case["consenter_error"].is_string(), "{note}: {error}"),
        }
        let found = last_config(slots(&block));
        match note {
            // Fabric panics on the first, and finds none in the second. Here slot 1 tells it, which is where it
            // stood before 1.4.1, and whoever asks looks for a configuration in the block that it names.
            "consenter metadata but no last config" | "no metadata" => assert_eq!(found, Ok(0)),
            _ if case["last_config_error"].is_null() => {
                assert_eq!(json!(found.unwrap()), case["last_config"], "{note}");
            }
            _ => assert!(found.is_err(), "{note}: {found:?}"),
        }
    }
}
