//! What a policy must be before it is let in.
//!
//! Fabric lets in policies that everybody satisfies by accident, or that nobody can. Those that are in
//! force are evaluated as Fabric does; new ones with such a slip are refused with the reason.

use quire_wire::Message as _;
use quire_wire::config::{
    ConfigGroup, ImplicitMetaPolicy, SignaturePolicy, SignaturePolicyEnvelope, SignatureRule,
    implicit_meta_rule, policy_type,
};

use super::{MAX_DEPTH, Policy, PolicyError};

/// Why a new policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// It cannot be evaluated.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A gate that holds without any branch, whatever is signed.
    #[error("a gate asks for {0} of its branches, so everybody satisfies it")]
    Unguarded(i32),
    /// An implicit policy with a rule that there is not.
    #[error("an implicit policy has the rule {0}, which is not ANY, ALL or MAJORITY")]
    Rule(i32),
}

/// Whether the policies that `after` has and `before` has not, of a group and of those below it, are what
/// somebody can have meant.
///
/// # Errors
/// The first that is not, with its path from the group.
pub fn check_sound_changes(
    before: &ConfigGroup,
    after: &ConfigGroup,
) -> Result<(), (String, Unsound)> {
    for (name, policy) in &after.policies {
        if before.policies.get(name) == Some(policy) {
            continue;
        }
        let Some(policy) = &policy.policy else {
            return Err((name.clone(), PolicyError::NoRule.into()));
        };
        let sound = match policy.r#type {
            policy_type::SIGNATURE => SignaturePolicyEnvelope::decode(policy.value.clone())
                .map_err(|error| PolicyError::from(error).into())
                .and_then(|envelope| check_envelope(&envelope)),
            policy_type::IMPLICIT_META => ImplicitMetaPolicy::decode(policy.value.clone())
                .map_err(|error| PolicyError::from(error).into())
                .and_then(|implicit| check_implicit(&implicit)),
            kind => Err(PolicyError::Kind(kind).into()),
        };
        sound.map_err(|unsound| (name.clone(), unsound))?;
    }
    let nothing = ConfigGroup::default();
    for (name, below) in &after.groups {
        let before = before.groups.get(name).unwrap_or(&nothing);
        let sound = check_sound_changes(before, below);
        sound.map_err(|(path, unsound)| (format!("{name}/{path}"), unsound))?;
    }
    Ok(())
}

fn check_envelope(envelope: &SignaturePolicyEnvelope) -> Result<(), Unsound> {
    Policy::from_envelope(envelope)?;
    envelope
        .rule
        .as_ref()
        .map_or(Ok(()), |rule| check_rule(rule, 0))
}

fn check_rule(rule: &SignaturePolicy, depth: usize) -> Result<(), Unsound> {
    match &rule.rule {
        Some(SignatureRule::NOutOf(gate)) if gate.n <= 0 => Err(Unsound::Unguarded(gate.n)),
        Some(SignatureRule::NOutOf(gate)) if depth <= MAX_DEPTH => gate
            .rules
            .iter()
            .try_for_each(|rule| check_rule(rule, depth + 1)),
        _ => Ok(()),
    }
}

fn check_implicit(implicit: &ImplicitMetaPolicy) -> Result<(), Unsound> {
    let known = [
        implicit_meta_rule::ANY,
        implicit_meta_rule::ALL,
        implicit_meta_rule::MAJORITY,
    ];
    if known.contains(&implicit.rule) {
        Ok(())
    } else {
        Err(Unsound::Rule(implicit.rule))
    }
}
