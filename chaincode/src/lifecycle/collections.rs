//! Whether the collections of a definition can be had on a channel, and in place of those before.

use std::collections::BTreeSet;

use bytes::Bytes;
use quire_identity::{Policy, PolicyError};
use quire_wire::Message as _;
use quire_wire::collection::{CollectionConfigPackage, StaticCollectionConfig};
use quire_wire::config::{SignaturePolicy, SignaturePolicyEnvelope, SignatureRule};
use quire_wire::msp::{MspPrincipal, MspRole, OrganizationUnit, principal_classification};

use super::config::ChannelConfig;
use super::name::is_collection_name;

/// Why collections cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CollectionError {
    /// An entry without a collection.
    #[error("collection config contains unexpected payload type: <nil>")]
    Empty,
    /// No name of a collection.
    #[error(
        "invalid collection name '{0}'. Names can only consist of alphanumerics, '_', and '-' and \
         cannot begin with '_'"
    )]
    Name(String),
    /// A rule that the collection of this name breaks.
    #[error("collection-name: {name} -- {rule}")]
    Rule {
        /// The collection.
        name: String,
        /// Which rule.
        rule: CollectionRule,
    },
    /// Nobody is a member.
    #[error("collection member policy is not set for collection '{0}'")]
    NoPolicy(String),
    /// Nobody is a member.
    #[error("collection member org policy is empty for collection '{0}'")]
    EmptyPolicy(String),
    /// Who is a member cannot be read.
    #[error("invalid member org policy for collection '{name}': {source}")]
    Policy {
        /// The collection.
        name: String,
        /// What is wrong.
        source: PolicyError,
    },
    /// Those that are committed must stay.
    #[error("the proposed collection config does not contain previously defined collections")]
    AllGone,
    /// One that is committed must stay.
    #[error("existing collection [{0}] missing in the proposed collection configuration")]
    Gone(String),
    /// How long data lives was agreed on.
    #[error(
        "the BlockToLive in an existing collection [{name}] modified. Existing value [{value}]"
    )]
    BlockToLive {
        /// The collection.
        name: String,
        /// What was agreed on.
        value: u64,
    },
    /// What is committed is no collection.
    #[error("unknown collection configuration type")]
    UnknownCommitted,
}

/// A rule for one collection.
#[derive(Debug, thiserror::Error)]
pub enum CollectionRule {
    /// One collection a name.
    #[error("found duplicate in collection configuration")]
    Duplicate,
    /// The most is not less than the least.
    #[error("maximum peer count ({0}) cannot be less than the required peer count ({1})")]
    Maximum(i32, i32),
    /// A number of peers is 0 or more.
    #[error("requiredPeerCount ({0}) cannot be less than zero")]
    Required(i32),
    /// The policy says who is a member, and nothing else.
    #[error("error in member org policy: signature policy is not an OR concatenation, NOutOf {0}")]
    NotAny(i32),
    /// A member is an organisation of the channel.
    #[error("collection member '{0}' is not part of the channel")]
    Stranger(String),
    /// A member is an identity of an organisation of the channel.
    #[error("contains an identity that is not part of the channel")]
    StrangeIdentity,
    /// A principal can be read.
    #[error("cannot unmarshal identity bytes into {0}")]
    Principal(&'static str),
    /// A principal names organisations or identities.
    #[error("principal type {0} is not supported")]
    Classification(String),
}

/// Whether a definition may have these collections.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn check(
    proposed: &CollectionConfigPackage,
    config: &dyn ChannelConfig,
) -> Result<(), CollectionError> {
    let mut names = BTreeSet::new();
    // Fabric looks for what is no collection first.
    for collection in collections_of(proposed).collect::<Result<Vec<_>, _>>()? {
        check_one(collection, &mut names, config)?;
    }
    Ok(())
}

fn collections_of(
    package: &CollectionConfigPackage,
) -> impl Iterator<Item = Result<&StaticCollectionConfig, CollectionError>> {
    let entries = package.config.iter();
    entries.map(|entry| {
        let collection = entry.static_collection_config.as_ref();
        collection.ok_or(CollectionError::Empty)
    })
}

