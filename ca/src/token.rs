//! What a request is signed with: the token of Fabric CA's clients.
//!
//! ```text
//! Authorization: base64(certificate in PEM) "." base64(signature)
//!
//! signed since 1.4:   method "." base64(URI) "." base64(body) "." base64(certificate)
//! signed until 1.3:   base64(body) "." base64(certificate)
//! ```
//!
//! The signature is ECDSA with SHA-256. The certificate must be one that this CA has issued, byte for
//! byte, and its identity must still be there.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, UnparsedPublicKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::authority::Authority;
use crate::caller::Caller;
use crate::error::{Code, Refusal};
use crate::pem;
use crate::registry::certificate::{CertificateRecord, plain_hex};
use crate::registry::state::State;

/// What a token signs.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The request's method.
    pub method: &'a str,
    /// Its path and query, as sent.
    pub uri: &'a str,
    /// Its body, as sent.
    pub body: &'a [u8],
}

impl Signed<'_> {
    fn is_by(&self, key: &SubjectPublicKeyInfo<'_>, certificate: &str, signature: &[u8]) -> bool {
        let body = STANDARD.encode(self.body);
        let uri = STANDARD.encode(self.uri);
        let new = format!("{}.{uri}.{body}.{certificate}", self.method);
        let old = format!("{body}.{certificate}");
        let is_of = |message: &str| verify(key, message.as_bytes(), signature);
        is_of(&new) || is_of(&old)
    }
}

impl Authority {
    /// Who made a request, by its `Authorization` header.
    ///
    /// # Errors
    /// If the token is none, its signature is wrong, or its certificate is not good here.
    pub fn authenticate(&self, token: &str, signed: &Signed<'_>) -> Result<Caller, Refusal> {
        let bad = |detail: &str| Refusal::authentication(Code::InvalidToken, detail);
        let parts = token
            .split_once('.')
            .filter(|(_, rest)| !rest.contains('.'));
        let (certificate, signature) =
            parts.ok_or_else(|| bad("the token does not have two parts"))?;
        let text = STANDARD.decode(certificate).ok();
        let der = text.and_then(|text| pem::first(&text, &["CERTIFICATE"]));
        let der = der.ok_or_else(|| bad("the token begins with no certificate"))?;
        let signature = STANDARD.decode(signature);
        let signature = signature.map_err(|_| bad("the token ends with no signature"))?;
        let (_, x509) =
            X509Certificate::from_der(&der).map_err(|_| bad("the certificate is not X.509"))?;
        if !signed.is_by(x509.public_key(), certificate, &signature) {
            return Err(bad("the signature is not the certificate's"));
        }
        self.caller(&der, &x509)
    }

    /// Whose a certificate is, if it is good here.
    fn caller(&self, der: &[u8], x509: &X509Certificate<'_>) -> Result<Caller, Refusal> {
        let state = self.registry.state();
        let serial = plain_hex(&hex::encode(x509.raw_serial()));
        let known = state.certificates.get(&serial);
        let known = known.filter(|known| known.der == der).ok_or_else(|| {
            Refusal::authentication(
                Code::UntrustedCertificate,
                "the certificate is not of this CA",
            )
        })?;
        self.good(&state, known)
    }

    /// The caller as a change meets it: what it was authenticated by may have been revoked meanwhile, and its
    /// rights taken away.
    pub(crate) fn still(&self, state: &State, caller: &Caller) -> Result<Caller, Refusal> {
        let known = state.certificates.get(&caller.certificate.serial);
        let known = known.filter(|known| known.der == caller.certificate.der);
        let known = known.ok_or_else(|| {
            let detail = "the certificate was forgotten meanwhile";
            Refusal::authentication(Code::UntrustedCertificate, detail)
        })?;
        self.good(state, known)
    }

    fn good(&self, state: &State, known: &Arc<CertificateRecord>) -> Result<Caller, Refusal> {
        let now = self.now();
        if known.is_expired(now) || now < known.not_before {
            let detail = "the certificate's time is over, or has not come";
            return Err(Refusal::authentication(Code::CertificateExpired, detail));
        }
        if known.revoked.is_some() {
            let detail = "the certificate was revoked";
            return Err(Refusal::authentication(Code::CertificateRevoked, detail));
        }
        let identity = state.identities.get(&known.owner).ok_or_else(|| {
            Refusal::authentication(Code::GettingUser, "the identity of the certificate is gone")
        })?;
        if identity.revoked {
            let detail = "the identity was revoked";
            return Err(Refusal::authentication(Code::IdentityRevoked, detail));
        }
        Ok(Caller {
            identity: Arc::clone(identity),
            certificate: Arc::clone(known),
        })
    }
}

fn verify(key: &SubjectPublicKeyInfo<'_>, message: &[u8], signature: &[u8]) -> bool {
    let curve = key.algorithm.parameters.as_ref();
    let algorithm = match curve.and_then(|curve| curve.as_oid().ok()) {
        Some(curve) if curve == OID_EC_P256 => &ECDSA_P256_SHA256_ASN1,
        Some(curve) if curve == OID_NIST_EC_P384 => &ECDSA_P384_SHA256_ASN1,
        _ => return false,
    };
    let key = UnparsedPublicKey::new(algorithm, &key.subject_public_key.data);
    key.verify(message, signature).is_ok()
}
