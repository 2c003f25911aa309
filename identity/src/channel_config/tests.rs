//! Guards against a block 0 that Fabric, or we ourselves, would not read.

use super::*;
use crate::policy::Policy;
use quire_wire::config::{Capabilities, ConfigValue, Policy as WirePolicy, policy_type};

const BATCH: BatchSize = BatchSize {
    max_message_count: 500,
    absolute_max_bytes: 10 << 20,
    preferred_max_bytes: 2 << 20,
};

fn msp(name: &str) -> FabricMspConfig {
    FabricMspConfig {
        name: name.to_owned(),
        ..FabricMspConfig::default()
    }
}

fn genesis() -> ConfigGroup {
    genesis_group(&[msp("QuireOrg")], BATCH, "1m30s")
}

#[test]
fn what_was_written_into_block_0_is_read_back() {
    let bytes = genesis().encode_to_vec();
    let config = ChannelConfig::from_group(&ConfigGroup::decode(&bytes[..]).unwrap()).unwrap();
    let expected = ChannelConfig {
        application: vec![msp("QuireOrg")],
        orderer: vec![msp("QuireOrg")],
        batch_size: BATCH,
        batch_timeout: Duration::from_secs(90),
        consensus_type: "solo".to_owned(),
        msp_version: MspVersion::V1_4_3,
    };
    assert_eq!(config, expected);
}

