//! `peer lifecycle chaincode`.

use std::fs;

use bytes::Bytes;
use quire_chaincode::lifecycle::{Package, package_id};
use quire_testkit::conformance::read_lines;
use quire_wire::Message as _;
use quire_wire::collection::{ApplicationPolicy, PolicyKind};
use quire_wire::common::Envelope;
use quire_wire::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, CommitChaincodeDefinitionArgs,
    GetInstalledChaincodePackageResult, InstallChaincodeArgs, InstallChaincodeResult,
    QueryApprovedChaincodeDefinitionArgs, SourceKind,
};
use quire_wire::peer::SignedProposal;
use serde_json::Value;

use super::{
    BROADCAST, Listeners, OUTCOME, PROCESS, User, answered, endorser, orderer, proposed, response,
};
use crate::grpc::{Answer, Served, serve};
use crate::kit::{Run, peer};

/// What a peer of Fabric answered to a call.
fn recorded(label: &str) -> Vec<u8> {
    let lines = read_lines("fabric-network/grpc-transcripts/endorser.jsonl");
    let mut lines = lines.iter();
    let line = lines.find(|line| line["label"] == label).unwrap();
    let answer = line["responses_hex"][0].as_str().unwrap();
    let digits: Vec<_> = answer.as_bytes().chunks(2).collect();
    let bytes = digits
        .iter()
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16));
    bytes.collect::<Result<_, _>>().unwrap()
}

fn answering(label: &str) -> Served {
    let answer = recorded(label);
    serve(move |_, _| Answer::Message(answer.clone()))
}

fn lifecycle(user: &User, served: &Served, arguments: &[&str]) -> Run {
    let verb = ["lifecycle", "chaincode"];
    user.run(&served.address, &[&verb[..], arguments].concat())
}

/// The JSON that is printed, which is indented with a tabulator a level.
fn json(run: &Run) -> Value {
    let value: Value = serde_json::from_str(run.text()).unwrap();
    assert!(run.text().starts_with("{\n\t\""), "{}", run.text());
    value
}

const LABCC_1: &str = "labcc_1:5241f22a9b9d99f18f62f59bffc4ea5dd858bd4345b34e842bf82076cfaf74c5";

