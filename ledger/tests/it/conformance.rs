//! Ledgers made by real Fabric peers: our answers about them must be Fabric's.
//!
//! These tests guard against every way of reading Fabric's formats almost right.

use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use prost::Message as _;
use quire_ledger::check::{Depth, Finding, Kind, Report, check_blockfiles, check_channel};
use quire_ledger::{
    Block, Content, Examined, Height, ImportError, Order, RangeEnd, Reader, Snapshot,
};
use quire_testkit::conformance;
use quire_wire::common::Metadata;
use serde_json::Value;

use crate::kit::{open, os_disk};

/// Everything that can be checked.
const ALL: Depth = Depth {
    signatures: true,
    verdicts: true,
};
const SOUND: [&str; 3] = ["v2.0-testchannel", "sample-prod", "v3.1-conflicts"];

fn block_files(ledger: &str) -> tempfile::TempDir {
    conformance::block_files(&format!("fabric-ledgers/{ledger}/blockfile_000000"))
}

fn check(ledger: &str) -> Report {
    let dir = block_files(ledger);
    let scratch = tempfile::tempdir().unwrap();
    check_blockfiles(
        &os_disk(),
        dir.path(),
        scratch.path(),
        Depth::default(),
        &mut |_| {},
    )
    .unwrap()
}

/// Imports a ledger into a fresh data directory and hands its reader to `test`.
fn with_imported(ledger: &str, test: impl FnOnce(&Reader)) {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = open(dir.path());
    let blockfiles = block_files(ledger);
    let (opened, report) = ledgers
        .import("imported", blockfiles.path(), false, &mut |_| {})
        .unwrap();
    assert!(report.is_sound());
    test(&opened.reader());
    drop(opened);
    let again = check_channel(&ledgers, "imported", ALL, &mut |_| {}).unwrap();
    assert_eq!(again.findings, []);
}

fn expected_blocks(ledger: &str) -> Vec<Value> {
    conformance::read_lines(&format!("fabric-ledgers/{ledger}/blocks.jsonl"))
}