/// Names of everything in a tree, one path a line; all of it may be changed by administrators.
fn outline(path: &str, group: &ConfigGroup, lines: &mut Vec<String>) {
    assert_eq!(group.mod_policy, "Admins", "{path}");
    for (name, value) in &group.values {
        assert_eq!(value.mod_policy, "Admins", "{path}/{name}");
        lines.push(format!("{path} {name}"));
    }
    for (name, policy) in &group.policies {
        assert_eq!(policy.mod_policy, "Admins", "{path}/{name}");
        let kind = policy
            .policy
            .as_ref()
            .map(|policy: &WirePolicy| policy.r#type);
        let kind = match kind {
            Some(policy_type::SIGNATURE) => "signature",
            Some(policy_type::IMPLICIT_META) => "implicit",
            other => panic!("{path}/{name}: {other:?}"),
        };
        lines.push(format!("{path} {kind} {name}"));
    }
    for (name, below) in &group.groups {
        outline(&format!("{path}/{name}"), below, lines);
    }
}

#[test]
fn the_tree_is_the_one_that_configtxgen_makes() {
    let mut lines = Vec::new();
    outline("", &genesis(), &mut lines);
    assert_eq!(
        lines,
        [
            " BlockDataHashingStructure",
            " Capabilities",
            " HashingAlgorithm",
            " implicit Admins",
            " implicit Readers",
            " implicit Writers",
            "/Application Capabilities",
            "/Application implicit Admins",
            "/Application implicit Endorsement",
            "/Application implicit LifecycleEndorsement",
            "/Application implicit Readers",
            "/Application implicit Writers",
            "/Application/QuireOrg MSP",
            "/Application/QuireOrg signature Admins",
            "/Application/QuireOrg signature Endorsement",
            "/Application/QuireOrg signature Readers",
            "/Application/QuireOrg signature Writers",
            "/Orderer BatchSize",
            "/Orderer BatchTimeout",
            "/Orderer Capabilities",
            "/Orderer ChannelRestrictions",
            "/Orderer ConsensusType",
            "/Orderer implicit Admins",
            "/Orderer implicit BlockValidation",
            "/Orderer implicit Readers",
            "/Orderer implicit Writers",
            "/Orderer/QuireOrg Endpoints",
            "/Orderer/QuireOrg MSP",
            "/Orderer/QuireOrg signature Admins",
            "/Orderer/QuireOrg signature Readers",
            "/Orderer/QuireOrg signature Writers",
        ]
    );
    let application = &genesis().groups[APPLICATION];
    let capabilities: Capabilities = value("", application, "Capabilities").unwrap();
    assert!(
        capabilities
            .capabilities
            .iter()
            .map(|entry| &entry.name)
            .eq(["V2_5"])
    );
    // As Fabric writes it: an entry's empty message too.
    let v2_0 = genesis().values["Capabilities"].clone();
    assert_eq!(
        v2_0.value,
        [0x0a, 8, 0x0a, 4, b'V', b'2', b'_', b'0', 0x12, 0].as_slice()
    );
}

#[test]
fn every_policy_of_block_0_can_be_evaluated() {
    let root = genesis();
    let mut lines = Vec::new();
    outline("", &root, &mut lines);
    for line in lines {
        let parts: Vec<_> = line.split(' ').collect();
        if let [path, _, name] = parts[..] {
            let policy = Policy::at(&root, &format!("/Channel{path}/{name}")).unwrap();
            assert!(!policy.is_satisfied_by(&[]), "{line}");
        }
    }
}

/// What reading says after `change`.
fn read_changed(change: impl FnOnce(&mut ConfigGroup)) -> ChannelConfigError {
    let mut root = genesis();
    change(&mut root);
    ChannelConfig::from_group(&root).unwrap_err()
}

fn orderer(root: &mut ConfigGroup) -> &mut ConfigGroup {
    root.groups.get_mut(ORDERER).unwrap()
}

fn put(group: &mut ConfigGroup, name: &str, message: &impl Message) {
    let value = message.encode_to_vec().into();
    let value = ConfigValue {
        value,
        ..ConfigValue::default()
    };
    group.values.insert(name.to_owned(), value);
}

#[test]
fn what_is_missing_or_broken_is_named() {
    let error = read_changed(|root| drop(root.groups.remove(APPLICATION)));
    assert_eq!(error, ChannelConfigError::NoGroup(APPLICATION));
    let error = read_changed(|root| drop(orderer(root).values.remove(BATCH_SIZE)));
    let (group, value) = (ORDERER.to_owned(), BATCH_SIZE);
    assert_eq!(error, ChannelConfigError::NoValue { group, value });
    let error = read_changed(|root| {
        orderer(root).values.get_mut(BATCH_SIZE).unwrap().value = vec![0xff].into();
    });
    assert!(
        matches!(
            error,
            ChannelConfigError::Value {
                value: BATCH_SIZE,
                ..
            }
        ),
        "{error}"
    );
    for size in [(0, 2, 1), (1, 2, 0), (1, 1, 2)] {
        let size = BatchSize {
            max_message_count: size.0,
            absolute_max_bytes: size.1,
            preferred_max_bytes: size.2,
        };
        let error = read_changed(|root| put(orderer(root), BATCH_SIZE, &size));
        assert_eq!(error, ChannelConfigError::BatchSize(size));
    }
    for timeout in ["", "0s", "soon"] {
        let timeout = timeout.to_owned();
        let message = BatchTimeout {
            timeout: timeout.clone(),
        };
        let error = read_changed(|root| put(orderer(root), BATCH_TIMEOUT, &message));
        assert_eq!(error, ChannelConfigError::BatchTimeout(timeout));
    }
    let idemix = MspConfig {
        r#type: 1,
        ..MspConfig::default()
    };
    let error = read_changed(|root| {
        put(
            orderer(root).groups.get_mut("QuireOrg").unwrap(),
            MSP,
            &idemix,
        );
    });
    let group = "QuireOrg".to_owned();
    assert_eq!(error, ChannelConfigError::MspKind { group, kind: 1 });
}

#[test]
fn an_msp_id_stands_for_one_organisation() {
    let config = ChannelConfig {
        application: vec![msp("Org")],
        orderer: vec![FabricMspConfig {
            root_certs: vec!["another CA".into()],
            ..msp("Org")
        }],
        batch_size: BATCH,
        batch_timeout: Duration::from_secs(1),
        consensus_type: "solo".to_owned(),
        msp_version: MspVersion::V1_4_3,
    };
    let refused = config.msps().unwrap_err();
    assert_eq!(refused, MspError::TwoVersions("Org".to_owned()));
}