#[test]
fn installed_packages_are_listed_as_fabrics_tool_lists_them() {
    let user = User::new();
    let served = answering("_lifecycle QueryInstalledChaincodes");
    let run = lifecycle(&user, &served, &["queryinstalled"]).done();
    let (title, packages) = run.text().split_once('\n').unwrap();
    assert_eq!(title, "Installed chaincodes on peer:");
    let line = format!("Package ID: {LABCC_1}, Label: labcc_1");
    assert!(packages.lines().any(|found| found == line), "{packages}");
    let run = lifecycle(&user, &served, &["queryinstalled", "--output", "json"]).done();
    let value = json(&run);
    let found = value["installed_chaincodes"].as_array().unwrap();
    let ids: Vec<_> = found
        .iter()
        .map(|one| one["package_id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&LABCC_1), "{ids:?}");
    let runs = &found[0]["references"]["mychannel"]["chaincodes"][0];
    assert_eq!(runs["name"], "labcc");

    let served = answering("_lifecycle QueryInstalledChaincodes by user");
    let run = lifecycle(&user, &served, &["queryinstalled"]);
    let expected = "Error: query failed with status: 500 - Failed to authorize invocation due to failed ACL check: ";
    assert_eq!(run.status, 1);
    assert!(run.errors.starts_with(expected), "{}", run.errors);
}

#[test]
fn approvals_are_told_as_text_and_as_json() {
    let user = User::new();
    let served = answering("_lifecycle QueryApprovedChaincodeDefinition labcc 1");
    let ask = [
        "queryapproved",
        "-C",
        "mychannel",
        "-n",
        "labcc",
        "--sequence",
        "1",
    ];
    let run = lifecycle(&user, &served, &ask).done();
    let expected = format!(
        "Approved chaincode definition for chaincode 'labcc' on channel 'mychannel':\n\
         sequence: 1, version: 1.0, init-required: false, package-id: {LABCC_1}, endorsement plugin: escc, \
         validation plugin: vscc\n"
    );
    assert_eq!(run.text(), expected);
    let call = proposed(&served.asked::<SignedProposal>(PROCESS)[0]);
    assert_eq!(
        (&*call.chaincode, &call.args[0][..]),
        ("_lifecycle", &b"QueryApprovedChaincodeDefinition"[..])
    );
    let args = QueryApprovedChaincodeDefinitionArgs::decode(call.args[1].clone()).unwrap();
    assert_eq!((&*args.name, args.sequence), ("labcc", 1));

    let run = lifecycle(&user, &served, &[&ask[..], &["-O", "JSON"]].concat()).done();
    let value = json(&run);
    assert_eq!(
        value["source"]["Type"]["LocalPackage"]["package_id"],
        LABCC_1
    );
    let collection = &value["collections"]["config"][0]["Payload"]["StaticCollectionConfig"];
    assert_eq!(collection["name"], "collBoth");
    let rule = &collection["member_orgs_policy"]["Payload"]["SignaturePolicy"]["rule"];
    assert_eq!(rule["Type"]["NOutOf"]["rules"][0]["Type"]["SignedBy"], 0);
    let names: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "sequence",
        "version",
        "endorsement_plugin",
        "validation_plugin",
        "validation_parameter",
        "collections",
        "source",
    ];
    assert_eq!(names, expected);

    let run = lifecycle(
        &user,
        &served,
        &["queryapproved", "-C", "c", "--sequence", "1"],
    );
    assert!(
        run.errors.contains("invalid without parameter 'name'"),
        "{}",
        run.errors
    );
}

#[test]
fn definitions_are_told_as_text_and_as_json() {
    let user = User::new();
    let served = answering("_lifecycle QueryChaincodeDefinition labcc");
    let ask = [
        "querycommitted",
        "--channelID",
        "mychannel",
        "--name",
        "labcc",
    ];
    let run = lifecycle(&user, &served, &ask).done();
    let expected = "Committed chaincode definition for chaincode 'labcc' on channel 'mychannel':\n\
                    Version: 2.0, Sequence: 3, Endorsement Plugin: escc, Validation Plugin: vscc, \
                    Approvals: [Org1MSP: true, Org2MSP: true]\n";
    assert_eq!(run.text(), expected);
    let run = lifecycle(&user, &served, &[&ask[..], &["--output", "json"]].concat()).done();
    assert_eq!(json(&run)["approvals"]["Org2MSP"], true);

    let served = answering("_lifecycle QueryChaincodeDefinitions");
    let ask = ["querycommitted", "-C", "mychannel"];
    let run = lifecycle(&user, &served, &ask).done();
    let expected = "Committed chaincode definitions on channel 'mychannel':\n\
                    Name: helper, Version: 1.0, Sequence: 1, Endorsement Plugin: escc, Validation Plugin: vscc\n";
    assert!(run.text().starts_with(expected), "{}", run.text());
    let run = lifecycle(&user, &served, &[&ask[..], &["--output", "json"]].concat()).done();
    assert_eq!(json(&run)["chaincode_definitions"][0]["name"], "helper");

    let served = answering("_lifecycle QueryChaincodeDefinition unknown");
    let run = lifecycle(
        &user,
        &served,
        &["querycommitted", "-C", "mychannel", "-n", "nosuch"],
    );
    let expected = "Error: query failed with status: 404 - namespace nosuch is not defined\n";
    assert_eq!((run.status, &*run.errors), (1, expected));
}

#[test]
fn readiness_names_what_differs_only_where_it_is_asked_for() {
    let user = User::new();
    let served = answering("_lifecycle CheckCommitReadiness next sequence");
    let ask = [
        "checkcommitreadiness",
        "-C",
        "mychannel",
        "-n",
        "labcc",
        "-v",
        "2.0",
        "--sequence",
        "4",
    ];
    let run = lifecycle(&user, &served, &ask).done();
    let title = "Chaincode definition for chaincode 'labcc', version '2.0', sequence '4' on channel 'mychannel' \
                 approval status by org:\n";
    assert_eq!(
        run.text(),
        format!("{title}Org1MSP: false\nOrg2MSP: false\n")
    );
    let run = lifecycle(&user, &served, &[&ask[..], &["--inspect"]].concat()).done();
    let line = "Org1MSP: false (mismatch: [ChaincodeParameters])\n";
    assert!(
        run.text().starts_with(&format!("{title}{line}")),
        "{}",
        run.text()
    );

    let as_json = [&ask[..], &["--output", "json"]].concat();
    let run = lifecycle(&user, &served, &as_json).done();
    let expected =
        "{\n\t\"approvals\": {\n\t\t\"Org1MSP\": false,\n\t\t\"Org2MSP\": false\n\t}\n}\n";
    assert_eq!(run.text(), expected);
    let run = lifecycle(&user, &served, &[&as_json[..], &["--inspect"]].concat()).done();
    let expected = "ChaincodeParameters (Check the Sequence, ChaincodeName)";
    assert_eq!(json(&run)["mismatches"]["Org1MSP"]["items"][0], expected);
}

#[test]
fn a_definition_is_approved_and_committed_as_its_flags_say() {
    let user = User::new();
    let listeners = Listeners::default();
    let (peer, orderer) = (endorser("a", OUTCOME, &listeners), orderer(0, &listeners));
    let collections = user.path("collections.json");
    let text = r#"[{"name":"c","policy":"OR('Org1MSP.member')"}]"#;
    fs::write(&collections, text).unwrap();
    let more = ["--collections-config", &collections, "-o", &orderer.address];
    let flags = "--package-id orders_1:00 --init-required --signature-policy OR('Org1MSP.peer')";
    let approve = [&definition("approveformyorg"), &words(flags)[..], &more].concat();
    let run = lifecycle(&user, &peer, &approve).done();
    let expected = "committed with status (VALID) at ";
    assert!(run.errors.contains(expected), "{}", run.errors);
    let commit = [&definition("commit")[..], &["--waitForEvent=false"], &more].concat();
    let run = lifecycle(&user, &peer, &commit).done();
    assert_eq!((run.text(), &*run.errors), ("", ""));
    assert_eq!(orderer.asked::<Envelope>(BROADCAST).len(), 2);

    let asked = peer.asked::<SignedProposal>(PROCESS);
    let [approval, definition] = [0, 1].map(|at: usize| proposed(&asked[at]).args);
    assert_eq!(approval[0], "ApproveChaincodeDefinitionForMyOrg");
    let args = ApproveChaincodeDefinitionForMyOrgArgs::decode(approval[1].clone()).unwrap();
    let SourceKind::LocalPackage(package) = args.source.unwrap().r#type.unwrap() else {
        panic!("no package")
    };
    let is_required = args.init_required;
    assert_eq!((&*package.package_id, is_required), ("orders_1:00", true));
    let policy = ApplicationPolicy::decode(args.validation_parameter);
    let kind = policy.unwrap().r#type.unwrap();
    assert!(matches!(kind, PolicyKind::SignaturePolicy(_)), "{kind:?}");
    assert_eq!(definition[0], "CommitChaincodeDefinition");
    let args = CommitChaincodeDefinitionArgs::decode(definition[1].clone()).unwrap();
    assert_eq!((&*args.name, &*args.version), ("orders", "1"));
    assert_eq!((args.sequence, args.init_required), (1, false));
    assert_eq!(args.validation_parameter, Bytes::new());
    assert_eq!(args.collections.unwrap().config.len(), 1);
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn definition(verb: &str) -> Vec<&str> {
    [&[verb], &words("-C main -n orders -v 1 --sequence 1")[..]].concat()
}

#[test]
fn a_definition_that_is_none_is_refused_before_anybody_is_asked() {
    let user = User::new();
    let served = answering("_lifecycle QueryChaincodeDefinitions");
    let both = words("--signature-policy x --channel-config-policy y");
    for (arguments, expected) in [
        (
            [definition("commit"), both].concat(),
            "Error: cannot specify both \"--signature-policy\" and \"--channel-config-policy\"\n",
        ),
        (
            words("commit -C main -n orders -v 1"),
            "Error: The required parameter 'sequence' is empty. Rerun the command with --sequence flag\n",
        ),
    ] {
        let run = lifecycle(&user, &served, &arguments);
        assert_eq!((run.status, &*run.errors), (1, expected));
    }
    let policy = words("--signature-policy OR(");
    let run = lifecycle(&user, &served, &[definition("commit"), policy].concat());
    let expected = "Error: invalid signature policy: OR(: ";
    assert!(run.errors.starts_with(expected), "{}", run.errors);
    assert!(served.asked::<SignedProposal>(PROCESS).is_empty());
}

#[test]
fn a_package_of_a_folder_needs_no_peer_and_has_the_same_id_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(path("code")).unwrap();
    fs::write(
        path("code/go.mod"),
        "module example.com/orders\n\ngo 1.24\n",
    )
    .unwrap();
    fs::write(path("code/main.go"), "package main").unwrap();
    let (code, one, two) = (path("code"), path("one.tar.gz"), path("two.tar.gz"));
    let package = |file: &str, label: &str| {
        let verb = ["lifecycle", "chaincode", "package", file];
        let more = ["--path", &code, "--label", label];
        peer(&[&verb[..], &more].concat(), &[])
    };
    package(&one, "orders_1").done();
    package(&two, "orders_1").done();
    let bytes = fs::read(&one).unwrap();
    assert_eq!(bytes, fs::read(&two).unwrap());
    let read = Package::read(&bytes).unwrap().metadata;
    assert_eq!(
        (&*read.path, &*read.kind, &*read.label),
        ("example.com/orders", "golang", "orders_1")
    );
    let id = package_id("orders_1", &bytes);
    let calculate = ["lifecycle", "chaincode", "calculatepackageid", &one];
    assert_eq!(peer(&calculate, &[]).done().text(), format!("{id}\n"));
    let run = peer(&[&calculate[..], &["-O", "json"]].concat(), &[]).done();
    assert_eq!(run.text(), format!("{{\n\t\"package_id\": \"{id}\"\n}}\n"));

    let run = package(&path("three.tar.gz"), "no/label");
    assert!(
        run.errors.contains("invalid label 'no/label'"),
        "{}",
        run.errors
    );
    assert!(!fs::exists(path("three.tar.gz")).unwrap());
    let run = peer(
        &[
            "lifecycle",
            "chaincode",
            "calculatepackageid",
            &path("code/main.go"),
        ],
        &[],
    );
    assert!(
        run.errors
            .starts_with("Error: could not parse as a chaincode install package"),
        "{}",
        run.errors
    );
}