fn check_one<'a>(
    collection: &'a StaticCollectionConfig,
    names: &mut BTreeSet<&'a str>,
    config: &dyn ChannelConfig,
) -> Result<(), CollectionError> {
    let name = || collection.name.clone();
    let broken = |rule| {
        let name = name();
        Err(CollectionError::Rule { name, rule })
    };
    if !is_collection_name(&collection.name) {
        return Err(CollectionError::Name(name()));
    }
    if !names.insert(&collection.name) {
        return broken(CollectionRule::Duplicate);
    }
    let (most, least) = (
        collection.maximum_peer_count,
        collection.required_peer_count,
    );
    if most < least {
        return broken(CollectionRule::Maximum(most, least));
    }
    if least < 0 {
        return broken(CollectionRule::Required(least));
    }
    let policy = collection.member_orgs_policy.as_ref();
    let policy = policy.ok_or_else(|| CollectionError::NoPolicy(name()))?;
    let policy = policy.signature_policy.as_ref();
    let policy = policy.ok_or_else(|| CollectionError::EmptyPolicy(name()))?;
    check_policy(policy).map_err(|source| {
        let name = name();
        CollectionError::Policy { name, source }
    })?;
    let rule = policy.rule.as_ref();
    if let Some(n) = rule.and_then(other_than_any) {
        return broken(CollectionRule::NotAny(n));
    }
    let members = &policy.identities;
    members
        .iter()
        .try_for_each(|member| check_member(member, config))
        .or_else(broken)
}

/// Whether a policy can be evaluated. Fabric does not look at its version here.
fn check_policy(policy: &SignaturePolicyEnvelope) -> Result<(), PolicyError> {
    let version = 0;
    let policy = SignaturePolicyEnvelope {
        version,
        ..policy.clone()
    };
    Policy::from_envelope(&policy).map(drop)
}

/// How many a rule asks for that is satisfied by something else than any one of its principals.
fn other_than_any(rule: &SignaturePolicy) -> Option<i32> {
    match &rule.rule {
        Some(SignatureRule::NOutOf(gate)) if gate.n == 1 => {
            gate.rules.iter().find_map(other_than_any)
        }
        Some(SignatureRule::NOutOf(gate)) => Some(gate.n),
        _ => None,
    }
}

fn check_member(member: &MspPrincipal, config: &dyn ChannelConfig) -> Result<(), CollectionRule> {
    let bytes: Bytes = member.principal.clone();
    let organization = match member.principal_classification {
        principal_classification::ROLE => {
            MspRole::decode(bytes)
                .map_err(|_| CollectionRule::Principal("MSPRole"))?
                .msp_identifier
        }
        principal_classification::ORGANIZATION_UNIT => {
            OrganizationUnit::decode(bytes)
                .map_err(|_| CollectionRule::Principal("OrganizationUnit"))?
                .msp_identifier
        }
        principal_classification::IDENTITY if config.has_identity(&bytes) => return Ok(()),
        principal_classification::IDENTITY => return Err(CollectionRule::StrangeIdentity),
        principal_classification::ANONYMITY => {
            return Err(CollectionRule::Classification("ANONYMITY".to_owned()));
        }
        principal_classification::COMBINED => {
            return Err(CollectionRule::Classification("COMBINED".to_owned()));
        }
        other => return Err(CollectionRule::Classification(other.to_string())),
    };
    if !config.has_organization(&organization) {
        return Err(CollectionRule::Stranger(organization));
    }
    Ok(())
}

/// Collections may come, and none may go or keep its data for another time.
///
/// # Errors
/// The first that does.
pub(super) fn check_succession(
    proposed: &CollectionConfigPackage,
    committed: Option<&CollectionConfigPackage>,
) -> Result<(), CollectionError> {
    let Some(committed) = committed.filter(|committed| !committed.config.is_empty()) else {
        return Ok(());
    };
    let proposed = collections_of(proposed).collect::<Result<Vec<_>, _>>()?;
    if proposed.is_empty() {
        return Err(CollectionError::AllGone);
    }
    for before in &committed.config {
        let before = before.static_collection_config.as_ref();
        let before = before.ok_or(CollectionError::UnknownCommitted)?;
        let name = || before.name.clone();
        let after = proposed.iter().find(|after| after.name == before.name);
        let after = after.ok_or_else(|| CollectionError::Gone(name()))?;
        if after.block_to_live != before.block_to_live {
            let (name, value) = (name(), before.block_to_live);
            return Err(CollectionError::BlockToLive { name, value });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "collections/tests.rs"]
mod tests;
