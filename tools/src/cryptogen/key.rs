//! Private keys, as they stand in key stores.

use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde::Deserialize;

use crate::der::{OBJECT_IDENTIFIER, OCTET_STRING, bits, element, integer, sequence};
use crate::pem;

/// The kinds of keys, as `PublicKeyAlgorithm` names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Algorithm {
    #[default]
    #[serde(rename = "ecdsa", alias = "")]
    Ecdsa,
    #[serde(rename = "ed25519")]
    Ed25519,
}

/// What is wrong with a key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the operating system gave no random numbers")]
    Random,
    #[error("not a private key in PEM")]
    NotPem,
    #[error("not an ECDSA key on P-256 and not an Ed25519 key, in PKCS#8")]
    Unknown,
}

const PEM_KIND: &str = "PRIVATE KEY";

/// Half of the order of P-256. Fabric calls a signature malformed whose S is larger.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// A private key that can sign certificates.
pub(super) struct Key {
    pair: Pair,
    random: SystemRandom,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Key {
    /// A new key, with the PEM to keep it in.
    pub(super) fn generate(algorithm: Algorithm) -> Result<(Self, String), KeyError> {
        let random = SystemRandom::new();
        let (pair, pkcs8) = match algorithm {
            Algorithm::Ecdsa => {
                let rule = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(rule, &random);
                let pkcs8 = pkcs8.map_err(|_| KeyError::Random)?.as_ref().to_vec();
                let pair = EcdsaKeyPair::from_pkcs8(rule, &pkcs8, &random);
                (Pair::Ecdsa(pair.map_err(|_| KeyError::Unknown)?), pkcs8)
            }
            Algorithm::Ed25519 => {
                let mut seed = [0; 32];
                random.fill(&mut seed).map_err(|_| KeyError::Random)?;
                let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
                (
                    Pair::Ed25519(pair.map_err(|_| KeyError::Unknown)?),
                    ed25519_pkcs8(&seed),
                )
            }
        };
        Ok((Self { pair, random }, pem::encode(PEM_KIND, &pkcs8)))
    }

    pub(super) fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = pem::decode(PEM_KIND, text).ok_or(KeyError::NotPem)?;
        let random = SystemRandom::new();
        let ecdsa = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random);
        let pair = match ecdsa {
            Ok(pair) => Pair::Ecdsa(pair),
            Err(_) => Pair::Ed25519(
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError::Unknown)?,
            ),
        };
        Ok(Self { pair, random })
    }

    /// The public key's bytes: a point, or what Ed25519 has.
    pub(super) fn public(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// The `SubjectPublicKeyInfo` of a certificate for this key.
    pub(super) fn public_info(&self) -> Vec<u8> {
        const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let algorithm = match &self.pair {
            Pair::Ecdsa(_) => sequence(&[
                element(OBJECT_IDENTIFIER, EC_PUBLIC_KEY),
                element(OBJECT_IDENTIFIER, P256),
            ]),
            Pair::Ed25519(_) => sequence(&[element(OBJECT_IDENTIFIER, ED25519)]),
        };
        sequence(&[algorithm, bits(0, self.public())])
    }

    /// The `AlgorithmIdentifier` of this key's signatures.
    pub(super) fn signature_algorithm(&self) -> Vec<u8> {
        const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
        let identifier = match &self.pair {
            Pair::Ecdsa(_) => ECDSA_WITH_SHA256,
            Pair::Ed25519(_) => ED25519,
        };
        sequence(&[element(OBJECT_IDENTIFIER, identifier)])
    }

    /// A signature; on P-256 with a low S.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let pair = match &self.pair {
            Pair::Ecdsa(pair) => pair,
            Pair::Ed25519(pair) => return Ok(pair.sign(message).as_ref().to_vec()),
        };
        loop {
            let signature = pair
                .sign(&self.random, message)
                .map_err(|_| KeyError::Random)?;
            let (r, s) = signature
                .as_ref()
                .split_at_checked(32)
                .ok_or(KeyError::Unknown)?;
            // Every second one has a high S.
            if s <= HALF_ORDER.as_slice() {
                return Ok(sequence(&[integer(r), integer(s)]));
            }
        }
    }
}

const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// PKCS#8 of its first version, which every reader takes.
fn ed25519_pkcs8(seed: &[u8]) -> Vec<u8> {
    sequence(&[
        integer(&[0]),
        sequence(&[element(OBJECT_IDENTIFIER, ED25519)]),
        element(OCTET_STRING, &element(OCTET_STRING, seed)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};

    #[test]
    fn keys_survive_their_pem_and_their_signatures_are_good() {
        for algorithm in [Algorithm::Ecdsa, Algorithm::Ed25519] {
            let (key, text) = Key::generate(algorithm).unwrap();
            let read = Key::from_pem(text.as_bytes()).unwrap();
            assert_eq!(read.public(), key.public());
            let signature = read.sign(b"message").unwrap();
            let public = key.public();
            let verified = match algorithm {
                Algorithm::Ecdsa => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public)
                    .verify(b"message", &signature),
                Algorithm::Ed25519 => {
                    UnparsedPublicKey::new(&ED25519, public).verify(b"message", &signature)
                }
            };
            verified.unwrap();
        }
        assert!(Key::from_pem(b"").is_err());
        assert!(Key::from_pem(pem::encode(PEM_KIND, b"no key").as_bytes()).is_err());
    }
}