/// What we say about a block, in the form of `blocks.jsonl`.
fn described(block: &Block) -> Value {
    let transactions: Vec<_> = block
        .envelopes
        .iter()
        .enumerate()
        .map(|(tx, envelope)| {
            let opened = quire_wire::transaction::Opened::read(envelope).unwrap();
            serde_json::json!({
                "id": opened.channel_header.tx_id,
                "type": quire_wire::common::header_type::name(opened.channel_header.r#type),
                "code": block.code(tx).to_string(),
            })
        })
        .collect();
    serde_json::json!({
        "number": block.number,
        "headerHash": hex::encode(block.hash()),
        "dataHash": hex::encode(&block.data_hash),
        "previousHash": hex::encode(&block.previous_hash),
        "commitHash": hex::encode(block.metadata.get(4).cloned().unwrap_or_default()),
        "transactions": transactions,
    })
}

fn kinds(report: &Report) -> Vec<(Kind, Option<u64>)> {
    report
        .findings
        .iter()
        .map(|finding| (finding.kind, finding.block))
        .collect()
}

#[test]
fn sound_ledgers_are_found_sound() {
    for (ledger, blocks) in SOUND.into_iter().zip([20, 8, 120]) {
        let report = check(ledger);
        assert_eq!(report.findings, [], "{ledger}");
        assert_eq!(report.blocks, blocks, "{ledger}");
    }
}

#[test]
fn every_verdict_and_signature_of_fabric_is_ours_too() {
    let all = |ledger: &str, depth| {
        let (dir, scratch) = (block_files(ledger), tempfile::tempdir().unwrap());
        check_blockfiles(&os_disk(), dir.path(), scratch.path(), depth, &mut |_| {}).unwrap()
    };
    let verdicts = Depth {
        verdicts: true,
        ..Depth::default()
    };
    let signatures = Depth {
        signatures: true,
        ..Depth::default()
    };
    // The signatures are those of creators, endorsements and blocks, which `quire-identity` counts too.
    for (ledger, transactions, counted) in [
        ("v3.1-conflicts", 1148, 1147 + 1147 + 119),
        ("v2.0-testchannel", 20, 20 + 21 + 19),
        ("sample-prod", 8, 8 + 7 + 7),
    ] {
        let report = all(ledger, verdicts);
        assert_eq!(report.findings, [], "{ledger}");
        assert_eq!(report.transactions, transactions, "{ledger}");
        assert_eq!(report.verdicts, Some(transactions), "{ledger}");
        assert_eq!(report.signatures, None);
        let report = all(ledger, signatures);
        assert_eq!(report.findings, [], "{ledger}");
        assert_eq!(report.signatures, Some(counted), "{ledger}");
        let report = all(ledger, ALL);
        println!("{ledger}: {report:?}");
        assert_eq!(report.findings, [], "{ledger}");
        assert_eq!(report.verdicts, Some(transactions), "{ledger}");
    }
    let conflicts = |code: &str| {
        let blocks = expected_blocks("v3.1-conflicts");
        let transactions = blocks.iter().map(|block| block["transactions"].as_array());
        let transactions = transactions.flatten().flatten();
        transactions.filter(|tx| tx["code"] == code).count()
    };
    assert_eq!(conflicts("MVCC_READ_CONFLICT"), 240);
    assert_eq!(conflicts("PHANTOM_READ_CONFLICT"), 15);
}

#[test]
fn a_wrong_previous_hash_is_named_by_block_file_and_offset() {
    for ledger in ["v1.1-ledger1", "v1.1-ledger2"] {
        let report = check(ledger);
        assert_eq!(kinds(&report), [(Kind::PreviousHash, Some(1))], "{ledger}");
        let Finding { file, offset, .. } = &report.findings[0];
        assert!(file.as_ref().unwrap().ends_with("blockfile_000000"));
        assert_eq!(*offset, Some(14226));
    }
}

#[test]
fn two_envelopes_glued_together_are_noticed() {
    let report = check("glued-together");
    assert_eq!(
        kinds(&report),
        [(Kind::Envelope, Some(8)), (Kind::DataHash, Some(8))]
    );
    assert_eq!(report.findings[0].found, "3183 trailing bytes");
    assert_eq!(report.findings[0].offset, Some(46681));
}

#[test]
fn damaged_ledgers_are_not_imported_and_leave_nothing() {
    for ledger in ["v1.1-ledger1", "v1.1-ledger2", "glued-together"] {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = open(dir.path());
        let blockfiles = block_files(ledger);
        let refused = ledgers.import("imported", blockfiles.path(), false, &mut |_| {});
        assert!(
            matches!(&refused, Err(ImportError::Damaged(report)) if !report.findings.is_empty()),
            "{ledger}"
        );
        assert_eq!(ledgers.list().unwrap(), []);
        assert!(!ledgers.channel_dir("imported").exists());
    }
}

#[test]
fn hashes_ids_codes_and_commit_hashes_are_those_that_fabric_reads() {
    for ledger in SOUND {
        with_imported(ledger, |reader| {
            let expected = expected_blocks(ledger);
            assert_eq!(reader.height(), expected.len() as u64);
            for (number, mut expected) in (0..).zip(expected) {
                let block = reader.block(number).unwrap().unwrap();
                let fields = expected.as_object_mut().unwrap();
                fields.entry("commitHash").or_insert_with(|| "".into());
                assert_eq!(described(&block), expected, "{ledger}, block {number}");
                assert_eq!(
                    reader.block_number_by_hash(&block.hash()).unwrap(),
                    Some(number)
                );
            }
        });
    }
}

#[test]
fn every_transaction_is_found_by_its_id_with_its_first_outcome() {
    with_imported("v3.1-conflicts", |reader| {
        let mut first = BTreeMap::new();
        for block in expected_blocks("v3.1-conflicts") {
            let number = block["number"].as_u64().unwrap();
            for (tx, transaction) in block["transactions"].as_array().unwrap().iter().enumerate() {
                let id = transaction["id"].as_str().unwrap().to_owned();
                let code = transaction["code"].as_str().unwrap().to_owned();
                first
                    .entry(id)
                    .or_insert((Height::new(number, tx as u64), code));
            }
        }
        assert!(
            first
                .values()
                .any(|(_, code)| code == "PHANTOM_READ_CONFLICT")
        );
        for (id, (height, code)) in first {
            let found = reader.transaction(&id).unwrap().unwrap();
            assert_eq!(
                (found.height, found.code.to_string()),
                (height, code),
                "{id}"
            );
        }
        assert_eq!(reader.transaction("no such id").unwrap(), None);
    });
}

/// One record of a snapshot's data file.
#[derive(Clone, PartialEq, prost::Message)]
struct SnapshotRecord {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    metadata: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    version: Bytes,
}

fn read_uvarint(bytes: &mut &[u8]) -> u64 {
    prost::encoding::decode_varint(bytes).unwrap()
}

fn take<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = usize::try_from(read_uvarint(bytes)).unwrap();
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

/// A file of the peer's snapshot.
fn snapshot(name: &str) -> Vec<u8> {
    conformance::read(&format!("fabric-snapshots/v3.1-conflicts/{name}"))
}

/// Namespace, key, value, metadata, version of every record of a part of the snapshot.
fn snapshot_rows(part: &str) -> Vec<(String, Vec<u8>, Bytes, Bytes, Height)> {
    let metadata = snapshot(&format!("{part}.metadata"));
    let mut counts = &metadata[1..];
    let namespaces = read_uvarint(&mut counts);
    let namespaces: Vec<_> = (0..namespaces)
        .map(|_| {
            let name = String::from_utf8(take(&mut counts).to_vec()).unwrap();
            (name, read_uvarint(&mut counts))
        })
        .collect();
    assert!(counts.is_empty());

    let data = snapshot(&format!("{part}.data"));
    let mut data = &data[1..];
    let mut rows = Vec::new();
    for (namespace, count) in namespaces {
        for _ in 0..count {
            let record = SnapshotRecord::decode(take(&mut data)).unwrap();
            let version = version(&record.version);
            rows.push((
                namespace.clone(),
                record.key.to_vec(),
                record.value,
                record.metadata,
                version,
            ));
        }
    }
    assert!(data.is_empty());
    rows
}

/// Two order-preserving varints.
fn version(bytes: &[u8]) -> Height {
    let number = |bytes: &[u8]| {
        let (digits, rest) = bytes[1..].split_at(usize::from(bytes[0]));
        (
            digits
                .iter()
                .fold(0, |number, digit| number << 8 | u64::from(*digit)),
            rest.to_vec(),
        )
    };
    let (block, rest) = number(bytes);
    Height::new(block, number(&rest).0)
}

#[test]
fn the_whole_state_is_that_of_the_peers_own_snapshot() {
    with_imported("v3.1-conflicts", |reader| {
        let mut expected = Vec::new();
        for (namespace, key, value, metadata, version) in snapshot_rows("public_state") {
            let key = String::from_utf8(key).unwrap();
            expected.push((namespace, key, value, metadata, version));
        }
        for (namespace, key, value, metadata, version) in snapshot_rows("private_state_hashes") {
            use base64::Engine as _;
            let key = base64::engine::general_purpose::STANDARD.encode(key);
            expected.push((namespace, key, value, metadata, version));
        }
        expected.sort();
        assert!(expected.len() > 100, "{}", expected.len());
        let mut found = whole_state(&reader.snapshot());
        found.sort();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found.0, &found.1), (&expected.0, &expected.1));
            assert!(found == expected, "{}/{} differs", found.0, found.1);
        }
        let commit_hash = reader.block(119).unwrap().unwrap().commit_hash().unwrap();
        let additional = snapshot("_snapshot_additional_metadata.json");
        let additional: Value = serde_json::from_slice(&additional).unwrap();
        assert_eq!(
            additional["last_block_commit_hash"],
            hex::encode(commit_hash)
        );
    });
}

