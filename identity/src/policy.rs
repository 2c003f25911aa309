//! Whose signatures suffice.
//!
//! A signature policy is a tree of "n out of these" with principals as leaves. It is evaluated as
//! in Fabric, greedily and from left to right: a leaf takes the first signer who fits and was not
//! taken before, and a branch that fails gives its signers back. So a signer counts for one leaf
//! only, and the order of leaves can matter.
//!
//! An implicit policy asks the policies of one name in the groups below: any, all, or a majority.

use std::sync::Arc;

use quire_wire::config::{
    ConfigGroup, ConfigPolicy, ImplicitMetaPolicy, SignaturePolicy, SignaturePolicyEnvelope,
    SignatureRule, implicit_meta_rule, policy_type,
};
use quire_wire::{DecodeError, Message};

use crate::identity::Identity;
use crate::msp::Principal;

/// How deep policies may be nested, signature rules and groups each.
const MAX_DEPTH: usize = 32;

/// Why a policy cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There is no group or policy there.
    #[error("there is no policy {0:?}")]
    Missing(String),
    /// Its bytes are no policy.
    #[error("a policy cannot be read")]
    Decode(#[from] DecodeError),
    /// A rule is neither a leaf nor a branch, or the policy holds none.
    #[error("a policy has no rule")]
    NoRule,
    /// A signature policy of a version that is not known.
    #[error("signature policies of version {0} are not known")]
    Version(i32),
    /// A leaf points beyond the policy's identities.
    #[error("a policy speaks of its identity {0}, which it does not have")]
    IdentityIndex(i32),
    /// Another kind of policy, or another rule of an implicit one.
    #[error("policies of kind {0} are not supported")]
    Kind(i32),
    /// Nested deeper than anyone needs.
    #[error("a policy is nested too deep")]
    TooDeep,
}

/// A policy, ready to be evaluated often.
#[derive(Clone, Debug)]
pub struct Policy {
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Signatures(Rule),
    /// At least that many of these.
    Implicit(usize, Vec<Node>),
    /// What Fabric puts where a group below has no policy of the name.
    Never,
}

#[derive(Clone, Debug)]
enum Rule {
    SignedBy(Principal),
    NOutOf(i32, Vec<Rule>),
}

impl Policy {
    /// A signature policy, such as a chaincode's endorsement policy.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn from_envelope(envelope: &SignaturePolicyEnvelope) -> Result<Self, PolicyError> {
        let node = Node::Signatures(compile_envelope(envelope)?);
        Ok(Self { node })
    }

    /// The policy at a path of a channel's configuration, such as `/Channel/Application/Writers`.
    /// Without `/Channel` in front, the path begins at `root` just the same.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn at(root: &ConfigGroup, path: &str) -> Result<Self, PolicyError> {
        let missing = || PolicyError::Missing(path.to_owned());
        let relative = path.strip_prefix("/Channel/").unwrap_or(path);
        let (groups, name) = match relative.rsplit_once('/') {
            Some((groups, name)) => (groups, name),
            None => ("", relative),
        };
        let mut group = root;
        for step in groups.split('/').filter(|step| !step.is_empty()) {
            group = group.groups.get(step).ok_or_else(missing)?;
        }
        let policy = group.policies.get(name).ok_or_else(missing)?;
        let node = compile_policy(policy, group, 0)?;
        Ok(Self { node })
    }

    /// Whether these signers suffice; one who stands there twice counts once. Whoever asks has
    /// checked that each of them really signed.
    #[must_use]
    pub fn is_satisfied_by(&self, signers: &[Arc<Identity>]) -> bool {
        let mut distinct: Vec<&Identity> = Vec::with_capacity(signers.len());
        for signer in signers {
            if !distinct.contains(&signer.as_ref()) {
                distinct.push(signer);
            }
        }
        self.node.is_satisfied_by(&distinct)
    }
}

impl Node {
    fn is_satisfied_by(&self, signers: &[&Identity]) -> bool {
        match self {
            Self::Signatures(rule) => rule.take(signers, &mut vec![false; signers.len()]),
            Self::Implicit(threshold, nodes) => {
                let satisfied = nodes.iter().filter(|node| node.is_satisfied_by(signers));
                satisfied.take(*threshold).count() == *threshold
            }
            Self::Never => false,
        }
    }
}

