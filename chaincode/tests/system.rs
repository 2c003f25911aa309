//! The system chaincodes on the ledger of a real network, beside what its peer answered, and what they say to those
//! who may not ask and to clients from before Fabric 2.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use quire_chaincode::lifecycle::{
    Installed, OnInstall, Packages, PackagesError, Place, SimulatedState,
};
use quire_chaincode::system::{CSCC, Cscc, Host, LSCC, Lscc, QSCC, Qscc};
use quire_chaincode::{Answer, Call, Chaincode, ChaincodeError, Transaction, Weight};
use quire_disk::OsDisk;
use quire_ledger::{Ledgers, Purpose, Reader, Simulator};
use quire_testkit::conformance;
use quire_wire::Message;
use quire_wire::collection::CollectionConfigPackage;
use quire_wire::common::{ChannelHeader, Header};
use quire_wire::config::Config;
use quire_wire::peer::{
    ChaincodeId, ChaincodeInput, ChaincodeInvocationSpec, ChaincodeProposalPayload, ChaincodeSpec,
    Proposal, ProposalResponse, SignedProposal,
};
use quire_wire::query::{ChaincodeData, ChaincodeQueryResponse};
use serde_json::Value;

const CHANNEL: &str = "mychannel";
/// How many blocks the peer had when it was asked.
const HEIGHT: usize = 226;

/// A node with that channel, on which everybody may do everything but what is forbidden.
#[derive(Debug)]
struct Node {
    reader: Reader,
    forbidden: Option<&'static str>,
}

impl Host for Node {
    fn channels(&self) -> Vec<String> {
        vec![CHANNEL.to_owned()]
    }

    fn reader(&self, channel: &str) -> Option<Reader> {
        (channel == CHANNEL).then(|| self.reader.clone())
    }

    fn check_access(&self, resource: &str, channel: &str, _: &Transaction) -> Result<(), String> {
        if self.forbidden == Some(resource) {
            return Err(format!("{resource} of {channel:?} is for others"));
        }
        Ok(())
    }
}

/// A node's packages: one.
#[derive(Debug)]
struct OnePackage;

impl Packages for OnePackage {
    fn install(&self, _: &[u8]) -> Result<Installed, PackagesError> {
        Err(PackagesError::Full(0))
    }

    fn installed(&self) -> Vec<Installed> {
        vec![Installed {
            package_id: "label:0aff".to_owned(),
            label: "label".to_owned(),
        }]
    }

    fn get(&self, _: &str) -> Result<Option<Bytes>, PackagesError> {
        Ok(None)
    }

    fn tell(&self, _: Weak<dyn OnInstall>) {}
}

struct Bench {
    node: Arc<Node>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::forbidding(None)
    }

    fn forbidding(forbidden: Option<&'static str>) -> Self {
        let path = "fabric-network/two-orgs-ledger/blockfiles/peer0.org1-blockfile_000000";
        let whole = conformance::read(path);
        let dir = tempfile::tempdir().unwrap();
        let blocks = dir.path().join("blocks");
        fs::create_dir(&blocks).unwrap();
        fs::write(blocks.join("blockfile_000000"), first(&whole, HEIGHT)).unwrap();
        let data = dir.path().join("data");
        let ledgers = Ledgers::open(Arc::new(OsDisk), &data, Purpose::Use).unwrap();
        let imported = ledgers
            .import(CHANNEL, &blocks, false, &mut |_| {})
            .unwrap();
        let reader = imported.0.reader();
        Self {
            node: Arc::new(Node { reader, forbidden }),
            _dir: dir,
        }
    }

    /// Asks a system chaincode; of the state it gets what it may have in a channel.
    fn ask(&self, chaincode: &str, transaction: &Transaction) -> Result<Answer, ChaincodeError> {
        let host = Arc::clone(&self.node) as Arc<dyn Host>;
        let mut simulator = Simulator::new(self.node.reader.snapshot());
        let answer = match chaincode {
            QSCC => Qscc::new(host).answer(transaction),
            CSCC => Cscc::new(host).answer(transaction),
            LSCC => {
                let mut state = SimulatedState(&mut simulator);
                let in_channel = !transaction.channel.is_empty();
                let state = in_channel.then_some(&mut state as _);
                Lscc::new(host, Arc::new(OnePackage)).answer(transaction, state)
            }
            other => panic!("{other}"),
        };
        assert!(!simulator.is_writing());
        answer
    }

    fn call(&self, chaincode: &str, args: &[&str]) -> Result<Bytes, (i32, String)> {
        let args = args
            .iter()
            .map(|argument| Bytes::copy_from_slice(argument.as_bytes()));
        let asked = transaction(CHANNEL, proposal(chaincode), args.collect());
        outcome(self.ask(chaincode, &asked)).map_err(|(status, text, _)| (status, text))
    }
}

