use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use quire_disk::OsDisk;
use quire_ledger::{Ledgers, Purpose};
use quire_testkit::conformance;
use quire_wire::hash::sha256;
use quire_wire::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, CheckCommitReadinessResult,
    CommitChaincodeDefinitionArgs, InstallChaincodeArgs, InstallChaincodeResult,
    QueryApprovedChaincodeDefinitionsResult, QueryChaincodeDefinitionArgs,
    QueryChaincodeDefinitionResult, QueryChaincodeDefinitionsResult,
    QueryInstalledChaincodesResult, ReferencedChaincode,
};
use quire_wire::msp::SerializedIdentity;
use quire_wire::rwset::{HashedRwSet, KvRwSet, TxReadWriteSet};
use quire_wire::transaction::Opened;
use quire_wire::{Code, Message};

use super::super::config::ChannelConfig;
use super::super::connection::Connection;
use super::super::memory::{Memory, TwoOrgs};
use super::super::package::Package;
use super::super::packages::{MAX_PACKAGES_BYTES, PackageFiles};
use super::super::state::implicit_collection;
use super::*;

const ORG1: &str = "Org1MSP";

/// A channel's configuration, where there is one. One function is for others.
#[derive(Debug, Default)]
struct Node(Option<Arc<TwoOrgs>>);

const FORBIDDEN: &str = "_lifecycle/Forbidden";

impl Host for Node {
    fn config(&self, _channel: &str) -> Option<Arc<dyn ChannelConfig>> {
        let config = Arc::clone(self.0.as_ref()?);
        Some(config)
    }

    fn check_access(&self, resource: &str, transaction: &Transaction) -> Result<(), String> {
        assert!(["main", ""].contains(&&*transaction.channel));
        if resource == FORBIDDEN {
            return Err(format!("{resource} is for others"));
        }
        Ok(())
    }

    fn references(&self, package_id: &str) -> BTreeMap<String, Vec<ReferencedChaincode>> {
        let name = package_id.split(':').next().unwrap_or_default().to_owned();
        let version = "1".to_owned();
        BTreeMap::from([(
            "main".to_owned(),
            vec![ReferencedChaincode { name, version }],
        )])
    }
}

struct Bench {
    lifecycle: Lifecycle,
    state: Memory,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn of(organization: &str, config: Option<TwoOrgs>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = PackageFiles::open(Arc::new(OsDisk), dir.path(), MAX_PACKAGES_BYTES);
        let host = Arc::new(Node(config.map(Arc::new)));
        let packages = Arc::new(files.unwrap().0);
        Self {
            lifecycle: Lifecycle::new(organization.to_owned(), host, packages),
            state: Memory::default(),
            _dir: dir,
        }
    }

    fn new() -> Self {
        Self::of(ORG1, Some(TwoOrgs::default()))
    }

    fn call(&mut self, function: &str, argument: &impl Message) -> Result<Bytes, (i32, String)> {
        let args = vec![argument.encode_to_vec().into()];
        self.invoke(function, args)
    }

    fn invoke(&mut self, function: &str, args: Vec<Bytes>) -> Result<Bytes, (i32, String)> {
        let call = Call {
            chaincode: NAMESPACE.to_owned(),
            function: function.to_owned(),
            args,
        };
        let answer = self
            .lifecycle
            .answer(&call, &of("main"), Some(&mut self.state));
        answer.map(|answer| answer.payload).map_err(no)
    }
}

/// A transaction of a channel.
fn of(channel: &str) -> Transaction {
    Transaction {
        channel: channel.to_owned(),
        ..Transaction::default()
    }
}

/// The status and text of a no.
fn no(error: ChaincodeError) -> (i32, String) {
    match error {
        ChaincodeError::Refused {
            status, message, ..
        } => (status, message),
        other => panic!("{other:?}"),
    }
}

fn definition(sequence: i64, version: &str) -> CommitChaincodeDefinitionArgs {
    CommitChaincodeDefinitionArgs {
        sequence,
        name: "orders".to_owned(),
        version: version.to_owned(),
        ..CommitChaincodeDefinitionArgs::default()
    }
}

