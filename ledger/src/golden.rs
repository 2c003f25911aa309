//! The bytes of `docs/format.md`, as files: what was written once must always be readable, and what is
//! written now must be the same. `docs/format.md` has the details.
//!
//! `tests/golden/v1` holds a channel of five blocks in three batches: a configuration; one block; three
//! blocks in one batch, among them writes, a delete, key metadata, a private collection's hashes, a conflict,
//! a duplicate id and bytes that are not an envelope; and its index, state and history in their first form.
//! `tests/golden/v2` holds these in the present form, in which savepoints name a block and envelopes have
//! places.
//!
//! If `QUIRE_WRITE_GOLDEN` is set, the files are written again. Only a new format may do that.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fjall::Readable as _;
use quire_disk::OsDisk;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, SignatureHeader, Timestamp, header_type};
use quire_wire::config::{Config, ConfigEnvelope};
use quire_wire::hash::data_hash;
use quire_wire::peer::{ChaincodeAction, ChaincodeHeaderExtension, ChaincodeId, ChaincodeSpec};
use quire_wire::rwset::{
    CollectionHashedReadWriteSet, HashedRwSet, KvMetadataEntry, KvMetadataWrite, KvRead, KvRwSet,
    KvWrite, KvWriteHash, NsReadWriteSet, TxReadWriteSet,
};
use quire_wire::transaction::{ProposalBytes, seal};
use quire_wire::tx_id::tx_id;

use crate::offline::check::{Finding, Kind, Report};
use quire_wire::Code;

use crate::{Block, Height, Ledger, Ledgers, Order, Ordered, Purpose, derived};

pub(crate) const CHANNEL: &str = "golden";
const NAMESPACE: &str = "orders";

fn golden(file: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    dir.join(file)
}

/// What is derived from the blocks, in its present form.
const DERIVED: &str = "v2/derived.txt";
/// What is derived from the blocks, in its first form.
const DERIVED_BEFORE: &str = "v1/derived.txt";

/// Files of a data directory, and their names here.
const FILES: [(&str, &str); 2] = [
    ("channels/golden/blockfile_000000", "v1/blockfile_000000"),
    ("id-store/golden.json", "v1/golden.json"),
];

#[test]
fn the_same_blocks_are_written_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
    let ledger = write(&ledgers);
    let derived = described(&ledgers, &ledger);
    if std::env::var_os("QUIRE_WRITE_GOLDEN").is_some() {
        for (file, name) in FILES {
            fs::copy(dir.path().join(file), golden(name)).unwrap();
        }
        fs::write(golden(DERIVED), &derived).unwrap();
    }
    for (file, name) in FILES {
        let written = fs::read(dir.path().join(file)).unwrap();
        let golden = fs::read(golden(name)).unwrap();
        assert_eq!(hex::encode(written), hex::encode(golden), "{name}");
    }
    assert_eq!(derived, fs::read_to_string(golden(DERIVED)).unwrap());
}

/// A data directory with the golden files.
fn copied() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (file, name) in FILES {
        let file = dir.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(golden(name), file).unwrap();
    }
    dir
}

#[test]
fn entries_of_the_form_before_are_believed_and_read() {
    let dir = copied();
    {
        let database = fjall::Database::builder(dir.path().join("derived"));
        let database = database.open().unwrap();
        let followers = derived::followers(&database, CHANNEL).unwrap();
        let entries = fs::read_to_string(golden(DERIVED_BEFORE)).unwrap();
        let entries = entries.lines().map(|line| line.split(' ').collect());
        for entry in entries.filter(|entry: &Vec<_>| entry[0] != "block") {
            let mut followers = followers.iter();
            let follower = followers.find(|follower| follower.kind.name == entry[0]);
            let [key, value] = [entry[1], entry[2]].map(|text| hex::decode(text).unwrap());
            follower.unwrap().keyspace.insert(key, value).unwrap();
        }
    }
    let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
    let check = || {
        let depth = crate::offline::check::Depth::default();
        crate::offline::check::check_channel(&ledgers, CHANNEL, depth, &mut |_| {})
    };
    assert_eq!(damage(check().unwrap()), []);
    let (ledger, report) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    assert_eq!((report.height, report.cut, report.replayed), (5, None, 0));
    means_what_was_meant(&ledger);
    assert_eq!(damage(check().unwrap()), []);
}

