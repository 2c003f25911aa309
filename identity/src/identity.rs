//! Somebody in an organisation: a certificate, and what the organisation finds about it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quire_wire::Message;
use quire_wire::hash::{Hash, sha256};
use quire_wire::msp::SerializedIdentity;

use crate::certificate::{Certificate, CertificateError};
use crate::curve::Curve;
use crate::msp::{IdentityError, Rules};
use crate::pem;
use crate::signature::SignatureError;
use crate::signing::serialize;

/// What kind of member an identity is; its certificate's organisational unit says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Submits transactions.
    Client,
    /// Endorses and keeps the ledger.
    Peer,
    /// May change the organisation's part of the configuration.
    Admin,
    /// Orders transactions and signs blocks.
    Orderer,
}

impl Role {
    /// All of them, in Fabric's order.
    pub const ALL: [Self; 4] = [Self::Client, Self::Peer, Self::Admin, Self::Orderer];

    /// The organisational unit that Fabric's tools give to such members: `client`.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Peer => "peer",
            Self::Admin => "admin",
            Self::Orderer => "orderer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.unit())
    }
}

/// A certificate for which an organisation stands. It may still not be valid
/// ([`validity`](Self::validity)): policies of Fabric ask for that only where a principal does.
///
/// Two of them are equal if they speak of the same certificate of the same organisation, however it
/// was written down.
#[derive(Debug)]
pub struct Identity {
    pub(crate) rules: Arc<Rules>,
    /// With the lower S.
    pub(crate) certificate: Certificate,
    /// The curve of the key that signed the certificate; `None` where that has no other form.
    pub(crate) issuer_curve: Option<Curve>,
    /// Digest of the CAs above; empty if there is no chain of them.
    pub(crate) certifiers: Vec<u8>,
    pub(crate) role: Option<Role>,
    pub(crate) validity: Result<(), IdentityError>,
}

impl Identity {
    /// The organisation.
    #[must_use]
    pub fn msp_id(&self) -> &str {
        &self.rules.id
    }

    /// The common name in the certificate; empty if there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.certificate.common_name
    }

    /// Whether the organisation takes it for one of its own: not revoked, not a CA, and with the
    /// units that it asks for. Does not depend on the time.
    ///
    /// # Errors
    /// What Fabric would refuse it for.
    pub fn validity(&self) -> Result<(), &IdentityError> {
        match &self.validity {
            Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What kind of member this is; `None` in an organisation that does not tell its members apart
    /// by organisational units, and for an identity that has not the unit of exactly one kind.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// The same; one that is neither of a kind nor an administrator counts as a client.
    pub(crate) fn role_or_client(&self) -> Role {
        match self.role {
            Some(role) => role,
            None if self.is_admin() => Role::Admin,
            None => Role::Client,
        }
    }

    /// Whether this is a valid administrator by its unit, or one that the organisation lists.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.is_listed_admin() || self.role == Some(Role::Admin) && self.validity.is_ok()
    }

    pub(crate) fn is_listed_admin(&self) -> bool {
        self.rules.admins.contains(&self.certificate.der)
    }

    /// The organisational units in the certificate, in their order; none if no chain of CAs gives
    /// them.
    #[must_use]
    pub fn units(&self) -> &[String] {
        if self.certifiers.is_empty() {
            return &[];
        }
        &self.certificate.units
    }

    /// The digest of the CAs that gave the units: what a principal that names a unit has as its
    /// `certifiers_identifier`. Empty without a chain of CAs.
    #[must_use]
    pub fn certifiers(&self) -> &[u8] {
        &self.certifiers
    }

    /// Fabric's identifier of the certificate: a digest in hexadecimal digits.
    #[must_use]
    pub fn identifier(&self) -> String {
        let hash = self.rules.identifier_hash;
        hex::encode(hash.digest([&self.certificate.der[..]]))
    }

    /// When the certificate's time is over, in seconds since 1970.
    #[must_use]
    pub fn expires_at(&self) -> i64 {
        self.certificate.not_after
    }

    /// Whether the certificate's time is over. It stays valid: blocks of its time are judged by it for
    /// ever, and only who lets somebody in now asks for this.
    #[must_use]
    pub fn has_expired_at(&self, now: SystemTime) -> bool {
        let not_after = self.certificate.not_after;
        let end = Duration::from_secs(not_after.unsigned_abs());
        let end = if not_after < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(end)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(end)
        };
        // What the clock cannot express lies far behind or far ahead.
        end.map_or(not_after < 0, |end| end <= now)
    }

    /// Checks a signature of this identity.
    ///
    /// # Errors
    /// If it is not DER, has a high S, or was not made by this identity over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let key = self.certificate.public_key().ok_or(SignatureError::Rsa)?;
        key.verify(self.rules.hash_family, message, signature)
    }

    /// The identity as Fabric writes it again: with the lower S in its certificate's signature, in
    /// PEM of one form. Not always the bytes that it was read from.
    #[must_use]
    pub fn serialize(&self) -> Bytes {
        serialize(self.msp_id(), &self.certificate.to_pem())
    }

    /// Whether somebody's certificate is this one, in whichever of its forms.
    pub(crate) fn has_certificate(&self, certificate: &Certificate) -> bool {
        if certificate.der == self.certificate.der {
            return true;
        }
        let low = |curve| certificate.with_low_s(curve).ok();
        let low = self.issuer_curve.and_then(low);
        low.is_some_and(|low| low.der == self.certificate.der)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.certificate.der == other.certificate.der && self.msp_id() == other.msp_id()
    }
}

