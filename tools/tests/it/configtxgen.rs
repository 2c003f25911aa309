//! `configtxgen`.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quire_testkit::conformance::read_lines;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{configtxgen, configtxlator};

const CONFIGURATION: &str = include_str!("configtx.yaml");

fn bytes(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// What Fabric made of the profiles: their names and their first blocks.
fn recorded() -> Vec<(String, Value)> {
    let cases = read_lines("rules/configtx/sample_profiles.jsonl").into_iter();
    let cases = cases.map(|case| {
        (
            case["profile"].as_str().unwrap().to_owned(),
            case["json"].clone(),
        )
    });
    cases.collect()
}

fn group(block: &Value) -> &Value {
    &block["data"]["data"][0]["payload"]["data"]["config"]["channel_group"]
}

/// A folder with the configuration and with the certificates that Fabric had when it was recorded.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("configtx.yaml"), CONFIGURATION).unwrap();
    let blocks = recorded();
    let find = |profile: &str| &blocks.iter().find(|(name, _)| name == profile).unwrap().1;
    let organization =
        &group(find("SampleSingleMSPSolo"))["groups"]["Orderer"]["groups"]["SampleOrg"];
    write_msp(
        &at.join("msp"),
        &organization["values"]["MSP"]["value"]["config"],
    );
    let orderers =
        &group(find("SampleAppChannelSmartBft"))["groups"]["Orderer"]["values"]["Orderers"];
    let consenter = &orderers["value"]["consenter_mapping"][0];
    for (file, field) in [
        ("identity.pem", "identity"),
        ("client.pem", "client_tls_cert"),
        ("server.pem", "server_tls_cert"),
    ] {
        fs::write(at.join(file), bytes(&consenter[field])).unwrap();
    }
    folder
}

fn write_msp(folder: &Path, config: &Value) {
    for (name, field) in [
        ("cacerts", "root_certs"),
        ("admincerts", "admins"),
        ("tlscacerts", "tls_root_certs"),
        ("tlsintermediatecerts", "tls_intermediate_certs"),
    ] {
        fs::create_dir_all(folder.join(name)).unwrap();
        for (at, certificate) in config[field].as_array().unwrap().iter().enumerate() {
            fs::write(
                folder.join(name).join(format!("{at}.pem")),
                bytes(certificate),
            )
            .unwrap();
        }
        fs::write(folder.join(name).join("notes.txt"), "no certificate").unwrap();
    }
    let unit = &config["organizational_unit_identifiers"][0];
    fs::write(folder.join("unit.pem"), bytes(&unit["certificate"])).unwrap();
    let name = unit["organizational_unit_identifier"].as_str().unwrap();
    let units = format!(
        "OrganizationalUnitIdentifiers:\n  - Certificate: unit.pem\n    OrganizationalUnitIdentifier: {name}\n"
    );
    fs::write(folder.join("config.yaml"), units).unwrap();
}

fn path(folder: &TempDir, file: &str) -> String {
    folder.path().join(file).to_str().unwrap().to_owned()
}

/// Runs the tool on the folder's configuration, and shows the file that it wrote.
fn made(folder: &TempDir, arguments: &[&str], flag: &str, message: &str) -> Value {
    let output = path(folder, "made/output");
    let configuration = folder.path().to_str().unwrap();
    let all = [arguments, &["-configPath", configuration, flag, &output]].concat();
    configtxgen(&all, &[]).done();
    let shown = configtxlator(
        &["proto_decode", "--type", message, "--input", &output],
        b"",
    );
    serde_json::from_str(shown.done().text()).unwrap()
}