fn approval(sequence: i64, version: &str) -> ApproveChaincodeDefinitionForMyOrgArgs {
    ApproveChaincodeDefinitionForMyOrgArgs {
        sequence,
        name: "orders".to_owned(),
        version: version.to_owned(),
        ..ApproveChaincodeDefinitionForMyOrgArgs::default()
    }
}

#[test]
fn a_chaincode_is_approved_committed_and_asked_for() {
    let mut bench = Bench::new();
    let query = QueryChaincodeDefinitionArgs {
        name: "orders".to_owned(),
    };
    let missing = bench.call("QueryChaincodeDefinition", &query).unwrap_err();
    assert_eq!(missing, (404, "namespace orders is not defined".to_owned()));

    let early = bench.call("CommitChaincodeDefinition", &definition(1, "1"));
    let (_, text) = early.unwrap_err();
    let backing = "failed to invoke backing implementation of 'CommitChaincodeDefinition': ";
    let rule = "chaincode definition not agreed to by this org (Org1MSP)";
    assert_eq!(text, format!("{backing}{rule}"));
    bench.state = Memory::default();

    let approved = bench.call("ApproveChaincodeDefinitionForMyOrg", &approval(1, "1"));
    assert_eq!(approved.unwrap(), "");
    let ready = bench
        .call("CheckCommitReadiness", &definition(1, "1"))
        .unwrap();
    let ready = CheckCommitReadinessResult::decode(ready).unwrap();
    let expected = [("Org1MSP".to_owned(), true), ("Org2MSP".to_owned(), false)];
    assert_eq!(ready.approvals, BTreeMap::from(expected.clone()));
    assert_eq!(ready.mismatches["Org2MSP"].items, ["ChaincodeParameters"]);

    bench
        .call("CommitChaincodeDefinition", &definition(1, "1"))
        .unwrap();
    let found = bench.call("QueryChaincodeDefinition", &query).unwrap();
    let found = QueryChaincodeDefinitionResult::decode(found).unwrap();
    assert_eq!((found.sequence, &*found.version), (1, "1"));
    assert_eq!(&*found.validation_plugin, "vscc");
    assert_eq!(found.approvals, BTreeMap::from(expected));

    let all = bench.invoke("QueryChaincodeDefinitions", vec![Bytes::new()]);
    let all = QueryChaincodeDefinitionsResult::decode(all.unwrap()).unwrap();
    assert_eq!(all.chaincode_definitions[0].name, "orders");
    let function = "QueryApprovedChaincodeDefinitions";
    let all = bench.invoke(function, vec![Bytes::new()]);
    let all = QueryApprovedChaincodeDefinitionsResult::decode(all.unwrap()).unwrap();
    assert_eq!(all.approved_chaincode_definitions[0].sequence, 1);
}

#[test]
fn a_call_that_cannot_be_answered_is_refused_in_fabrics_words() {
    let mut bench = Bench::new();
    let args = |count| vec![Bytes::new(); count];
    let refused = bench
        .invoke("QueryChaincodeDefinitions", args(0))
        .unwrap_err();
    let rule = "lifecycle scc operations require exactly two arguments but received 1";
    assert_eq!(refused, (500, rule.to_owned()));
    let refused = bench.invoke("Other", args(1)).unwrap_err();
    let rule = "failed to invoke backing implementation of 'Other': receiver \
                *lifecycle.Invocation.Other does not exist";
    assert_eq!(refused.1, rule);
    let refused = bench.invoke("CommitChaincodeDefinition", vec!["\u{7}".into()]);
    assert!(
        refused
            .unwrap_err()
            .1
            .contains("could not decode input arg for")
    );
    let refused = bench.invoke("Forbidden", args(1));
    let rule = "Failed to authorize invocation due to failed ACL check: \
                _lifecycle/Forbidden is for others";
    assert_eq!(refused.unwrap_err().1, rule);

    for (args, rule) in [
        (("a.b", "1"), "invalid chaincode name 'a.b'. Names can only"),
        (
            ("lscc", "1"),
            "chaincode name 'lscc' is the name of a system chaincode",
        ),
        (
            ("a", "1 "),
            "invalid chaincode version '1 '. Versions can only",
        ),
    ] {
        let mut approval = approval(1, args.1);
        args.0.clone_into(&mut approval.name);
        let (_, text) = bench
            .call("ApproveChaincodeDefinitionForMyOrg", &approval)
            .unwrap_err();
        assert!(
            text.contains("error validating chaincode definition: "),
            "{text}"
        );
        assert!(text.contains(rule), "{text}");
    }
    let nobody = bench.state.take_written();
    assert!(nobody.is_empty(), "{nobody:?}");
}

