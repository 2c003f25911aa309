//! Guards against a block 0 that Fabric, or we ourselves, would not read.

use std::time::{Duration, SystemTime};

use quire_wire::Message;
use quire_wire::config::{
    BatchSize, BatchTimeout, Capabilities, Config, ConfigGroup, ConfigValue, Policy as WirePolicy,
    policy_type,
};
use quire_wire::msp::{FabricMspConfig, MspConfig};

use super::*;
use crate::msp::MspError;
use crate::organization::Organization;
use crate::policy::Policy;

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

fn bundle(root: ConfigGroup) -> Result<Bundle, BundleError> {
    let config = Config {
        sequence: 0,
        channel_group: Some(root),
    };
    Bundle::new("main", config)
}

fn organization(name: &str) -> FabricMspConfig {
    let dir = tempfile::tempdir().unwrap();
    let disk = quire_disk::os();
    let made = Organization::open_or_create(&disk, dir.path(), name, SystemTime::UNIX_EPOCH);
    made.unwrap().msp_config()
}

#[test]
fn what_was_written_into_block_0_is_read_back() {
    let group = genesis_group(&[organization("QuireOrg")], BATCH, "1m30s");
    let bytes = group.encode_to_vec();
    let bundle = bundle(ConfigGroup::decode(&bytes[..]).unwrap()).unwrap();
    let orderer = bundle.orderer().unwrap();
    assert_eq!(orderer.batch_size, BATCH);
    assert_eq!(orderer.batch_timeout, Duration::from_secs(90));
    assert_eq!(orderer.consensus_type.r#type, "solo");
    assert!(bundle.application_msp_ids().eq(["QuireOrg"]));
    assert!(bundle.orderer_msp_ids().eq(["QuireOrg"]));
    assert!(bundle.msps().get("QuireOrg").is_some());
    assert_eq!(bundle.check_capabilities(), Ok(()));
    assert_eq!(bundle.check_next(&bundle), Ok(()));
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
    let value = application.values["Capabilities"].value.clone();
    let capabilities = Capabilities::decode(value).unwrap();
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

/// What is said of block 0 after `change`.
fn read_changed(change: impl FnOnce(&mut ConfigGroup)) -> BundleError {
    let mut root = genesis();
    change(&mut root);
    bundle(root).unwrap_err()
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
    let value = |error: BundleError| match error {
        BundleError::Value(error) => error,
        other => panic!("{other}"),
    };
    let error = read_changed(|root| drop(orderer(root).values.remove(BATCH_SIZE)));
    let none = BatchSize::default();
    assert_eq!(value(error), ValueError::BatchSize(none));
    let error = read_changed(|root| {
        orderer(root).values.get_mut(BATCH_SIZE).unwrap().value = vec![0xff].into();
    });
    assert!(
        matches!(
            value(error.clone()),
            ValueError::Decode {
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
        assert_eq!(value(error), ValueError::BatchSize(size));
    }
    for timeout in ["", "0s", "soon"] {
        let timeout = timeout.to_owned();
        let message = BatchTimeout {
            timeout: timeout.clone(),
        };
        let error = read_changed(|root| put(orderer(root), BATCH_TIMEOUT, &message));
        assert_eq!(value(error), ValueError::BatchTimeout(timeout));
    }
    let idemix = MspConfig {
        r#type: 1,
        ..MspConfig::default()
    };
    let error = read_changed(|root| {
        let application = root.groups.get_mut(APPLICATION).unwrap();
        let organization = application.groups.get_mut("QuireOrg").unwrap();
        put(organization, MSP, &idemix);
    });
    let group = "QuireOrg".to_owned();
    assert_eq!(error, BundleError::MspKind { group, kind: 1 });
}

#[test]
fn a_configuration_of_10_mib_is_refused_before_anything_of_it_is_read() {
    let error = read_changed(|root| {
        let value = ConfigValue {
            value: vec![0; 10 << 20].into(),
            ..ConfigValue::default()
        };
        root.values.insert("HashingAlgorithm".to_owned(), value);
    });
    assert!(
        matches!(error, BundleError::TooLarge(bytes) if bytes > 10 << 20),
        "{error}"
    );
}

#[test]
fn an_msp_id_stands_for_one_organisation() {
    let mut root = genesis_group(&[organization("Org")], BATCH, "1s");
    let another = genesis_group(&[organization("Org")], BATCH, "1s");
    let theirs = another.groups[ORDERER].groups["Org"].clone();
    orderer(&mut root).groups.insert("Org".to_owned(), theirs);
    let refused = bundle(root).unwrap_err();
    let source = MspError::TwoVersions("Org".to_owned());
    let group = "Org".to_owned();
    assert_eq!(refused, BundleError::Msp { group, source });
}

/// Short leaves at the ends of long paths have thousands of times their own bytes.
#[test]
fn what_an_update_makes_a_node_hold_is_bounded_by_its_paths_and_not_by_its_bytes_alone() {
    let nested = |leaves: u32, name: &str| {
        let mut group = ConfigGroup::default();
        for leaf in 0..leaves {
            let value = ConfigValue::default();
            group.values.insert(format!("{leaf}"), value);
        }
        for _ in 0..40 {
            let groups = [(name.to_owned(), std::mem::take(&mut group))].into();
            group.groups = groups;
        }
        group
    };
    let long = "n".repeat(249);
    assert!(elements::flatten(&nested(100, &long)).is_ok());
    let many = nested(10_000, &long);
    assert!(many.encoded_len() < 500_000);
    let refused = elements::flatten(&many).unwrap_err();
    assert!(
        matches!(refused, elements::Unlisted::TooLong),
        "{refused:?}"
    );
    // A name that cannot be one is looked at before all that is below it.
    let refused = elements::flatten(&nested(10_000, &"n".repeat(250))).unwrap_err();
    match refused {
        elements::Unlisted::Name(place) => assert_eq!(place.path.len(), 2),
        other @ elements::Unlisted::TooLong => panic!("{other:?}"),
    }
}
