//! A private key on P-256, in memory and as the PKCS#8 PEM of `keystore/priv_sk`.

use bytes::Bytes;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

use crate::curve::Curve;
use crate::der::{Der, OCTET_STRING, SEQUENCE, context_of_elements};
use crate::pem;
use crate::signature::low_s_der;

/// Bytes of the secret number.
const SCALAR_BYTES: usize = 32;

/// The object identifier of keys on elliptic curves.
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

/// What is wrong with a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a PEM block `PRIVATE KEY` or `EC PRIVATE KEY`.
    #[error("not a private key in PEM")]
    NotPem,
    /// Another curve, another algorithm, or damaged.
    #[error("not an ECDSA key on P-256")]
    NotP256,
    /// The certificate names another public key.
    #[error("the key is not the one of the certificate")]
    OfAnotherCertificate,
}

/// A private key that signs with SHA-256 and a low S.
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Key {
    /// A new key, with the PEM to keep it in.
    pub(crate) fn generate() -> Result<(Self, String), rcgen::Error> {
        let pair = rcgen::KeyPair::generate()?;
        let key = Self::from_pkcs8(pair.serialized_der())
            .map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
        Ok((key, pair.serialize_pem()))
    }

    pub(crate) fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let block = pem::Block::first(text).ok_or(KeyError::NotPem)?;
        let scalar = match block.label {
            b"PRIVATE KEY" => scalar_in_pkcs8(&block.content),
            b"EC PRIVATE KEY" => scalar_in_sec1(&block.content, true),
            _ => return Err(KeyError::NotPem),
        };
        Self::from_scalar(&scalar.ok_or(KeyError::NotP256)?)
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_scalar(&scalar_in_pkcs8(der).ok_or(KeyError::NotP256)?)
    }

    /// The public key is computed: what stands beside the scalar may be missing.
    fn from_scalar(scalar: &[u8; SCALAR_BYTES]) -> Result<Self, KeyError> {
        let secret = p256::SecretKey::from_slice(scalar).map_err(|_| KeyError::NotP256)?;
        let point = secret.public_key().to_encoded_point(false);
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            scalar,
            point.as_bytes(),
            &random,
        );
        let pair = pair.map_err(|_| KeyError::NotP256)?;
        Ok(Self { pair, random })
    }

    /// The public key, an uncompressed point.
    pub(crate) fn public_point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// # Panics
    /// If the operating system has no random numbers.
    pub(crate) fn sign(&self, message: &[u8]) -> Bytes {
        let (r, s) = self.sign_raw(message);
        low_s_der(&r, &s)
    }

    /// Both numbers of a signature, S in whichever half it fell.
    fn sign_raw(&self, message: &[u8]) -> ([u8; 32], [u8; 32]) {
        #[expect(
            clippy::expect_used,
            reason = "with a key that was checked, only the system's random numbers can fail"
        )]
        let signature = self
            .pair
            .sign(&self.random, message)
            .expect("random numbers from the operating system");
        #[expect(clippy::expect_used, reason = "the fixed format has 64 bytes")]
        let (r, rest) = signature.as_ref().split_first_chunk().expect("32 bytes");
        #[expect(clippy::expect_used, reason = "the fixed format has 64 bytes")]
        let s = rest.first_chunk().expect("another 32 bytes");
        (*r, *s)
    }
}

/// The secret number in `PrivateKeyInfo` of PKCS#8.
fn scalar_in_pkcs8(der: &[u8]) -> Option<[u8; SCALAR_BYTES]> {
    let mut info = Der::new(der).inner(SEQUENCE)?;
    info.count()?;
    let mut algorithm = info.inner(SEQUENCE)?;
    let is_p256 = algorithm.oid()? == EC_KEY && is_p256(algorithm)?;
    scalar_in_sec1(info.content(OCTET_STRING)?, false).filter(|_| is_p256)
}

/// The secret number in `ECPrivateKey` of SEC 1, which names its curve where nothing else does.
fn scalar_in_sec1(der: &[u8], names_curve: bool) -> Option<[u8; SCALAR_BYTES]> {
    let mut key = Der::new(der).inner(SEQUENCE)?;
    key.count()?;
    let digits = key.content(OCTET_STRING)?;
    let is_p256 = match key.optional(context_of_elements(0)).ok()? {
        Some(curve) => is_p256(Der::new(curve))?,
        None => !names_curve,
    };
    let mut scalar = [0; SCALAR_BYTES];
    let start = SCALAR_BYTES.checked_sub(digits.len())?;
    scalar.get_mut(start..)?.copy_from_slice(digits);
    is_p256.then_some(scalar)
}

