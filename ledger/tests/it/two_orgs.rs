//! A channel of a real network of two organisations, which holds unusual content: malformed envelopes, keys
//! written twice, keys that expire, and blocks that stop a peer of Fabric.
//!
//! These tests guard against being almost Fabric: this ledger has what every Fabric peer has after 233
//! blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost::Message as _;
use quire_ledger::check::{Depth, Kind, Report, check_blockfiles, check_channel};
use quire_ledger::{
    Block, CONFIG_KEY, CONFIG_NAMESPACE, Content, CreateOptions, Examined, Height, Order, Ordered,
    Origin, RangeEnd, Reader, Snapshot,
};
use quire_testkit::conformance;
use quire_wire::Code;
use quire_wire::common;
use quire_wire::config::ConfigEnvelope;
use quire_wire::json;
use quire_wire::rwset::{
    KvRead, NsReadWriteSet, QueryReads, RangeQueryInfo, ReadsInfo, TxReadWriteSet,
};
use serde_json::Value;

use crate::kit::chain::{self, Act};
use crate::kit::{open, os_disk};

const ALL: Depth = Depth {
    signatures: true,
    verdicts: true,
};

fn block_files(file: &str) -> tempfile::TempDir {
    conformance::block_files(&format!("fabric-network/{file}"))
}

fn ledger() -> tempfile::TempDir {
    block_files("two-orgs-ledger/blockfiles/peer0.org1-blockfile_000000")
}

fn poison() -> tempfile::TempDir {
    block_files("two-orgs-poison/peer0.org1-blockfile_000000")
}

fn check(dir: &Path, depth: Depth) -> Report {
    let scratch = tempfile::tempdir().unwrap();
    check_blockfiles(&os_disk(), dir, scratch.path(), depth, &mut |_| {}).unwrap()
}

fn with_imported(dir: &Path, test: impl FnOnce(&Reader)) {
    let data = tempfile::tempdir().unwrap();
    let ledgers = open(data.path());
    let (opened, report) = ledgers.import("two", dir, false, &mut |_| {}).unwrap();
    assert!(report.is_sound());
    test(&opened.reader());
    drop(opened);
    let again = check_channel(&ledgers, "two", ALL, &mut |_| {}).unwrap();
    assert_eq!(again.findings, []);
}

fn lines(path: &str) -> Vec<Value> {
    conformance::read_lines(&format!("fabric-network/{path}"))
}

#[test]
fn every_commit_hash_is_ours_and_every_verdict_is_given_again() {
    let dir = ledger();
    let report = check(dir.path(), Depth::default());
    assert_eq!(report.findings, []);
    assert_eq!((report.blocks, report.transactions), (233, 270));
    let report = check(dir.path(), ALL);
    assert_eq!(report.findings, []);
    assert_eq!(report.verdicts, Some(270));
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    // State can be made of it too.
    with_imported(dir.path(), |reader| assert_eq!(reader.height(), 233));
}

/// Commits every block of imported files again as if it came from its orderers now. Returns the verdicts that
/// are not those of its peers, and the number of all verdicts.
fn committed_again(dir: &Path, channel: &str) -> (Vec<String>, usize) {
    let imported = tempfile::tempdir().unwrap();
    let ledgers = open(imported.path());
    let (opened, _) = ledgers.import(channel, dir, false, &mut |_| {}).unwrap();
    let reader = opened.reader();
    let block = |number| Block::clone(&reader.block(number).unwrap().unwrap());
    let data = tempfile::tempdir().unwrap();
    let own = open(data.path());
    let mut ledger = own
        .create(channel, block(0), CreateOptions::default())
        .unwrap();
    ledger.judge_signatures(Origin::Fabric);
    let (mut others, mut verdicts) = (Vec::new(), 1);
    let numbers: Vec<u64> = (1..reader.height()).collect();
    // Several are committed together, so that configurations and definitions change within a batch.
    for numbers in numbers.chunks(7) {
        let batch = numbers.iter().map(|number| {
            let ordered = block(*number);
            Ordered::by_rules_of(Origin::Fabric, ordered, channel)
        });
        for committed in ledger.commit(batch.collect()).unwrap() {
            let number = committed.block.number;
            let stored = block(number);
            verdicts += committed.transactions.len();
            for (tx, (_, code)) in committed.transactions.iter().enumerate() {
                if *code != stored.code(tx) {
                    others.push(format!("{number}.{tx}: {code}, peers {}", stored.code(tx)));
                }
            }
            if committed.block.metadata[4] != stored.metadata[4] {
                others.push(format!("{number}: another commit hash"));
            }
        }
    }
    (others, verdicts)
}