#[test]
fn a_channel_must_be_there_and_able_to_have_definitions() {
    let mut nowhere = Bench::of(ORG1, None);
    let refused = nowhere
        .call("CheckCommitReadiness", &definition(1, "1"))
        .unwrap_err();
    assert_eq!(refused.1, "could not get channelconfig for channel 'main'");
    let mut old = Bench::of(
        ORG1,
        Some(TwoOrgs {
            has_lifecycle: false,
            ..TwoOrgs::default()
        }),
    );
    let refused = old
        .call("CheckCommitReadiness", &definition(1, "1"))
        .unwrap_err();
    assert!(
        refused
            .1
            .starts_with("cannot use new lifecycle for channel 'main'")
    );
    let mut stranger = Bench::of("Org3MSP", Some(TwoOrgs::default()));
    let refused = stranger
        .call("CommitChaincodeDefinition", &definition(1, "1"))
        .unwrap_err();
    assert!(
        refused.1.contains("a channel it is not a member of"),
        "{}",
        refused.1
    );
}

#[test]
fn packages_are_installed_and_listed_without_a_channel() {
    let bench = Bench::new();
    let call = |function: &str, argument: Vec<u8>| {
        let call = Call {
            chaincode: NAMESPACE.to_owned(),
            function: function.to_owned(),
            args: vec![argument.into()],
        };
        let answer = bench.lifecycle.answer(&call, &of(""), None);
        answer.map(|answer| answer.payload).map_err(no)
    };
    let connection = Connection::read(br#"{"address": "orders:9999"}"#).unwrap();
    let package = Package::of_service("orders", &connection)
        .unwrap()
        .write()
        .unwrap();
    let install = InstallChaincodeArgs {
        chaincode_install_package: package.into(),
    };
    let installed = call("InstallChaincode", install.encode_to_vec()).unwrap();
    let installed = InstallChaincodeResult::decode(installed).unwrap();
    assert_eq!(installed.label, "orders");
    let again = call("InstallChaincode", install.encode_to_vec())
        .unwrap_err()
        .1;
    assert!(again.contains("chaincode already successfully installed (package ID 'orders:"));

    let all = call("QueryInstalledChaincodes", Vec::new()).unwrap();
    let all = QueryInstalledChaincodesResult::decode(all).unwrap();
    let [one] = &all.installed_chaincodes[..] else {
        panic!("{all:?}");
    };
    assert_eq!(one.references["main"].chaincodes[0].name, "orders");
    // The messages of an id are one field, whichever they are.
    let id = |id: &str| InstallChaincodeResult {
        package_id: id.to_owned(),
        label: String::new(),
    };
    let told = call(
        "QueryInstalledChaincode",
        id(&one.package_id).encode_to_vec(),
    )
    .unwrap();
    assert_eq!(told, one.encode_to_vec());
    let given = call(
        "GetInstalledChaincodePackage",
        id(&one.package_id).encode_to_vec(),
    );
    assert_eq!(given.unwrap(), install.encode_to_vec());
    let missing = call("QueryInstalledChaincode", id("x").encode_to_vec())
        .unwrap_err()
        .1;
    assert!(missing.ends_with("could not find chaincode with package id 'x'"));
    let missing = call("GetInstalledChaincodePackage", id("x").encode_to_vec())
        .unwrap_err()
        .1;
    assert!(missing.ends_with("chaincode install package 'x' not found"));
    let outside = call("CheckCommitReadiness", Vec::new()).unwrap_err().1;
    assert!(outside.ends_with("could not get channelconfig for channel ''"));
}

/// The keys and values of a recorded namespace and its collections, by the organisation; private ones hashed.
#[derive(Debug, Default, PartialEq)]
struct Recorded {
    read: Vec<(Option<String>, Bytes)>,
    written: Vec<(Option<String>, Bytes, Bytes)>,
}

impl Recorded {
    /// What a peer of Fabric recorded.
    fn theirs(set: &TxReadWriteSet) -> Self {
        let mut recorded = Self::default();
        for set in &set.ns_rwset {
            let keys = KvRwSet::decode(set.rwset.clone()).unwrap();
            let of = (set.namespace == "lscc").then(|| "lscc".to_owned());
            let read = keys.reads.iter();
            recorded
                .read
                .extend(read.map(|read| (of.clone(), read.key.clone().into())));
            let written = keys.writes.into_iter();
            recorded
                .written
                .extend(written.map(|write| (of.clone(), write.key.into(), write.value)));
            for set in &set.collection_hashed_rwset {
                let keys = HashedRwSet::decode(set.hashed_rwset.clone()).unwrap();
                let of = Some(set.collection_name.clone());
                let read = keys.hashed_reads.into_iter();
                recorded
                    .read
                    .extend(read.map(|read| (of.clone(), read.key_hash)));
                let written = keys.hashed_writes.into_iter();
                let written = written.map(|write| (of.clone(), write.key_hash, write.value_hash));
                recorded.written.extend(written);
            }
        }
        recorded.sorted()
    }

    fn ours(state: &mut Memory) -> Self {
        let hashed = |bytes: &[u8]| Bytes::copy_from_slice(&sha256([bytes]));
        let name = |(of, key): &(Option<String>, String)| match of.as_deref() {
            None | Some("lscc") => (of.clone(), Bytes::from(key.clone())),
            Some(organization) => (
                Some(implicit_collection(organization)),
                hashed(key.as_bytes()),
            ),
        };
        let read = state.read.iter().map(name).collect();
        let written = state.take_written();
        let written = written.iter().map(|(key, value)| {
            let value = value.clone().unwrap_or_default();
            let is_public = key.0.is_none();
            let (of, key) = name(key);
            (of, key, if is_public { value } else { hashed(&value) })
        });
        let written = written.collect();
        Self { read, written }.sorted()
    }

    fn sorted(mut self) -> Self {
        self.read.sort();
        self.written.sort();
        self
    }
}

#[test]
fn the_calls_of_a_real_network_read_and_write_what_its_peers_endorsed() {
    let path = "fabric-network/two-orgs-ledger/blockfiles/peer0.org1-blockfile_000000";
    let (blocks, data) = (conformance::block_files(path), tempfile::tempdir().unwrap());
    let ledgers = Ledgers::open(Arc::new(OsDisk), data.path(), Purpose::Use).unwrap();
    let imported = ledgers
        .import("two", blocks.path(), false, &mut |_| {})
        .unwrap();
    let reader = imported.0.reader();
    let mut state = Memory::default();
    let mut compared = BTreeMap::new();
    for number in 0..reader.height() {
        let block = reader.block(number).unwrap().unwrap();
        for (envelope, code) in block.envelopes.iter().zip(&block.metadata[2]) {
            let opened = Opened::read(envelope).unwrap();
            let Some(call) = opened.endorsed_call().ok().filter(|call| {
                let spec = call.spec().and_then(|spec| spec.chaincode_id);
                spec.is_some_and(|id| id.name == NAMESPACE)
            }) else {
                continue;
            };
            let args = call.spec().unwrap().input.unwrap().args;
            let function = String::from_utf8(args[0].to_vec()).unwrap();
            let endorser = call.endorsements[0].endorser.clone();
            let organization = SerializedIdentity::decode(endorser).unwrap().mspid;
            let mut bench = Bench::of(&organization, Some(TwoOrgs::default()));
            bench.state.values = state.values.clone();
            let answer = bench.invoke(&function, args[1..].to_vec());
            let theirs = TxReadWriteSet::decode(call.action.results.clone()).unwrap();
            assert_eq!(
                answer,
                Ok(call.action.response.unwrap().payload),
                "{number} {function}"
            );
            let theirs = Recorded::theirs(&theirs);
            assert_eq!(
                Recorded::ours(&mut bench.state),
                theirs,
                "{number} {function}"
            );
            *compared.entry(function).or_insert(0) += 1;
            if Code(*code) == Code::VALID {
                state.values = bench.state.values;
            }
        }
    }
    assert!(
        compared["ApproveChaincodeDefinitionForMyOrg"] > 4,
        "{compared:?}"
    );
    assert!(compared["CommitChaincodeDefinition"] > 2, "{compared:?}");
}

#[test]
fn the_definitions_of_a_real_ledger_are_read_as_a_chaincode_reads() {
    let path = "fabric-network/two-orgs-ledger/blockfiles/peer0.org1-blockfile_000000";
    let (blocks, data) = (conformance::block_files(path), tempfile::tempdir().unwrap());
    let ledgers = Ledgers::open(Arc::new(OsDisk), data.path(), Purpose::Use).unwrap();
    let imported = ledgers
        .import("two", blocks.path(), false, &mut |_| {})
        .unwrap();
    let lifecycle = Bench::new().lifecycle;
    let call = |function: &str, argument: Vec<u8>| {
        let call = Call {
            chaincode: NAMESPACE.to_owned(),
            function: function.to_owned(),
            args: vec![argument.into()],
        };
        let simulator = Simulator::new(imported.0.reader().snapshot());
        let simulated = lifecycle
            .invoke(&call, &of("main"), simulator)
            .done()
            .unwrap();
        (
            simulated.answer.map(|answer| answer.payload).map_err(no),
            simulated.simulator,
        )
    };
    let (all, _) = call("QueryChaincodeDefinitions", Vec::new());
    let all = QueryChaincodeDefinitionsResult::decode(all.unwrap()).unwrap();
    let names = all.chaincode_definitions.iter().map(|one| &*one.name);
    assert!(names.collect::<Vec<_>>().contains(&"labcc"), "{all:?}");
    let query = QueryChaincodeDefinitionArgs {
        name: "labcc".to_owned(),
    };
    let (found, _) = call("QueryChaincodeDefinition", query.encode_to_vec());
    let found = QueryChaincodeDefinitionResult::decode(found.unwrap()).unwrap();
    // By the hashes of what both organisations approved.
    assert!(
        found.approvals.values().all(|approved| *approved),
        "{found:?}"
    );
    assert_eq!(found.approvals.len(), 2);

    let (approved, simulator) = call(
        "ApproveChaincodeDefinitionForMyOrg",
        approval(1, "1").encode_to_vec(),
    );
    assert_eq!(approved, Ok(Bytes::new()));
    let results = simulator.into_results();
    let private = &results.private.ns_pvt_rwset[0].collection_pvt_rwset[0];
    assert_eq!(private.collection_name, "_implicit_org_Org1MSP");
}

#[test]
fn calls_do_not_wait_behind_scans() {
    let call = Call {
        chaincode: NAMESPACE.to_owned(),
        function: "CommitChaincodeDefinition".to_owned(),
        args: Vec::new(),
    };
    assert_eq!(Bench::new().lifecycle.weight(&call), Weight::Keys);
}

proptest! {
    #[test]
    fn any_argument_is_answered_or_refused(function in 0_usize..11, argument in any::<Vec<u8>>()) {
        let functions = [
            "InstallChaincode", "QueryInstalledChaincode", "QueryInstalledChaincodes",
            "GetInstalledChaincodePackage", "ApproveChaincodeDefinitionForMyOrg",
            "QueryApprovedChaincodeDefinition", "QueryApprovedChaincodeDefinitions",
            "CheckCommitReadiness", "CommitChaincodeDefinition", "QueryChaincodeDefinition",
            "QueryChaincodeDefinitions",
        ];
        let mut bench = Bench::new();
        drop(bench.invoke(functions[function], vec![argument.into()]));
    }
}
