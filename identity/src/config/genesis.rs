//! The configuration of a new channel, as Fabric's `configtxgen` writes it.

use std::collections::BTreeMap;

use quire_wire::Message;
use quire_wire::config::{
    BatchSize, BatchTimeout, BlockDataHashingStructure, Capabilities, Capability, CapabilityEntry,
    ChannelRestrictions, ConfigGroup, ConfigPolicy, ConfigValue, ConsensusType, HashingAlgorithm,
    ImplicitMetaPolicy, NOutOf, OrdererAddresses, Policy, SignaturePolicy, SignaturePolicyEnvelope,
    SignatureRule, implicit_meta_rule, policy_type,
};
use quire_wire::msp::{
    FabricMspConfig, MspConfig, MspPrincipal, MspRole, principal_classification, role,
};

use super::{
    ADMINS, APPLICATION, BATCH_SIZE, BATCH_TIMEOUT, CAPABILITIES, CONSENSUS_TYPE, MSP, ORDERER,
    X509_MSP,
};

const READERS: &str = "Readers";
const WRITERS: &str = "Writers";
const ENDORSEMENT: &str = "Endorsement";

/// The root group of a channel whose organisations each submit, endorse and order.
/// `batch_timeout` is in Go's notation, such as `2s`.
#[must_use]
pub fn genesis_group(
    msps: &[FabricMspConfig],
    batch: BatchSize,
    batch_timeout: &str,
) -> ConfigGroup {
    ConfigGroup {
        groups: named([
            (APPLICATION, application_group(msps)),
            (ORDERER, orderer_group(msps, batch, batch_timeout)),
        ]),
        values: named([
            (
                "HashingAlgorithm",
                value(&HashingAlgorithm {
                    name: "SHA256".to_owned(),
                }),
            ),
            (
                "BlockDataHashingStructure",
                value(&BlockDataHashingStructure { width: u32::MAX }),
            ),
            (CAPABILITIES, capability("V2_0")),
        ]),
        policies: named(implicit_policies()),
        ..group()
    }
}

fn application_group(msps: &[FabricMspConfig]) -> ConfigGroup {
    let mut policies = named(implicit_policies());
    for name in [ENDORSEMENT, "LifecycleEndorsement"] {
        let policy = implicit(implicit_meta_rule::MAJORITY, ENDORSEMENT);
        policies.insert(name.to_owned(), policy);
    }
    ConfigGroup {
        groups: organizations(msps, organization_group),
        values: named([(CAPABILITIES, capability("V2_5"))]),
        policies,
        ..group()
    }
}

/// The group of an organisation that submits and endorses, as `configtxgen -printOrg` makes it.
#[must_use]
pub fn organization_group(msp: &FabricMspConfig) -> ConfigGroup {
    let id = &msp.name;
    ConfigGroup {
        values: named([(MSP, msp_value(msp))]),
        policies: named([
            (
                READERS,
                signed_by_any(id, &[role::ADMIN, role::PEER, role::CLIENT]),
            ),
            (WRITERS, signed_by_any(id, &[role::ADMIN, role::CLIENT])),
            (ADMINS, signed_by_any(id, &[role::ADMIN])),
            (ENDORSEMENT, signed_by_any(id, &[role::PEER])),
        ]),
        ..group()
    }
}

fn orderer_group(msps: &[FabricMspConfig], batch: BatchSize, batch_timeout: &str) -> ConfigGroup {
    let consensus_type = ConsensusType {
        r#type: "solo".to_owned(),
        ..ConsensusType::default()
    };
    let timeout = BatchTimeout {
        timeout: batch_timeout.to_owned(),
    };
    let mut policies = named(implicit_policies());
    let policy = implicit(implicit_meta_rule::ANY, WRITERS);
    policies.insert("BlockValidation".to_owned(), policy);
    ConfigGroup {
        groups: organizations(msps, orderer_organization),
        values: named([
            (CONSENSUS_TYPE, value(&consensus_type)),
            (BATCH_SIZE, value(&batch)),
            (BATCH_TIMEOUT, value(&timeout)),
            (
                "ChannelRestrictions",
                value(&ChannelRestrictions::default()),
            ),
            (CAPABILITIES, capability("V2_0")),
        ]),
        policies,
        ..group()
    }
}

