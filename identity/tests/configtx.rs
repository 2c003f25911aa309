//! Changes of configurations as Fabric's own code judges them: every verdict of `rules/configtx`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use quire_identity::MspVersion;
use quire_identity::config::{
    Bundle, SignedUpdate, UpdateError, check_configuration_fields, check_succession,
    check_update_fields, compute_update, is_channel_name,
};
use quire_testkit::conformance;
use quire_wire::Message as _;
use quire_wire::common::Envelope;
use quire_wire::config::{Config, ConfigEnvelope, ConfigUpdate};
use serde_json::Value;

fn base64(value: &Value) -> Bytes {
    let text = value.as_str().unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    bytes.unwrap().into()
}

fn bases() -> BTreeMap<String, Bundle> {
    let cases = conformance::read_lines("rules/configtx/updates.jsonl");
    let mut bases = BTreeMap::new();
    for case in cases {
        let name = case["base"].as_str().unwrap();
        bases.entry(name.to_owned()).or_insert_with(|| {
            let bytes = conformance::read(&format!("rules/configtx/bases/{name}.pb"));
            Bundle::new("mychannel", Config::decode(&bytes[..]).unwrap()).unwrap()
        });
    }
    bases
}

fn is_accepted(error: &Value) -> bool {
    error.is_null()
}

#[test]
fn updates_are_judged_as_fabric_judges_them() {
    let bases = bases();
    let cases = conformance::read_lines("rules/configtx/updates.jsonl");
    let mut accepted = 0;
    for case in &cases {
        let base = &bases[case["base"].as_str().unwrap()];
        let envelope = Envelope::decode(base64(&case["envelope_b64"])).unwrap();
        let next = SignedUpdate::from_envelope(&envelope).and_then(|update| update.apply(base));
        let name = format!("case {}: {}", case["case"], case["name"]);
        assert_eq!(
            next.is_ok(),
            case["accepted"] == true,
            "{name}: {next:?} {}",
            case["errors"]
        );
        let Ok(next) = next else {
            continue;
        };
        accepted += 1;
        assert_eq!(
            next,
            Config::decode(base64(&case["new_config_b64"])).unwrap(),
            "{name}"
        );
        check_update_fields(&base64(&case["envelope_b64"])).unwrap();
        let whole = ConfigEnvelope {
            config: Some(next.clone()),
            last_update: Some(envelope),
        };
        check_configuration_fields(&whole.encode_to_vec().into()).unwrap();
        let follows = check_succession(base, &whole);
        assert_eq!(
            follows.is_ok(),
            is_accepted(&case["validate_error"]),
            "{name}: {follows:?}"
        );
        let bundle = Bundle::new("mychannel", next);
        assert_eq!(
            bundle.is_ok(),
            is_accepted(&case["new_bundle_error"]),
            "{name}: {bundle:?} {}",
            case["new_bundle_error"]
        );
        let Ok(bundle) = bundle else {
            continue;
        };
        let follows = base.check_next(&bundle);
        assert_eq!(
            follows.is_ok(),
            is_accepted(&case["validate_new_error"]),
            "{name}: {follows:?}"
        );
        let supported = ["channel", "orderer", "application"]
            .iter()
            .all(|kind| is_accepted(&case[format!("{kind}_capabilities_supported_error")]));
        assert_eq!(bundle.check_capabilities().is_ok(), supported, "{name}");
    }
    assert_eq!((cases.len(), accepted), (123, 71));
}

#[test]
fn a_configuration_that_is_not_what_its_update_makes_does_not_follow() {
    let bases = bases();
    let cases = conformance::read_lines("rules/configtx/updates.jsonl");
    let case = &cases[0];
    let base = &bases["genesis"];
    let envelope = Envelope::decode(base64(&case["envelope_b64"])).unwrap();
    let config = Config::decode(base64(&case["new_config_b64"])).unwrap();
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = config.clone();
        change(&mut config);
        let envelope = ConfigEnvelope {
            config: Some(config),
            last_update: Some(envelope.clone()),
        };
        check_succession(base, &envelope)
    };
    with(&|_| ()).unwrap();
    let late = with(&|config| config.sequence += 1);
    assert!(
        matches!(
            late,
            Err(UpdateError::Sequence {
                sequence: 2,
                next: 1
            })
        ),
        "{late:?}"
    );
    let other = with(&|config| {
        let root = config.channel_group.as_mut().unwrap();
        root.groups.get_mut("Orderer").unwrap().mod_policy = "Writers".to_owned();
    });
    assert!(matches!(other, Err(UpdateError::NotTheResult)), "{other:?}");
}

#[test]
fn what_is_written_below_a_group_of_the_old_version_is_named_as_dropped() {
    let bases = bases();
    let cases = conformance::read_lines("rules/configtx/updates.jsonl");
    // Fabric accepts both without a signature that would suffice, and drops the new element.
    for number in [103, 104] {
        let case = cases.iter().find(|case| case["case"] == number).unwrap();
        let base = &bases[case["base"].as_str().unwrap()];
        let envelope = Envelope::decode(base64(&case["envelope_b64"])).unwrap();
        let update = SignedUpdate::from_envelope(&envelope).unwrap();
        let next = update.apply(base).unwrap();
        let dropped = update.dropped(&next).unwrap();
        assert!(dropped.is_some(), "{case}");
    }
    let case = &cases[0];
    let envelope = Envelope::decode(base64(&case["envelope_b64"])).unwrap();
    let update = SignedUpdate::from_envelope(&envelope).unwrap();
    let next = update.apply(&bases["genesis"]).unwrap();
    assert_eq!(update.dropped(&next).unwrap(), None);
}

