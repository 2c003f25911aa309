//! The file of `--collections-config`: a JSON list of collections.

use std::path::Path;

use quire_identity::policy::read_signature_policy;
use quire_wire::collection::{
    CollectionConfig, CollectionConfigPackage, CollectionPolicyConfig, StaticCollectionConfig,
};
use serde::Deserialize;

use super::definition::policy;
use crate::files;
use crate::peer::error::PeerError;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Collection {
    name: String,
    policy: String,
    required_peer_count: i32,
    max_peer_count: i32,
    block_to_live: u64,
    member_only_read: bool,
    member_only_write: bool,
    endorsement_policy: Option<EndorsementPolicy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EndorsementPolicy {
    signature_policy: String,
    channel_config_policy: String,
}

impl Default for Collection {
    fn default() -> Self {
        Self {
            name: String::new(),
            policy: String::new(),
            required_peer_count: 0,
            max_peer_count: 1,
            block_to_live: 0,
            member_only_read: false,
            member_only_write: false,
            endorsement_policy: None,
        }
    }
}

/// The collections in a file.
pub(super) fn read(path: &Path) -> Result<CollectionConfigPackage, PeerError> {
    let text = files::read(path)?;
    parse(&text).map_err(|source| PeerError::Collections {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

fn parse(text: &[u8]) -> Result<CollectionConfigPackage, PeerError> {
    let collections: Vec<Collection> =
        serde_json::from_slice(text).map_err(PeerError::CollectionsJson)?;
    let config = collections.into_iter().map(|one| {
        let members = read_signature_policy(&one.policy).map_err(|source| PeerError::Policy {
            text: one.policy.clone(),
            source,
        })?;
        let endorsement = one.endorsement_policy.unwrap_or_default();
        let (signatures, reference) = (
            &endorsement.signature_policy,
            &endorsement.channel_config_policy,
        );
        Ok(CollectionConfig {
            static_collection_config: Some(StaticCollectionConfig {
                name: one.name,
                member_orgs_policy: Some(CollectionPolicyConfig {
                    signature_policy: Some(members),
                }),
                required_peer_count: one.required_peer_count,
                maximum_peer_count: one.max_peer_count,
                block_to_live: one.block_to_live,
                member_only_read: one.member_only_read,
                member_only_write: one.member_only_write,
                endorsement_policy: policy(signatures, reference)?,
            }),
        })
    });
    Ok(CollectionConfigPackage {
        config: config.collect::<Result<_, PeerError>>()?,
    })
}

#[cfg(test)]
mod tests {
    use quire_wire::collection::PolicyKind;

    use super::*;

    #[test]
    fn collections_have_fabrics_defaults_and_may_have_a_policy_of_their_own() {
        let read = parse(
            br#"[{"name":"a","policy":"OR('Org1MSP.member')"},
                 {"name":"b","policy":"OR('Org1MSP.member')","requiredPeerCount":1,"maxPeerCount":3,"blockToLive":7,
                  "memberOnlyRead":true,"endorsementPolicy":{"channelConfigPolicy":"/Channel/Application/Readers"}}]"#,
        );
        let collections: Vec<_> = read
            .unwrap()
            .config
            .into_iter()
            .map(|one| one.static_collection_config.unwrap())
            .collect();
        let [a, b] = &collections[..] else {
            panic!("{collections:?}")
        };
        assert_eq!((a.required_peer_count, a.maximum_peer_count), (0, 1));
        assert_eq!((&*a.name, &a.endorsement_policy), ("a", &None));
        assert_eq!((b.required_peer_count, b.maximum_peer_count), (1, 3));
        assert_eq!(
            (b.block_to_live, b.member_only_read, b.member_only_write),
            (7, true, false)
        );
        let reference = b.endorsement_policy.clone().unwrap().r#type.unwrap();
        let expected =
            PolicyKind::ChannelConfigPolicyReference("/Channel/Application/Readers".to_owned());
        assert_eq!(reference, expected);
        for text in [&b"{}"[..], br#"[{"name":"a","policy":"OR("}]"#, b"no JSON"] {
            assert!(parse(text).is_err());
        }
    }
}
