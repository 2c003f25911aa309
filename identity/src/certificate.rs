//! What this crate wants to know of an X.509 certificate.

use quire_wire::hash::{Hash, sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, Oid};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo};

use crate::pem;
use crate::signature::{Curve, PublicKey};

/// Why bytes are no certificate that could be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not a PEM block `CERTIFICATE`.
    #[error("not a certificate in PEM")]
    NotPem,
    /// Not X.509 in DER, or something after it.
    #[error("not an X.509 certificate")]
    NotX509,
    /// The algorithm named in the signed part is not the one of the signature.
    #[error("names two signature algorithms")]
    TwoAlgorithms,
    /// An extension that may not be ignored and whose meaning is not known here.
    #[error("has the critical extension {0}, which is not known")]
    CriticalExtension(String),
}

/// A certificate, its facts read out of the DER.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    /// SHA-256 of the signed part: unlike one of all bytes, the same whichever of its two valid
    /// forms the ECDSA signature has.
    pub(crate) fingerprint: Hash,
    /// DER of the subject's name.
    pub(crate) subject: Vec<u8>,
    /// DER of the issuer's name.
    pub(crate) issuer: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
    /// DER of the public key with its algorithm.
    key_info: Vec<u8>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) is_ca: bool,
    pub(crate) path_length: Option<u32>,
    /// False if there is a key usage without `keyCertSign`.
    pub(crate) may_sign_certificates: bool,
    /// False if there is an extended key usage that names neither servers nor anything at all.
    /// Fabric's validation asks Go for a server's chain, whatever the certificate is used for.
    pub(crate) may_be_server: bool,
    pub(crate) common_name: String,
    pub(crate) organization: String,
    pub(crate) units: Vec<String>,
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    pub(crate) fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        let der = pem::first_block(text, "CERTIFICATE").ok_or(CertificateError::NotPem)?;
        Self::from_der(der)
    }

    fn from_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        let x509 = parse(&der).ok_or(CertificateError::NotX509)?;
        if x509.signature_algorithm != x509.tbs_certificate.signature {
            return Err(CertificateError::TwoAlgorithms);
        }
        let mut certificate = Self {
            fingerprint: sha256([x509.tbs_certificate.as_ref()]),
            subject: x509.subject().as_raw().to_vec(),
            issuer: x509.issuer().as_raw().to_vec(),
            serial: x509.raw_serial().to_vec(),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            key_info: x509.public_key().raw.to_vec(),
            subject_key_id: None,
            is_ca: false,
            path_length: None,
            may_sign_certificates: true,
            may_be_server: true,
            common_name: texts(x509.subject().iter_common_name())
                .next()
                .unwrap_or_default(),
            organization: texts(x509.subject().iter_organization())
                .next()
                .unwrap_or_default(),
            units: texts(x509.subject().iter_organizational_unit()).collect(),
            der: Vec::new(),
        };
        certificate.read_extensions(&x509)?;
        certificate.der = der;
        Ok(certificate)
    }

    fn read_extensions(&mut self, x509: &X509Certificate<'_>) -> Result<(), CertificateError> {
        let mut seen: Vec<&Oid<'_>> = Vec::new();
        for extension in x509.extensions() {
            if seen.contains(&&extension.oid) {
                return Err(CertificateError::NotX509);
            }
            seen.push(&extension.oid);
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => {
                    self.is_ca = constraints.ca;
                    self.path_length = constraints.path_len_constraint;
                }
                ParsedExtension::KeyUsage(usage) => {
                    self.may_sign_certificates = usage.flags == 0 || usage.key_cert_sign();
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    self.may_be_server = usage.any || usage.server_auth;
                }
                ParsedExtension::SubjectKeyIdentifier(id) => {
                    self.subject_key_id = Some(id.0.to_vec());
                }
                ParsedExtension::AuthorityKeyIdentifier(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::CertificatePolicies(_)
                | ParsedExtension::CRLDistributionPoints(_)
                | ParsedExtension::AuthorityInfoAccess(_) => {}
                _ if extension.critical => {
                    let oid = extension.oid.to_id_string();
                    return Err(CertificateError::CriticalExtension(oid));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it holds at that second.
    pub(crate) fn holds_at(&self, second: i64) -> bool {
        self.not_before <= second && second <= self.not_after
    }

    /// Whether `issuer`'s key made this certificate's signature.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Some(x509), Some(key)) = (parse(&self.der), issuer.key_info()) else {
            return false;
        };
        x509.verify_signature(Some(&key)).is_ok()
    }

    pub(crate) fn key_info(&self) -> Option<SubjectPublicKeyInfo<'_>> {
        let (_, key) = SubjectPublicKeyInfo::from_der(&self.key_info).ok()?;
        Some(key)
    }

    /// The public key, if identities may have such a one.
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        let key = self.key_info()?;
        if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return None;
        }
        let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
        let curve = if curve == OID_EC_P256 {
            Curve::P256
        } else if curve == OID_NIST_EC_P384 {
            Curve::P384
        } else {
            return None;
        };
        let point = key.subject_public_key.data.to_vec();
        Some(PublicKey { curve, point })
    }
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, x509) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(x509)
}

/// Attributes of a name that are texts; others cannot equal anything that is configured.
fn texts<'a>(
    attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>,
) -> impl Iterator<Item = String> {
    attributes
        .filter_map(|attribute| attribute.as_str().ok())
        .map(str::to_owned)
}
