//! Policies as Fabric's own code reads and evaluates them: every verdict of `rules/policies`.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is a failed test"
)]

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use quire_identity::policy::{
    read_implicit_policy, read_signature_policy, write_implicit_policy, write_signature_policy,
};
use quire_identity::{Msp, MspVersion, Msps, Policy};
use quire_testkit::conformance;
use quire_wire::Message as _;
use quire_wire::config::{
    ConfigGroup, ConfigPolicy, NOutOf, Policy as PolicyMessage, SignaturePolicy,
    SignaturePolicyEnvelope, SignatureRule, policy_type,
};
use quire_wire::msp::FabricMspConfig;
use serde_json::Value;

/// Texts that Fabric reads and this crate refuses: a policy is no program.
const NO_PROGRAMS: [(u64, &str); 3] = [
    (25, "a sum as the count"),
    (90, "a policy inside quotes"),
    (106, "a condition"),
];

fn number(case: &Value) -> u64 {
    case["case"].as_u64().unwrap()
}

fn base64(value: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let text = value.as_str().unwrap();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap()
}

#[test]
fn texts_are_read_as_one_of_fabrics_parsers_reads_them() {
    let cases = conformance::read_lines("rules/policies/dsl.jsonl");
    for case in &cases {
        let text = case["dsl"].as_str().unwrap();
        let expected = case["envelope_hex"]
            .as_str()
            .or(case["govaluate_envelope_hex"].as_str());
        let is_program = NO_PROGRAMS
            .iter()
            .any(|(program, _)| *program == number(case));
        let expected = expected.filter(|_| !is_program);
        let found = read_signature_policy(text);
        let bytes = found
            .as_ref()
            .map(|policy| hex::encode(policy.encode_to_vec()));
        assert_eq!(bytes.as_deref().ok(), expected, "{text}: {found:?}");
        if let Ok(policy) = found {
            let written = write_signature_policy(&policy).unwrap();
            assert_eq!(
                read_signature_policy(&written).as_ref(),
                Ok(&policy),
                "{text} as {written}"
            );
        }
    }
    assert_eq!(cases.len(), 92);
}

#[test]
fn texts_of_implicit_policies_are_read_as_fabric_reads_them() {
    let cases = conformance::read_lines("rules/policies/implicitmeta_dsl.jsonl");
    for case in &cases {
        let text = case["dsl"].as_str().unwrap();
        let found = read_implicit_policy(text);
        let bytes = found
            .as_ref()
            .map(|policy| hex::encode(policy.encode_to_vec()));
        // No group has a policy without a name: Fabric takes it, and nobody satisfies it.
        let expected = case["bytes_hex"].as_str().filter(|_| text != "ANY ");
        assert_eq!(bytes.as_deref().ok(), expected, "{text:?}: {found:?}");
        if let Ok(policy) = found {
            assert_eq!(write_implicit_policy(&policy).as_deref(), Some(text));
        }
    }
    assert_eq!(cases.len(), 14);
}

/// A policy that everybody satisfies without a signature, or nobody.
fn constant(holds: bool) -> ConfigPolicy {
    let gate = NOutOf {
        n: i32::from(!holds),
        rules: Vec::new(),
    };
    let rule = SignaturePolicy {
        rule: Some(SignatureRule::NOutOf(gate)),
    };
    let envelope = SignaturePolicyEnvelope {
        rule: Some(rule),
        ..Default::default()
    };
    policy(policy_type::SIGNATURE, envelope.encode_to_vec())
}

fn policy(kind: i32, value: Vec<u8>) -> ConfigPolicy {
    let policy = PolicyMessage {
        r#type: kind,
        value: value.into(),
    };
    ConfigPolicy {
        policy: Some(policy),
        ..Default::default()
    }
}

#[test]
fn implicit_policies_hold_where_fabrics_do() {
    let cases = conformance::read_lines("rules/policies/implicitmeta.jsonl");
    for case in &cases {
        let children = case["children"].as_str().unwrap().chars().enumerate();
        let child = |(position, kind): (usize, char)| {
            let mut group = ConfigGroup::default();
            if kind != 'm' {
                group.policies.insert("P".to_owned(), constant(kind == '1'));
            }
            (format!("child{position}"), group)
        };
        let value = hex::decode(case["policy_value_hex"].as_str().unwrap()).unwrap();
        let root = ConfigGroup {
            groups: children.map(child).collect(),
            policies: BTreeMap::from([(
                "Asked".to_owned(),
                policy(policy_type::IMPLICIT_META, value),
            )]),
            ..Default::default()
        };
        let asked = Policy::at(&root, "/Channel/Asked").unwrap();
        let expected = case["satisfied"].as_bool().unwrap();
        assert_eq!(asked.is_satisfied_by(&[]), expected, "{case}");
    }
    assert_eq!(cases.len(), 480);
}

#[test]
fn signature_policies_hold_where_fabrics_do() {
    let text = conformance::read_text("rules/policies/eval_identities.json");
    let known: Value = serde_json::from_str(&text).unwrap();
    let data = hex::decode(known["data_hex"].as_str().unwrap()).unwrap();
    let configs: HashMap<String, Value> =
        serde_json::from_value(known["fabric_msp_config_b64"].clone()).unwrap();
    let msp = |config: &Value| {
        let config = FabricMspConfig::decode(&base64(config)[..]).unwrap();
        std::sync::Arc::new(Msp::from_config(&config, MspVersion::V3_0).unwrap())
    };
    let msps: Msps = configs.values().map(msp).collect();
    let cases = conformance::read_lines("rules/policies/eval.jsonl");
    for case in &cases {
        let bytes = Bytes::from(hex::decode(case["policy_hex"].as_str().unwrap()).unwrap());
        let envelope = SignaturePolicyEnvelope::decode(bytes).unwrap();
        let policy = Policy::from_envelope(&envelope);
        if let Some(error) = case["compile_error"].as_str() {
            assert!(policy.is_err(), "{case}: {error}");
            continue;
        }
        let policy = policy.unwrap_or_else(|error| panic!("{case}: {error}"));
        let empty = Vec::new();
        let mut signers = Vec::new();
        for signed in case["signed_data"].as_array().unwrap_or(&empty) {
            let Ok(identity) = msps.deserialize(&base64(&signed["identity_b64"])) else {
                continue;
            };
            let signature = hex::decode(signed["signature_hex"].as_str().unwrap()).unwrap();
            if identity.verify(&data, &signature).is_ok() {
                signers.push(identity);
            }
        }
        let expected = case["satisfied"].as_bool().unwrap();
        assert_eq!(policy.is_satisfied_by(&signers), expected, "{case}");
        assert_eq!(policy.shortfall(&signers).is_none(), expected, "{case}");
    }
    assert_eq!(cases.len(), 95);
}
