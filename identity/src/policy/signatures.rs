//! Any policy of a configuration in the form of a signature policy, as discovery passes it on.

use std::collections::HashMap;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::config::{
    ConfigGroup, ConfigPolicy, ImplicitMetaPolicy, NOutOf, SignaturePolicy,
    SignaturePolicyEnvelope, SignatureRule, implicit_meta_rule, policy_type,
};
use quire_wire::msp::MspPrincipal;

use super::{MAX_DEPTH, PolicyError};

/// The policy at a path of a channel's configuration, such as `/Channel/Application/Endorsement`, as a signature
/// policy that the same signers satisfy: an implicit policy asks for as many of the policies below it.
///
/// # Errors
/// There is none, or it, or one below it, is malformed or missing.
pub fn as_signature_policy(
    root: &ConfigGroup,
    path: &str,
) -> Result<SignaturePolicyEnvelope, PolicyError> {
    let missing = || PolicyError::Missing(path.to_owned());
    let relative = match path.strip_prefix('/') {
        Some(absolute) => absolute.strip_prefix("Channel/").ok_or_else(missing)?,
        None => path,
    };
    converted(root, relative, 0)
}

/// The policy at a path below a group.
fn converted(
    group: &ConfigGroup,
    path: &str,
    depth: usize,
) -> Result<SignaturePolicyEnvelope, PolicyError> {
    if depth > MAX_DEPTH {
        return Err(PolicyError::TooDeep);
    }
    let missing = || PolicyError::Missing(path.to_owned());
    let mut place = group;
    let mut name = path;
    while let Some((below, rest)) = name.split_once('/') {
        place = place.groups.get(below).ok_or_else(missing)?;
        name = rest;
    }
    let policy = place.policies.get(name);
    let ConfigPolicy { policy, .. } = policy.ok_or_else(missing)?;
    let policy = policy.as_ref().ok_or(PolicyError::NoRule)?;
    match policy.r#type {
        policy_type::SIGNATURE => Ok(SignaturePolicyEnvelope::decode(policy.value.clone())?),
        policy_type::IMPLICIT_META => {
            let implicit = ImplicitMetaPolicy::decode(policy.value.clone())?;
            merged(place, &implicit, depth)
        }
        kind => Err(PolicyError::Kind(kind)),
    }
}

fn merged(
    group: &ConfigGroup,
    implicit: &ImplicitMetaPolicy,
    depth: usize,
) -> Result<SignaturePolicyEnvelope, PolicyError> {
    let below = group.groups.len();
    let n = match implicit.rule {
        _ if below == 0 => 0,
        implicit_meta_rule::ANY => 1,
        implicit_meta_rule::ALL => below,
        implicit_meta_rule::MAJORITY => below / 2 + 1,
        kind => return Err(PolicyError::Kind(kind)),
    };
    let mut merging = Merging::default();
    let mut rules = Vec::with_capacity(below);
    for group in group.groups.values() {
        let policy = converted(group, &implicit.sub_policy, depth + 1)?;
        let positions: Vec<i32> = policy
            .identities
            .into_iter()
            .map(|principal| merging.position(principal))
            .collect();
        let rule = policy.rule.as_ref().ok_or(PolicyError::NoRule)?;
        rules.push(moved(rule, &positions, 0)?);
    }
    let n = i32::try_from(n).unwrap_or(i32::MAX);
    Ok(SignaturePolicyEnvelope {
        version: 0,
        rule: Some(SignaturePolicy {
            rule: Some(SignatureRule::NOutOf(NOutOf { n, rules })),
        }),
        identities: merging.identities,
    })
}

/// The identities of several policies, each once.
#[derive(Default)]
struct Merging {
    identities: Vec<MspPrincipal>,
    positions: HashMap<(i32, Bytes), i32>,
}

impl Merging {
    fn position(&mut self, principal: MspPrincipal) -> i32 {
        let next = i32::try_from(self.identities.len()).unwrap_or(i32::MAX);
        let key = (
            principal.principal_classification,
            principal.principal.clone(),
        );
        let position = *self.positions.entry(key).or_insert(next);
        if position == next {
            self.identities.push(principal);
        }
        position
    }
}

