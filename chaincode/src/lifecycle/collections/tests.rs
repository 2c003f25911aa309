use quire_identity::{Msp, MspVersion};
use quire_testkit::conformance;
use quire_wire::msp::{FabricMspConfig, FabricNodeOus, FabricOuIdentifier};
use std::collections::BTreeMap;

use super::*;

/// A channel of the organisations whose CAs are recorded.
#[derive(Debug)]
struct Channel(BTreeMap<String, Msp>);

impl Channel {
    fn recorded() -> Self {
        let cas = conformance::read_text("rules/privdata/collection_validation_cas.json");
        let cas: BTreeMap<String, String> = serde_json::from_str(&cas).unwrap();
        let unit = |name: &str| {
            Some(FabricOuIdentifier {
                organizational_unit_identifier: name.to_owned(),
                ..FabricOuIdentifier::default()
            })
        };
        let units = FabricNodeOus {
            enable: true,
            client_ou_identifier: unit("client"),
            peer_ou_identifier: unit("peer"),
            admin_ou_identifier: unit("admin"),
            orderer_ou_identifier: unit("orderer"),
        };
        let msp = |(name, ca): (String, String)| {
            let config = FabricMspConfig {
                name: name.clone(),
                root_certs: vec![ca.into()],
                fabric_node_ous: Some(units.clone()),
                ..FabricMspConfig::default()
            };
            let version = MspVersion::of_capabilities(["V2_0"]);
            (name, Msp::from_config(&config, version).unwrap())
        };
        Self(cas.into_iter().map(msp).collect())
    }
}

impl ChannelConfig for Channel {
    fn application_organizations(&self) -> Option<Vec<String>> {
        Some(Vec::new())
    }

    fn has_lifecycle(&self) -> bool {
        true
    }

    fn has_policy(&self, _path: &str) -> bool {
        true
    }

    fn has_organization(&self, msp_id: &str) -> bool {
        self.0.contains_key(msp_id)
    }

    fn has_identity(&self, serialized: &[u8]) -> bool {
        self.0
            .values()
            .any(|msp| msp.deserialize(serialized).is_ok())
    }
}

#[test]
fn collections_are_accepted_as_fabric_accepts_them() {
    let channel = Channel::recorded();
    assert_eq!(channel.0.len(), 3);
    let cases = conformance::read_lines("rules/privdata/collection_validation.jsonl");
    assert!(cases.len() > 45);
    for case in cases {
        let package = |name: &str| {
            let bytes = hex::decode(case[name].as_str()?).unwrap();
            Some(CollectionConfigPackage::decode(&*bytes).unwrap())
        };
        let committed = package("committed_hex");
        let proposed = package("package_hex").unwrap();
        let found = check(&proposed, &channel);
        let found = found.and_then(|()| check_succession(&proposed, committed.as_ref()));
        assert_eq!(
            case["accepted"].as_bool(),
            Some(found.is_ok()),
            "{case} {found:?}"
        );
        if let Err(found) = found {
            let (found, error) = (found.to_string(), case["error"].as_str().unwrap());
            // Fabric goes on about what the protobuf library and the policy's compiler say.
            let is_told_otherwise = ["cannot unmarshal", "invalid member org policy"];
            let shared = is_told_otherwise
                .into_iter()
                .find(|text| error.contains(text));
            match shared {
                Some(shared) => assert!(found.contains(shared), "{found}: {error}"),
                None => assert_eq!(found, error),
            }
        }
    }
}