#[test]
fn first_blocks_are_those_that_fabric_makes_of_the_same_profiles() {
    let folder = folder();
    let mut compared = 0;
    for (profile, mut expected) in recorded() {
        let arguments = ["-profile", &profile, "-channelID=samplechannel"];
        let mut block = made(&folder, &arguments, "-outputBlock", "common.Block");
        for block in [&mut block, &mut expected] {
            // What differs from run to run.
            block["header"]["data_hash"].take();
            let header = &mut block["data"]["data"][0]["payload"]["header"];
            header["signature_header"]["nonce"].take();
            header["channel_header"]["timestamp"].take();
            header["channel_header"]["tx_id"].take();
        }
        assert_eq!(block, expected, "{profile}");
        compared += 1;
    }
    assert!(compared >= 6, "{compared}");
}

#[test]
fn a_channel_is_asked_for_with_what_the_consortium_does_not_have_yet() {
    let folder = folder();
    let arguments = ["-profile", "NewChannel", "-channelID", "new"];
    let envelope = made(
        &folder,
        &arguments,
        "-outputCreateChannelTx",
        "common.Envelope",
    );
    let header = &envelope["payload"]["header"]["channel_header"];
    assert_eq!(
        (&header["type"], &header["channel_id"]),
        (&json!(2), &json!("new"))
    );
    let update = &envelope["payload"]["data"]["config_update"];
    assert_eq!(update["channel_id"], "new");
    let read = &update["read_set"];
    assert_eq!(
        read["groups"]["Application"]["groups"]["SampleOrg"]["version"],
        "0"
    );
    assert_eq!(read["values"]["Consortium"]["value"], Value::Null);
    let written = &update["write_set"];
    assert_eq!(
        written["values"]["Consortium"]["value"]["name"],
        "SampleConsortium"
    );
    assert_eq!(written["groups"]["Application"]["version"], "1");
    assert_eq!(
        written["groups"]["Application"]["policies"]["Admins"]["policy"]["value"]["rule"],
        "MAJORITY"
    );

    let file = path(&folder, "made/output");
    let inspected = configtxgen(&["-inspectChannelCreateTx", &file], &[]).done();
    assert_eq!(
        serde_json::from_str::<Value>(inspected.text()).unwrap(),
        envelope
    );
}

#[test]
fn anchor_peers_are_all_that_an_update_of_them_adds() {
    let folder = folder();
    let arguments = [
        "-profile",
        "NewChannel",
        "-channelID",
        "new",
        "-asOrg",
        "WithPeers",
    ];
    let envelope = made(
        &folder,
        &arguments,
        "-outputAnchorPeersUpdate",
        "common.Envelope",
    );
    let update = &envelope["payload"]["data"]["config_update"];
    let organization = &update["write_set"]["groups"]["Application"]["groups"]["WithPeers"];
    assert_eq!(organization["version"], "1");
    let peers = json!([{"host": "peer0.example.com", "port": 7051}]);
    assert_eq!(
        organization["values"]["AnchorPeers"]["value"]["anchor_peers"],
        peers
    );
    let others = update["write_set"]["groups"].as_object().unwrap();
    assert_eq!(others.keys().collect::<Vec<_>>(), ["Application"]);

    let configuration = folder.path().to_str().unwrap();
    let output = path(&folder, "peers");
    let without = [
        "-configPath",
        configuration,
        "-outputAnchorPeersUpdate",
        &output,
        "-asOrg",
        "SampleOrg",
    ];
    let run = configtxgen(&[&arguments[..4], &without].concat(), &[]);
    assert!(
        run.errors.contains("SampleOrg has no anchor peers"),
        "{}",
        run.errors
    );
}

#[test]
fn an_organisation_is_printed_as_a_member_of_what_it_does() {
    let folder = folder();
    let configuration = folder.path().to_str().unwrap();
    let printed = |name| {
        let run = configtxgen(&["-configPath", configuration, "-printOrg", name], &[]).done();
        serde_json::from_str::<Value>(run.text()).unwrap()
    };
    let orders = printed("SampleOrg");
    assert_eq!(
        orders["values"]["Endpoints"]["value"]["addresses"],
        json!(["127.0.0.1:7050"])
    );
    assert_eq!(
        orders["values"]["MSP"]["value"]["config"]["name"],
        "SampleOrg"
    );
    let applies = printed("WithPeers");
    assert_eq!(
        applies["values"]["AnchorPeers"]["value"]["anchor_peers"][0]["port"],
        7051
    );
}