/// Endpoints are empty: nobody orders over the network here.
fn orderer_organization(msp: &FabricMspConfig) -> ConfigGroup {
    let id = &msp.name;
    ConfigGroup {
        values: named([
            (MSP, msp_value(msp)),
            ("Endpoints", value(&OrdererAddresses::default())),
        ]),
        policies: named([
            (READERS, signed_by_any(id, &[role::MEMBER])),
            (WRITERS, signed_by_any(id, &[role::MEMBER])),
            (ADMINS, signed_by_any(id, &[role::ADMIN])),
        ]),
        ..group()
    }
}

/// An empty group that administrators may change.
fn group() -> ConfigGroup {
    ConfigGroup {
        mod_policy: ADMINS.to_owned(),
        ..ConfigGroup::default()
    }
}

fn organizations(
    msps: &[FabricMspConfig],
    organization: impl Fn(&FabricMspConfig) -> ConfigGroup,
) -> BTreeMap<String, ConfigGroup> {
    let groups = msps.iter().map(|msp| (msp.name.clone(), organization(msp)));
    groups.collect()
}

fn value(message: &impl Message) -> ConfigValue {
    ConfigValue {
        version: 0,
        value: message.encode_to_vec().into(),
        mod_policy: ADMINS.to_owned(),
    }
}

fn msp_value(msp: &FabricMspConfig) -> ConfigValue {
    value(&MspConfig {
        r#type: X509_MSP,
        config: msp.encode_to_vec().into(),
    })
}

fn capability(name: &str) -> ConfigValue {
    value(&Capabilities {
        capabilities: vec![CapabilityEntry {
            name: name.to_owned(),
            capability: Some(Capability {}),
        }],
    })
}

fn implicit_policies() -> [(&'static str, ConfigPolicy); 3] {
    [
        (READERS, implicit(implicit_meta_rule::ANY, READERS)),
        (WRITERS, implicit(implicit_meta_rule::ANY, WRITERS)),
        (ADMINS, implicit(implicit_meta_rule::MAJORITY, ADMINS)),
    ]
}

fn implicit(rule: i32, sub_policy: &str) -> ConfigPolicy {
    let sub_policy = sub_policy.to_owned();
    let policy = ImplicitMetaPolicy { sub_policy, rule };
    config_policy(policy_type::IMPLICIT_META, &policy)
}

/// One signature suffices, by a member with one of the roles.
fn signed_by_any(msp_id: &str, roles: &[i32]) -> ConfigPolicy {
    let principal = |role: &i32| MspPrincipal {
        principal_classification: principal_classification::ROLE,
        principal: MspRole {
            msp_identifier: msp_id.to_owned(),
            role: *role,
        }
        .encode_to_vec()
        .into(),
    };
    let leaf = |index| SignaturePolicy {
        rule: Some(SignatureRule::SignedBy(index)),
    };
    let any = NOutOf {
        n: 1,
        rules: (0..).take(roles.len()).map(leaf).collect(),
    };
    let envelope = SignaturePolicyEnvelope {
        version: 0,
        rule: Some(SignaturePolicy {
            rule: Some(SignatureRule::NOutOf(any)),
        }),
        identities: roles.iter().map(principal).collect(),
    };
    config_policy(policy_type::SIGNATURE, &envelope)
}

fn config_policy(kind: i32, message: &impl Message) -> ConfigPolicy {
    ConfigPolicy {
        version: 0,
        policy: Some(Policy {
            r#type: kind,
            value: message.encode_to_vec().into(),
        }),
        mod_policy: ADMINS.to_owned(),
    }
}

fn named<T, const N: usize>(entries: [(&str, T); N]) -> BTreeMap<String, T> {
    entries.map(|(name, entry)| (name.to_owned(), entry)).into()
}
