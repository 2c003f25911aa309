//! Whose signatures suffice.
//!
//! A signature policy is a tree of "n out of these" with principals as leaves. It is evaluated as
//! in Fabric, greedily and from left to right: a leaf takes the first signer who fits and was not
//! taken before, and a branch that fails gives its signers back. So a signer counts for one leaf
//! only, and the order of leaves can matter.
//!
//! An implicit policy asks the policies of one name in the groups below: any, all, or a majority.
//!
//! A policy that is in force gives Fabric's verdict, odd as it may be: with another one, two nodes would
//! have two ledgers. What is new is looked at more strictly before it is let in ([`check_sound_changes`]).

mod rule;
mod shortfall;
mod signatures;
mod sound;
mod text;
mod tree;

use std::sync::Arc;

use quire_wire::DecodeError;
use quire_wire::config::{ConfigGroup, SignaturePolicyEnvelope};

pub use shortfall::Shortfall;
pub use signatures::as_signature_policy;
pub use sound::{Unsound, check_sound_changes};
pub use text::{
    PolicyTextError, read_implicit_policy, read_signature_policy, write_implicit_policy,
    write_signature_policy,
};
pub use tree::Policies;

use crate::identity::Identity;
use rule::Rule;

/// How deep rules may be nested. Protobuf's decoder gives up at about 45.
const MAX_DEPTH: usize = 32;

/// Why a policy cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There is no group or policy there.
    #[error("there is no policy {0:?}")]
    Missing(String),
    /// The policy at this place of a configuration is malformed.
    #[error("{path}: {source}")]
    At {
        /// Its path from the root.
        path: String,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
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
    /// Another kind of policy.
    #[error("policies of kind {0} are not supported")]
    Kind(i32),
    /// Nested deeper than anyone needs.
    #[error("a policy is nested too deep")]
    TooDeep,
}

/// A policy, ready to be evaluated often. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policy {
    node: Arc<Node>,
}

#[derive(Debug)]
enum Node {
    Signatures(Rule),
    /// At least that many of these.
    Implicit(usize, Vec<Policy>),
    /// What Fabric makes of an implicit policy with a rule that there is not.
    NoneOf(Vec<Policy>),
    /// What Fabric puts where a group below has no policy of the name: its path.
    Never(String),
}

impl Policy {
    /// A signature policy, such as a chaincode's endorsement policy.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn from_envelope(envelope: &SignaturePolicyEnvelope) -> Result<Self, PolicyError> {
        Ok(Self::new(Node::Signatures(Rule::of_envelope(envelope)?)))
    }

    /// The policy at a path of a channel's configuration, such as `/Channel/Application/Writers`, or
    /// `Application/Writers`.
    ///
    /// # Errors
    /// If there is none, or a policy of the configuration is malformed.
    pub fn at(root: &ConfigGroup, path: &str) -> Result<Self, PolicyError> {
        let policies = Policies::of_channel(root)?;
        let found = policies.get(path).cloned();
        found.ok_or_else(|| PolicyError::Missing(path.to_owned()))
    }

    fn new(node: Node) -> Self {
        let node = Arc::new(node);
        Self { node }
    }

    fn never(path: String) -> Self {
        Self::new(Node::Never(path))
    }

    /// Whether these signers suffice; one who stands there twice counts once. Whoever asks has
    /// checked that each of them really signed.
    #[must_use]
    pub fn is_satisfied_by(&self, signers: &[Arc<Identity>]) -> bool {
        self.is_satisfied_by_distinct(&distinct(signers))
    }

    /// Why these signers do not suffice; none where they do.
    #[must_use]
    pub fn shortfall(&self, signers: &[Arc<Identity>]) -> Option<Shortfall> {
        let distinct = distinct(signers);
        if self.is_satisfied_by_distinct(&distinct) {
            return None;
        }
        Some(Shortfall::of(self, &distinct))
    }

    /// The same for the same policy of a configuration, however often it was asked for.
    pub(crate) fn place_in_memory(&self) -> usize {
        Arc::as_ptr(&self.node).addr()
    }

    fn is_satisfied_by_distinct(&self, signers: &[&Identity]) -> bool {
        let holds = |policy: &&Self| policy.is_satisfied_by_distinct(signers);
        match &*self.node {
            Node::Signatures(rule) => rule.take(signers, &mut vec![None; signers.len()]),
            Node::Implicit(n, below) => below.iter().filter(holds).take(*n).count() == *n,
            Node::NoneOf(below) => !below.iter().any(|policy| holds(&policy)),
            Node::Never(_) => false,
        }
    }
}

fn distinct(signers: &[Arc<Identity>]) -> Vec<&Identity> {
    let mut distinct: Vec<&Identity> = Vec::with_capacity(signers.len());
    for signer in signers {
        if !distinct.contains(&signer.as_ref()) {
            distinct.push(signer);
        }
    }
    distinct
}

#[cfg(test)]
mod tests;
