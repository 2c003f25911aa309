//! The principals of policies, each once, and how they compare.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use quire_identity::{Identity, Principal};
use quire_wire::Message as _;
use quire_wire::msp::{
    MspPrincipal, MspRole, OrganizationUnit, SerializedIdentity, principal_classification, role,
};

use super::error::NoDescriptor;

/// A principal, as its place in [`Principals`].
pub(crate) type Id = usize;

/// All principals that a question speaks of.
#[derive(Debug, Default)]
pub(crate) struct Principals {
    known: Vec<Meaning>,
    ids: HashMap<(i32, Bytes), Id>,
}

/// Whom a principal means, as it is compared with others.
#[derive(Clone, Debug)]
pub struct Meaning {
    msp_id: String,
    kind: Kind,
    principal: Principal,
}

/// A peer, as far as it is known.
#[derive(Clone, Debug)]
pub enum Who {
    /// Its identity.
    Known(Arc<Identity>),
    /// Its organisation: which of its peers it is will be known when it has signed something.
    PeerOf(Arc<str>),
}

impl Meaning {
    /// Of a principal; `None` if it cannot be read, or is of a kind that Fabric's discovery does not know.
    #[must_use]
    pub fn of(principal: &MspPrincipal) -> Option<Self> {
        let (msp_id, kind) = read(principal)?;
        Some(Self {
            msp_id,
            kind,
            principal: Principal::of(principal),
        })
    }

    /// Of any principal. One that cannot be compared means nobody who is not known.
    pub(super) fn of_any(principal: &MspPrincipal) -> Self {
        Self::of(principal).unwrap_or_else(|| Self {
            msp_id: String::new(),
            kind: Kind::Other,
            principal: Principal::of(principal),
        })
    }

    /// Whether a peer is meant, or may be, as far as it is known.
    #[must_use]
    pub fn includes(&self, who: &Who) -> bool {
        match who {
            Who::Known(identity) => self.principal.is_satisfied_by(identity).is_ok(),
            Who::PeerOf(msp_id) => {
                let may_be_a_peer = !matches!(
                    self.kind,
                    Kind::Role(role::ADMIN | role::CLIENT | role::ORDERER) | Kind::Other
                );
                *self.msp_id == **msp_id && may_be_a_peer
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Role(i32),
    Unit { name: String, certifiers: Bytes },
    Identity(Bytes),
    Other,
}

impl Principals {
    /// The place of a principal.
    ///
    /// # Errors
    /// It cannot be compared: it cannot be read, or is of a kind that Fabric's discovery does not know.
    pub(crate) fn id(&mut self, principal: &MspPrincipal) -> Result<Id, NoDescriptor> {
        let key = (
            principal.principal_classification,
            principal.principal.clone(),
        );
        if let Some(id) = self.ids.get(&key) {
            return Ok(*id);
        }
        let meaning = Meaning::of(principal).ok_or(NoDescriptor::Principal)?;
        let id = self.known.len();
        self.known.push(meaning);
        self.ids.insert(key, id);
        Ok(id)
    }

    /// Whether everybody who is meant by `this` is meant by `other`, as far as that can be told.
    pub(crate) fn is_a(&self, this: Id, other: Id) -> bool {
        let (Some(this), Some(other)) = (self.known.get(this), self.known.get(other)) else {
            return false;
        };
        if this.msp_id != other.msp_id {
            return false;
        }
        other.kind == Kind::Role(role::MEMBER) || this.kind == other.kind
    }

    /// Whether a peer is meant, or may be.
    pub(crate) fn mean(&self, id: Id, who: &Who) -> bool {
        self.known.get(id).is_some_and(|known| known.includes(who))
    }

    /// Whom a principal means.
    pub(crate) fn meaning(&self, id: Id) -> Option<Meaning> {
        self.known.get(id).cloned()
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
