//! Organisations and identities, held against what Fabric's own code answered for each, by the rules of
//! every version. Guards against judging anybody differently from a peer of Fabric, which would split
//! a ledger in two.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use quire_disk::os;
use quire_identity::msp::folder::{self, MspFolder};
use quire_identity::{
    Identity, IdentityError, Msp, MspVersion, Principal, check_well_formed, pki_id,
};
use quire_testkit::conformance;
use quire_wire::Message;
use quire_wire::msp::{
    FabricMspConfig, MspConfig, MspPrincipal, MspRole, OrganizationUnit, SerializedIdentity,
    principal_classification, role,
};
use serde_json::Value;
use tempfile::TempDir;

const VERSIONS: [(&str, MspVersion); 5] = [
    ("v1_0", MspVersion::V1_0),
    ("v1_1", MspVersion::V1_1),
    ("v1_3", MspVersion::V1_3),
    ("v1_4_3", MspVersion::V1_4_3),
    ("v3_0", MspVersion::V3_0),
];

fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn config(value: &Value) -> FabricMspConfig {
    let config = MspConfig::decode(&bytes(value)[..]).unwrap();
    FabricMspConfig::decode(config.config).unwrap()
}

fn principal(kind: i32, content: &impl Message) -> Principal {
    Principal::of(&MspPrincipal {
        principal_classification: kind,
        principal: content.encode_to_vec().into(),
    })
}

/// The principal that the cases call so, asked of this identity.
fn named(name: &str, serialized: &[u8], identity: &Identity) -> Principal {
    let role = |msp_identifier: &str, role| {
        let msp_identifier = msp_identifier.to_owned();
        principal(
            principal_classification::ROLE,
            &MspRole {
                msp_identifier,
                role,
            },
        )
    };
    match name {
        "MEMBER" => role("OrgMSP", role::MEMBER),
        "ADMIN" => role("OrgMSP", role::ADMIN),
        "CLIENT" => role("OrgMSP", role::CLIENT),
        "PEER" => role("OrgMSP", role::PEER),
        "ORDERER" => role("OrgMSP", role::ORDERER),
        "MEMBER_other_msp" => role("OtherMSP", role::MEMBER),
        "IDENTITY_self" => principal(
            principal_classification::IDENTITY,
            &SerializedIdentity::decode(serialized).unwrap(),
        ),
        unit => principal(
            principal_classification::ORGANIZATION_UNIT,
            &OrganizationUnit {
                msp_identifier: "OrgMSP".to_owned(),
                organizational_unit_identifier: unit.strip_prefix("OU_").unwrap().to_owned(),
                certifiers_identifier: identity.certifiers().to_vec().into(),
            },
        ),
    }
}

/// What is compared, with what both sides said.
#[derive(Default)]
struct Differences {
    compared: usize,
    found: Vec<String>,
}

impl Differences {
    fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        of: impl Fn() -> String,
        ours: &T,
        fabrics: &T,
    ) {
        self.compared += 1;
        if ours != fabrics {
            self.found
                .push(format!("{}: {ours:?}, Fabric {fabrics:?}", of()));
        }
    }

    fn check(self, compared: usize) {
        assert!(self.found.is_empty(), "{}", self.found.join("\n"));
        assert_eq!(self.compared, compared);
    }
}