#[test]
fn every_block_has_the_verdicts_and_the_commit_hash_of_its_peers_when_it_is_committed_here() {
    let (others, verdicts) = committed_again(ledger().path(), "mychannel");
    assert!(
        others.is_empty(),
        "{}:\n{}",
        others.len(),
        others.join("\n")
    );
    assert_eq!(verdicts, 270);
}

/// The configuration in state, as `configtxlator` would print it.
fn shown_config(reader: &Reader) -> Value {
    let state = reader.snapshot().get(CONFIG_NAMESPACE, CONFIG_KEY).unwrap();
    let envelope = ConfigEnvelope::decode(state.unwrap().value).unwrap();
    let config = envelope.config.unwrap().encode_to_vec();
    let text = json::print(json::message_type("common.Config").unwrap(), config.into());
    serde_json::from_str(&text.unwrap()).unwrap()
}

#[test]
fn the_configuration_after_each_block_that_has_one_is_what_fabrics_decoder_says() {
    let dir = ledger();
    let configurations = lines("two-orgs-ledger/configurations.jsonl");
    assert_eq!(configurations.len(), 12);
    let mut expected: BTreeMap<u64, &Value> = BTreeMap::new();
    for one in &configurations {
        expected.insert(one["block"].as_u64().unwrap(), &one["config"]);
    }
    let mut seen = 0;
    with_imported(dir.path(), |imported| {
        let block = |number| Block::clone(&imported.block(number).unwrap().unwrap());
        let data = tempfile::tempdir().unwrap();
        let own = open(data.path());
        let mut ledger = own
            .create("mychannel", block(0), CreateOptions::default())
            .unwrap();
        ledger.judge_signatures(Origin::Fabric);
        let mut batch = Vec::new();
        for number in 0..imported.height() {
            if number > 0 {
                let ordered = block(number);
                batch.push(Ordered::by_rules_of(Origin::Fabric, ordered, "mychannel"));
            }
            let Some(config) = expected.get(&number) else {
                continue;
            };
            if !batch.is_empty() {
                ledger.commit(std::mem::take(&mut batch)).unwrap();
            }
            assert_eq!(shown_config(&ledger.reader()), **config, "block {number}");
            seen += 1;
        }
    });
    assert_eq!(seen, 12);
}

#[test]
fn verdicts_alone_are_given_again_without_signatures() {
    let verdicts = Depth {
        verdicts: true,
        ..Depth::default()
    };
    let signatures = Depth {
        signatures: true,
        ..Depth::default()
    };
    assert_eq!(check(ledger().path(), verdicts).findings, []);
    assert_eq!(check(ledger().path(), signatures).findings, []);
    assert_eq!(check(poison().path(), ALL).findings, []);
}

type Row = (String, String, Vec<u8>, Vec<u8>, Height);

