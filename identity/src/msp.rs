//! An organisation as its channel configuration describes it, and who belongs to it.
//!
//! An identity is valid by Fabric's rules: one chain of CAs leads from it to a root, it is no CA
//! itself, its issuer did not take it back, and, where the organisation tells its members apart,
//! it has the unit of exactly one kind. Time plays no part but for the chain having held together
//! when the certificate began.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use quire_wire::Message;
use quire_wire::hash::Hash;
use quire_wire::msp::{FabricMspConfig, FabricNodeOus, FabricOuIdentifier, SerializedIdentity};

use crate::cache::Cache;
use crate::certificate::{Certificate, CertificateError};
use crate::chain::Authorities;
pub use crate::chain::ChainError;
use crate::identity::{Role, ValidIdentity};
use crate::revocation::RevocationList;

/// How many valid identities an organisation remembers.
const CACHED_IDENTITIES: usize = 1_000;

/// Most bytes of a serialized identity; certificates of Fabric have about 1,000.
const MAX_IDENTITY_BYTES: usize = 64 * 1024;

/// Why a configuration describes no organisation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MspError {
    /// It has no name.
    #[error("the organisation has no MSP id")]
    NoName,
    /// A channel has two organisations with the same MSP id.
    #[error("the channel has two different organisations {0:?}")]
    TwoVersions(String),
    /// It has no root CA.
    #[error("the organisation has no root CA")]
    NoRoots,
    /// Bytes that should be a certificate are none.
    #[error("a certificate of the organisation cannot be used")]
    Certificate(#[from] CertificateError),
    /// The certificate of a CA does not say that it is one.
    #[error("the certificate of {0:?} stands among the CAs but is none of a CA")]
    NotCa(String),
    /// The certificate of a CA has no subject key identifier.
    #[error("the certificate of the CA {0:?} has no subject key identifier")]
    NoKeyIdentifier(String),
    /// An intermediate CA does not hang on a root.
    #[error("an intermediate CA is not below exactly one root")]
    Chain(#[from] ChainError),
    /// An intermediate CA was taken back.
    #[error("the certificate of the CA {0:?} was revoked")]
    Revoked(String),
    /// A revocation list cannot be read.
    #[error("a revocation list cannot be read, or does not name the key that signed it")]
    RevocationList,
    /// An organisational unit is bound to a CA that is none of the organisation's.
    #[error("the unit {0:?} is bound to a CA that is none of the organisation's")]
    UnitOfStranger(String),
}

/// Why an identity is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No serialized identity, or far too large.
    #[error("the identity is not a serialized MSP id and certificate")]
    Malformed,
    /// Of another organisation than the one asked.
    #[error("the identity is of {0:?}, an organisation that is not known here")]
    UnknownMsp(String),
    /// The certificate cannot be read.
    #[error("the identity's certificate cannot be used")]
    Certificate(#[from] CertificateError),
    /// The certificate is a CA's.
    #[error("the identity's certificate is one of a CA")]
    IsCa,
    /// Nobody in the organisation stands for it.
    #[error("the identity was not made by its organisation")]
    Chain(#[from] ChainError),
    /// Its issuer took it back.
    #[error("the identity's certificate was revoked")]
    Revoked,
    /// None, or several, of the units of clients, peers, admins and orderers.
    #[error("the identity is not exactly one of client, peer, admin and orderer")]
    NotOneRole,
    /// A unit that counts, but from a CA that may not give it.
    #[error("the identity has the unit {0:?} from a CA that may not give it")]
    UnitOfAnotherCa(String),
    /// None of the units that the organisation demands.
    #[error("the identity has none of the units that its organisation demands")]
    NoUnit,
    /// Not ECDSA on P-256 or P-384.
    #[error("the identity's key is of a kind that is not supported")]
    Key,
}

/// An organisation that judges identities. Cheap to ask again about the same identity.
#[derive(Debug)]
pub struct Msp {
    id: Arc<str>,
    authorities: Authorities,
    revocation_lists: Vec<RevocationList>,
    /// Fingerprints of certificates.
    admins: Vec<Hash>,
    /// Units that stand for roles; `None` where units do not count.
    roles: Option<Vec<(Unit, Role)>>,
    /// Units of which every member needs one, where roles do not count and there are any.
    units: Vec<Unit>,
    cache: Cache<ValidIdentity>,
}

/// An organisational unit.
#[derive(Debug)]
struct Unit {
    name: String,
    /// Fingerprint of the CA that may give it; `None` for any.
    authority: Option<Hash>,
}

impl Unit {
    fn may_come_from(&self, issuer: &Certificate) -> bool {
        self.authority
            .is_none_or(|authority| authority == issuer.fingerprint)
    }
}

impl Msp {
    /// An organisation from its value in a channel configuration.
    ///
    /// # Errors
    /// If the configuration is one that Fabric would refuse.
    pub fn from_config(config: &FabricMspConfig) -> Result<Self, MspError> {
        if config.name.is_empty() {
            return Err(MspError::NoName);
        }
        if config.root_certs.is_empty() {
            return Err(MspError::NoRoots);
        }
        let revocation_lists = config
            .revocation_list
            .iter()
            .map(|list| RevocationList::read(list).ok_or(MspError::RevocationList))
            .collect::<Result<Vec<_>, _>>()?;
        let authorities = read_authorities(config, &revocation_lists)?;
        let admins = config
            .admins
            .iter()
            .map(|pem| Ok(Certificate::from_pem(pem)?.fingerprint))
            .collect::<Result<_, CertificateError>>()?;
        let roles = match &config.fabric_node_ous {
            Some(node_ous) if node_ous.enable => read_roles(node_ous, &authorities)?,
            _ => None,
        };
        let units = config
            .organizational_unit_identifiers
            .iter()
            .map(|unit| read_unit(unit, &authorities))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            id: config.name.as_str().into(),
            authorities,
            revocation_lists,
            admins,
            roles,
            units,
            cache: Cache::new(CACHED_IDENTITIES),
        })
    }

    /// The MSP id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Judges a serialized [`SerializedIdentity`].
    ///
    /// # Errors
    /// What Fabric would refuse it for.
    pub fn validate(&self, serialized: &[u8]) -> Result<Arc<ValidIdentity>, IdentityError> {
        if let Some(known) = self.cache.get(serialized) {
            return Ok(known);
        }
        let valid = Arc::new(self.judge(&decode(serialized)?)?);
        let key = Bytes::copy_from_slice(serialized);
        self.cache.insert(key, valid.clone());
        Ok(valid)
    }

    fn judge(&self, identity: &SerializedIdentity) -> Result<ValidIdentity, IdentityError> {
        if *identity.mspid != *self.id {
            return Err(IdentityError::UnknownMsp(identity.mspid.clone()));
        }
        let certificate = Certificate::from_pem(&identity.id_bytes)?;
        if certificate.is_ca {
            return Err(IdentityError::IsCa);
        }
        let issuer = self.authorities.issuer_of(&certificate)?;
        let revokes = |list: &RevocationList| list.revokes(&certificate, issuer);
        if self.revocation_lists.iter().any(revokes) {
            return Err(IdentityError::Revoked);
        }
        let role = self.role_of(&certificate, issuer)?;
        Ok(ValidIdentity {
            msp_id: self.id.clone(),
            role,
            is_listed_admin: self.admins.contains(&certificate.fingerprint),
            key: certificate.public_key().ok_or(IdentityError::Key)?,
            fingerprint: certificate.fingerprint,
            not_after: certificate.not_after,
            name: certificate.common_name,
        })
    }

    fn role_of(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Result<Option<Role>, IdentityError> {
        let Some(roles) = &self.roles else {
            let is_member = self.units.is_empty()
                || self.units.iter().any(|unit| {
                    certificate.units.contains(&unit.name) && unit.may_come_from(issuer)
                });
            return if is_member {
                Ok(None)
            } else {
                Err(IdentityError::NoUnit)
            };
        };
        let mut found = None;
        for name in &certificate.units {
            let Some((unit, role)) = roles.iter().find(|(unit, _)| unit.name == *name) else {
                continue;
            };
            if !unit.may_come_from(issuer) {
                return Err(IdentityError::UnitOfAnotherCa(name.clone()));
            }
            if found.replace(*role).is_some() {
                return Err(IdentityError::NotOneRole);
            }
        }
        found.map(Some).ok_or(IdentityError::NotOneRole)
    }
}

/// The organisations of a channel by their MSP ids.
#[derive(Clone, Debug, Default)]
pub struct Msps {
    by_id: BTreeMap<String, Arc<Msp>>,
}

impl Msps {
    /// The organisation with this MSP id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Msp>> {
        self.by_id.get(id)
    }

    /// All of them, by their MSP ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Msp>> {
        self.by_id.values()
    }

    /// Lets the identity's own organisation judge it.
    ///
    /// # Errors
    /// If the organisation is unknown or refuses.
    pub fn validate(&self, serialized: &[u8]) -> Result<Arc<ValidIdentity>, IdentityError> {
        let identity = decode(serialized)?;
        match self.by_id.get(&identity.mspid) {
            Some(msp) => msp.validate(serialized),
            None => Err(IdentityError::UnknownMsp(identity.mspid)),
        }
    }
}