#[test]
fn a_package_is_installed_and_brought_back() {
    let user = User::new();
    let file = user.path("orders.tar.gz");
    fs::write(&file, "a package").unwrap();
    let served = serve(|_, message| {
        let call = proposed(&SignedProposal::decode(message).unwrap());
        let answer = if call.args[0] == "InstallChaincode" {
            let args = InstallChaincodeArgs::decode(call.args[1].clone()).unwrap();
            assert_eq!(args.chaincode_install_package, "a package");
            let result = InstallChaincodeResult {
                package_id: "orders_1:00".to_owned(),
                label: "orders_1".to_owned(),
            };
            result.encode_to_vec()
        } else {
            let chaincode_install_package = "a package".into();
            GetInstalledChaincodePackageResult {
                chaincode_install_package,
            }
            .encode_to_vec()
        };
        answered(response(200, "", answer))
    });
    let run = lifecycle(&user, &served, &["install", &file]).done();
    let expected = "submitInstallProposal -> Chaincode code package identifier: orders_1:00\n";
    assert!(run.errors.ends_with(expected), "{}", run.errors);

    let folder = user.path("");
    let fetch = |id: &str| {
        let more = ["--package-id", id, "--output-directory", &folder];
        lifecycle(
            &user,
            &served,
            &[&["getinstalledpackage"][..], &more].concat(),
        )
    };
    fetch("orders_1:00").done();
    assert_eq!(
        fs::read(user.path("orders_1:00.tar.gz")).unwrap(),
        b"a package"
    );
    let run = fetch("../orders_1:00");
    assert_eq!(
        run.errors,
        "Error: \"../orders_1:00\" is no id of a package\n"
    );
}