/// The content of a peer's state database, without what only private data tells.
fn state_of(peer: &str) -> Vec<Row> {
    let rows = lines(&format!("two-orgs-ledger/state-{peer}.jsonl"));
    let bytes = |row: &Value, member: &str| {
        let text = row[member].as_str().unwrap_or_default();
        BASE64.decode(text).unwrap()
    };
    let rows = rows.iter().filter_map(|row| {
        let namespace = row["namespace"].as_str().unwrap().to_owned();
        if namespace.contains("$$p") {
            return None;
        }
        let key = if namespace.contains("$$h") {
            row["key_b64"].as_str().unwrap().to_owned()
        } else {
            String::from_utf8(bytes(row, "key_b64")).unwrap()
        };
        let version = row["version"].as_array().unwrap();
        let number = |position: usize| version[position].as_u64().unwrap();
        Some((
            namespace,
            key,
            bytes(row, "value_b64"),
            bytes(row, "metadata_b64"),
            Height::new(number(0), number(1)),
        ))
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.sort();
    rows
}

fn whole_state(snapshot: &Snapshot) -> Vec<Row> {
    let mut all = Vec::new();
    for namespace in snapshot.namespaces().unwrap() {
        let rows = snapshot.range(&namespace.name, "", RangeEnd::Unbounded, usize::MAX);
        let rows = rows.unwrap();
        assert_eq!(rows.len() as u64, namespace.keys, "{}", namespace.name);
        all.extend(rows.into_iter().map(|(key, value)| {
            let (bytes, metadata) = (value.value.to_vec(), value.metadata.to_vec());
            (namespace.name.clone(), key, bytes, metadata, value.version)
        }));
    }
    all.sort();
    all
}

#[test]
fn the_whole_state_is_that_of_the_peers_of_both_organisations() {
    with_imported(ledger().path(), |reader| {
        let found = whole_state(&reader.snapshot());
        for peer in ["peer0.org1", "peer0.org2"] {
            let expected = state_of(peer);
            assert!(expected.len() > 500, "{}", expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!((&found.0, &found.1), (&expected.0, &expected.1), "{peer}");
                assert_eq!(found.4, expected.4, "{peer}: {}/{}", found.0, found.1);
                assert!(found == expected, "{peer}: {}/{} differs", found.0, found.1);
            }
            assert_eq!(found.len(), expected.len(), "{peer}");
        }
    });
}

/// Takes an order-preserving varint from the front.
fn number(bytes: &mut &[u8]) -> u64 {
    let (digits, rest) = bytes[1..].split_at(usize::from(bytes[0]));
    *bytes = rest;
    digits
        .iter()
        .fold(0, |number, digit| number << 8 | u64::from(*digit))
}

type Heights = BTreeMap<(String, String), BTreeSet<(u64, u64)>>;

/// The content of a peer's history database.
fn recorded_history() -> Heights {
    let mut all = Heights::new();
    for line in lines("two-orgs-ledger/history-keys-peer0.org1.jsonl") {
        let key = hex::decode(line["key_hex"].as_str().unwrap()).unwrap();
        // The savepoint has no namespace.
        let Some(end) = key
            .iter()
            .position(|byte| *byte == 0)
            .filter(|end| *end > 0)
        else {
            continue;
        };
        let namespace = String::from_utf8(key[..end].to_vec()).unwrap();
        let mut rest = &key[end + 1..];
        let length = usize::try_from(number(&mut rest)).unwrap();
        let name = String::from_utf8(rest[..length].to_vec()).unwrap();
        let mut rest = &rest[length + 1..];
        let height = (number(&mut rest), number(&mut rest));
        all.entry((namespace, name)).or_default().insert(height);
    }
    all
}

#[test]
fn every_history_is_that_of_the_peer() {
    let expected = recorded_history();
    assert!(expected.len() > 400, "{}", expected.len());
    with_imported(ledger().path(), |reader| {
        let snapshot = reader.snapshot();
        let mut found = Heights::new();
        for block in 0..reader.height() {
            let block = reader.block(block).unwrap().unwrap();
            for envelope in &block.envelopes {
                let Content::Endorsed(endorsed) = Examined::read(envelope).content else {
                    continue;
                };
                for set in &endorsed.read_write_set.namespaces {
                    for write in &set.public.writes {
                        let name = (set.namespace.clone(), write.key.clone());
                        let order = Order::OldestFirst;
                        let heights = snapshot
                            .history(&name.0, &name.1, order, None, usize::MAX)
                            .unwrap();
                        for height in &heights {
                            snapshot.modification(&name.0, &name.1, *height).unwrap();
                        }
                        let heights = heights.iter().map(|height| (height.block, height.tx));
                        if heights.len() > 0 {
                            found.insert(name, heights.collect());
                        }
                    }
                }
            }
        }
        assert_eq!(found, expected);
    });
}

#[test]
fn what_stops_every_peer_of_fabric_is_judged_and_committed() {
    let data = tempfile::tempdir().unwrap();
    let ledgers = open(data.path());
    let (mut ledger, _) = ledgers
        .import("mychannel", poison().path(), true, &mut |_| {})
        .unwrap();
    let reader = ledger.reader();
    assert_eq!(reader.height(), 140);
    ledger.judge_signatures(Origin::Fabric);
    let blocks = lines("two-orgs-poison/orderer-blocks.jsonl");
    for line in blocks
        .iter()
        .filter(|line| line["number"].as_u64() >= Some(140))
    {
        let bytes = hex::decode(line["block_hex"].as_str().unwrap()).unwrap();
        let block = Block::from(common::Block::decode(Bytes::from(bytes)).unwrap());
        let number = block.number;
        let ordered = Ordered::by_rules_of(Origin::Fabric, block, "mychannel");
        let committed = ledger.commit(vec![ordered]).unwrap();
        let codes: Vec<Code> = committed[0]
            .transactions
            .iter()
            .map(|(_, code)| *code)
            .collect();
        if number == 140 {
            // Both organisations endorsed it, but a collection that no definition names has no policy. Its
            // peers gave the same code before they stopped.
            assert_eq!(codes, [Code::ENDORSEMENT_POLICY_FAILURE]);
        }
    }
    assert_eq!(reader.height(), 144);
    drop(ledger);
    let (reopened, _) = ledgers.ledger("mychannel", &mut |_| {}).unwrap();
    assert_eq!(reopened.reader().height(), 144);
    drop(reopened);
    let report = check_channel(&ledgers, "mychannel", ALL, &mut |_| {}).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn an_orderers_own_block_files_are_told_to_have_no_verdicts() {
    for file in [
        "two-orgs-ledger/blockfiles/orderer-blockfile_000000",
        "two-orgs-poison/orderer-blockfile_000000",
    ] {
        let report = check(block_files(file).path(), ALL);
        let mut kinds = report.findings.iter().map(|finding| finding.kind);
        assert!(
            kinds.all(|kind| kind == Kind::Codes),
            "{:?}",
            report.findings
        );
        assert!(!report.findings.is_empty());
    }
}

/// A block file as a peer of Fabric writes it.
fn put_block(file: &mut Vec<u8>, block: &Block) {
    let mut record = Vec::new();
    let put = |record: &mut Vec<u8>, bytes: &[u8]| {
        prost::encoding::encode_varint(bytes.len() as u64, record);
        record.extend_from_slice(bytes);
    };
    prost::encoding::encode_varint(block.number, &mut record);
    put(&mut record, &block.data_hash);
    put(&mut record, &block.previous_hash);
    for list in [&block.envelopes, &block.metadata] {
        prost::encoding::encode_varint(list.len() as u64, &mut record);
        for bytes in list {
            put(&mut record, bytes);
        }
    }
    put(file, &record);
}

/// A chain that begins with the network's first block.
struct Chain {
    file: Vec<u8>,
    tip: Block,
}

impl Chain {
    fn new() -> Self {
        let genesis = conformance::read("fabric-network/two-orgs/genesis.block");
        let genesis = common::Block::decode(Bytes::from(genesis)).unwrap();
        let mut tip = Block::from(genesis);
        tip.metadata.resize(5, Bytes::new());
        tip.metadata[2] = vec![Code::VALID.0].into();
        let mut file = Vec::new();
        put_block(&mut file, &tip);
        let mut chain = Self { file, tip };
        chain.add(vec![definition("labcc")], &[Code::VALID]);
        chain
    }

    fn add(&mut self, envelopes: Vec<Bytes>, codes: &[Code]) {
        let mut metadata = vec![Bytes::new(); 5];
        metadata[2] = codes.iter().map(|code| code.0).collect();
        self.tip = Block {
            number: self.tip.number + 1,
            previous_hash: Bytes::copy_from_slice(&self.tip.hash()),
            data_hash: Bytes::copy_from_slice(&quire_wire::hash::data_hash(&envelopes)),
            envelopes,
            metadata,
        };
        put_block(&mut self.file, &self.tip);
    }

    /// The findings without the signatures of orderers and of the definition, which nobody made, and the
    /// number of confirmed verdicts.
    fn check(&self) -> (Vec<quire_ledger::check::Finding>, u64) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("blockfile_000000"), &self.file).unwrap();
        let mut report = check(dir.path(), ALL);
        let is_made_up = |finding: &quire_ledger::check::Finding| {
            let is_definition = finding.block == Some(1);
            finding.kind == Kind::Signature && (finding.transaction.is_none() || is_definition)
        };
        report.findings.retain(|finding| !is_made_up(finding));
        (report.findings, report.verdicts.unwrap())
    }
}

/// A transaction that defines a chaincode, as `_lifecycle` writes it: signers who satisfy the channel's
/// policy may endorse. Nobody signed the transaction.
fn definition(chaincode: &str) -> Bytes {
    let text = |tag: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[tag << 3 | 2, length][..], bytes].concat()
    };
    let policy = text(2, b"/Channel/Application/Endorsement");
    let info = [text(1, b"vscc"), text(2, &policy)].concat();
    let mut set = Act::new("definition");
    for (key, value) in [
        ("metadata/labcc", text(1, b"ChaincodeDefinition")),
        ("fields/labcc/ValidationInfo", text(2, &info)),
    ] {
        let key = key.replace("labcc", chaincode);
        set = set.put(&format!("namespaces/{key}"), value);
    }
    let results = TxReadWriteSet {
        data_model: 0,
        ns_rwset: vec![NsReadWriteSet {
            namespace: "_lifecycle".into(),
            rwset: set.set.encode_to_vec().into(),
            collection_hashed_rwset: Vec::new(),
        }],
    };
    chain::endorsed("mychannel", "definition", &results)
}