fn whole_state(snapshot: &Snapshot) -> Vec<(String, String, Bytes, Bytes, Height)> {
    let namespaces = snapshot.namespaces().unwrap();
    let rows = namespaces.into_iter().flat_map(|namespace| {
        assert!(namespace.exact);
        let rows = snapshot
            .range(&namespace.name, "", RangeEnd::Unbounded, usize::MAX)
            .unwrap();
        assert_eq!(rows.len() as u64, namespace.keys);
        rows.into_iter().map(move |(key, value)| {
            (
                namespace.name.clone(),
                key,
                value.value,
                value.metadata,
                value.version,
            )
        })
    });
    rows.collect()
}

#[test]
fn history_is_what_valid_transactions_wrote_newest_first() {
    for ledger in SOUND {
        with_imported(ledger, |reader| {
            let mut expected: BTreeMap<(String, String), Vec<Height>> = BTreeMap::new();
            for number in 0..reader.height() {
                let block = reader.block(number).unwrap().unwrap();
                for (tx, envelope) in block.envelopes.iter().enumerate() {
                    let Content::Endorsed(endorsed) = Examined::read(envelope).content else {
                        continue;
                    };
                    if !block.code(tx).is_valid() {
                        continue;
                    }
                    for set in endorsed.read_write_set.namespaces {
                        for write in set.public.writes {
                            let key = (set.namespace.clone(), write.key);
                            expected
                                .entry(key)
                                .or_default()
                                .push(Height::new(number, tx as u64));
                        }
                    }
                }
            }
            assert!(!expected.is_empty());
            let snapshot = reader.snapshot();
            for ((namespace, key), mut heights) in expected {
                let all = |order| snapshot.history(&namespace, &key, order, None, usize::MAX);
                assert_eq!(
                    all(Order::OldestFirst).unwrap(),
                    heights,
                    "{namespace}/{key}"
                );
                heights.reverse();
                assert_eq!(
                    all(Order::NewestFirst).unwrap(),
                    heights,
                    "{namespace}/{key}"
                );
                let current = snapshot.get(&namespace, &key).unwrap();
                let after_all = Height::new(u64::MAX, 0);
                let last = snapshot
                    .version_before(&namespace, &key, after_all)
                    .unwrap();
                assert_eq!(
                    last,
                    current.map(|value| value.version),
                    "{namespace}/{key}"
                );
            }
        });
    }
}