/// Compares everything that is said of one identity.
fn compare_identity(
    at: &str,
    serialized: &[u8],
    read: &Result<std::sync::Arc<Identity>, IdentityError>,
    expected: &Value,
    differences: &mut Differences,
) {
    let of = |what: &str| format!("{at} {what}");
    let deserializes = expected["deserialize_error"].is_null();
    let at = || of(&format!("deserialize ({:?})", read.as_ref().err()));
    differences.compare(at, &read.is_ok(), &deserializes);
    if let Ok(decoded) = SerializedIdentity::decode(serialized) {
        let form = check_well_formed(&decoded);
        let at = || of(&format!("well_formed ({:?})", form.as_ref().err()));
        differences.compare(at, &form.is_ok(), &expected["well_formed_error"].is_null());
    }
    let Ok(identity) = read else { return };
    if !deserializes {
        return;
    }
    let validity = identity.validity();
    let at = || of(&format!("validate ({validity:?})"));
    differences.compare(at, &validity.is_ok(), &expected["validate_error"].is_null());
    let id = expected["identifier"]["id"].as_str().unwrap();
    differences.compare(|| of("identifier"), &&*identity.identifier(), &id);
    let end = time::OffsetDateTime::from_unix_timestamp(identity.expires_at()).unwrap();
    let format = time::format_description::well_known::Rfc3339;
    let end = end.format(&format).unwrap();
    let expected_end = expected["expires_at"].as_str().unwrap();
    differences.compare(|| of("expires_at"), &&*end, &expected_end);
    let ours = identity.units().iter();
    let ours: Vec<_> = ours
        .map(|unit| (unit.clone(), hex::encode(identity.certifiers())))
        .collect();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let units = expected["organizational_units"].as_array();
    let units = units.into_iter().flatten();
    let units: Vec<_> = units
        .map(|unit| (text(&unit["ou"]), text(&unit["certifiers_identifier_hex"])))
        .collect();
    differences.compare(|| of("units"), &ours, &units);
    for (name, error) in expected["satisfies"].as_object().unwrap() {
        let answer = named(name, serialized, identity).is_satisfied_by(identity);
        let at = || of(&format!("{name} ({answer:?})"));
        differences.compare(at, &answer.is_ok(), &error.is_null());
    }
    let again = match &expected["serialized_again_b64"] {
        Value::Null => serialized.to_vec(),
        again => bytes(again),
    };
    let is_same = expected["serialize_same"].as_bool().unwrap();
    differences.compare(|| of("serialize_same"), &(again == serialized), &is_same);
    differences.compare(|| of("serialize"), &&identity.serialize()[..], &&again[..]);
}

#[test]
fn every_organisation_and_identity_is_judged_as_by_fabric() {
    let mut differences = Differences::default();
    for case in conformance::read_lines("rules/msp/cases.jsonl") {
        if case["versions"].is_null() || case["local"] == true {
            continue;
        }
        let config = config(&case["msp_config_b64"]);
        for (name, version) in VERSIONS {
            let expected = &case["versions"][name];
            let at = format!("{} {} {name}", case["case"], case["name"]);
            let msp = Msp::from_config(&config, version);
            let is_sound = expected["setup_error"].is_null();
            let of = || format!("{at} setup ({:?})", msp.as_ref().err());
            differences.compare(of, &msp.is_ok(), &is_sound);
            let (Ok(msp), true) = (msp, is_sound) else {
                continue;
            };
            let identities = case["identities"].as_array().unwrap();
            let answers = expected["identities"].as_array().unwrap();
            assert_eq!(identities.len(), answers.len());
            for (identity, answer) in identities.iter().zip(answers) {
                assert_eq!(identity["name"], answer["name"]);
                let at = format!("{at} {}", identity["name"]);
                let serialized = bytes(&identity["serialized_b64"]);
                let read = msp.deserialize(&serialized);
                compare_identity(&at, &serialized, &read, answer, &mut differences);
            }
        }
    }
    differences.check(11_269);
}

/// The folders of the cases, each under its name.
fn folders() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in conformance::read_lines("rules/msp/folders.jsonl") {
        let path = root.path().join(folder["folder"].as_str().unwrap());
        fs::create_dir(&path).unwrap();
        for within in folder["folders"].as_array().unwrap() {
            fs::create_dir_all(path.join(within.as_str().unwrap())).unwrap();
        }
        for (name, content) in folder["files"].as_object().unwrap() {
            fs::write(path.join(name), bytes(content)).unwrap();
        }
    }
    root
}

fn folder_of(root: &TempDir, case: &Value) -> PathBuf {
    let path = case["folder"].as_str().unwrap();
    root.path().join(path.strip_prefix("folders/").unwrap())
}

