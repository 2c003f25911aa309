use bytes::Bytes;
use quire_testkit::conformance;
use quire_wire::Message as _;
use quire_wire::collection::CollectionConfigPackage;
use quire_wire::lifecycle::{ChaincodeEndorsementInfo, ChaincodeValidationInfo};
use serde_json::Value;

use super::super::memory::{Ids, Memory, TwoOrgs, two_orgs};
use super::*;

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_default()
}

fn bytes(case: &Value, name: &str) -> Bytes {
    hex::decode(text(case, name)).unwrap().into()
}

fn definition(case: &Value) -> Definition {
    Definition {
        sequence: case["sequence"].as_i64().unwrap(),
        parameters: Parameters {
            endorsement: ChaincodeEndorsementInfo {
                version: text(case, "version").to_owned(),
                init_required: case["init_required"].as_bool().unwrap(),
                endorsement_plugin: text(case, "endorsement_plugin").to_owned(),
            },
            validation: ChaincodeValidationInfo {
                validation_plugin: text(case, "validation_plugin").to_owned(),
                validation_parameter: bytes(case, "validation_parameter_hex"),
            },
            collections: CollectionConfigPackage::decode(bytes(case, "collections_hex")).unwrap(),
        },
    }
}

/// The keys and values that a step wrote, as they are recorded.
fn check_written(state: &mut Memory, organization: Option<&str>, expected: &Value, case: &Value) {
    let expected = expected.as_array().map(Vec::as_slice).unwrap_or_default();
    let expected = expected.iter().map(|write| {
        let value = (text(write, "op") == "put").then(|| bytes(write, "value_hex"));
        (
            (
                organization.map(str::to_owned),
                text(write, "key").to_owned(),
            ),
            value,
        )
    });
    assert_eq!(state.take_written(), expected.collect::<Vec<_>>(), "{case}");
}

fn as_json<T: serde::Serialize>(value: T) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn approvals_checks_and_commits_do_to_state_what_fabric_does() {
    let mut state = Memory::default();
    let config = TwoOrgs::default();
    let cases = conformance::read_lines("rules/privdata/lifecycle_state.jsonl");
    assert!(cases.len() > 25);
    for case in &cases {
        let mut definitions = Definitions {
            channel: "testchannel",
            config: &config,
            state: &mut state,
        };
        let proposed = &case["definition"];
        let (name, mut proposed) = (text(proposed, "name"), definition(proposed));
        let (readiness, organization, writes) = match text(case, "op") {
            "approve" => {
                let approval = Approval {
                    definition: proposed,
                    package_id: text(case, "package_id").to_owned(),
                };
                let organization = text(case, "org");
                let done = definitions.approve(organization, name, approval);
                let done = done.map(|()| Readiness::default());
                (done, Some(organization), "org_writes")
            }
            "commit" => {
                let done = definitions.commit(name, proposed, &two_orgs());
                (done, None, "public_writes")
            }
            _ => {
                let done = definitions.readiness(name, &mut proposed, &two_orgs());
                (done, None, "")
            }
        };
        check_written(&mut state, organization, &case[writes], case);
        match readiness {
            Err(error) => assert_eq!(error.to_string(), text(case, "error"), "{case}"),
            Ok(readiness) => {
                assert!(case["error"].is_null(), "{case}");
                if text(case, "op") != "approve" {
                    assert_eq!(as_json(&readiness.approvals), case["approvals"], "{case}");
                }
                if !case["mismatches"].is_null() {
                    assert_eq!(as_json(&readiness.mismatches), case["mismatches"], "{case}");
                }
            }
        }
    }
}

#[test]
fn a_channel_without_the_default_policy_has_no_definition_without_one() {
    let mut state = Memory::default();
    let config = TwoOrgs {
        has_default_policy: false,
        ..TwoOrgs::default()
    };
    let mut definitions = Definitions {
        channel: "main",
        config: &config,
        state: &mut state,
    };
    let mut definition = Definition {
        sequence: 1,
        ..Definition::default()
    };
    let refused = definitions
        .commit("cc", definition.clone(), &two_orgs())
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("must be defined for channel 'main'"),
        "{refused}"
    );
    definition.parameters.validation.validation_parameter = "a policy".into();
    definitions.commit("cc", definition, &two_orgs()).unwrap();
}

