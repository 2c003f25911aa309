//! Whom a leaf of a policy means, and whether somebody is meant.
//!
//! An identity is held against a principal by the rules of its own organisation, whichever version
//! they are. It need not be valid for that: whether it must be depends on the principal.

use std::fmt;

use quire_wire::Message;
use quire_wire::msp::{
    CombinedPrincipal, MspIdentityAnonymity, MspPrincipal, MspRole, OrganizationUnit,
    SerializedIdentity, anonymity, principal_classification, role,
};

use super::MspVersion;
use super::error::IdentityError;
use crate::certificate::Certificate;
use crate::identity::{Identity, Role};

/// How deep combined principals may be nested, so that reading one ends.
const MAX_DEPTH: usize = 100;

/// Whom a leaf of a policy means.
#[derive(Clone, Debug)]
pub struct Principal {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Member {
        msp_id: String,
    },
    Role {
        msp_id: String,
        role: Role,
    },
    Unit {
        msp_id: String,
        name: String,
        certifiers: Vec<u8>,
    },
    Identity {
        msp_id: String,
        certificate: Box<Certificate>,
    },
    /// Everybody who has a name, whatever it is.
    Nominal,
    /// Nobody: certificates name whose they are.
    Anonymous,
    /// All of these at once.
    Combined(Vec<Principal>),
    Unreadable(Unreadable),
}

/// Why a principal means nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its bytes are not what its classification says.
    #[error("it cannot be read")]
    Bytes,
    /// A classification that does not exist.
    #[error("its classification {0} is not known")]
    Classification(i32),
    /// A role that does not exist.
    #[error("there is no role {0}")]
    Role(i32),
    /// A kind of anonymity that does not exist.
    #[error("there is no anonymity {0}")]
    Anonymity(i32),
    /// The identity that it names has no certificate that could be read.
    #[error("the certificate that it names cannot be read")]
    Certificate,
    /// A combination of none.
    #[error("it combines nothing")]
    Empty,
    /// Nested deeper than anyone needs.
    #[error("it is nested too deep")]
    TooDeep,
}

/// Why somebody is not meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSatisfied {
    /// A member of another organisation.
    #[error("{found} is another organisation than {expected}")]
    OtherMsp {
        /// The principal's organisation.
        expected: String,
        /// The identity's organisation.
        found: String,
    },
    /// No valid identity.
    #[error("it is not valid: {0}")]
    Invalid(#[source] IdentityError),
    /// The organisation does not tell this kind of members apart.
    #[error("{msp_id} does not say who is {role}")]
    RoleUnknown {
        /// The organisation.
        msp_id: String,
        /// The kind of members.
        role: Role,
    },
    /// Of another kind.
    #[error("it is no {0}")]
    OtherRole(Role),
    /// Without the organisational unit, or with it from another CA.
    #[error("it has not the unit {0:?} of that CA")]
    OtherUnit(String),
    /// Somebody else.
    #[error("it is another identity")]
    OtherIdentity,
    /// The principal asks for somebody whose name is not known.
    #[error("its certificate says whose it is")]
    NotAnonymous,
    /// The organisation's rules are older than this kind of principal.
    #[error("the rules of version {0} have no such principal")]
    Version(MspVersion),
    /// The principal means nobody.
    #[error("the principal means nobody: {0}")]
    Unreadable(Unreadable),
}

impl Principal {
    /// Reads a principal. One that cannot be read means nobody, as in Fabric, which finds out only
    /// when it asks.
    #[must_use]
    pub fn of(principal: &MspPrincipal) -> Self {
        Self::within(principal, 0)
    }

    fn within(principal: &MspPrincipal, depth: usize) -> Self {
        let kind = read(principal, depth).unwrap_or_else(Kind::Unreadable);
        Self { kind }
    }

    /// Whether `identity` is meant. Takes microseconds at most.
    ///
    /// # Errors
    /// Why it is not.
    pub fn is_satisfied_by(&self, identity: &Identity) -> Result<(), NotSatisfied> {
        match &self.kind {
            Kind::Member { msp_id } => {
                check_msp(msp_id, identity)?;
                check_valid(identity)
            }
            Kind::Role { msp_id, role } => {
                check_msp(msp_id, identity)?;
                check_role(*role, identity)
            }
            Kind::Unit {
                msp_id,
                name,
                certifiers,
            } => {
                check_msp(msp_id, identity)?;
                check_valid(identity)?;
                let has_unit =
                    identity.units().contains(name) && identity.certifiers == *certifiers;
                fulfilled(has_unit, || NotSatisfied::OtherUnit(name.clone()))
            }
            Kind::Identity {
                msp_id,
                certificate,
            } => {
                check_msp(msp_id, identity)?;
                let is_it = identity.has_certificate(certificate);
                fulfilled(is_it, || NotSatisfied::OtherIdentity)?;
                check_valid(identity)
            }
            Kind::Nominal => check_version(identity),
            Kind::Anonymous => {
                check_version(identity)?;
                Err(NotSatisfied::NotAnonymous)
            }
            Kind::Combined(principals) => {
                check_version(identity)?;
                let mut each = principals.iter();
                each.try_for_each(|one| one.is_satisfied_by(identity))
            }
            Kind::Unreadable(reason) => Err(NotSatisfied::Unreadable(reason.clone())),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Member { msp_id } => write!(formatter, "{msp_id}.member"),
            Kind::Role { msp_id, role } => write!(formatter, "{msp_id}.{role}"),
            Kind::Unit { msp_id, name, .. } => write!(formatter, "{msp_id}.unit({name})"),
            Kind::Identity {
                msp_id,
                certificate,
            } => write!(formatter, "{msp_id}.identity({})", certificate.common_name),
            Kind::Nominal => formatter.write_str("anybody"),
            Kind::Anonymous => formatter.write_str("anybody without a name"),
            Kind::Combined(principals) => {
                for (position, principal) in principals.iter().enumerate() {
                    let separator = if position == 0 { "" } else { " and " };
                    write!(formatter, "{separator}{principal}")?;
                }
                Ok(())
            }
            Kind::Unreadable(reason) => write!(formatter, "nobody ({reason})"),
        }
    }
}