/// The first blocks of a block file: each record is the length of a block, and the block.
fn first(file: &[u8], blocks: usize) -> &[u8] {
    let mut at = 0;
    for _ in 0..blocks {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = usize::from(file[at]);
            at += 1;
            length |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        at += length;
    }
    &file[..at]
}

/// A proposal that calls a chaincode.
fn proposal(chaincode: &str) -> SignedProposal {
    let spec = ChaincodeSpec {
        chaincode_id: Some(ChaincodeId {
            name: chaincode.to_owned(),
            ..ChaincodeId::default()
        }),
        ..ChaincodeSpec::default()
    };
    let payload = ChaincodeProposalPayload {
        input: ChaincodeInvocationSpec {
            chaincode_spec: Some(spec),
        }
        .encode_to_vec()
        .into(),
        ..ChaincodeProposalPayload::default()
    };
    let proposal = Proposal {
        payload: payload.encode_to_vec().into(),
        ..Proposal::default()
    };
    SignedProposal {
        proposal_bytes: proposal.encode_to_vec().into(),
        ..SignedProposal::default()
    }
}

fn transaction(channel: &str, proposal: SignedProposal, args: Vec<Bytes>) -> Transaction {
    Transaction {
        channel: channel.to_owned(),
        input: ChaincodeInput {
            args,
            ..ChaincodeInput::default()
        },
        proposal,
        ..Transaction::default()
    }
}

/// The payload, or status, text and payload of a no.
fn outcome(answer: Result<Answer, ChaincodeError>) -> Result<Bytes, (i32, String, Bytes)> {
    match answer {
        Ok(answer) => {
            assert_eq!((answer.status, &*answer.message), (200, ""));
            Ok(answer.payload)
        }
        Err(ChaincodeError::Refused {
            status,
            message,
            payload,
        }) => Err((status, message, payload)),
        Err(other) => panic!("{other:?}"),
    }
}

/// A recorded proposal: its chaincode, and the transaction as chaincodes see it.
fn recorded(exchange: &Value) -> (String, Transaction) {
    let bytes = hex::decode(exchange["requests_hex"][0].as_str().unwrap()).unwrap();
    let signed = SignedProposal::decode(&*bytes).unwrap();
    let proposal = Proposal::decode(signed.proposal_bytes.clone()).unwrap();
    let header = Header::decode(proposal.header).unwrap();
    let header = ChannelHeader::decode(header.channel_header).unwrap();
    let payload = ChaincodeProposalPayload::decode(proposal.payload).unwrap();
    let spec = ChaincodeInvocationSpec::decode(payload.input).unwrap();
    let spec = spec.chaincode_spec.unwrap();
    let args = spec.input.unwrap_or_default().args;
    let transaction = transaction(&header.channel_id, signed, args);
    (spec.chaincode_id.unwrap().name, transaction)
}