#[test]
fn a_commit_hash_that_replay_does_not_give_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = conformance::read("fabric-ledgers/v3.1-conflicts/blockfile_000000");
    // One verdict is inverted: hashes do not cover metadata, so only the commit hash can show it.
    let stored = Metadata {
        value: commit_hash_of_block_7(),
        signatures: vec![],
    }
    .encode_to_vec();
    let at = bytes
        .windows(stored.len())
        .position(|window| window == stored)
        .unwrap();
    // Before slot 4 there are its length, the empty slot 3, and the twelve codes of slot 2.
    let codes = at - 2 - 12;
    assert_eq!(bytes[codes - 1], 12);
    bytes[codes] ^= 0x0b;
    fs::write(dir.path().join("blockfile_000000"), bytes).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let report = check_blockfiles(
        &os_disk(),
        dir.path(),
        scratch.path(),
        Depth::default(),
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(kinds(&report), [(Kind::CommitHash, Some(7))]);

    let report =
        check_blockfiles(&os_disk(), dir.path(), scratch.path(), ALL, &mut |_| {}).unwrap();
    assert_eq!(
        kinds(&report),
        [(Kind::Verdict, Some(7)), (Kind::CommitHash, Some(7))]
    );
    let Finding {
        transaction,
        transaction_id,
        ..
    } = &report.findings[0];
    let id = expected_blocks("v3.1-conflicts")[7]["transactions"][0]["id"].clone();
    assert_eq!(*transaction, Some(0));
    assert_eq!(transaction_id.as_deref(), id.as_str());
}

#[test]
fn a_forged_signature_under_a_sound_data_hash_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = conformance::read("fabric-ledgers/v3.1-conflicts/blockfile_000000");
    let mut last = None;
    with_imported("v3.1-conflicts", |reader| {
        last = reader.block(119).unwrap();
    });
    let last = last.unwrap();
    let place = |part: &[u8]| {
        let mut found = bytes.windows(part.len()).enumerate();
        found.find(|(_, window)| *window == part).unwrap().0
    };
    // The last byte of an envelope is its signature's.
    let envelope = place(&last.envelopes[1]) + last.envelopes[1].len() - 1;
    let data_hash = place(&last.data_hash);
    bytes[envelope] ^= 1;
    let mut envelopes = last.envelopes.clone();
    let mut forged = envelopes[1].to_vec();
    *forged.last_mut().unwrap() ^= 1;
    envelopes[1] = forged.into();
    bytes[data_hash..data_hash + 32].copy_from_slice(&quire_wire::hash::data_hash(&envelopes));
    fs::write(dir.path().join("blockfile_000000"), bytes).unwrap();

    let scratch = tempfile::tempdir().unwrap();
    let check = |depth| {
        check_blockfiles(&os_disk(), dir.path(), scratch.path(), depth, &mut |_| {}).unwrap()
    };
    assert_eq!(kinds(&check(Depth::default())), []);
    let report = check(ALL);
    // The orderer did not sign this header either.
    let expected = [(Kind::Signature, Some(119)), (Kind::Signature, Some(119))];
    assert_eq!(kinds(&report), expected);
    let transactions: Vec<_> = report.findings.iter().map(|one| one.transaction).collect();
    assert_eq!(transactions, [None, Some(1)]);
}

fn commit_hash_of_block_7() -> Bytes {
    let block = &expected_blocks("v3.1-conflicts")[7];
    let slot = hex::decode(block["commitHash"].as_str().unwrap()).unwrap();
    Metadata::decode(slot.as_slice()).unwrap().value
}
