//! All policies of a channel's configuration, by their paths.

use std::collections::BTreeMap;

use quire_wire::Message as _;
use quire_wire::config::{
    ConfigGroup, ConfigPolicy, ImplicitMetaPolicy, SignaturePolicyEnvelope, implicit_meta_rule,
    policy_type,
};

use super::{Node, Policy, PolicyError};

/// The policies of a group and of the groups below it.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Names from the root, joined by `/`: `Channel/Application`.
    path: String,
    own: BTreeMap<String, Policy>,
    groups: BTreeMap<String, Policies>,
}

impl Policies {
    /// Those of a channel's root group.
    ///
    /// # Errors
    /// If one of them is malformed: such a configuration cannot take effect.
    pub fn of_channel(root: &ConfigGroup) -> Result<Self, PolicyError> {
        Self::of_group("Channel".to_owned(), root)
    }

    fn of_group(path: String, group: &ConfigGroup) -> Result<Self, PolicyError> {
        let mut policies = Self {
            path,
            ..Self::default()
        };
        for (name, below) in &group.groups {
            let path = format!("{}/{name}", policies.path);
            policies
                .groups
                .insert(name.clone(), Self::of_group(path, below)?);
        }
        for (name, policy) in &group.policies {
            let compiled = policies.compile(policy).map_err(|error| PolicyError::At {
                path: format!("/{}/{name}", policies.path),
                source: Box::new(error),
            })?;
            policies.own.insert(name.clone(), compiled);
        }
        Ok(policies)
    }

    /// The group at this path below, which begins with a name and may be empty.
    #[must_use]
    pub fn group(&self, path: &[String]) -> Option<&Self> {
        match path.split_first() {
            None => Some(self),
            Some((first, rest)) => self.groups.get(first)?.group(rest),
        }
    }

    /// The policy at a path that begins at the root, such as `/Channel/Application/Writers`; for the
    /// root group only.
    #[must_use]
    pub fn absolute(&self, path: &str) -> Option<&Policy> {
        let relative = path.strip_prefix('/')?.strip_prefix(&*self.path)?;
        self.relative(relative.strip_prefix('/')?)
    }

    /// The policy at a path that begins at this group, such as `Org1MSP/Admins`.
    #[must_use]
    pub fn relative(&self, path: &str) -> Option<&Policy> {
        match path.split_once('/') {
            None => self.own.get(path),
            Some((group, rest)) => self.groups.get(group)?.relative(rest),
        }
    }

    /// As chaincodes and ACLs name policies: a path from the root, or one that begins below it.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Policy> {
        if path.starts_with('/') {
            self.absolute(path)
        } else {
            self.relative(path)
        }
    }

    fn compile(&self, policy: &ConfigPolicy) -> Result<Policy, PolicyError> {
        let policy = policy.policy.as_ref().ok_or(PolicyError::NoRule)?;
        match policy.r#type {
            policy_type::SIGNATURE => {
                let envelope = SignaturePolicyEnvelope::decode(policy.value.clone())?;
                Policy::from_envelope(&envelope)
            }
            policy_type::IMPLICIT_META => {
                let implicit = ImplicitMetaPolicy::decode(policy.value.clone())?;
                Ok(self.implicit(&implicit))
            }
            kind => Err(PolicyError::Kind(kind)),
        }
    }

    fn implicit(&self, implicit: &ImplicitMetaPolicy) -> Policy {
        let asked = &implicit.sub_policy;
        let below = self.groups.values().map(|group| {
            let found = if asked.starts_with('/') {
                group.absolute(asked)
            } else {
                group.relative(asked)
            };
            found
                .cloned()
                .unwrap_or_else(|| Policy::never(format!("/{}/{asked}", group.path)))
        });
        let below: Vec<_> = below.collect();
        let n = match implicit.rule {
            // Where there are no groups below, nothing is asked for: Fabric's rule.
            _ if below.is_empty() => 0,
            implicit_meta_rule::ANY => 1,
            implicit_meta_rule::ALL => below.len(),
            implicit_meta_rule::MAJORITY => below.len() / 2 + 1,
            // Fabric counts down from 0 and asks whether it is still there.
            _ => return Policy::new(Node::NoneOf(below)),
        };
        Policy::new(Node::Implicit(n, below))
    }
}
