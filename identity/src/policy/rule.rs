//! Rules over signatures, evaluated as Fabric evaluates them.

use std::sync::Arc;

use quire_wire::config::{SignaturePolicy, SignaturePolicyEnvelope, SignatureRule};

use super::{MAX_DEPTH, PolicyError};
use crate::identity::Identity;
use crate::msp::Principal;

/// A rule with the principals at its leaves.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// The leaf's number, counted over the whole rule from left to right, and whom it wants.
    SignedBy(usize, Arc<Principal>),
    NOutOf(i32, Vec<Rule>),
}

/// Which leaf took a signer; none where the signer is free.
pub(super) type Taken = Option<usize>;

impl Rule {
    pub(super) fn of_envelope(envelope: &SignaturePolicyEnvelope) -> Result<Self, PolicyError> {
        if envelope.version != 0 {
            return Err(PolicyError::Version(envelope.version));
        }
        let principals = envelope.identities.iter();
        let principals: Vec<_> = principals.map(|one| Arc::new(Principal::of(one))).collect();
        let rule = envelope.rule.as_ref().ok_or(PolicyError::NoRule)?;
        compile(rule, &principals, &mut 0, 0)
    }

    /// Whether the rule holds with signers that are free; if so, takes those it needs, and if not,
    /// leaves `taken` in any state.
    pub(super) fn take(&self, signers: &[&Identity], taken: &mut Vec<Taken>) -> bool {
        match self {
            Self::SignedBy(leaf, principal) => {
                let mut free = signers
                    .iter()
                    .zip(taken)
                    .filter(|(_, taken)| taken.is_none());
                let fitting = free.find(|(signer, _)| principal.is_satisfied_by(signer).is_ok());
                fitting.map(|(_, taken)| *taken = Some(*leaf)).is_some()
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

fn compile(
    rule: &SignaturePolicy,
    principals: &[Arc<Principal>],
    leaves: &mut usize,
    depth: usize,
) -> Result<Rule, PolicyError> {
    if depth > MAX_DEPTH {
        return Err(PolicyError::TooDeep);
    }
    match rule.rule.as_ref().ok_or(PolicyError::NoRule)? {
        SignatureRule::SignedBy(index) => {
            let position = usize::try_from(*index).ok();
            let principal = position.and_then(|position| principals.get(position));
            let principal = principal.ok_or(PolicyError::IdentityIndex(*index))?;
            *leaves += 1;
            // Many leaves may name one principal, which may be large.
            Ok(Rule::SignedBy(*leaves, Arc::clone(principal)))
        }
        SignatureRule::NOutOf(branch) => {
            let rules = branch.rules.iter();
            let rules = rules.map(|rule| compile(rule, principals, leaves, depth + 1));
            Ok(Rule::NOutOf(branch.n, rules.collect::<Result<_, _>>()?))
        }
    }
}
