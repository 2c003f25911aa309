//! The layouts of Fabric's own code.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quire_identity::{Identity, Msp, MspVersion, Msps};
use quire_testkit::conformance;
use quire_wire::Message as _;
use quire_wire::msp::FabricMspConfig;
use serde_json::Value;

use super::*;

/// The peers' identities, by their names.
fn identities() -> BTreeMap<String, Arc<Identity>> {
    let peers: Value =
        serde_json::from_str(&conformance::read_text("rules/discovery/peers.json")).unwrap();
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let organizations = peers["msp_configs_b64"].as_object().unwrap().values();
    let organizations = organizations.map(|config| {
        let config = bytes(config);
        let config = FabricMspConfig::decode(config.as_slice()).unwrap();
        Arc::new(Msp::from_config(&config, MspVersion::V3_0).unwrap())
    });
    let msps: Msps = organizations.collect();
    let named = peers["peers"].as_object().unwrap().iter();
    named
        .map(|(name, peer)| {
            let identity = msps.deserialize(&bytes(&peer["identity_b64"])).unwrap();
            (name.clone(), identity)
        })
        .collect()
}

fn policy(hex_digits: &Value) -> SignaturePolicyEnvelope {
    let bytes = hex::decode(hex_digits.as_str().unwrap()).unwrap();
    SignaturePolicyEnvelope::decode(bytes.as_slice()).unwrap()
}

fn definitions(case: &Value) -> Definitions {
    let chaincodes = case["chaincodes"].as_object().unwrap().iter();
    let by_name = |policies: &Value| -> BTreeMap<String, SignaturePolicyEnvelope> {
        let policies = policies.as_object().unwrap().iter();
        policies
            .map(|(name, one)| (name.clone(), policy(one)))
            .collect()
    };
    chaincodes
        .map(|(name, chaincode)| {
            let members = by_name(&chaincode["collection_member_policies_hex"]).into_iter();
            let defined = Defined {
                version: chaincode["version"].as_str().unwrap().to_owned(),
                policy: policy(&chaincode["endorsement_policy_hex"]),
                collection_policies: by_name(&chaincode["collection_endorsement_policies_hex"]),
                members: members.map(|(name, one)| (name, one.identities)).collect(),
            };
            (name.clone(), defined)
        })
        .collect()
}

/// The peers that are there, with their names.
fn candidates(
    case: &Value,
    is_there: impl Fn(&Value) -> bool,
    identities: &BTreeMap<String, Arc<Identity>>,
) -> (Vec<String>, Vec<Candidate>) {
    let peers = case["peers"].as_array().into_iter().flatten();
    let there = peers.filter(|peer| is_there(peer)).map(|peer| {
        let name = peer["peer"].as_str().unwrap().to_owned();
        let chaincodes = peer["chaincodes"].as_object().unwrap().iter();
        let chaincodes = chaincodes
            .filter(|_| peer["state_info_without_properties"] != true)
            .map(|(name, version)| (name.clone(), version.as_str().unwrap().to_owned()));
        let identity = Arc::clone(&identities[&name]);
        let chaincodes = chaincodes.collect();
        (
            name,
            Candidate {
                who: Who::Known(identity),
                chaincodes: Some(chaincodes),
            },
        )
    });
    there.unzip()
}

/// Layouts as Fabric's were recorded: sorted, with the peers of each group.
fn shown(descriptor: &Descriptor, names: &[String]) -> Vec<Vec<String>> {
    let group = |(group, n): (&String, &u32)| {
        let peers = descriptor.groups[group].iter();
        let peers: BTreeSet<_> = peers.map(|peer| names[*peer].as_str()).collect();
        let peers: Vec<_> = peers.into_iter().collect();
        format!("{n} of [{}]", peers.join(" "))
    };
    let layouts = descriptor.layouts.iter();
    let mut layouts: Vec<Vec<String>> = layouts
        .map(|layout| {
            let mut groups: Vec<_> = layout.iter().map(group).collect();
            groups.sort();
            groups
        })
        .collect();
    layouts.sort();
    layouts
}

#[test]
fn layouts_are_those_of_fabric() {
    let identities = identities();
    let mut count = 0;
    for case in conformance::read_lines("rules/discovery/endorsement.jsonl") {
        let interest = hex::decode(case["interest_hex"].as_str().unwrap()).unwrap();
        let interest = ChaincodeInterest::decode(interest.as_slice()).unwrap();
        let definitions = definitions(&case);
        let note = format!("{}: {}", case["case"], case["note"]);

        let alive = |peer: &Value| peer["alive"] == true && peer["in_channel"] == true;
        let (names, peers) = candidates(&case, alive, &identities);
        let found = descriptor(&interest, &definitions, &peers);
        let expected = case.get("layouts").filter(|layouts| !layouts.is_null());
        let expected = expected.map(|layouts| {
            let layouts = layouts.clone();
            let mut layouts: Vec<Vec<String>> = serde_json::from_value(layouts).unwrap();
            layouts.sort();
            layouts
        });
        let shown = found.as_ref().ok().map(|found| shown(found, &names));
        assert_eq!(shown, expected, "{note}: {found:?}");

        let in_channel = |peer: &Value| peer["in_channel"] == true;
        let (names, peers) = candidates(&case, in_channel, &identities);
        let found = authorized(&interest, &definitions, &peers);
        if case["authorized_error"].is_null() {
            let found: BTreeSet<_> = found
                .unwrap()
                .into_iter()
                .map(|peer| &names[peer])
                .collect();
            let expected: Option<Vec<String>> =
                serde_json::from_value(case["peers_authorized_by_criteria"].clone()).unwrap();
            let expected = expected.unwrap_or_default();
            assert_eq!(found, expected.iter().collect(), "{note}");
        } else {
            assert!(found.is_err(), "{note}");
        }
        count += 1;
    }
    assert_eq!(count, 35);
}
