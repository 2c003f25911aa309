//! Ledgers of real Fabric peers: what Fabric wrote, this crate accepts. Guards against rules that
//! are stricter than Fabric's, and against reading certificates, configurations or signatures
//! differently from it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

use std::sync::Arc;

use bytes::{Buf, Bytes};
use quire_identity::{Bundle, Identity, IdentityError, Msps, Role, SignatureError};
use quire_testkit::conformance;
use quire_wire::Message;
use quire_wire::common::{Metadata, SignatureHeader, header_type, metadata_slot};
use quire_wire::config::ConfigEnvelope;
use quire_wire::hash::header_der;
use quire_wire::transaction::Opened;

struct Block {
    number: u64,
    data_hash: Bytes,
    previous_hash: Bytes,
    envelopes: Vec<Bytes>,
    metadata: Vec<Bytes>,
}

fn uvarint(bytes: &mut Bytes) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.get_u8();
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
    }
    panic!("a number of more than 64 bits");
}

fn chunk(bytes: &mut Bytes) -> Bytes {
    let length = usize::try_from(uvarint(bytes)).unwrap();
    bytes.split_to(length)
}

fn chunks(bytes: &mut Bytes) -> Vec<Bytes> {
    let count = uvarint(bytes);
    (0..count).map(|_| chunk(bytes)).collect()
}

fn read_ledger(name: &str) -> Vec<Block> {
    let path = format!("fabric-ledgers/{name}/blockfile_000000");
    let mut file = Bytes::from(conformance::read(&path));
    let mut blocks = Vec::new();
    while file.has_remaining() {
        let mut record = chunk(&mut file);
        blocks.push(Block {
            number: uvarint(&mut record),
            data_hash: chunk(&mut record),
            previous_hash: chunk(&mut record),
            envelopes: chunks(&mut record),
            metadata: chunks(&mut record),
        });
    }
    blocks
}

/// The configuration in an envelope, if it holds one.
fn config_in(envelope: &Opened) -> Option<Bundle> {
    if envelope.channel_header.r#type != header_type::CONFIG {
        return None;
    }
    let config = ConfigEnvelope::decode(envelope.data.clone()).unwrap();
    let channel = &envelope.channel_header.channel_id;
    Some(Bundle::new(channel, config.config.unwrap()).unwrap())
}

fn channel_config(block: &Block) -> Bundle {
    config_in(&Opened::read(&block.envelopes[0]).unwrap()).unwrap()
}

#[test]
fn the_configurations_of_real_channels_are_read() {
    let cases = [
        "v3.1-conflicts: etcdraft 500 10485760 2097152 200ms [OrdererMSP] [Org1MSP]",
        "sample-prod: solo 500 10485760 2097152 2s [SampleOrg] [SampleOrg]",
        "v2.0-testchannel: solo 1 102760448 524288 1s [OrdererOrgMSP] [Org1MSP Org2MSP Org3MSP]",
    ];
    for expected in cases {
        let (ledger, _) = expected.split_once(':').unwrap();
        let bundle = channel_config(&read_ledger(ledger)[0]);
        let orderer = bundle.orderer().unwrap();
        let size = orderer.batch_size;
        let orderers: Vec<_> = bundle.orderer_msp_ids().collect();
        let application: Vec<_> = bundle.application_msp_ids().collect();
        let found = format!(
            "{ledger}: {} {} {} {} {:?} [{}] [{}]",
            orderer.consensus_type.r#type,
            size.max_message_count,
            size.absolute_max_bytes,
            size.preferred_max_bytes,
            orderer.batch_timeout,
            orderers.join(" "),
            application.join(" "),
        );
        assert_eq!(found, expected);
        bundle.check_capabilities().unwrap();
        for path in [
            "Readers",
            "Writers",
            "Admins",
            "Application/Writers",
            "Orderer/BlockValidation",
        ] {
            bundle.policy(&format!("/Channel/{path}")).unwrap();
        }
    }
}

/// What was checked in a ledger.
struct Checked {
    creators: usize,
    endorsements: usize,
    blocks: usize,
    /// What more is known of the endorsers of a transaction.
    judge_endorsers: fn(&Bundle, &[Arc<Identity>]),
}

/// Judges every identity and signature of a ledger, each by the configuration in force.
fn check_ledger(
    name: &str,
    judge_endorsers: fn(&Bundle, &[Arc<Identity>]),
) -> (usize, usize, usize) {
    let blocks = read_ledger(name);
    let mut bundle = channel_config(&blocks[0]);
    let mut checked = Checked {
        creators: 0,
        endorsements: 0,
        blocks: 0,
        judge_endorsers,
    };
    for block in &blocks {
        check_block_signatures(block, &bundle, &mut checked);
        for envelope in &block.envelopes {
            let opened = Opened::read(envelope).unwrap();
            check_envelope(&opened, block.number, &bundle, &mut checked);
            if let Some(new) = config_in(&opened) {
                bundle = new;
            }
        }
    }
    (checked.creators, checked.endorsements, checked.blocks)
}