fn read(principal: &MspPrincipal, depth: usize) -> Result<Kind, Unreadable> {
    let bytes = principal.principal.clone();
    match principal.principal_classification {
        principal_classification::ROLE => {
            let MspRole {
                msp_identifier: msp_id,
                role,
            } = decode(bytes)?;
            let role = match role {
                role::MEMBER => return Ok(Kind::Member { msp_id }),
                role::ADMIN => Role::Admin,
                role::CLIENT => Role::Client,
                role::PEER => Role::Peer,
                role::ORDERER => Role::Orderer,
                unknown => return Err(Unreadable::Role(unknown)),
            };
            Ok(Kind::Role { msp_id, role })
        }
        principal_classification::ORGANIZATION_UNIT => {
            let unit: OrganizationUnit = decode(bytes)?;
            Ok(Kind::Unit {
                msp_id: unit.msp_identifier,
                name: unit.organizational_unit_identifier,
                certifiers: unit.certifiers_identifier.to_vec(),
            })
        }
        principal_classification::IDENTITY => {
            let identity: SerializedIdentity = decode(bytes)?;
            let certificate =
                Certificate::from_pem(&identity.id_bytes).map_err(|_| Unreadable::Certificate)?;
            Ok(Kind::Identity {
                msp_id: identity.mspid,
                certificate: Box::new(certificate),
            })
        }
        principal_classification::ANONYMITY => {
            let asked: MspIdentityAnonymity = decode(bytes)?;
            match asked.anonymity_type {
                anonymity::NOMINAL => Ok(Kind::Nominal),
                anonymity::ANONYMOUS => Ok(Kind::Anonymous),
                unknown => Err(Unreadable::Anonymity(unknown)),
            }
        }
        principal_classification::COMBINED => {
            if depth == MAX_DEPTH {
                return Err(Unreadable::TooDeep);
            }
            let combined: CombinedPrincipal = decode(bytes)?;
            if combined.principals.is_empty() {
                return Err(Unreadable::Empty);
            }
            let each = combined.principals.iter();
            let each = each.map(|one| Principal::within(one, depth + 1));
            Ok(Kind::Combined(each.collect()))
        }
        unknown => Err(Unreadable::Classification(unknown)),
    }
}

fn decode<M: Message + Default>(bytes: bytes::Bytes) -> Result<M, Unreadable> {
    M::decode(bytes).map_err(|_| Unreadable::Bytes)
}

fn fulfilled(is: bool, otherwise: impl FnOnce() -> NotSatisfied) -> Result<(), NotSatisfied> {
    if is { Ok(()) } else { Err(otherwise()) }
}

fn check_msp(msp_id: &str, identity: &Identity) -> Result<(), NotSatisfied> {
    fulfilled(identity.msp_id() == msp_id, || NotSatisfied::OtherMsp {
        expected: msp_id.to_owned(),
        found: identity.msp_id().to_owned(),
    })
}

fn check_valid(identity: &Identity) -> Result<(), NotSatisfied> {
    let validity = identity.validity();
    validity.map_err(|error| NotSatisfied::Invalid(error.clone()))
}

/// Combined principals, and those about anonymity, came with version 1.3.
fn check_version(identity: &Identity) -> Result<(), NotSatisfied> {
    let version = identity.rules.version;
    fulfilled(version >= MspVersion::V1_3, || {
        NotSatisfied::Version(version)
    })
}

fn check_role(role: Role, identity: &Identity) -> Result<(), NotSatisfied> {
    let rules = &identity.rules;
    let is_new = rules.version >= MspVersion::V1_4_3 && rules.tells_kinds_apart;
    match role {
        // Listed administrators were checked when the organisation was read, and may be revoked.
        Role::Admin if identity.is_listed_admin() => return Ok(()),
        Role::Admin if !is_new => return Err(NotSatisfied::OtherRole(role)),
        Role::Orderer if !is_new => return Err(NotSatisfied::Version(rules.version)),
        _ => {}
    }
    check_valid(identity)?;
    let is_known = rules.tells_kinds_apart && rules.node_units.get(role).is_some();
    fulfilled(is_known, || NotSatisfied::RoleUnknown {
        msp_id: identity.msp_id().to_owned(),
        role,
    })?;
    fulfilled(has_unit_of(identity, role), || {
        NotSatisfied::OtherRole(role)
    })
}

/// Whether an identity has the unit of a kind of members, from whichever CA.
pub(super) fn has_unit_of(identity: &Identity, role: Role) -> bool {
    let unit = identity.rules.node_units.get(role);
    unit.is_some_and(|unit| identity.units().contains(&unit.name))
}

#[cfg(test)]
mod tests;