impl Rule {
    /// Whether the rule holds with signers that are not `taken`; if so, takes those it needs, and
    /// if not, leaves `taken` in any state.
    fn take(&self, signers: &[&Identity], taken: &mut Vec<bool>) -> bool {
        match self {
            Self::SignedBy(principal) => {
                let mut free = signers.iter().zip(taken).filter(|(_, taken)| !**taken);
                let fitting = free.find(|(signer, _)| principal.is_satisfied_by(signer).is_ok());
                fitting.map(|(_, taken)| *taken = true).is_some()
            }
            // All branches are tried, even when enough hold already: Fabric does so, and it
            // decides who is left for the branches of an outer rule.
            Self::NOutOf(n, rules) => {
                let mut holding = 0;
                for rule in rules {
                    let mut attempt = taken.clone();
                    if rule.take(signers, &mut attempt) {
                        holding += 1;
                        *taken = attempt;
                    }
                }
                holding >= *n
            }
        }
    }
}

fn compile_policy(
    policy: &ConfigPolicy,
    group: &ConfigGroup,
    depth: usize,
) -> Result<Node, PolicyError> {
    if depth > MAX_DEPTH {
        return Err(PolicyError::TooDeep);
    }
    let policy = policy.policy.as_ref().ok_or(PolicyError::NoRule)?;
    match policy.r#type {
        policy_type::SIGNATURE => {
            let envelope = SignaturePolicyEnvelope::decode(policy.value.clone())?;
            Ok(Node::Signatures(compile_envelope(&envelope)?))
        }
        policy_type::IMPLICIT_META => {
            let implicit = ImplicitMetaPolicy::decode(policy.value.clone())?;
            compile_implicit(&implicit, group, depth)
        }
        kind => Err(PolicyError::Kind(kind)),
    }
}

fn compile_implicit(
    implicit: &ImplicitMetaPolicy,
    group: &ConfigGroup,
    depth: usize,
) -> Result<Node, PolicyError> {
    let nodes = group
        .groups
        .values()
        .map(|below| match below.policies.get(&implicit.sub_policy) {
            Some(policy) => compile_policy(policy, below, depth + 1),
            None => Ok(Node::Never),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let threshold = match implicit.rule {
        // Where there are no groups below, nothing is asked for: Fabric's rule.
        _ if nodes.is_empty() => 0,
        implicit_meta_rule::ANY => 1,
        implicit_meta_rule::ALL => nodes.len(),
        implicit_meta_rule::MAJORITY => nodes.len() / 2 + 1,
        rule => return Err(PolicyError::Kind(rule)),
    };
    Ok(Node::Implicit(threshold, nodes))
}

fn compile_envelope(envelope: &SignaturePolicyEnvelope) -> Result<Rule, PolicyError> {
    if envelope.version != 0 {
        return Err(PolicyError::Version(envelope.version));
    }
    let principals: Vec<_> = envelope.identities.iter().map(Principal::of).collect();
    let rule = envelope.rule.as_ref().ok_or(PolicyError::NoRule)?;
    compile_rule(rule, &principals, 0)
}

fn compile_rule(
    rule: &SignaturePolicy,
    principals: &[Principal],
    depth: usize,
) -> Result<Rule, PolicyError> {
    if depth > MAX_DEPTH {
        return Err(PolicyError::TooDeep);
    }
    match rule.rule.as_ref().ok_or(PolicyError::NoRule)? {
        SignatureRule::SignedBy(index) => usize::try_from(*index)
            .ok()
            .and_then(|position| principals.get(position))
            .map(|principal| Rule::SignedBy(principal.clone()))
            .ok_or(PolicyError::IdentityIndex(*index)),
        SignatureRule::NOutOf(branch) => {
            let rules = branch.rules.iter();
            let rules = rules.map(|rule| compile_rule(rule, principals, depth + 1));
            Ok(Rule::NOutOf(branch.n, rules.collect::<Result<_, _>>()?))
        }
    }
}

#[cfg(test)]
mod tests;
