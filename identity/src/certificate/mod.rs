//! What this crate wants to know of an X.509 certificate.
//!
//! Certificates are read by the rules of Go's `crypto/x509`, with which Fabric reads them: whether
//! somebody's certificate can be read decides over transactions.

mod algorithm;
mod extensions;
mod name;
mod name_constraints;

use std::ops::Range;

use crate::curve::Curve;
use crate::der::{
    BIT_STRING, Der, Malformed, SEQUENCE, context, context_of_elements, push_element,
};
use crate::pem;
use crate::signature::{Numbers, PublicKey};
pub(crate) use algorithm::SignatureAlgorithm;
use extensions::Extensions;
use name::Name;
pub(crate) use name_constraints::permit as constraints_permit;

/// Why bytes are no certificate that could be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not a PEM block.
    #[error("not a certificate in PEM")]
    NotPem,
    /// Not X.509 in DER, or something after it.
    #[error("not an X.509 certificate: {0}")]
    NotX509(&'static str),
    /// A key of a kind that Fabric does not know.
    #[error("its public key is of a kind that is not supported")]
    KeyKind,
}

/// A certificate, its facts read out of the DER.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    /// Where in the DER the signed part is.
    signed: Range<usize>,
    /// Where in the DER the algorithm of the signature is.
    algorithm_der: Range<usize>,
    pub(crate) algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    /// 1 to 3.
    version: u64,
    /// Two's complement, as few bytes as possible.
    pub(crate) serial: Vec<u8>,
    /// DER of the issuer's name.
    pub(crate) issuer: Vec<u8>,
    /// DER of the subject's name.
    pub(crate) subject: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
    /// DER of the public key with its algorithm.
    key_info: Vec<u8>,
    /// `None` for kinds of keys that Fabric cannot use.
    key: Option<PublicKey>,
    pub(crate) extensions: Extensions,
    pub(crate) common_name: String,
    pub(crate) organization: String,
    pub(crate) units: Vec<String>,
}

impl Certificate {
    /// Reads the first block of a PEM text, whatever it calls itself, as Fabric does.
    pub(crate) fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        let block = pem::Block::first(text).ok_or(CertificateError::NotPem)?;
        Self::from_der(block.content)
    }

    pub(crate) fn from_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        let mut certificate = read(&der)?;
        certificate.der = der;
        Ok(certificate)
    }

    /// The certificate in PEM as Fabric writes it.
    pub(crate) fn to_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.der)
    }

    /// Whether it says that it is one of a CA.
    pub(crate) fn is_ca(&self) -> bool {
        self.extensions.is_ca == Some(true)
    }

    /// Whether it holds at that second.
    pub(crate) fn holds_at(&self, second: i64) -> bool {
        self.not_before <= second && second <= self.not_after
    }

    /// Whether `issuer` may make certificates and its key made this certificate's signature.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        let is_ca = match issuer.extensions.is_ca {
            Some(is_ca) => is_ca,
            None => issuer.version < 3,
        };
        let Some(key) = &issuer.key else { return false };
        is_ca
            && issuer.extensions.may_sign_certificates()
            && self.algorithm.is_safe()
            && self.algorithm.verify(key, self.signed(), &self.signature)
    }

    /// Whether this certificate's key made the signature of something else, say of a revocation list.
    pub(crate) fn has_signed(
        &self,
        algorithm: SignatureAlgorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> bool {
        let key = self.key.as_ref();
        key.is_some_and(|key| algorithm.verify(key, signed, signature))
    }

    /// The part that the issuer signed.
    fn signed(&self) -> &[u8] {
        self.der.get(self.signed.clone()).unwrap_or_default()
    }

    /// The certificate with the lower S in its signature, which a key on `curve` made: of the two
    /// forms that it may have, the one that counts.
    pub(crate) fn with_low_s(&self, curve: Curve) -> Result<Self, CertificateError> {
        let low = Numbers::read(&self.signature)
            .and_then(|numbers| numbers.to_low_s_der(curve))
            .ok_or(CertificateError::NotX509("its signature is malformed"))?;
        if low == self.signature {
            return Ok(self.clone());
        }
        let algorithm = self.der.get(self.algorithm_der.clone()).unwrap_or_default();
        let mut bits = Vec::with_capacity(low.len() + 4);
        push_element(&mut bits, BIT_STRING, &[&[0], &low]);
        let mut der = Vec::with_capacity(self.der.len());
        push_element(&mut der, SEQUENCE, &[self.signed(), algorithm, &bits]);
        Self::from_der(der)
    }

    /// Whether an ECDSA signature is in its one form; another kind of signature has no other.
    pub(crate) fn is_signed_canonically(&self) -> bool {
        !self.algorithm.is_ecdsa() || Numbers::read_strictly(&self.signature).is_some()
    }

    /// The public key, if Fabric knows its kind.
    pub(crate) fn public_key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// The curve of the key, if it has one.
    pub(crate) fn curve(&self) -> Option<Curve> {
        match self.key {
            Some(PublicKey::Ecdsa { curve, .. }) => Some(curve),
            _ => None,
        }
    }

    /// Whether both have the same subject, key and alternative names: the same CA, whoever certified
    /// it.
    pub(crate) fn is_same_authority(&self, other: &Self) -> bool {
        self.subject == other.subject
            && self.key_info == other.key_info
            && self.extensions.alternative_name == other.extensions.alternative_name
    }
}