#[test]
fn what_is_kept_is_read_again() {
    let mut state = Memory::default();
    let config = TwoOrgs::default();
    let mut definitions = Definitions {
        channel: "main",
        config: &config,
        state: &mut state,
    };
    let of = |sequence, version: &str| {
        let mut definition = Definition {
            sequence,
            ..Definition::default()
        };
        version.clone_into(&mut definition.parameters.endorsement.version);
        definition
    };
    let mut approve = |name: &str, sequence, version| {
        let package_id = format!("{name}:{sequence}");
        let definition = of(sequence, version);
        let approval = Approval {
            definition,
            package_id,
        };
        definitions.approve("Org1MSP", name, approval).unwrap();
        if sequence == 1 {
            definitions
                .commit(name, of(1, version), &two_orgs())
                .unwrap();
        }
    };
    approve("b", 1, "v1");
    approve("b", 2, "v2");
    approve("a", 1, "v1");

    let version = |definition: &Definition| definition.parameters.endorsement.version.clone();
    let all = definitions.definitions().unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|(name, found)| (&**name, version(found)))
        .collect();
    assert_eq!(all, [("a", "v1".to_owned()), ("b", "v1".to_owned())]);
    assert!(matches!(
        definitions.definition("c"),
        Err(LifecycleError::NotDefined(_))
    ));

    let none = Ids(Vec::new());
    let newest = definitions.approved("Org1MSP", "b", 0, &none).unwrap();
    assert_eq!(
        (version(&newest.definition), &*newest.package_id),
        ("v2".to_owned(), "b:2")
    );
    let first = definitions.approved("Org1MSP", "b", 1, &none).unwrap();
    assert_eq!(version(&first.definition), "v1");
    let missing = definitions.approved("Org2MSP", "b", 0, &none).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "could not fetch approved chaincode definition (name: 'b', sequence: '1') on channel 'main'"
    );
    let all = definitions.all_approved("Org1MSP").unwrap();
    let all: Vec<_> = all.iter().map(|(_, found)| &*found.package_id).collect();
    assert_eq!(all, ["a:1", "b:1", "b:2"]);
}

#[test]
fn what_nobody_could_have_written_is_told_and_not_gone_by() {
    let config = TwoOrgs::default();
    for (key, value) in [
        ("namespaces/metadata/cc", &b"\xff"[..]),
        ("namespaces/metadata/cc", b"\x0a\x05Other"),
        ("namespaces/fields/cc/Sequence", b"\x1a\x011"),
        ("namespaces/fields/cc/Sequence", b"\xff"),
        ("namespaces/fields/cc/Collections", b"\x12\x01\xff"),
        ("namespaces/fields/cc/ValidationInfo", b"\x08\x01"),
    ] {
        let mut state = Memory::default();
        let mut definitions = Definitions {
            channel: "main",
            config: &config,
            state: &mut state,
        };
        let definition = Definition {
            sequence: 1,
            ..Definition::default()
        };
        definitions.commit("cc", definition, &two_orgs()).unwrap();
        definitions
            .state
            .put(Place::Public, key, Bytes::from_static(value));
        let found = definitions.definition("cc");
        assert!(
            matches!(found, Err(LifecycleError::State(_))),
            "{key} {found:?}"
        );
    }
}

#[test]
fn what_another_node_of_the_organisation_approved_is_known_by_its_hashes() {
    let mut state = Memory::default();
    let config = TwoOrgs::default();
    let of = |sequence, package: &str| Approval {
        definition: Definition {
            sequence,
            ..Definition::default()
        },
        package_id: package.to_owned(),
    };
    let on = |state: &mut Memory, case: &mut dyn FnMut(&mut Definitions<'_>)| {
        case(&mut Definitions {
            channel: "main",
            config: &config,
            state,
        });
    };
    on(&mut state, &mut |there| {
        there.approve("Org1MSP", "cc", of(1, "cc:1")).unwrap();
        let definition = of(1, "").definition;
        there.commit("cc", definition, &two_orgs()).unwrap();
        there.approve("Org1MSP", "cc", of(2, "cc:2")).unwrap();
    });
    state.is_elsewhere = true;
    state.take_written();
    let (both, none) = (Ids(vec!["other:1", "cc:1"]), Ids(Vec::new()));
    on(&mut state, &mut |here| {
        let found = here.approved("Org1MSP", "cc", 1, &both).unwrap();
        let committed = here.definition("cc").unwrap();
        assert_eq!((found.definition, &*found.package_id), (committed, "cc:1"));
        for (sequence, packages) in [(1, &none), (2, &both), (0, &both)] {
            let unknown = here.approved("Org1MSP", "cc", sequence, packages);
            assert!(is_elsewhere(&unknown.unwrap_err()), "{sequence}");
        }
        for (sequence, package, why) in [(1, "cc:1", "current committed"), (2, "cc:2", "unchanged")]
        {
            let again = here.approve("Org1MSP", "cc", of(sequence, package));
            assert!(again.unwrap_err().to_string().contains(why), "{why}");
        }
    });
    assert_eq!(state.take_written(), []);
    on(&mut state, &mut |here| {
        here.approve("Org1MSP", "cc", of(2, "cc:3")).unwrap();
    });
    let written = state.take_written().into_iter();
    let written: Vec<_> = written.map(|((_, key), _)| key).collect();
    assert_eq!(written, ["chaincode-sources/fields/cc#2/PackageID"]);
}