/// An envelope that has only its id.
fn only_an_id(tx_id: &str) -> Bytes {
    let header = common::ChannelHeader {
        r#type: 99,
        tx_id: tx_id.to_owned(),
        ..Default::default()
    };
    let payload = common::Payload {
        header: Some(common::Header {
            channel_header: header.encode_to_vec().into(),
            signature_header: Bytes::from_static(b"\xff"),
        }),
        data: Bytes::new(),
    };
    let envelope = common::Envelope {
        payload: payload.encode_to_vec().into(),
        signature: Bytes::new(),
    };
    envelope.encode_to_vec().into()
}

#[test]
fn check_gives_malformed_envelopes_the_codes_of_fabrics_own_validator() {
    let mut all = Chain::new();
    let mut judged = 1;
    for case in conformance::fabric_verdicts() {
        let texts = |member: &str| -> Vec<String> {
            let values = case[member].as_array().map_or(&[][..], Vec::as_slice);
            values
                .iter()
                .map(|value| value.as_str().unwrap().to_owned())
                .collect()
        };
        let name = case["name"].as_str().unwrap();
        let codes: Option<Vec<Code>> = texts("codes")
            .iter()
            .map(|code| Code::from_name(code))
            .collect();
        let envelopes: Vec<Bytes> = texts("envelopes")
            .iter()
            .map(|envelope| hex::decode(envelope).unwrap().into())
            .collect();
        // An envelope that is not canonical is a separate finding, and its consequences are not reported.
        let is_canonical = |bytes: &Bytes| {
            common::Envelope::decode(bytes.clone()).is_ok_and(|read| read.encode_to_vec() == *bytes)
        };
        let Some(codes) = codes.filter(|_| envelopes.iter().all(is_canonical)) else {
            continue;
        };
        let mut alone = Chain::new();
        let chain = if envelopes.len() == 1 {
            &mut all
        } else {
            &mut alone
        };
        for id in texts("known") {
            chain.add(vec![only_an_id(&id)], &[Code::BAD_COMMON_HEADER]);
            judged += u64::from(envelopes.len() == 1);
        }
        judged += u64::from(envelopes.len() == 1);
        chain.add(envelopes, &codes);
        if codes.len() > 1 {
            assert_eq!(chain.check().0, [], "{name}");
        }
    }
    let (findings, verdicts) = all.check();
    assert_eq!(findings, []);
    assert!(judged > 400, "{judged}");
    assert_eq!(verdicts, judged, "every verdict is given again");
}