fn malformed(what: &'static str) -> CertificateError {
    CertificateError::NotX509(what)
}

/// Everything but the DER itself.
fn read(der: &[u8]) -> Result<Certificate, CertificateError> {
    let mut input = Der::new(der);
    let mut outer = input
        .inner(SEQUENCE)
        .filter(|_| input.is_empty())
        .ok_or(malformed("it is no sequence, or something follows it"))?;
    let whole = outer
        .whole(SEQUENCE)
        .ok_or(malformed("it has no signed part"))?;
    let mut signed = Der::new(whole)
        .inner(SEQUENCE)
        .ok_or(malformed("it has no signed part"))?;
    let (version, serial) = read_version_and_serial(&mut signed)?;
    let inner_algorithm = signed.content(SEQUENCE);
    let algorithm_der = outer.whole(SEQUENCE).unwrap_or_default();
    let algorithm_content = Der::new(algorithm_der).content(SEQUENCE);
    if inner_algorithm.is_none() || inner_algorithm != algorithm_content {
        return Err(malformed("it names two signature algorithms, or none"));
    }
    let algorithm = SignatureAlgorithm::read(algorithm_content.unwrap_or_default())
        .ok_or(malformed("its signature algorithm"))?;
    let (issuer, _) = read_name(&mut signed).ok_or(malformed("its issuer"))?;
    let (not_before, not_after) = read_validity(&mut signed).ok_or(malformed("its validity"))?;
    let (subject, subject_name) = read_name(&mut signed).ok_or(malformed("its subject"))?;
    let key_info = signed.whole(SEQUENCE).ok_or(malformed("its public key"))?;
    let key = read_key(key_info)?;
    let extensions = match version {
        1 => Extensions::default(),
        _ => read_extensions(&mut signed, version)?,
    };
    let signature = outer.bits().ok_or(malformed("its signature"))?;
    Ok(Certificate {
        der: Vec::new(),
        signed: range(der, whole),
        algorithm_der: range(der, algorithm_der),
        algorithm,
        signature,
        version,
        serial: serial.to_vec(),
        issuer: issuer.to_vec(),
        subject: subject.to_vec(),
        not_before,
        not_after,
        key_info: key_info.to_vec(),
        key,
        extensions,
        common_name: subject_name.common,
        organization: subject_name.organization,
        units: subject_name.units,
    })
}

/// Where `part` is, which was read in `whole`'s outer sequence one after the other.
fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr().addr()).saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}

fn read_version_and_serial<'a>(signed: &mut Der<'a>) -> Result<(u64, &'a [u8]), CertificateError> {
    let version = match signed.optional(context_of_elements(0)) {
        Ok(None) => Some(0),
        Ok(Some(explicit)) => Der::new(explicit).count(),
        Err(Malformed) => None,
    };
    let version = version
        .filter(|version| *version < 3)
        .ok_or(malformed("its version"))?;
    let serial = signed
        .integer()
        .filter(|serial| serial.first().is_some_and(|first| first & 0x80 == 0))
        .ok_or(malformed("its serial number"))?;
    Ok((version + 1, serial))
}

fn read_name<'a>(signed: &mut Der<'a>) -> Option<(&'a [u8], Name)> {
    let whole = signed.whole(SEQUENCE)?;
    Some((whole, Name::read(whole)?))
}

fn read_validity(signed: &mut Der<'_>) -> Option<(i64, i64)> {
    let mut validity = signed.inner(SEQUENCE)?;
    Some((validity.time()?, validity.time()?))
}

/// The public key; `Ok(None)` for a kind that Fabric does not know, an error for one that is broken.
fn read_key(key_info: &[u8]) -> Result<Option<PublicKey>, CertificateError> {
    let broken = || malformed("its public key");
    let mut info = Der::new(key_info).inner(SEQUENCE).ok_or_else(broken)?;
    let mut algorithm = info.inner(SEQUENCE).ok_or_else(broken)?;
    let oid = algorithm.oid().ok_or_else(broken)?;
    let mut parameters = None;
    if !algorithm.is_empty() {
        parameters = Some(algorithm.element().ok_or_else(broken)?.whole);
    }
    let bits = info.bits().ok_or_else(broken)?;
    algorithm::read_key(oid, parameters, bits).map_err(|Malformed| broken())
}

fn read_extensions(signed: &mut Der<'_>, version: u64) -> Result<Extensions, CertificateError> {
    let broken = || malformed("its extensions");
    for unique_id in [1, 2] {
        let read = signed.optional(context(unique_id));
        read.map_err(|Malformed| broken())?;
    }
    if version < 3 {
        return Ok(Extensions::default());
    }
    let list = signed.optional(context_of_elements(3));
    match list.map_err(|Malformed| broken())? {
        Some(extensions) => Extensions::read(extensions),
        None => Ok(Extensions::default()),
    }
}