#[test]
fn every_recorded_question_is_answered_as_the_real_peer_answered_it() {
    // To join is refused in other words, and of whom the endorser does not know no chaincode hears.
    let otherwise = [
        "cscc JoinChain already joined",
        "cscc JoinChain garbage",
        "cscc GetChannelConfig by Org3 user",
    ];
    let bench = Bench::new();
    let mut compared = BTreeMap::new();
    for exchange in conformance::read_lines("fabric-network/grpc-transcripts/endorser.jsonl") {
        let label = exchange["label"].as_str().unwrap();
        let of_these = label.starts_with("qscc ") || label.starts_with("cscc ");
        if !of_these || otherwise.contains(&label) {
            continue;
        }
        let (chaincode, asked) = recorded(&exchange);
        let theirs = hex::decode(exchange["responses_hex"][0].as_str().unwrap()).unwrap();
        let theirs = ProposalResponse::decode(&*theirs)
            .unwrap()
            .response
            .unwrap();
        let theirs = match theirs.status {
            200 => Ok(theirs.payload),
            status => Err((status, theirs.message, theirs.payload)),
        };
        let ours = outcome(bench.ask(&chaincode, &asked));
        if label == "cscc GetChannelConfig" {
            // It has maps, whose entries come in any order.
            let config = |bytes: Bytes| Config::decode(bytes).unwrap();
            assert_eq!(ours.map(config), theirs.map(config), "{label}");
        } else {
            assert_eq!(ours, theirs, "{label}");
        }
        *compared.entry(chaincode).or_insert(0) += 1;
    }
    assert_eq!((compared[QSCC], compared[CSCC]), (16, 7));
}

#[test]
fn who_may_not_use_a_resource_is_told_so_in_the_words_of_fabric() {
    for (chaincode, resource, args, text) in [
        (
            QSCC,
            "qscc/GetChainInfo",
            &["GetChainInfo", CHANNEL][..],
            r#"access denied for [GetChainInfo][mychannel]: [qscc/GetChainInfo of "mychannel" is for others]"#,
        ),
        (
            CSCC,
            "cscc/GetChannels",
            &["GetChannels"],
            r#"access denied for [GetChannels]: cscc/GetChannels of "" is for others"#,
        ),
        (
            CSCC,
            "cscc/JoinChain",
            &["JoinChain", "block"],
            r#"access denied for [JoinChain]: cscc/JoinChain of "" is for others"#,
        ),
        (
            CSCC,
            "cscc/GetConfigBlock",
            &["GetConfigBlock", CHANNEL],
            r#"access denied for [GetConfigBlock][mychannel]: cscc/GetConfigBlock of "mychannel" is for others"#,
        ),
        (
            LSCC,
            "lscc/GetChaincodeData",
            &["getccdata", CHANNEL, "labcc"],
            r#"access denied for [getccdata][mychannel]: lscc/GetChaincodeData of "mychannel" is for others"#,
        ),
        (
            LSCC,
            "lscc/GetInstalledChaincodes",
            &["GetInstalledChaincodes"],
            r#"access denied for [GetInstalledChaincodes]: lscc/GetInstalledChaincodes of "mychannel" is for others"#,
        ),
    ] {
        let bench = Bench::forbidding(Some(resource));
        let refused = (500, text.to_owned());
        assert_eq!(bench.call(chaincode, args), Err(refused), "{args:?}");
    }
}

#[test]
fn blocks_are_not_told_to_other_chaincodes() {
    let bench = Bench::new();
    let args = vec!["GetChainInfo".into(), CHANNEL.into()];
    let asked = transaction(CHANNEL, proposal("orders"), args);
    let text = |chaincode| outcome(bench.ask(chaincode, &asked)).unwrap_err().1;
    assert_eq!(
        text(QSCC),
        "Rejecting invoke of QSCC from another chaincode because of potential for deadlocks, \
         original invocation for 'orders'"
    );
    assert_eq!(
        text(CSCC),
        "Rejecting invoke of CSCC from another chaincode, original invocation for 'orders'"
    );
}