impl FromIterator<Arc<Msp>> for Msps {
    /// The last of several with the same id counts.
    fn from_iter<T: IntoIterator<Item = Arc<Msp>>>(msps: T) -> Self {
        Self {
            by_id: msps
                .into_iter()
                .map(|msp| (msp.id().to_owned(), msp))
                .collect(),
        }
    }
}

fn decode(serialized: &[u8]) -> Result<SerializedIdentity, IdentityError> {
    if serialized.len() > MAX_IDENTITY_BYTES {
        return Err(IdentityError::Malformed);
    }
    SerializedIdentity::decode(serialized).map_err(|_| IdentityError::Malformed)
}

fn read_authorities(
    config: &FabricMspConfig,
    revocation_lists: &[RevocationList],
) -> Result<Authorities, MspError> {
    let mut authorities = Authorities::read(&config.root_certs, &config.intermediate_certs)?;
    for certificate in authorities.certificates() {
        let name = || certificate.common_name.clone();
        if !certificate.is_ca {
            return Err(MspError::NotCa(name()));
        }
        if certificate.subject_key_id.is_none() {
            return Err(MspError::NoKeyIdentifier(name()));
        }
    }
    for (certificate, issuer) in authorities.link()? {
        let revokes = |list: &RevocationList| list.revokes(certificate, issuer);
        if revocation_lists.iter().any(revokes) {
            return Err(MspError::Revoked(certificate.common_name.clone()));
        }
    }
    Ok(authorities)
}

