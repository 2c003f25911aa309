//! What an organisation judges identities by.

use std::sync::Arc;

use super::MspVersion;
use super::chain::{Canonical, ChainError, NotCanonical, Trust};
use super::error::IdentityError;
use super::revocation::RevocationList;
use super::units::{NodeUnits, Unit};
use crate::certificate::Certificate;
use crate::hash::HashFunction;
use crate::identity::{Identity, Role};
use crate::signature::{HashFamily, PublicKey};

/// Everything about an organisation that decides over its members.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) id: Box<str>,
    pub(crate) version: MspVersion,
    pub(crate) trust: Trust,
    /// CAs that have other CAs below them.
    pub(crate) inner_nodes: Vec<Arc<Certificate>>,
    pub(crate) revocation_lists: Vec<RevocationList>,
    /// DER of the certificates.
    pub(crate) admins: Vec<Vec<u8>>,
    /// Whether units tell kinds of members apart.
    pub(crate) tells_kinds_apart: bool,
    pub(crate) node_units: NodeUnits,
    /// Units of which every member needs one, where there are any.
    pub(crate) units: Vec<Unit>,
    /// What messages are hashed with before they are signed.
    pub(crate) hash_family: HashFamily,
    /// What certificates are hashed with to be named.
    pub(crate) identifier_hash: HashFunction,
}

impl Rules {
    /// The identity of a certificate in PEM, valid or not.
    pub(crate) fn deserialize(self: &Arc<Self>, pem: &[u8]) -> Result<Identity, IdentityError> {
        let canonical = self.canonical(Certificate::from_pem(pem)?)?;
        Ok(self.identity(canonical))
    }

    /// The certificate in the one form that counts.
    pub(crate) fn canonical(&self, certificate: Certificate) -> Result<Canonical, IdentityError> {
        canonical(&self.trust, certificate)
    }

    /// The identity of a certificate, with what is found about it.
    pub(crate) fn identity(self: &Arc<Self>, canonical: Canonical) -> Identity {
        let certificate = canonical.certificate;
        let chain = self.issuers_of(&certificate);
        let certifiers = chain
            .as_ref()
            .map(|chain| self.certifiers(chain))
            .unwrap_or_default();
        let role = self.role_of(&certificate, chain.is_ok(), &certifiers);
        let validity = self.validity(&certificate, chain, &certifiers, &role);
        Identity {
            rules: Arc::clone(self),
            certificate,
            issuer_curve: canonical.issuer_curve,
            certifiers,
            role: role.ok().flatten(),
            validity,
        }
    }

    fn validity(
        &self,
        certificate: &Certificate,
        chain: Result<Vec<Arc<Certificate>>, IdentityError>,
        certifiers: &[u8],
        role: &Result<Option<Role>, IdentityError>,
    ) -> Result<(), IdentityError> {
        let is_supported = match certificate.public_key() {
            Some(PublicKey::Ecdsa { .. }) => true,
            Some(PublicKey::Ed25519(_)) => self.version >= MspVersion::V3_0,
            Some(PublicKey::Rsa(_)) | None => false,
        };
        if !is_supported {
            return Err(IdentityError::Key);
        }
        let chain = chain?;
        let issuer = chain.first().ok_or(ChainError::NoIssuer)?;
        self.check_not_revoked(certificate, issuer)?;
        let has_unit =
            |unit: &Unit| unit.certifiers == certifiers && certificate.units.contains(&unit.name);
        if !self.units.is_empty() && !self.units.iter().any(has_unit) {
            return Err(IdentityError::NoUnit);
        }
        role.clone().map(drop)
    }

    /// The CAs above an identity, its issuer first.
    fn issuers_of(
        &self,
        certificate: &Certificate,
    ) -> Result<Vec<Arc<Certificate>>, IdentityError> {
        if certificate.is_ca() {
            return Err(IdentityError::IsCa);
        }
        let chain = self.trust.chain_of(certificate)?;
        let issuer = chain.first().ok_or(ChainError::NoIssuer)?;
        if self.is_inner_node(issuer) {
            return Err(ChainError::IssuerIsInnerNode.into());
        }
        Ok(chain)
    }

    pub(crate) fn is_inner_node(&self, certificate: &Certificate) -> bool {
        self.inner_nodes
            .iter()
            .any(|inner| inner.der == certificate.der)
    }

    /// Digest of these CAs, in their order.
    pub(crate) fn certifiers(&self, chain: &[Arc<Certificate>]) -> Vec<u8> {
        self.identifier_hash
            .digest(chain.iter().map(|certificate| &certificate.der[..]))
    }

    pub(crate) fn check_not_revoked(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Result<(), IdentityError> {
        for list in &self.revocation_lists {
            if !list.names_authority() {
                return Err(IdentityError::RevocationList);
            }
            if list.revokes(certificate, issuer) {
                return Err(IdentityError::Revoked);
            }
        }
        Ok(())
    }

    /// The kind of member; `None` where kinds are not told apart.
    fn role_of(
        &self,
        certificate: &Certificate,
        has_chain: bool,
        certifiers: &[u8],
    ) -> Result<Option<Role>, IdentityError> {
        if !self.tells_kinds_apart {
            return Ok(None);
        }
        // Units count only if the CA is known that gave them.
        let units = if has_chain {
            &certificate.units[..]
        } else {
            &[]
        };
        self.node_units
            .role_of(self.version, units, certifiers)
            .map(Some)
    }
}

/// The certificate in the one form that counts, by these CAs.
pub(crate) fn canonical(
    trust: &Trust,
    certificate: Certificate,
) -> Result<Canonical, IdentityError> {
    if certificate.public_key().is_none() {
        return Err(crate::certificate::CertificateError::KeyKind.into());
    }
    trust.canonical(certificate).map_err(|error| match error {
        NotCanonical::Chain(error) => error.into(),
        NotCanonical::Certificate(error) => error.into(),
    })
}

#[cfg(test)]
impl Rules {
    /// Rules that tell kinds of members apart by the usual units, from any CA.
    pub(crate) fn sample(id: &str) -> Self {
        let mut node_units = NodeUnits::default();
        for role in Role::ALL {
            let unit = Unit {
                name: role.unit().to_owned(),
                certifiers: Vec::new(),
            };
            node_units.set(role, unit);
        }
        Self {
            id: id.into(),
            version: MspVersion::V1_4_3,
            trust: Trust::default(),
            inner_nodes: Vec::new(),
            revocation_lists: Vec::new(),
            admins: Vec::new(),
            tells_kinds_apart: true,
            node_units,
            units: Vec::new(),
            hash_family: HashFamily::Sha2,
            identifier_hash: HashFunction::Sha256,
        }
    }
}