#[test]
fn a_number_of_a_block_is_read_as_go_reads_it() {
    let bench = Bench::new();
    for (number, why) in [
        ("", "invalid syntax"),
        ("+1", "invalid syntax"),
        ("-1", "invalid syntax"),
        ("1_0", "invalid syntax"),
        ("18446744073709551616", "value out of range"),
    ] {
        let text = format!(
            "Failed to parse block number with error strconv.ParseUint: parsing {number:?}: {why}"
        );
        let answer = bench.call(QSCC, &["GetBlockByNumber", CHANNEL, number]);
        assert_eq!(answer, Err((500, text)));
    }
    let first = bench.call(QSCC, &["GetBlockByNumber", CHANNEL, "0"]);
    assert!(first.is_ok());
    assert_eq!(
        bench.call(QSCC, &["GetBlockByNumber", CHANNEL, "000"]),
        first
    );
}

#[test]
fn clients_from_before_fabric_2_are_told_of_definitions() {
    let bench = Bench::new();
    let id = bench.call(LSCC, &["getid", CHANNEL, "labcc"]);
    assert_eq!(id, Ok("labcc".into()));
    let data = bench.call(LSCC, &["getccdata", CHANNEL, "helper"]).unwrap();
    let data = ChaincodeData::decode(data).unwrap();
    assert_eq!(
        (&*data.version, &*data.escc, &*data.vscc),
        ("1.0", "escc", "vscc")
    );
    assert!(data.policy.is_some(), "{data:?}");
    let all = bench.call(LSCC, &["getchaincodes"]).unwrap();
    let all = ChaincodeQueryResponse::decode(all).unwrap().chaincodes;
    let all: Vec<_> = all.iter().map(|one| (&*one.name, &*one.version)).collect();
    assert!(
        all.contains(&("labcc", "2.0")) && all.contains(&("helper", "1.0")),
        "{all:?}"
    );
    let collections = bench
        .call(LSCC, &["GetCollectionsConfig", "labcc"])
        .unwrap();
    let collections = CollectionConfigPackage::decode(collections).unwrap();
    assert_eq!(collections.config.len(), 5);
    for args in [
        &["getid", CHANNEL, "nosuch"][..],
        &["getdepspec", CHANNEL, "nosuch"],
    ] {
        let text = "could not find chaincode with name 'nosuch'".to_owned();
        assert_eq!(bench.call(LSCC, args), Err((500, text)));
    }
    let text = "collections config not defined for chaincode helper".to_owned();
    let answer = bench.call(LSCC, &["GetCollectionsConfig", "helper"]);
    assert_eq!(answer, Err((500, text)));
}

#[test]
fn a_record_from_before_fabric_2_is_told_as_it_was_written() {
    let bench = Bench::new();
    let cases = conformance::read_lines("rules/privdata/lscc.jsonl");
    let hex = |case: &Value| Bytes::from(hex::decode(case["bytes_hex"].as_str().unwrap()).unwrap());
    let of_kind = |kind| cases.iter().filter(move |case| case["kind"] == kind);
    let record = hex(of_kind("chaincode_data").next().unwrap());
    let collections = hex(of_kind("collection_config_package").next_back().unwrap());
    let key = of_kind("collection_key").next().unwrap()["key"]
        .as_str()
        .unwrap();
    let lscc = Lscc::new(Arc::clone(&bench.node) as _, Arc::new(OnePackage));
    let ask = |args: &[&str]| {
        let mut state = Written(BTreeMap::from([
            ("mycc".to_owned(), record.clone()),
            (key.to_owned(), collections.clone()),
        ]));
        let args = args
            .iter()
            .map(|argument| Bytes::copy_from_slice(argument.as_bytes()));
        let asked = transaction(CHANNEL, proposal(LSCC), args.collect());
        outcome(lscc.answer(&asked, Some(&mut state))).unwrap()
    };
    assert_eq!(ask(&["GetChaincodeData", CHANNEL, "mycc"]), record);
    assert_eq!(ask(&["ChaincodeExists", CHANNEL, "mycc"]), "mycc");
    assert_eq!(ask(&["getcollectionsconfig", "mycc"]), collections);
    let all = ChaincodeQueryResponse::decode(ask(&["GetChaincodes"])).unwrap();
    let all: Vec<_> = all
        .chaincodes
        .iter()
        .map(|one| (&*one.name, &*one.version))
        .collect();
    assert_eq!(all, [("mycc", "1.0")]);
}

