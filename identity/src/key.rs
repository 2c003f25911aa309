//! A private key on P-256, in memory and as the PKCS#8 PEM of `keystore/priv_sk`.

use bytes::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

use crate::pem;
use crate::signature::low_s_der;

/// What is wrong with a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a PEM block `PRIVATE KEY`.
    #[error("not a private key in PEM")]
    NotPem,
    /// Another curve, another algorithm, or damaged.
    #[error("not an ECDSA key on P-256 in PKCS#8")]
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
        let der = pem::first_block(text, "PRIVATE KEY").ok_or(KeyError::NotPem)?;
        Self::from_pkcs8(&der)
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(|_| KeyError::NotP256)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::Curve;
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
