//! The key and certificate of the authority itself.

use std::fmt::Debug;

use bytes::Bytes;
use quire_identity::OrganizationCa;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use crate::pem;
use crate::registry::certificate::plain_hex;

/// Who signs certificates and revocation lists.
pub trait Issuer: Send + Sync + Debug {
    /// Its own certificate, in PEM.
    fn certificate_pem(&self) -> &str;

    /// Its ECDSA signature with SHA-256, in DER with a low S.
    fn sign(&self, message: &[u8]) -> Bytes;
}

impl Issuer for OrganizationCa {
    fn certificate_pem(&self) -> &str {
        self.certificate_pem()
    }

    fn sign(&self, message: &[u8]) -> Bytes {
        self.sign(message)
    }
}

/// Why a certificate cannot issue others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// Not a certificate in PEM.
    #[error("the CA's certificate cannot be read")]
    Unreadable,
    /// It does not say what its key is called, so that no list could name it.
    #[error("the CA's certificate has no subject key identifier")]
    NoKeyId,
    /// It may not sign certificates and lists.
    #[error("the CA's certificate is not one of an authority that may sign certificates and lists")]
    NoAuthority,
}

/// What is written of the issuer into what it issues.
#[derive(Clone, Debug)]
pub struct IssuerFacts {
    /// DER of its name.
    pub subject: Vec<u8>,
    /// What its key is called.
    pub key_id: Vec<u8>,
    /// The same in hex, without leading zeros.
    pub key_id_hex: String,
    /// The first second of its certificate.
    pub not_before: i64,
    /// The last.
    pub not_after: i64,
}

impl IssuerFacts {
    /// Reads them from a certificate.
    ///
    /// # Errors
    /// If it cannot issue others.
    pub fn of(certificate_pem: &str) -> Result<Self, IssuerError> {
        let der = pem::first(certificate_pem.as_bytes(), &["CERTIFICATE"]);
        let der = der.ok_or(IssuerError::Unreadable)?;
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|_| IssuerError::Unreadable)?;
        let mut key_id = None;
        let mut may_sign = true;
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => key_id = Some(id.0.to_vec()),
                ParsedExtension::KeyUsage(usage) => {
                    may_sign = usage.key_cert_sign() && usage.crl_sign();
                }
                _ => {}
            }
        }
        if !may_sign || !certificate.is_ca() {
            return Err(IssuerError::NoAuthority);
        }
        let key_id = key_id.ok_or(IssuerError::NoKeyId)?;
        Ok(Self {
            subject: certificate.subject().as_raw().to_vec(),
            key_id_hex: plain_hex(&hex::encode(&key_id)),
            key_id,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}
