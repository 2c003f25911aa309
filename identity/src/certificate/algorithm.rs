//! Which keys and which signatures of certificates and revocation lists can be checked.

use ring::signature as ring_signature;
use ring_signature::{UnparsedPublicKey, VerificationAlgorithm};

use crate::curve::Curve;
use crate::der::{Der, Malformed, OBJECT_IDENTIFIER, SEQUENCE, context_of_elements};
use crate::hash::HashFunction;
use crate::signature::{Numbers, PublicKey};

const RSA_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const ECDSA_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// What RSA's algorithms have for parameters: NULL.
const NULL: &[u8] = &[5, 0];

const ED25519_KEY_BYTES: usize = 32;

/// How a certificate or a revocation list was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureAlgorithm {
    Ecdsa(HashFunction),
    Rsa(HashFunction),
    RsaPss(HashFunction),
    Ed25519,
    /// Nobody's signature verifies by it.
    Unknown,
}

impl SignatureAlgorithm {
    /// Reads the content of an algorithm identifier. `None` is malformed.
    pub(crate) fn read(content: &[u8]) -> Option<Self> {
        let mut der = Der::new(content);
        let oid = der.oid()?;
        let mut parameters = None;
        if !der.is_empty() {
            parameters = Some(der.element()?.whole);
        }
        Some(Self::by_oid(oid, parameters))
    }

    fn by_oid(oid: &[u8], parameters: Option<&[u8]>) -> Self {
        match oid {
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] => Self::Ecdsa(HashFunction::Sha1),
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2] => Self::Ecdsa(HashFunction::Sha256),
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3] => Self::Ecdsa(HashFunction::Sha384),
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4] => Self::Ecdsa(HashFunction::Sha512),
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last] => match last {
                5 => Self::Rsa(HashFunction::Sha1),
                10 => pss_hash(parameters).map_or(Self::Unknown, Self::RsaPss),
                11 => Self::Rsa(HashFunction::Sha256),
                12 => Self::Rsa(HashFunction::Sha384),
                13 => Self::Rsa(HashFunction::Sha512),
                _ => Self::Unknown,
            },
            ED25519 if parameters.is_none() => Self::Ed25519,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn is_ecdsa(self) -> bool {
        matches!(self, Self::Ecdsa(_))
    }

    /// Whether certificates may be signed so: not over SHA-1.
    pub(crate) fn is_safe(self) -> bool {
        !matches!(
            self,
            Self::Ecdsa(HashFunction::Sha1) | Self::Rsa(HashFunction::Sha1)
        )
    }

    /// Whether `key` made the signature.
    pub(crate) fn verify(self, key: &PublicKey, signed: &[u8], signature: &[u8]) -> bool {
        let (algorithm, key): (&dyn VerificationAlgorithm, _) = match (self, key) {
            (Self::Ecdsa(hash), PublicKey::Ecdsa { curve, point }) => {
                let numbers = Numbers::read_strictly(signature);
                return numbers.is_some_and(|numbers| curve.verify(hash, point, signed, &numbers));
            }
            (Self::Rsa(hash), PublicKey::Rsa(key)) => match rsa(hash) {
                Some(algorithm) => (algorithm, key),
                None => return false,
            },
            (Self::RsaPss(hash), PublicKey::Rsa(key)) => match rsa_pss(hash) {
                Some(algorithm) => (algorithm, key),
                None => return false,
            },
            (Self::Ed25519, PublicKey::Ed25519(key)) => (&ring_signature::ED25519, key),
            _ => return false,
        };
        UnparsedPublicKey::new(algorithm, key)
            .verify(signed, signature)
            .is_ok()
    }
}

fn rsa(hash: HashFunction) -> Option<&'static dyn VerificationAlgorithm> {
    match hash {
        HashFunction::Sha1 => Some(&ring_signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
        HashFunction::Sha256 => {
            Some(&ring_signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY)
        }
        HashFunction::Sha384 => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
        HashFunction::Sha512 => {
            Some(&ring_signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY)
        }
        HashFunction::Sha3_256 | HashFunction::Sha3_384 => None,
    }
}

fn rsa_pss(hash: HashFunction) -> Option<&'static dyn VerificationAlgorithm> {
    match hash {
        HashFunction::Sha256 => Some(&ring_signature::RSA_PSS_2048_8192_SHA256),
        HashFunction::Sha384 => Some(&ring_signature::RSA_PSS_2048_8192_SHA384),
        HashFunction::Sha512 => Some(&ring_signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

/// The hash function that the parameters of RSA-PSS name in all three places, with a salt as long as
/// its digests.
fn pss_hash(parameters: Option<&[u8]>) -> Option<HashFunction> {
    let mut sequence = Der::new(parameters?).inner(SEQUENCE)?;
    let hash = sequence.inner(context_of_elements(0))?.inner(SEQUENCE)?;
    let mut mask = sequence.inner(context_of_elements(1))?.inner(SEQUENCE)?;
    let salt_bytes = sequence.inner(context_of_elements(2))?.count()?;
    let is_mgf1 = mask.oid()? == [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
    let (function, expected) = sha2_identifier(hash)?;
    let (mask_function, _) = sha2_identifier(mask.inner(SEQUENCE)?)?;
    (is_mgf1 && sequence.is_empty() && mask_function == function && salt_bytes == expected)
        .then_some(function)
}

/// A hash function of the SHA-2 family, and how many bytes its digests have.
fn sha2_identifier(mut identifier: Der<'_>) -> Option<(HashFunction, u64)> {
    let oid = identifier.content(OBJECT_IDENTIFIER)?;
    let function = match oid.strip_prefix(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2])? {
        [1] => (HashFunction::Sha256, 32),
        [2] => (HashFunction::Sha384, 48),
        [3] => (HashFunction::Sha512, 64),
        _ => return None,
    };
    let has_null = identifier.element()?.whole == NULL;
    (has_null && identifier.is_empty()).then_some(function)
}

/// The public key of an algorithm; `Ok(None)` for a kind that Fabric does not know.
pub(super) fn read_key(
    oid: &[u8],
    parameters: Option<&[u8]>,
    bits: Vec<u8>,
) -> Result<Option<PublicKey>, Malformed> {
    let key = match oid {
        RSA_KEY => read_rsa_key(parameters, bits),
        ECDSA_KEY => read_ecdsa_key(parameters, bits),
        ED25519 => (parameters.is_none() && bits.len() == ED25519_KEY_BYTES)
            .then_some(PublicKey::Ed25519(bits)),
        _ => return Ok(None),
    };
    key.map(Some).ok_or(Malformed)
}

fn read_rsa_key(parameters: Option<&[u8]>, bits: Vec<u8>) -> Option<PublicKey> {
    let mut key = Der::new(&bits).inner(SEQUENCE)?;
    let modulus = key.integer()?;
    let exponent = key.count()?;
    let is_positive = modulus.first()? & 0x80 == 0 && modulus != [0] && exponent > 0;
    (parameters == Some(NULL) && is_positive).then_some(PublicKey::Rsa(bits))
}

fn read_ecdsa_key(parameters: Option<&[u8]>, point: Vec<u8>) -> Option<PublicKey> {
    let curve = Curve::by_oid(Der::new(parameters?).oid()?)?;
    curve
        .has(&point)
        .then_some(PublicKey::Ecdsa { curve, point })
}