#[test]
fn the_environment_names_the_folder_and_overrides_values() {
    let folder = folder();
    let configuration = folder.path().to_str().unwrap();
    let output = path(&folder, "block");
    let arguments = [
        "-profile",
        "SampleInsecureSolo",
        "-channelID",
        "c",
        "-outputBlock",
        &output,
    ];
    let environment = [
        ("FABRIC_CFG_PATH", configuration),
        (
            "CONFIGTX_PROFILES_SAMPLEINSECURESOLO_ORDERER_BATCHTIMEOUT",
            "90s",
        ),
        (
            "CONFIGTX_PROFILES_SAMPLEINSECURESOLO_ORDERER_BATCHSIZE_PREFERREDMAXBYTES",
            "1 kb",
        ),
    ];
    configtxgen(&arguments, &environment).done();
    let inspected = configtxgen(&["-inspectBlock", &output], &[]).done();
    let block: Value = serde_json::from_str(inspected.text()).unwrap();
    let values = &group(&block)["groups"]["Orderer"]["values"];
    assert_eq!(values["BatchTimeout"]["value"]["timeout"], "1m30s");
    assert_eq!(values["BatchSize"]["value"]["preferred_max_bytes"], 1024);
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_with_its_place() {
    let cases = [
        (
            "OrdererType: solo",
            "OrdererType: fast",
            "Orderer.OrdererType should be etcdraft",
        ),
        (
            "BatchTimeout: 2s",
            "BatchTimeout: soon",
            "Orderer.BatchTimeout should be a duration",
        ),
        (
            "AbsoluteMaxBytes: 10 MB",
            "AbsoluteMaxBytes: 10 GB",
            "AbsoluteMaxBytes should be at most",
        ),
        (
            "MaxChannels: 0",
            "MaxCannels: 0",
            "has no field \"MaxCannels\"",
        ),
        (
            "\"ANY Writers\"",
            "\"SOME Writers\"",
            "the policy Writers of",
        ),
        ("MSPDir: msp", "MSPDir: nowhere", "nowhere/cacerts"),
        (
            "    Admins: {Type: ImplicitMeta, Rule: \"MAJORITY Admins\"}\n    BlockV",
            "    BlockV",
            "no policy Admins",
        ),
        (
            "Addresses:",
            "Addresses: [\"127.0.0.1:7050\"]",
            "OrdererEndpoints",
        ),
        (
            "Name: SampleOrg",
            "Name: SampleOrg\n    SkipAsForeign: true",
            "marked SkipAsForeign",
        ),
        ("Profiles:", "Profiles: {{", "is no YAML"),
    ];
    for (before, after, reason) in cases {
        let folder = folder();
        assert!(CONFIGURATION.contains(before), "{before}");
        let configuration = CONFIGURATION.replace(before, after);
        fs::write(folder.path().join("configtx.yaml"), configuration).unwrap();
        let (at, output) = (folder.path().to_str().unwrap(), path(&folder, "block"));
        let arguments = [
            "-configPath",
            at,
            "-profile",
            "SampleSingleMSPSolo",
            "-channelID",
            "c",
        ];
        let run = configtxgen(&[&arguments[..], &["-outputBlock", &output]].concat(), &[]);
        assert_eq!(run.status, 1, "{after}");
        assert!(run.errors.contains(reason), "{after}: {}", run.errors);
        assert!(!Path::new(&output).exists(), "{after}");
    }
    let nowhere = configtxgen(&["-configPath", "/nowhere", "-printOrg", "x"], &[]);
    assert!(
        nowhere.errors.contains("no configtx.yaml in /nowhere"),
        "{}",
        nowhere.errors
    );
    assert_eq!(configtxgen(&["-colour"], &[]).status, 2);
}