/// The same rule, with its leaves pointing at the new positions of its identities.
fn moved(
    rule: &SignaturePolicy,
    positions: &[i32],
    depth: usize,
) -> Result<SignaturePolicy, PolicyError> {
    if depth > MAX_DEPTH {
        return Err(PolicyError::TooDeep);
    }
    let rule = match rule.rule.as_ref().ok_or(PolicyError::NoRule)? {
        SignatureRule::SignedBy(index) => {
            let position = usize::try_from(*index).ok();
            let position = position.and_then(|index| positions.get(index));
            SignatureRule::SignedBy(*position.ok_or(PolicyError::IdentityIndex(*index))?)
        }
        SignatureRule::NOutOf(branch) => {
            let rules = branch.rules.iter();
            let rules = rules.map(|rule| moved(rule, positions, depth + 1));
            SignatureRule::NOutOf(NOutOf {
                n: branch.n,
                rules: rules.collect::<Result<_, _>>()?,
            })
        }
    };
    Ok(SignaturePolicy { rule: Some(rule) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{read_implicit_policy, read_signature_policy, write_signature_policy};

    fn policy(r#type: i32, value: Vec<u8>) -> ConfigPolicy {
        ConfigPolicy {
            policy: Some(quire_wire::config::Policy {
                r#type,
                value: value.into(),
            }),
            ..ConfigPolicy::default()
        }
    }

    fn signatures(text: &str) -> ConfigPolicy {
        let policy_of = read_signature_policy(text).unwrap();
        policy(policy_type::SIGNATURE, policy_of.encode_to_vec())
    }

    fn implicit(text: &str) -> ConfigPolicy {
        let policy_of = read_implicit_policy(text).unwrap();
        policy(policy_type::IMPLICIT_META, policy_of.encode_to_vec())
    }

    fn group(name: &str, held: ConfigPolicy) -> ConfigGroup {
        let mut group = ConfigGroup::default();
        group.policies.insert(name.to_owned(), held);
        group
    }

    fn root(endorsement: ConfigPolicy, organizations: &[(&str, ConfigPolicy)]) -> ConfigGroup {
        let mut application = group("Endorsement", endorsement);
        for (name, held) in organizations {
            let organization = group("Endorsement", held.clone());
            application.groups.insert((*name).to_owned(), organization);
        }
        let mut root = ConfigGroup::default();
        root.groups.insert("Application".to_owned(), application);
        root
    }

    #[test]
    fn an_implicit_policy_is_asked_of_the_organisations_and_names_each_identity_once() {
        let organizations = [
            ("A", signatures("OR('A.peer')")),
            ("B", signatures("OR('B.peer','A.peer')")),
            ("C", signatures("AND('C.peer','C.admin')")),
        ];
        let root = root(implicit("MAJORITY Endorsement"), &organizations);
        let found = as_signature_policy(&root, "/Channel/Application/Endorsement").unwrap();
        assert_eq!(found.identities.len(), 4);
        assert_eq!(
            write_signature_policy(&found).unwrap(),
            "OutOf(2, OR('A.peer'), OR('B.peer', 'A.peer'), AND('C.peer', 'C.admin'))"
        );
        let same = as_signature_policy(&root, "Application/Endorsement").unwrap();
        assert_eq!(found, same);
        let own = as_signature_policy(&root, "/Channel/Application/A/Endorsement").unwrap();
        assert_eq!(own, read_signature_policy("OR('A.peer')").unwrap());
    }

    #[test]
    fn what_is_missing_or_malformed_has_no_such_form() {
        let at = |root: &ConfigGroup, path: &str| as_signature_policy(root, path).unwrap_err();
        let sound = root(
            implicit("ANY Endorsement"),
            &[("A", signatures("OR('A.peer')"))],
        );
        for path in [
            "",
            "/",
            "/Channel",
            "/Channel/",
            "/Other/Application/Endorsement",
            "/Channel/Application/Nothing",
            "/Channel/Nothing/Endorsement",
        ] {
            assert!(
                matches!(at(&sound, path), PolicyError::Missing(_)),
                "{path}"
            );
        }
        let path = "/Channel/Application/Endorsement";
        let lacking = root(implicit("ANY Other"), &[("A", signatures("OR('A.peer')"))]);
        assert!(matches!(at(&lacking, path), PolicyError::Missing(_)));
        let mut odd = read_signature_policy("OR('A.peer')").unwrap();
        odd.identities.clear();
        let odd = policy(policy_type::SIGNATURE, odd.encode_to_vec());
        let odd = root(implicit("ANY Endorsement"), &[("A", odd)]);
        assert_eq!(at(&odd, path), PolicyError::IdentityIndex(0));
        let unknown = root(policy(7, Vec::new()), &[]);
        assert_eq!(at(&unknown, path), PolicyError::Kind(7));
    }
}
