//! The update that leads from one configuration to another, as Fabric's `configtxlator` computes it.

use std::collections::BTreeMap;

use quire_wire::config::{Config, ConfigGroup, ConfigPolicy, ConfigUpdate, ConfigValue};

/// Why there is no update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// A configuration has no root group.
    #[error("a configuration has no channel group")]
    NoRoot,
    /// Nothing differs but for versions.
    #[error("the configurations are the same")]
    Same,
}

/// The update that turns `original` into `updated`. Versions of `updated` do not matter. The update says
/// nothing of the channel; the caller sets `channel_id`.
///
/// # Errors
/// If there is nothing to compute.
pub fn compute_update(original: &Config, updated: &Config) -> Result<ConfigUpdate, ComputeError> {
    let root = |config: &Config| config.channel_group.clone().ok_or(ComputeError::NoRoot);
    let difference = compare_groups(&root(original)?, &root(updated)?);
    if !difference.is_change {
        return Err(ComputeError::Same);
    }
    Ok(ConfigUpdate {
        read_set: Some(difference.read),
        write_set: Some(difference.write),
        ..ConfigUpdate::default()
    })
}

/// Values and policies: what the two kinds of leaves have in common.
trait Leaf: Clone + Default {
    fn says_the_same(&self, other: &Self) -> bool;
    fn version(&self) -> u64;
    fn version_mut(&mut self) -> &mut u64;

    /// The leaf with another version.
    fn at(mut self, version: u64) -> Self {
        *self.version_mut() = version;
        self
    }
}

impl Leaf for ConfigValue {
    fn says_the_same(&self, other: &Self) -> bool {
        self.mod_policy == other.mod_policy && self.value == other.value
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn version_mut(&mut self) -> &mut u64 {
        &mut self.version
    }
}

impl Leaf for ConfigPolicy {
    fn says_the_same(&self, other: &Self) -> bool {
        self.mod_policy == other.mod_policy && self.policy == other.policy
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn version_mut(&mut self) -> &mut u64 {
        &mut self.version
    }
}

/// What differs between the members of one kind of two groups.
struct Members<M> {
    read: BTreeMap<String, M>,
    write: BTreeMap<String, M>,
    /// What did not change, by its version only.
    same: BTreeMap<String, M>,
    /// Whether a member came or went.
    came_or_went: bool,
}

fn compare_leaves<M: Leaf>(
    original: &BTreeMap<String, M>,
    updated: &BTreeMap<String, M>,
) -> Members<M> {
    let mut members = Members {
        read: BTreeMap::new(),
        write: BTreeMap::new(),
        same: BTreeMap::new(),
        came_or_went: false,
    };
    for (name, before) in original {
        match updated.get(name) {
            None => members.came_or_went = true,
            Some(after) if after.says_the_same(before) => {
                let same = M::default().at(before.version());
                members.same.insert(name.clone(), same);
            }
            Some(after) => {
                let changed = after.clone().at(before.version().wrapping_add(1));
                members.write.insert(name.clone(), changed);
            }
        }
    }
    for (name, after) in updated {
        if !original.contains_key(name) {
            members.came_or_went = true;
            members.write.insert(name.clone(), after.clone().at(0));
        }
    }
    members
}

fn compare_subgroups(
    original: &BTreeMap<String, ConfigGroup>,
    updated: &BTreeMap<String, ConfigGroup>,
) -> Members<ConfigGroup> {
    let mut members = Members {
        read: BTreeMap::new(),
        write: BTreeMap::new(),
        same: BTreeMap::new(),
        came_or_went: false,
    };
    for (name, before) in original {
        let Some(after) = updated.get(name) else {
            members.came_or_went = true;
            continue;
        };
        let difference = compare_groups(before, after);
        if difference.is_change {
            members.read.insert(name.clone(), difference.read);
            members.write.insert(name.clone(), difference.write);
        } else {
            members.same.insert(name.clone(), difference.read);
        }
    }
    for (name, after) in updated {
        if !original.contains_key(name) {
            members.came_or_went = true;
            let mut new = compare_groups(&ConfigGroup::default(), after).write;
            new.version = 0;
            new.mod_policy.clone_from(&after.mod_policy);
            members.write.insert(name.clone(), new);
        }
    }
    members
}

struct Difference {
    read: ConfigGroup,
    write: ConfigGroup,
    is_change: bool,
}

fn compare_groups(original: &ConfigGroup, updated: &ConfigGroup) -> Difference {
    let mut policies = compare_leaves(&original.policies, &updated.policies);
    let mut values = compare_leaves(&original.values, &updated.values);
    let mut groups = compare_subgroups(&original.groups, &updated.groups);
    let is_changed_itself = policies.came_or_went
        || values.came_or_went
        || groups.came_or_went
        || original.mod_policy != updated.mod_policy;
    let is_changed_below = !policies.write.is_empty()
        || !values.write.is_empty()
        || !groups.read.is_empty()
        || !groups.write.is_empty();
    if is_changed_itself {
        // The group's members are named anew, those that stay by their versions.
        policies.keep_what_is_the_same();
        values.keep_what_is_the_same();
        groups.keep_what_is_the_same();
    }
    let version = original.version;
    Difference {
        read: ConfigGroup {
            version,
            policies: policies.read,
            values: values.read,
            groups: groups.read,
            mod_policy: String::new(),
        },
        write: ConfigGroup {
            version: version.wrapping_add(u64::from(is_changed_itself)),
            policies: policies.write,
            values: values.write,
            groups: groups.write,
            mod_policy: if is_changed_itself {
                updated.mod_policy.clone()
            } else {
                String::new()
            },
        },
        is_change: is_changed_itself || is_changed_below,
    }
}

impl<M: Clone> Members<M> {
    fn keep_what_is_the_same(&mut self) {
        self.read.extend(self.same.clone());
        self.write.append(&mut self.same);
    }
}
