//! A configuration in people's words: what it says, a line each, and what two of them differ in.

use std::collections::BTreeMap;

use quire_wire::Message as _;
use quire_wire::config::{
    Acls, AnchorPeers, BatchSize, BatchTimeout, Capabilities, Config, ConfigGroup, ConfigPolicy,
    ConfigValue, ConsensusType, ImplicitMetaPolicy, OrdererAddresses, SignaturePolicyEnvelope,
    policy_type,
};
use quire_wire::hash::sha256;
use quire_wire::msp::{FabricMspConfig, MspConfig};

use super::elements::ROOT;
use super::{BATCH_SIZE, BATCH_TIMEOUT, CAPABILITIES, CONSENSUS_TYPE, MSP};
use crate::policy::{write_implicit_policy, write_signature_policy};

/// Bytes of a digest that are shown of what has no words.
const DIGEST_BYTES: usize = 6;

/// What a configuration says: names of settings, and what they are set to.
#[must_use]
pub fn words(config: &Config) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    if let Some(root) = &config.channel_group {
        describe(ROOT, root, &mut words);
    }
    words
}

/// What differs between two configurations, a line each: `batch-size.max-messages: 500 -> 200`.
#[must_use]
pub fn difference(before: &Config, after: &Config) -> Vec<String> {
    let (before, after) = (words(before), words(after));
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    let gone = gone.map(|(name, value)| format!("{name}: {value} -> nothing"));
    let changed = after
        .iter()
        .filter_map(|(name, value)| match before.get(name) {
            Some(same) if same == value => None,
            Some(other) => Some(format!("{name}: {other} -> {value}")),
            None => Some(format!("{name}: nothing -> {value}")),
        });
    gone.chain(changed).collect()
}

fn describe(path: &str, group: &ConfigGroup, words: &mut BTreeMap<String, String>) {
    words.insert(format!("mod-policy /{path}"), group.mod_policy.clone());
    for (name, value) in &group.values {
        describe_value(path, name, value, words);
        let place = format!("mod-policy /{path}/{name}");
        words.insert(place, value.mod_policy.clone());
    }
    for (name, policy) in &group.policies {
        words.insert(format!("policy /{path}/{name}"), policy_words(policy));
    }
    for (name, below) in &group.groups {
        describe(&format!("{path}/{name}"), below, words);
    }
}

/// The text of a policy, or what can be said of one that the language has no words for.
pub(super) fn policy_words(policy: &ConfigPolicy) -> String {
    let Some(policy) = &policy.policy else {
        return "nothing".to_owned();
    };
    let text = match policy.r#type {
        policy_type::SIGNATURE => SignaturePolicyEnvelope::decode(policy.value.clone())
            .ok()
            .and_then(|envelope| write_signature_policy(&envelope)),
        policy_type::IMPLICIT_META => ImplicitMetaPolicy::decode(policy.value.clone())
            .ok()
            .and_then(|implicit| write_implicit_policy(&implicit)),
        _ => None,
    };
    text.unwrap_or_else(|| digest("a policy", &policy.value))
}

fn digest(what: &str, bytes: &[u8]) -> String {
    let digest = sha256([bytes]);
    let shown = digest.get(..DIGEST_BYTES).unwrap_or(&digest);
    format!(
        "{what} of {} bytes, sha256 {}…",
        bytes.len(),
        hex::encode(shown)
    )
}

fn describe_value(
    path: &str,
    name: &str,
    value: &ConfigValue,
    words: &mut BTreeMap<String, String>,
) {
    let bytes = value.value.clone();
    let mut put = |name: String, value: String| {
        words.insert(name, value);
    };
    let described = match name {
        BATCH_SIZE => BatchSize::decode(bytes).map(|size| {
            put(
                "batch-size.max-messages".to_owned(),
                size.max_message_count.to_string(),
            );
            put(
                "batch-size.absolute-max-bytes".to_owned(),
                size.absolute_max_bytes.to_string(),
            );
            put(
                "batch-size.preferred-max-bytes".to_owned(),
                size.preferred_max_bytes.to_string(),
            );
        }),
        BATCH_TIMEOUT => BatchTimeout::decode(bytes)
            .map(|timeout| put("batch-timeout".to_owned(), timeout.timeout)),
        CONSENSUS_TYPE => ConsensusType::decode(bytes).map(|kind| {
            put("consensus-type".to_owned(), kind.r#type);
            put("consensus-state".to_owned(), kind.state.to_string());
            put(
                "consensus-metadata".to_owned(),
                digest("metadata", &kind.metadata),
            );
        }),
        CAPABILITIES => Capabilities::decode(bytes).map(|capabilities| {
            let names = capabilities.capabilities.into_iter().map(|one| one.name);
            let names: Vec<_> = names.collect();
            put(format!("capabilities /{path}"), names.join(" "));
        }),
        "ACLs" => Acls::decode(bytes).map(|acls| {
            for (function, acl) in acls.acls {
                put(format!("acl.{function}"), acl.policy_ref);
            }
        }),
        "AnchorPeers" => AnchorPeers::decode(bytes).map(|anchors| {
            let peers = anchors.anchor_peers.iter();
            let peers: Vec<_> = peers
                .map(|peer| format!("{}:{}", peer.host, peer.port))
                .collect();
            put(format!("anchor-peers /{path}"), peers.join(" "));
        }),
        "Endpoints" | "OrdererAddresses" => OrdererAddresses::decode(bytes)
            .map(|endpoints| put(format!("endpoints /{path}"), endpoints.addresses.join(" "))),
        MSP => MspConfig::decode(bytes).and_then(|msp| {
            let config = FabricMspConfig::decode(msp.config.clone())?;
            describe_msp(path, &config, &mut put);
            Ok(())
        }),
        _ => {
            put(format!("value /{path}/{name}"), digest("a value", &bytes));
            Ok(())
        }
    };
    if described.is_err() {
        let what = digest("an unreadable value", &value.value);
        words.insert(format!("value /{path}/{name}"), what);
    }
}

fn describe_msp(path: &str, config: &FabricMspConfig, put: &mut impl FnMut(String, String)) {
    put(format!("msp-id /{path}"), config.name.clone());
    let lists = [
        ("root-cas", &config.root_certs),
        ("intermediate-cas", &config.intermediate_certs),
        ("admins", &config.admins),
        ("revocation-lists", &config.revocation_list),
        ("tls-root-cas", &config.tls_root_certs),
        ("tls-intermediate-cas", &config.tls_intermediate_certs),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            let digests: Vec<_> = list.iter().map(|one| digest("one", one)).collect();
            put(format!("{name} /{path}"), digests.join("; "));
        }
    }
    let rest = FabricMspConfig {
        root_certs: Vec::new(),
        intermediate_certs: Vec::new(),
        admins: Vec::new(),
        revocation_list: Vec::new(),
        tls_root_certs: Vec::new(),
        tls_intermediate_certs: Vec::new(),
        ..config.clone()
    };
    let rest = digest("units and hash functions", &rest.encode_to_vec());
    put(format!("msp /{path}"), rest);
}