fn check_envelope(opened: &Opened, block: u64, bundle: &Bundle, checked: &mut Checked) {
    let msps = bundle.msps();
    let creator = &opened.signature_header.creator;
    if creator.is_empty() {
        assert_eq!(block, 0, "only configtxgen's block has no creator");
        return;
    }
    let valid = msps.validate(creator).unwrap();
    valid.verify(&opened.payload, &opened.signature).unwrap();
    let mut other = opened.payload.to_vec();
    other[0] ^= 1;
    let refused = valid.verify(&other, &opened.signature);
    assert_eq!(refused, Err(SignatureError::Mismatch));
    checked.creators += 1;
    if !opened.is_endorser_transaction() {
        return;
    }
    let writers = bundle.policy("/Channel/Application/Writers").unwrap();
    assert!(writers.is_satisfied_by(&[valid]), "block {block}");
    let call = opened.endorsed_call().unwrap();
    let mut endorsers = Vec::new();
    for endorsement in &call.endorsements {
        let endorser = msps.validate(&endorsement.endorser).unwrap();
        let signed = [&call.proposal_response_payload[..], &endorsement.endorser].concat();
        endorser.verify(&signed, &endorsement.signature).unwrap();
        endorsers.push(endorser);
        checked.endorsements += 1;
    }
    (checked.judge_endorsers)(bundle, &endorsers);
}

/// Slot 0: the orderer's signature.
fn check_block_signatures(block: &Block, bundle: &Bundle, checked: &mut Checked) {
    let slot = block.metadata[metadata_slot::SIGNATURES].clone();
    let metadata = Metadata::decode(slot).unwrap();
    let header = header_der(block.number, &block.previous_hash, &block.data_hash);
    let mut orderers = Vec::new();
    for signature in &metadata.signatures {
        let creator = SignatureHeader::decode(signature.signature_header.clone())
            .unwrap()
            .creator;
        let orderer = bundle.msps().validate(&creator).unwrap();
        let signed = [&metadata.value[..], &signature.signature_header, &header].concat();
        orderer.verify(&signed, &signature.signature).unwrap();
        orderers.push(orderer);
    }
    if !orderers.is_empty() {
        let policy = bundle.policy("/Channel/Orderer/BlockValidation").unwrap();
        assert!(policy.is_satisfied_by(&orderers), "block {}", block.number);
        checked.blocks += 1;
    }
}

#[test]
fn every_signature_in_a_network_of_fabric_3_1_is_accepted() {
    let checked = check_ledger("v3.1-conflicts", |bundle, endorsers| {
        assert!(endorsers.iter().all(|one| one.role() == Some(Role::Peer)));
        let policy = bundle.policy("/Channel/Application/Endorsement").unwrap();
        assert!(policy.is_satisfied_by(endorsers));
    });
    assert_eq!(checked, (1147, 1147, 119));
}

#[test]
fn every_signature_in_a_network_of_fabric_2_0_is_accepted() {
    let checked = check_ledger("v2.0-testchannel", |_, endorsers| {
        assert!(endorsers.iter().all(|one| one.role() == Some(Role::Peer)));
    });
    assert_eq!(checked, (20, 21, 19));
}

#[test]
fn every_signature_in_a_sample_network_without_node_units_is_accepted() {
    let checked = check_ledger("sample-prod", |_, endorsers| {
        assert!(endorsers.iter().all(|one| one.role().is_none()));
    });
    assert_eq!(checked, (8, 7, 7));
}

#[test]
fn an_identity_of_an_organisation_outside_the_channel_is_refused() {
    let blocks = read_ledger("v3.1-conflicts");
    let bundle = channel_config(&blocks[0]);
    let other = channel_config(&read_ledger("v2.0-testchannel")[0]);
    let opened = Opened::read(&blocks[1].envelopes[0]).unwrap();
    let creator = &opened.signature_header.creator;
    let only_orderers: Msps = [bundle.msps().get("OrdererMSP").unwrap().clone()]
        .into_iter()
        .collect();
    assert_eq!(
        only_orderers.validate(creator),
        Err(IdentityError::UnknownMsp("Org1MSP".to_owned()))
    );
    // The same MSP id, but another CA.
    assert!(matches!(
        other.msps().validate(creator),
        Err(IdentityError::Chain(_))
    ));
    let msps = bundle.msps();
    let first = msps.validate(creator).unwrap();
    assert!(
        Arc::ptr_eq(&first, &msps.validate(creator).unwrap()),
        "remembered"
    );
}