/// The units that stand for roles; none at all means that they do not count, as in Fabric.
fn read_roles(
    node_ous: &FabricNodeOus,
    authorities: &Authorities,
) -> Result<Option<Vec<(Unit, Role)>>, MspError> {
    let identifiers = [
        (&node_ous.client_ou_identifier, Role::Client),
        (&node_ous.peer_ou_identifier, Role::Peer),
        (&node_ous.admin_ou_identifier, Role::Admin),
        (&node_ous.orderer_ou_identifier, Role::Orderer),
    ];
    let mut roles = Vec::new();
    for (identifier, role) in identifiers {
        let Some(identifier) = identifier else {
            continue;
        };
        let unit = if identifier.certificate.is_empty() {
            Unit {
                name: identifier.organizational_unit_identifier.clone(),
                authority: None,
            }
        } else {
            read_unit(identifier, authorities)?
        };
        roles.push((unit, role));
    }
    Ok((!roles.is_empty()).then_some(roles))
}

fn read_unit(unit: &FabricOuIdentifier, authorities: &Authorities) -> Result<Unit, MspError> {
    let name = unit.organizational_unit_identifier.clone();
    let fingerprint = Certificate::from_pem(&unit.certificate)?.fingerprint;
    let mut known = authorities.certificates();
    if !known.any(|certificate| certificate.fingerprint == fingerprint) {
        return Err(MspError::UnitOfStranger(name));
    }
    Ok(Unit {
        name,
        authority: Some(fingerprint),
    })
}

#[cfg(test)]
mod tests;
