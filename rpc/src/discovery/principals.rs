//! The principals of policies, each once, and how they compare.

use std::collections::HashMap;

use bytes::Bytes;
use quire_identity::{Identity, Principal};
use quire_wire::Message as _;
use quire_wire::msp::{
    MspPrincipal, MspRole, OrganizationUnit, SerializedIdentity, principal_classification, role,
};

use super::error::NoDescriptor;

/// A principal, as its place in [`Principals`].
pub(super) type Id = usize;

/// All principals that a question speaks of.
#[derive(Debug, Default)]
pub(super) struct Principals {
    known: Vec<Known>,
    ids: HashMap<(i32, Bytes), Id>,
}

#[derive(Debug)]
struct Known {
    msp_id: String,
    kind: Kind,
    principal: Principal,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Role(i32),
    Unit { name: String, certifiers: Bytes },
    Identity(Bytes),
}

impl Principals {
    /// The place of a principal.
    ///
    /// # Errors
    /// It cannot be compared: it cannot be read, or is of a kind that Fabric's discovery does not know.
    pub(super) fn id(&mut self, principal: &MspPrincipal) -> Result<Id, NoDescriptor> {
        let key = (
            principal.principal_classification,
            principal.principal.clone(),
        );
        if let Some(id) = self.ids.get(&key) {
            return Ok(*id);
        }
        let (msp_id, kind) = read(principal).ok_or(NoDescriptor::Principal)?;
        let id = self.known.len();
        self.known.push(Known {
            msp_id,
            kind,
            principal: Principal::of(principal),
        });
        self.ids.insert(key, id);
        Ok(id)
    }

    /// Whether everybody who is meant by `this` is meant by `other`, as far as that can be told.
    pub(super) fn is_a(&self, this: Id, other: Id) -> bool {
        let (Some(this), Some(other)) = (self.known.get(this), self.known.get(other)) else {
            return false;
        };
        if this.msp_id != other.msp_id {
            return false;
        }
        other.kind == Kind::Role(role::MEMBER) || this.kind == other.kind
    }

    /// Whether an identity is meant.
    pub(super) fn mean(&self, id: Id, identity: &Identity) -> bool {
        let known = self.known.get(id);
        known.is_some_and(|known| known.principal.is_satisfied_by(identity).is_ok())
    }
}

fn read(principal: &MspPrincipal) -> Option<(String, Kind)> {
    let bytes = principal.principal.clone();
    match principal.principal_classification {
        principal_classification::ROLE => {
            let role = MspRole::decode(bytes).ok()?;
            Some((role.msp_identifier, Kind::Role(role.role)))
        }
        principal_classification::ORGANIZATION_UNIT => {
            let unit = OrganizationUnit::decode(bytes).ok()?;
            let kind = Kind::Unit {
                name: unit.organizational_unit_identifier,
                certifiers: unit.certifiers_identifier,
            };
            Some((unit.msp_identifier, kind))
        }
        principal_classification::IDENTITY => {
            let identity = SerializedIdentity::decode(bytes).ok()?;
            Some((identity.mspid, Kind::Identity(identity.id_bytes)))
        }
        _ => None,
    }
}