impl Eq for Identity {}

/// How Fabric's gossip names whoever has this serialized identity: a digest of its parts as they are
/// given, in whichever form. `None` if the bytes are no serialized identity, or none at all.
#[must_use]
pub fn pki_id(serialized: &[u8]) -> Option<Hash> {
    if serialized.is_empty() {
        return None;
    }
    let identity = SerializedIdentity::decode(serialized).ok()?;
    Some(sha256([identity.mspid.as_bytes(), &identity.id_bytes]))
}

/// Why the form of an identity is not the one that it should have where it enters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedIdentity {
    /// No certificate in PEM that could be read.
    #[error("the identity has no certificate that can be read")]
    Certificate(#[from] CertificateError),
    /// The PEM block is of something else.
    #[error("the identity's PEM block is not one of a certificate")]
    Label,
    /// Something follows the PEM block.
    #[error("something follows the identity's certificate")]
    TrailingBytes,
    /// The certificate's signature could be written shorter.
    #[error("the signature of the identity's certificate is not in its one form")]
    Signature,
}

/// Checks the form of an identity, as Fabric does where one enters. Says nothing of who it is.
///
/// # Errors
/// What is not as it should be.
pub fn check_well_formed(identity: &SerializedIdentity) -> Result<(), MalformedIdentity> {
    let block = pem::Block::first(&identity.id_bytes).ok_or(CertificateError::NotPem)?;
    if !block.rest.is_empty() {
        return Err(MalformedIdentity::TrailingBytes);
    }
    if !block.label.is_empty() && block.label != pem::CERTIFICATE.as_bytes() {
        return Err(MalformedIdentity::Label);
    }
    let certificate = Certificate::from_der(block.content)?;
    let is_canonical = certificate.is_signed_canonically();
    is_canonical
        .then_some(())
        .ok_or(MalformedIdentity::Signature)
}

#[cfg(test)]
impl Identity {
    /// A valid member called `name`, whose certificate nobody signed.
    pub(crate) fn sample(msp_id: &str, name: &str, role: Option<Role>, is_listed: bool) -> Self {
        let mut params = rcgen::CertificateParams::default();
        let common_name = rcgen::DnType::CommonName;
        params.distinguished_name.push(common_name, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let mut certificate = Certificate::from_der(certificate.der().to_vec()).unwrap();
        // Two of one name are the same.
        certificate.der = name.as_bytes().to_vec();
        certificate.units = role.iter().map(|role| role.unit().to_owned()).collect();
        let mut rules = Rules::sample(msp_id);
        if is_listed {
            rules.admins.push(certificate.der.clone());
        }
        Self {
            rules: Arc::new(rules),
            certificate,
            issuer_curve: None,
            certifiers: vec![1],
            role,
            validity: Ok(()),
        }
    }
}