/// State with records from before Fabric 2, and nothing else.
struct Written(BTreeMap<String, Bytes>);

impl quire_chaincode::lifecycle::State for Written {
    fn get(
        &mut self,
        place: Place<'_>,
        key: &str,
    ) -> Result<Option<Bytes>, quire_ledger::ReadError> {
        let found = self.0.get(key).cloned();
        Ok(found.filter(|_| place == Place::Legacy))
    }

    fn range(
        &mut self,
        place: Place<'_>,
        start: &str,
        end: &str,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, quire_ledger::ReadError> {
        let rows = self.0.range(start.to_owned()..end.to_owned());
        let rows = rows.filter(|_| place == Place::Legacy).take(limit);
        Ok(rows
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn hash(&mut self, _: &str, _: &str) -> Result<Option<Bytes>, quire_ledger::ReadError> {
        Ok(None)
    }

    fn put(&mut self, _: Place<'_>, _: &str, _: Bytes) {}

    fn delete(&mut self, _: Place<'_>, _: &str) {}
}

#[test]
fn lscc_changes_nothing() {
    let bench = Bench::new();
    for (args, text) in [
        (
            &["deploy", CHANNEL, "spec"][..],
            "Channel 'mychannel' has been migrated to the new lifecycle, LSCC is now read-only",
        ),
        (
            &["install", "spec"],
            "chaincodes are installed with _lifecycle, LSCC is read-only",
        ),
        (&["start", "spec"], "invalid function to lscc: start"),
        (
            &["getid", CHANNEL],
            "invalid number of arguments to lscc: 2",
        ),
        (&[], "invalid number of arguments to lscc: 0"),
    ] {
        assert_eq!(
            bench.call(LSCC, args),
            Err((500, text.to_owned())),
            "{args:?}"
        );
    }
}

#[test]
fn what_is_installed_is_told_without_a_channel() {
    let bench = Bench::new();
    let ask = |function: &'static str| {
        let asked = transaction("", proposal(LSCC), vec![function.into()]);
        outcome(bench.ask(LSCC, &asked))
    };
    let installed = ChaincodeQueryResponse::decode(ask("getinstalledchaincodes").unwrap()).unwrap();
    let [one] = &installed.chaincodes[..] else {
        panic!("{installed:?}")
    };
    assert_eq!((&*one.name, &one.id[..]), ("label", &[0x0a, 0xff][..]));
    let refused = ask("getchaincodes").unwrap_err();
    assert_eq!(refused.1, "getchaincodes is asked of a channel");
}

#[test]
fn calls_of_system_chaincodes_do_not_wait_behind_scans() {
    let bench = Bench::new();
    let host = || Arc::clone(&bench.node) as Arc<dyn Host>;
    let chaincodes: [Arc<dyn Chaincode>; 3] = [
        Arc::new(Qscc::new(host())),
        Arc::new(Cscc::new(host())),
        Arc::new(Lscc::new(host(), Arc::new(OnePackage))),
    ];
    let call = Call {
        chaincode: QSCC.to_owned(),
        function: "GetChainInfo".to_owned(),
        args: Vec::new(),
    };
    for chaincode in chaincodes {
        assert_eq!(chaincode.weight(&call), Weight::Keys, "{chaincode:?}");
    }
}