fn is_p256(mut parameters: Der<'_>) -> Option<bool> {
    Some(Curve::by_oid(parameters.oid()?) == Some(Curve::P256))
}

/// Certificates are signed with the low S too: Fabric calls others malformed.
impl rcgen::SigningKey for &Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Key::sign(self, message).into())
    }
}

impl rcgen::PublicKeyData for &Key {
    fn der_bytes(&self) -> &[u8] {
        self.public_point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// A public key of somebody else.
pub(crate) struct Point(Vec<u8>);

impl Point {
    /// Takes the bytes of an uncompressed point of P-256.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let key = p256::PublicKey::from_sec1_bytes(bytes).ok()?;
        Some(Self(key.to_encoded_point(false).as_bytes().to_vec()))
    }
}

impl rcgen::PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{HashFamily, PublicKey, SignatureError};
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    /// DER of a signature as it came, without folding S.
    fn plain_der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for number in [r, s] {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            let mut digits = number[zeros..].to_vec();
            if digits[0] & 0x80 != 0 {
                digits.insert(0, 0);
            }
            body.extend([2, u8::try_from(digits.len()).unwrap()]);
            body.extend(digits);
        }
        let mut der = vec![0x30, u8::try_from(body.len()).unwrap()];
        der.extend(body);
        der
    }

    #[test]
    fn every_signature_is_low_and_its_other_half_is_refused() {
        let (key, _) = Key::generate().unwrap();
        let public = PublicKey::Ecdsa {
            curve: Curve::P256,
            point: key.public_point().to_vec(),
        };
        let (mut high, mut low) = (0, 0);
        for number in 0..400_u32 {
            let message = number.to_be_bytes();
            let (r, s) = key.sign_raw(&message);
            let plain = plain_der(&r, &s);
            let folded = low_s_der(&r, &s);
            // To ring both are signatures.
            let ring = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_point());
            ring.verify(&message, &plain).unwrap();
            ring.verify(&message, &folded).unwrap();
            public.verify(HashFamily::Sha2, &message, &folded).unwrap();
            if plain == folded {
                low += 1;
            } else {
                high += 1;
                assert_eq!(
                    public.verify(HashFamily::Sha2, &message, &plain),
                    Err(SignatureError::HighS)
                );
            }
        }
        assert!(high > 100, "{high} signatures had a high S");
        assert!(low > 100, "{low} signatures had a low S");
    }

    #[test]
    fn another_message_or_a_flipped_bit_is_a_mismatch() {
        let (key, _) = Key::generate().unwrap();
        let public = PublicKey::Ecdsa {
            curve: Curve::P256,
            point: key.public_point().to_vec(),
        };
        let mut signature = key.sign(b"message").to_vec();
        public
            .verify(HashFamily::Sha2, b"message", &signature)
            .unwrap();
        let mismatch = Err(SignatureError::Mismatch);
        assert_eq!(
            public.verify(HashFamily::Sha2, b"massage", &signature),
            mismatch
        );
        *signature.last_mut().unwrap() ^= 1;
        assert_eq!(
            public.verify(HashFamily::Sha2, b"message", &signature),
            mismatch
        );
        let malformed = Err(SignatureError::Malformed);
        assert_eq!(
            public.verify(HashFamily::Sha2, b"message", b"sig"),
            malformed
        );
    }

    #[test]
    fn a_key_survives_its_pem() {
        let (key, text) = Key::generate().unwrap();
        assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{text}");
        let read = Key::from_pem(text.as_bytes()).unwrap();
        assert_eq!(read.public_point(), key.public_point());
        assert_eq!(Key::from_pem(b"").err(), Some(KeyError::NotPem));
        let other = text.replace("PRIVATE KEY", "CERTIFICATE");
        assert_eq!(
            Key::from_pem(other.as_bytes()).err(),
            Some(KeyError::NotPem)
        );
        let damaged = text.replacen("\nM", "\nN", 1);
        assert_eq!(
            Key::from_pem(damaged.as_bytes()).err(),
            Some(KeyError::NotP256)
        );
    }
}