#[test]
fn updates_are_computed_as_configtxlator_computes_them() {
    let cases = conformance::read_lines("rules/configtx/compute_update.jsonl");
    for case in &cases {
        let config = |name: &str| Config::decode(base64(&case[name])).unwrap();
        let found = compute_update(&config("original_b64"), &config("updated_b64"));
        let expected = case["config_update_b64"].as_str();
        let expected =
            expected.map(|_| ConfigUpdate::decode(base64(&case["config_update_b64"])).unwrap());
        assert_eq!(
            found.as_ref().ok(),
            expected.as_ref(),
            "{}: {found:?}",
            case["name"]
        );
    }
    assert_eq!(cases.len(), 20);
}

#[test]
fn channels_are_named_as_in_fabric() {
    let cases = conformance::read_lines("rules/configtx/channel_names.jsonl");
    for case in &cases {
        let name = case["channel"].as_str().unwrap();
        assert_eq!(is_channel_name(name), case["error"].is_null(), "{name:?}");
    }
    assert_eq!(cases.len(), 20);
}

fn msp_version(version: MspVersion) -> u64 {
    match version {
        MspVersion::V1_0 => 0,
        MspVersion::V1_1 => 1,
        MspVersion::V1_3 => 2,
        MspVersion::V1_4_3 => 3,
        MspVersion::V3_0 => 4,
    }
}

fn check_channel(bundle: &Bundle, expected: &Value) {
    let channel = &bundle.values().capabilities;
    let version = msp_version(channel.msp_version());
    assert_eq!(version, expected["msp_version"]);
    for (found, name) in [
        (channel.consensus_type_bft(), "consensus_type_bft"),
        (
            channel.consensus_type_migration(),
            "consensus_type_migration",
        ),
        (
            channel.org_specific_orderer_endpoints(),
            "org_specific_orderer_endpoints",
        ),
        (channel.unknown().is_none(), "supported_error"),
    ] {
        assert_eq!(found, is_so(&expected[name]), "{name}");
    }
}

/// A fact, or an error that is none.
fn is_so(fact: &Value) -> bool {
    fact.as_bool().unwrap_or(fact.is_null())
}

fn check_application(bundle: &Bundle, expected: &Value) {
    let application = bundle.application().unwrap();
    let known = &application.capabilities;
    let facts = &expected["capabilities"];
    for (found, names) in [
        (
            known.acls(),
            &["acls", "collection_upgrade", "v1_2_validation"][..],
        ),
        (
            known.forbid_duplicate_tx_id_in_block(),
            &["forbid_duplicate_txid_in_block", "v1_1_validation"],
        ),
        (known.private_channel_data(), &["private_channel_data"]),
        (
            known.key_level_endorsement(),
            &["key_level_endorsement", "v1_3_validation"],
        ),
        (
            known.store_pvt_data_of_invalid_tx(),
            &["store_pvt_data_of_invalid_tx"],
        ),
        (known.lifecycle_v20(), &["lifecycle_v20", "v2_0_validation"]),
        (known.purge_pvt_data(), &["purge_pvt_data"]),
        (known.unknown().is_none(), &["supported_error"]),
    ] {
        for name in names {
            assert_eq!(found, is_so(&facts[*name]), "{name}");
        }
    }
    for (name, policy) in expected["acl_lookup"].as_object().unwrap() {
        let found = application.acls.get(name).map_or("", String::as_str);
        assert_eq!(found, policy, "{name}");
    }
}

fn check_orderer(bundle: &Bundle, expected: &Value) {
    let orderer = bundle.orderer().unwrap();
    let size = orderer.batch_size;
    let facts = &expected["batch_size"];
    assert_eq!(size.max_message_count, facts["max_message_count"]);
    assert_eq!(size.absolute_max_bytes, facts["absolute_max_bytes"]);
    assert_eq!(size.preferred_max_bytes, facts["preferred_max_bytes"]);
    let timeout = u64::try_from(orderer.batch_timeout.as_nanos()).unwrap();
    assert_eq!(timeout, expected["batch_timeout_ns"]);
    let known = &orderer.capabilities;
    let creation = known.use_channel_creation_policy_as_admins();
    for (found, name) in [
        (known.expiration_check(), "expiration_check"),
        (known.consensus_type_migration(), "consensus_type_migration"),
        (creation, "use_channel_creation_policy_as_admins"),
        (known.unknown().is_none(), "supported_error"),
    ] {
        assert_eq!(found, is_so(&expected["capabilities"][name]), "{name}");
    }
}

#[test]
fn what_follows_from_capabilities_is_what_follows_in_fabric() {
    let cases = conformance::read_lines("rules/configtx/bundle_facts.jsonl");
    for case in &cases {
        let config = Config::decode(base64(&case["config_b64"])).unwrap();
        let bundle = Bundle::new("mychannel", config);
        assert_eq!(bundle.is_ok(), case["bundle_error"].is_null(), "{case}");
        if let Ok(bundle) = bundle {
            let facts = &case["facts"];
            check_channel(&bundle, &facts["channel_capabilities"]);
            check_application(&bundle, &facts["application"]);
            check_orderer(&bundle, &facts["orderer"]);
        }
    }
    assert_eq!(cases.len(), 10);
}