#[test]
fn a_range_that_was_left_before_its_first_row_is_judged_to_its_namespaces_end() {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = open(dir.path());
    let genesis = chain::genesis("main");
    let options = CreateOptions::default();
    let mut ledger = ledgers.create("main", genesis, options).unwrap();
    let range = |nonce: &str, start: &str, end: &str, seen: &[(&str, Height)]| {
        let mut act = Act::new(nonce);
        let kv_reads = seen.iter().map(|(key, version)| KvRead {
            key: (*key).to_owned(),
            version: Some((*version).into()),
        });
        act.set.range_queries_info.push(RangeQueryInfo {
            start_key: start.into(),
            end_key: end.into(),
            itr_exhausted: false,
            reads_info: Some(ReadsInfo::RawReads(QueryReads {
                kv_reads: kv_reads.collect(),
            })),
        });
        act
    };
    let written = Height::new(1, 0);
    let (b, d) = (("b", written), ("d", written));
    let blocks = [
        vec![Act::new("writes").put("b", "1").put("d", "1")],
        vec![
            range("nothing was read", "a", "", &[]),
            range("nothing is there", "e", "", &[]),
            range("left after the first", "a", "b", &[b]),
            // Fabric looks for the last key separately.
            range("the end lies before the start", "e", "d", &[d]),
            range("the same, and it was not seen", "e", "d", &[]),
        ],
    ];
    let committed = chain::commit(&mut ledger, "main", &blocks).unwrap();
    let codes = committed[1].transactions.iter().map(|(_, code)| *code);
    let expected = [
        Code::PHANTOM_READ_CONFLICT,
        Code::VALID,
        Code::VALID,
        Code::VALID,
        Code::PHANTOM_READ_CONFLICT,
    ];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
}
