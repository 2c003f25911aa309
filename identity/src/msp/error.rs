//! Why something is no organisation, and why somebody is no member of one.

use super::chain::ChainError;
use crate::certificate::CertificateError;

/// Why a configuration describes no organisation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MspError {
    /// It has no name.
    #[error("the organisation has no MSP id")]
    NoName,
    /// A channel has two organisations with the same MSP id.
    #[error("the channel has two different organisations {0:?}")]
    TwoVersions(String),
    /// More bytes or certificates than any organisation needs.
    #[error("the organisation has {found} {what}, and at most {most} are read")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        most: usize,
    },
    /// It has no root CA.
    #[error("the organisation has no root CA")]
    NoRoots,
    /// It names a hash function that is not known.
    #[error("the organisation names the hash function {0:?}, which is not known")]
    HashFunction(String),
    /// Bytes that should be a certificate are none.
    #[error("a certificate of the organisation cannot be used")]
    Certificate(#[from] CertificateError),
    /// The certificate of a CA does not say that it is one.
    #[error("the certificate of {0:?} stands among the CAs but is none of a CA")]
    NotCa(String),
    /// The certificate of a CA has no subject key identifier.
    #[error("the certificate of the CA {0:?} has no subject key identifier")]
    NoKeyIdentifier(String),
    /// A certificate of the organisation does not hang on a root.
    #[error("a certificate of the organisation is not below exactly one root")]
    Chain(#[from] ChainError),
    /// An intermediate CA was taken back.
    #[error("the certificate of the CA {0:?} was revoked")]
    Revoked(String),
    /// A revocation list cannot be read, or hits CAs and does not say whose it is.
    #[error("a revocation list cannot be read, or does not name the key that signed it")]
    RevocationList,
    /// An organisational unit is bound to a CA that is none of the organisation's.
    #[error("the unit {0:?} is bound to a CA that is none of the organisation's")]
    UnitOfStranger(String),
    /// Kinds of members are told apart, but the unit of clients or of peers is missing.
    #[error("the organisation tells kinds of members apart without units of clients and of peers")]
    NoClientOrPeerUnit,
    /// Nobody can be an administrator.
    #[error("the organisation lists no administrators and has no unit for them")]
    NoAdmins,
    /// A listed administrator is no member, or not one of the right kind.
    #[error("the listed administrator {name:?} is none")]
    Admin {
        /// The certificate's common name.
        name: String,
        /// Why it is no member; `None` where it is one of another kind.
        source: Option<IdentityError>,
    },
}

/// Why somebody is no member of an organisation, or not a valid one.
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
    /// The organisation has a revocation list that does not say whose it is, so nobody's certificate
    /// counts.
    #[error("a revocation list of the organisation does not name the key that signed it")]
    RevocationList,
    /// None, or several, of the units of clients, peers, admins and orderers.
    #[error("the identity is not exactly one of client, peer, admin and orderer")]
    NotOneRole,
    /// A unit that counts, but from a CA that may not give it.
    #[error("the identity has the unit {0:?} from a CA that may not give it")]
    UnitOfAnotherCa(String),
    /// None of the units that the organisation demands.
    #[error("the identity has none of the units that its organisation demands")]
    NoUnit,
    /// Not ECDSA, and not Ed25519 where that is allowed.
    #[error("the identity's key is of a kind that is not supported")]
    Key,
}