#[test]
fn every_folder_is_read_as_by_fabric_and_what_is_written_is_read_again() {
    let root = folders();
    let mut differences = Differences::default();
    for case in conformance::read_lines("rules/msp/cases.jsonl") {
        let path = folder_of(&root, &case);
        let at = format!("{} {}", case["case"], case["name"]);
        let folder = MspFolder::read(&path, "OrgMSP");
        // A local folder without a signer is still one of an organisation, which Fabric does not ask.
        let has_signer = case["local"] != true || path.join("signcerts").exists();
        let loads = case["load_error"].is_null() || !has_signer;
        let of = || format!("{at} ({:?})", folder.as_ref().err());
        differences.compare(of, &folder.is_ok(), &loads);
        let (Ok(folder), false) = (folder, case["msp_config_b64"].is_null()) else {
            continue;
        };
        let mut expected = config(&case["msp_config_b64"]);
        expected.signing_identity = Bytes::new();
        differences.compare(|| at.clone(), &folder.config, &expected);
        let copy = path.join("copy");
        folder::write(os().as_ref(), &copy, &folder.config).unwrap();
        let again = MspFolder::read(&copy, "OrgMSP").unwrap();
        assert!(again.ignored.is_empty(), "{at}: {:?}", again.ignored);
        differences.compare(|| format!("{at} again"), &again.config, &expected);
    }
    differences.check(262);
}

#[test]
fn whoever_can_sign_with_a_folder_in_fabric_can_here() {
    let root = folders();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let mut differences = Differences::default();
    for case in conformance::read_lines("rules/msp/cases.jsonl") {
        if case["local"] != true {
            continue;
        }
        let path = folder_of(&root, &case);
        let folder = MspFolder::read(&path, "OrgMSP").unwrap();
        for (name, version) in VERSIONS {
            let msp = Msp::from_config(&folder.config, version).unwrap();
            let signer = folder.signer(&msp, now);
            let at = || format!("{} {name} ({:?})", case["name"], signer.as_ref().err());
            let expected = &case["versions"][name];
            let can_sign = expected["setup_error"].is_null() && case["load_error"].is_null();
            differences.compare(at, &signer.is_ok(), &can_sign);
            let Ok(signer) = signer else { continue };
            let signature = signer.sign(b"message");
            let identity = msp.deserialize(signer.serialized()).unwrap();
            identity.verify(b"message", &signature).unwrap();
            let identities = case["identities"].as_array().unwrap();
            let answers = expected["identities"].as_array().unwrap();
            for (identity, answer) in identities.iter().zip(answers) {
                let at = format!("{} {name} {}", case["name"], identity["name"]);
                let serialized = bytes(&identity["serialized_b64"]);
                let read = msp.deserialize(&serialized);
                compare_identity(&at, &serialized, &read, answer, &mut differences);
            }
        }
    }
    differences.check(190);
}

#[test]
fn every_signature_is_judged_as_by_fabric() {
    let mut differences = Differences::default();
    for case in conformance::read_lines("rules/msp/signatures.jsonl") {
        let config = FabricMspConfig::decode(&bytes(&case["msp_config_b64"])[..]).unwrap();
        let msp = Msp::from_config(&config, MspVersion::V3_0).unwrap();
        let identity = msp.deserialize(&bytes(&case["identity_b64"])).unwrap();
        let hexadecimal = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
        let message = hexadecimal(&case["message_hex"]);
        let answer = identity.verify(&message, &hexadecimal(&case["signature_hex"]));
        let at = || {
            format!(
                "{} {} {} {} ({answer:?})",
                case["case"], case["hash_family"], case["key"], case["note"]
            )
        };
        let verified = case["verified"].as_bool().unwrap();
        differences.compare(at, &answer.is_ok(), &verified);
    }
    differences.check(34);
}

#[test]
fn gossip_names_identities_by_their_bytes_as_given() {
    let mut differences = Differences::default();
    for case in conformance::read_lines("rules/msp/pki_id.jsonl") {
        let ours = pki_id(&bytes(&case["serialized_identity_b64"])).map(hex::encode);
        let fabrics = case["pki_id_hex"].as_str().map(str::to_owned);
        let fabrics = fabrics.filter(|_| case["nil"] == false);
        differences.compare(|| case["case"].to_string(), &ours, &fabrics);
    }
    differences.check(18);
}