#[test]
fn what_was_written_is_read_and_followed_to_the_same_entries() {
    let dir = copied();
    let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
    let (ledger, report) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
    assert_eq!((report.height, report.cut, report.replayed), (5, None, 5));
    let derived = described(&ledgers, &ledger);
    assert_eq!(derived, fs::read_to_string(golden(DERIVED)).unwrap());
    for (file, name) in FILES {
        let opened = fs::read(dir.path().join(file)).unwrap();
        assert!(opened == fs::read(golden(name)).unwrap(), "{name} changed");
    }
    means_what_was_meant(&ledger);
    let report = crate::offline::check::check_channel(
        &ledgers,
        CHANNEL,
        crate::offline::check::Depth::default(),
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(damage(report), []);
}

/// The findings without the intended one: the configuration of the golden channel has no members, so a node
/// could not judge transactions by it.
fn damage(mut report: Report) -> Vec<Finding> {
    report
        .findings
        .retain(|finding| finding.kind != Kind::Config);
    report.findings
}

/// Checks the golden channel as its readers see it.
fn means_what_was_meant(ledger: &Ledger) {
    let (reader, snapshot) = (ledger.reader(), ledger.reader().snapshot());
    let codes = |number| {
        let block = reader.block(number).unwrap().unwrap();
        let codes = (0..block.envelopes.len()).map(|tx| block.code(tx));
        codes.collect::<Vec<_>>()
    };
    assert_eq!(codes(1), [Code::VALID]);
    assert_eq!(codes(2), [Code::VALID, Code::MVCC_READ_CONFLICT]);
    assert_eq!(codes(3), [Code::DUPLICATE_TXID, Code::BAD_PAYLOAD]);
    assert_eq!(codes(4), [Code::VALID, Code::VALID]);

    let value = snapshot.get(NAMESPACE, "1001").unwrap().unwrap();
    assert_eq!(&value.value[..], br#"{"total": 12.50}"#);
    assert_eq!(value.version, Height::new(4, 1));
    assert!(!value.metadata.is_empty());
    assert_eq!(snapshot.get(NAMESPACE, "1002").unwrap(), None);
    let history = snapshot.history(NAMESPACE, "1002", Order::OldestFirst, None, 9);
    assert_eq!(history.unwrap(), [Height::new(1, 0), Height::new(4, 0)]);
    let block = reader.block(4).unwrap().unwrap();
    let envelope = reader.envelope(Height::new(4, 1)).unwrap();
    assert_eq!(envelope, Some(block.envelopes[1].clone()));
    let first = reader.transaction(&tx_id(b"1", b"creator")).unwrap();
    assert_eq!(first.unwrap().height, Height::new(1, 0));
}

/// Commits the golden blocks.
pub(crate) fn write(ledgers: &Ledgers) -> Ledger {
    let mut chain = Vec::new();
    let mut ledger = ledgers
        .create(
            CHANNEL,
            block(&mut chain, vec![config()]),
            crate::id_store::CreateOptions::default(),
        )
        .unwrap();
    let put = |key: &str, value: &str| KvWrite {
        key: key.into(),
        is_delete: false,
        value: value.to_owned().into(),
    };
    let writes = |writes| KvRwSet {
        writes,
        ..KvRwSet::default()
    };
    let fresh = |key: &str| KvRwSet {
        reads: vec![KvRead {
            key: key.into(),
            version: None,
        }],
        ..writes(vec![put(key, "{}")])
    };
    let delete = KvWrite {
        is_delete: true,
        ..put("1002", "")
    };
    let update = KvRwSet {
        metadata_writes: vec![KvMetadataWrite {
            key: "1001".into(),
            entries: vec![KvMetadataEntry {
                name: "policy".into(),
                value: "p".into(),
            }],
        }],
        ..writes(vec![put("1001", r#"{"total": 12.50}"#)])
    };

    let first = envelope(b"1", &writes(vec![put("1001", "{}"), put("1002", "[2]")]));
    let batches = [
        vec![vec![first.clone()]],
        vec![
            vec![
                envelope(b"2", &fresh("1003")),
                envelope(b"3", &fresh("1001")),
            ],
            vec![first, Bytes::from_static(b"\x0a\x01\xff")],
            vec![
                envelope(b"4", &writes(vec![delete])),
                envelope(b"5", &update),
            ],
        ],
    ];
    for batch in batches {
        let batch = batch.into_iter().map(|envelopes| {
            let block = block(&mut chain, envelopes);
            Ordered::new(block, CHANNEL)
        });
        ledger.commit(batch.collect()).unwrap();
    }
    ledger
}

/// Makes the child of the last block of `chain`, and adds it to `chain`.
fn block(chain: &mut Vec<Block>, envelopes: Vec<Bytes>) -> Block {
    let previous = chain
        .last()
        .map(|block| Bytes::copy_from_slice(&block.hash()));
    let block = Block {
        number: chain.len() as u64,
        previous_hash: previous.unwrap_or_default(),
        data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
        envelopes,
        metadata: vec![Bytes::from_static(b"orderer's")],
    };
    chain.push(block.clone());
    block
}

fn header(r#type: i32, nonce: &[u8]) -> (ChannelHeader, SignatureHeader) {
    let extension = ChaincodeHeaderExtension {
        chaincode_id: Some(chaincode()),
    };
    let header = ChannelHeader {
        r#type,
        timestamp: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 5,
        }),
        channel_id: CHANNEL.into(),
        tx_id: tx_id(nonce, b"creator"),
        extension: extension.encode_to_vec().into(),
        ..ChannelHeader::default()
    };
    let creator = SignatureHeader {
        creator: "creator".into(),
        nonce: Bytes::copy_from_slice(nonce),
    };
    (header, creator)
}

fn chaincode() -> ChaincodeId {
    ChaincodeId {
        name: NAMESPACE.into(),
        ..ChaincodeId::default()
    }
}

fn config() -> Bytes {
    let (channel_header, signature_header) = header(header_type::CONFIG, b"0");
    let config = ConfigEnvelope {
        config: Some(Config {
            sequence: 0,
            channel_group: None,
        }),
        last_update: None,
    };
    let payload = quire_wire::common::Payload {
        header: Some(quire_wire::common::Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header.encode_to_vec().into(),
        }),
        data: config.encode_to_vec().into(),
    };
    seal(payload.encode_to_vec().into(), "signature".into())
}

/// A transaction with these public reads and writes, which also writes a private key's hash.
fn envelope(nonce: &[u8], set: &KvRwSet) -> Bytes {
    let hashed = HashedRwSet {
        hashed_writes: vec![KvWriteHash {
            key_hash: vec![0xaa; 32].into(),
            value_hash: vec![0xbb; 32].into(),
            ..KvWriteHash::default()
        }],
        ..HashedRwSet::default()
    };
    let namespace = NsReadWriteSet {
        namespace: NAMESPACE.into(),
        rwset: set.encode_to_vec().into(),
        collection_hashed_rwset: vec![CollectionHashedReadWriteSet {
            collection_name: "prices".into(),
            hashed_rwset: hashed.encode_to_vec().into(),
            ..CollectionHashedReadWriteSet::default()
        }],
    };
    endorsed(
        nonce,
        &TxReadWriteSet {
            data_model: 0,
            ns_rwset: vec![namespace],
        },
    )
}

/// A transaction with this read-write set.
pub(crate) fn endorsed(nonce: &[u8], results: &TxReadWriteSet) -> Bytes {
    let action = ChaincodeAction {
        results: results.encode_to_vec().into(),
        chaincode_id: Some(chaincode()),
        ..ChaincodeAction::default()
    };
    let (channel_header, signature_header) = header(header_type::ENDORSER_TRANSACTION, nonce);
    let spec = ChaincodeSpec {
        chaincode_id: Some(chaincode()),
        ..ChaincodeSpec::default()
    };
    let proposal = ProposalBytes::new(&channel_header, &signature_header, spec);
    let response = proposal.response_payload(&action);
    seal(
        proposal.transaction_payload(response, Vec::new()),
        "signature".into(),
    )
}

/// Every block's hash, and every entry of index, state and history, as text.
fn described(ledgers: &Ledgers, ledger: &Ledger) -> String {
    let mut text = String::new();
    let reader = ledger.reader();
    for number in 0..reader.height() {
        let block = reader.block(number).unwrap().unwrap();
        writeln!(text, "block {number} {}", hex::encode(block.hash())).unwrap();
    }
    for follower in derived::followers(ledgers.database(), CHANNEL).unwrap() {
        for guard in ledgers.database().snapshot().iter(&follower.keyspace) {
            let (key, value) = guard.into_inner().unwrap();
            let (key, value) = (hex::encode(key), hex::encode(value));
            writeln!(text, "{} {key} {value}", follower.kind.name).unwrap();
        }
    }
    text
}
