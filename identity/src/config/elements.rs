//! A configuration as a flat list of its groups, values and policies, by which updates are judged.

use std::collections::BTreeMap;
use std::fmt;

use quire_wire::config::{ConfigGroup, ConfigPolicy, ConfigValue};

/// The name of the root group.
pub(super) const ROOT: &str = "Channel";
/// Most characters of an element's name, Fabric's limit.
const MAX_NAME_CHARS: usize = 249;

/// What stands at a place. The same name can be there once of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A node of the tree.
    Group,
    /// A leaf.
    Value,
    /// A policy.
    Policy,
}

/// Where an element of a configuration stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What stands there.
    pub kind: Kind,
    /// Names from the root, which is `Channel`, to the element itself.
    pub path: Vec<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Group => "group",
            Kind::Value => "value",
            Kind::Policy => "policy",
        };
        write!(formatter, "the {kind} /{}", self.path.join("/"))
    }
}

/// An element, without what stands below it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element<'c> {
    Group(&'c ConfigGroup),
    Value(&'c ConfigValue),
    Policy(&'c ConfigPolicy),
}

impl Element<'_> {
    pub(super) fn version(&self) -> u64 {
        match self {
            Self::Group(group) => group.version,
            Self::Value(value) => value.version,
            Self::Policy(policy) => policy.version,
        }
    }

    pub(super) fn mod_policy(&self) -> &str {
        match self {
            Self::Group(group) => &group.mod_policy,
            Self::Value(value) => &value.mod_policy,
            Self::Policy(policy) => &policy.mod_policy,
        }
    }
}

/// The elements of a tree by their places.
pub(super) type Elements<'c> = BTreeMap<Place, Element<'c>>;

/// Whether `name` can be an element's: `[a-zA-Z0-9.-]+`, at most 249 characters, and neither `.` nor `..`.
pub(super) fn is_name(name: &str) -> bool {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    !name.is_empty()
        && name.len() <= MAX_NAME_CHARS
        && !matches!(name, "." | "..")
        && name.bytes().all(may_stand)
}

/// Most bytes that the places of a tree's elements may have together. A configuration of 500 organisations
/// has 1 MB of them; without a bound, short elements at the ends of long paths would have many times the
/// bytes that they came in.
const MAX_PLACES_BYTES: usize = 64 << 20;

/// Why a tree has no list of elements.
#[derive(Debug)]
pub(super) enum Unlisted {
    /// The name there cannot be an element's.
    Name(Place),
    /// The paths have too many bytes together.
    TooLong,
}

/// All elements of the tree.
pub(super) fn flatten(root: &ConfigGroup) -> Result<Elements<'_>, Unlisted> {
    let mut elements = Elements::new();
    let mut left = MAX_PLACES_BYTES;
    add_group(&mut elements, &[ROOT.to_owned()], root, &mut left)?;
    Ok(elements)
}

fn add_group<'c>(
    elements: &mut Elements<'c>,
    path: &[String],
    group: &'c ConfigGroup,
    left: &mut usize,
) -> Result<(), Unlisted> {
    // Before those below it, whose paths all have this one's name.
    add(
        elements,
        Kind::Group,
        path.to_vec(),
        Element::Group(group),
        left,
    )?;
    let below = |name: &String| {
        let mut below = path.to_vec();
        below.push(name.clone());
        below
    };
    for (name, group) in &group.groups {
        add_group(elements, &below(name), group, left)?;
    }
    for (name, value) in &group.values {
        add(
            elements,
            Kind::Value,
            below(name),
            Element::Value(value),
            left,
        )?;
    }
    for (name, policy) in &group.policies {
        add(
            elements,
            Kind::Policy,
            below(name),
            Element::Policy(policy),
            left,
        )?;
    }
    Ok(())
}

fn add<'c>(
    elements: &mut Elements<'c>,
    kind: Kind,
    path: Vec<String>,
    element: Element<'c>,
    left: &mut usize,
) -> Result<(), Unlisted> {
    let has_name = path.last().is_some_and(|name| is_name(name));
    let bytes: usize = path.iter().map(String::len).sum();
    let place = Place { kind, path };
    if !has_name {
        return Err(Unlisted::Name(place));
    }
    let cost = bytes + size_of::<Place>() + place.path.len() * size_of::<String>();
    *left = left.checked_sub(cost).ok_or(Unlisted::TooLong)?;
    elements.insert(place, element);
    Ok(())
}

/// The tree of these elements: each group has the members that it names itself, and what is named by no
/// group is left out, as in Fabric. The error is a place that a group names and where nothing is.
pub(super) fn tree(elements: &Elements<'_>) -> Result<ConfigGroup, Place> {
    // Channels of Fabric 1.0 have elements that nobody may change. Fabric hands them to the
    // administrators as soon as the orderers' capabilities are there.
    let capabilities = Place {
        kind: Kind::Value,
        path: [ROOT, super::ORDERER, super::CAPABILITIES]
            .map(str::to_owned)
            .into(),
    };
    let heir = elements
        .contains_key(&capabilities)
        .then_some(super::ADMINS);
    let mut path = vec![ROOT.to_owned()];
    group_at(elements, &mut path, heir)
}

fn group_at(
    elements: &Elements<'_>,
    path: &mut Vec<String>,
    heir: Option<&str>,
) -> Result<ConfigGroup, Place> {
    let Element::Group(found) = element_at(elements, Kind::Group, path)? else {
        return Err(place(Kind::Group, path));
    };
    let inherited = |mod_policy: &str| match heir {
        Some(heir) if mod_policy.is_empty() => heir.to_owned(),
        _ => mod_policy.to_owned(),
    };
    let mut group = ConfigGroup {
        version: found.version,
        mod_policy: inherited(&found.mod_policy),
        ..ConfigGroup::default()
    };
    for name in found.groups.keys() {
        path.push(name.clone());
        group
            .groups
            .insert(name.clone(), group_at(elements, path, heir)?);
        path.pop();
    }
    for name in found.values.keys() {
        path.push(name.clone());
        if let Element::Value(value) = element_at(elements, Kind::Value, path)? {
            let mut value = value.clone();
            value.mod_policy = inherited(&value.mod_policy);
            group.values.insert(name.clone(), value);
        }
        path.pop();
    }
    for name in found.policies.keys() {
        path.push(name.clone());
        if let Element::Policy(policy) = element_at(elements, Kind::Policy, path)? {
            let mut policy = policy.clone();
            policy.mod_policy = inherited(&policy.mod_policy);
            group.policies.insert(name.clone(), policy);
        }
        path.pop();
    }
    Ok(group)
}

fn place(kind: Kind, path: &[String]) -> Place {
    let path = path.to_vec();
    Place { kind, path }
}

fn element_at<'c>(
    elements: &Elements<'c>,
    kind: Kind,
    path: &[String],
) -> Result<Element<'c>, Place> {
    let place = place(kind, path);
    elements.get(&place).copied().ok_or(place)
}
