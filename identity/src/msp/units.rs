//! Organisational units: which of them make a member, and which kind of member.

use super::MspVersion;
use super::error::IdentityError;
use crate::identity::Role;

/// An organisational unit of an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) name: String,
    /// Digest of the CA that gives it and of those above; empty for any CA.
    pub(crate) certifiers: Vec<u8>,
}

/// The units of the kinds of members, in Fabric's order.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeUnits {
    units: [Option<Unit>; Role::ALL.len()],
}

impl NodeUnits {
    pub(crate) fn set(&mut self, role: Role, unit: Unit) {
        let mut slots = Role::ALL.into_iter().zip(&mut self.units);
        if let Some((_, slot)) = slots.find(|(known, _)| *known == role) {
            *slot = Some(unit);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.units.iter().all(Option::is_none)
    }

    /// The unit of a kind of members.
    pub(crate) fn get(&self, role: Role) -> Option<&Unit> {
        let mut units = self.iter();
        units
            .find(|(known, _)| *known == role)
            .map(|(_, unit)| unit)
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (Role, &Unit)> {
        let pairs = Role::ALL.into_iter().zip(&self.units);
        pairs.filter_map(|(role, unit)| Some((role, unit.as_ref()?)))
    }

    /// The kind of a member with these units, which must have exactly one.
    pub(crate) fn role_of(
        &self,
        version: MspVersion,
        names: &[String],
        certifiers: &[u8],
    ) -> Result<Role, IdentityError> {
        let mut found = None;
        for name in names {
            // Of two kinds with one name, old rules take the first and new ones the last.
            let mut kinds = self.iter().filter(|(_, unit)| unit.name == *name);
            let kind = if version < MspVersion::V1_4_3 {
                kinds.next()
            } else {
                kinds.next_back()
            };
            let Some((role, unit)) = kind else { continue };
            if !unit.certifiers.is_empty() && unit.certifiers != certifiers {
                return Err(IdentityError::UnitOfAnotherCa(name.clone()));
            }
            if found.replace(role).is_some() {
                return Err(IdentityError::NotOneRole);
            }
        }
        found.ok_or(IdentityError::NotOneRole)
    }
}
