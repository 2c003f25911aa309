//! Public keys, and ECDSA signatures as Fabric wants them: ASN.1 DER with S in the lower half of the
//! curve's order.
//!
//! ```text
//! SEQUENCE { INTEGER r, INTEGER s }      30 len 02 len r.. 02 len s..
//! ```
//!
//! Of the two values of S that verify, Fabric takes the lower one only, so that nobody can make a
//! second signature out of a first. What follows the two numbers it does not look at.

use bytes::Bytes;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::curve::Curve;
use crate::der::{Der, INTEGER, SEQUENCE, push_element};
use crate::hash::HashFunction;

/// Bytes of a number modulo the order of P-256.
const P256_BYTES: usize = 32;

/// Why a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not a DER sequence of two positive integers.
    #[error("the signature is not ASN.1 DER")]
    Malformed,
    /// The other S would verify too, and is the one that counts.
    #[error("the signature's S is in the upper half of the curve's order")]
    HighS,
    /// Made with another key or over another message.
    #[error("the signature does not fit message and key")]
    Mismatch,
    /// The key is RSA's, which may sign certificates but no messages.
    #[error("RSA keys cannot sign messages")]
    Rsa,
    /// The organisation's configuration names hash functions that do not exist.
    #[error("the organisation signs with hash functions that are not known")]
    HashFamily,
}

/// The hash functions under an organisation's signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashFamily {
    Sha2,
    Sha3,
    /// A name that nobody knows: signatures cannot be checked.
    Unknown,
}

impl HashFamily {
    /// The function that ECDSA signs with, on every curve.
    fn function(self) -> Option<HashFunction> {
        match self {
            Self::Sha2 => Some(HashFunction::Sha256),
            Self::Sha3 => Some(HashFunction::Sha3_256),
            Self::Unknown => None,
        }
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Ecdsa {
        curve: Curve,
        /// Uncompressed.
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
    /// PKCS#1 in DER. Only CAs may have such a one.
    Rsa(Vec<u8>),
}

impl PublicKey {
    pub(crate) fn verify(
        &self,
        family: HashFamily,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let holds = match self {
            Self::Ecdsa { curve, point } => {
                let hash = family.function().ok_or(SignatureError::HashFamily)?;
                let numbers = Numbers::read(signature).ok_or(SignatureError::Malformed)?;
                if numbers.has_high_s(*curve) {
                    return Err(SignatureError::HighS);
                }
                curve.verify(hash, point, message, &numbers)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key)
                .verify(message, signature)
                .is_ok(),
            Self::Rsa(_) => return Err(SignatureError::Rsa),
        };
        holds.then_some(()).ok_or(SignatureError::Mismatch)
    }

    /// The uncompressed point of a key on P-256.
    pub(crate) fn p256_point(&self) -> Option<&[u8]> {
        match self {
            Self::Ecdsa {
                curve: Curve::P256,
                point,
            } => Some(point),
            _ => None,
        }
    }
}

/// The two numbers of an ECDSA signature, without zeros in front. Neither is 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers<'a> {
    pub(crate) r: &'a [u8],
    pub(crate) s: &'a [u8],
}

impl<'a> Numbers<'a> {
    /// Reads them as Go's `encoding/asn1` does: what follows them, in the sequence or behind it, does
    /// not matter.
    pub(crate) fn read(signature: &'a [u8]) -> Option<Self> {
        let mut sequence = Der::new(signature).inner(SEQUENCE)?;
        let r = positive(sequence.integer()?)?;
        let s = positive(sequence.integer()?)?;
        Some(Self { r, s })
    }

    /// Reads them from a signature that has nothing else.
    pub(crate) fn read_strictly(signature: &'a [u8]) -> Option<Self> {
        let numbers = Self::read(signature)?;
        (numbers.to_der() == signature).then_some(numbers)
    }

    pub(crate) fn has_high_s(&self, curve: Curve) -> bool {
        is_above(self.s, significant(curve.half_order()))
    }

    /// The signature in its one form.
    pub(crate) fn to_der(self) -> Vec<u8> {
        signature_der(self.r, self.s)
    }

    /// The signature with the lower S. `None` if S is no number below the order.
    pub(crate) fn to_low_s_der(self, curve: Curve) -> Option<Vec<u8>> {
        if !self.has_high_s(curve) {
            return Some(self.to_der());
        }
        let s = order_minus(curve.order(), self.s)?;
        Some(signature_der(self.r, &s))
    }
}

/// The signature with the lower S for `r ‖ s` of P-256, as DER.
pub(crate) fn low_s_der(r: &[u8; P256_BYTES], s: &[u8; P256_BYTES]) -> Bytes {
    let numbers = Numbers {
        r: significant(r),
        s: significant(s),
    };
    let der = numbers.to_low_s_der(Curve::P256);
    der.unwrap_or_else(|| numbers.to_der()).into()
}

/// n - s; `None` if s is above n.
fn order_minus(order: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    if s.len() > order.len() {
        return None;
    }
    let mut difference = order.to_vec();
    let mut borrow = false;
    let subtrahends = s.iter().rev().chain(std::iter::repeat(&0));
    for (digit, subtrahend) in difference.iter_mut().rev().zip(subtrahends) {
        let (partial, first) = digit.overflowing_sub(*subtrahend);
        let (result, second) = partial.overflowing_sub(u8::from(borrow));
        *digit = result;
        borrow = first || second;
    }
    (!borrow).then_some(difference)
}

fn signature_der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(r.len() + s.len() + 6);
    push_integer(&mut body, r);
    push_integer(&mut body, s);
    let mut der = Vec::with_capacity(body.len() + 3);
    push_element(&mut der, SEQUENCE, &[&body]);
    der
}

/// Appends a DER integer: no needless zero bytes in front, but one where the top bit is set.
fn push_integer(out: &mut Vec<u8>, number: &[u8]) {
    let digits = significant(number);
    let sign: &[u8] = match digits.first() {
        Some(first) if first & 0x80 == 0 => &[],
        _ => &[0],
    };
    push_element(out, INTEGER, &[sign, digits]);
}

/// The digits of an integer that is above 0.
fn positive(integer: &[u8]) -> Option<&[u8]> {
    let is_negative = integer.first().is_none_or(|byte| byte & 0x80 != 0);
    let digits = significant(integer);
    (!is_negative && !digits.is_empty()).then_some(digits)
}

fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Whether one number is above another; neither has zeros in front.
fn is_above(number: &[u8], bound: &[u8]) -> bool {
    match number.len().cmp(&bound.len()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => number > bound,
        std::cmp::Ordering::Greater => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(low: u8) -> [u8; P256_BYTES] {
        let mut number = [0; P256_BYTES];
        number[P256_BYTES - 1] = low;
        number
    }

    #[test]
    fn the_boundary_value_is_low_and_the_next_is_folded_onto_it() {
        for curve in [Curve::P224, Curve::P256, Curve::P384, Curve::P521] {
            let half = significant(curve.half_order());
            let low = Numbers { r: &[1], s: half };
            assert!(!low.has_high_s(curve));
            let mut above = half.to_vec();
            *above.last_mut().unwrap() += 1;
            let high = Numbers { r: &[1], s: &above };
            assert!(high.has_high_s(curve), "{curve:?}");
            // n is odd: (n - 1) / 2 + 1 folds to (n - 1) / 2.
            assert_eq!(high.to_low_s_der(curve).unwrap(), low.to_der());
        }
        let beyond = Numbers {
            r: &[1],
            s: &[0xff; 33],
        };
        assert_eq!(beyond.to_low_s_der(Curve::P256), None);
    }

    #[test]
    fn integers_are_minimal() {
        assert_eq!(
            low_s_der(&number(0x80), &number(0x7f)),
            [0x30, 7, 2, 2, 0, 0x80, 2, 1, 0x7f].as_slice()
        );
        let order = Curve::P256.order();
        let once = order_minus(order, &number(5)).unwrap();
        assert_eq!(order_minus(order, &once).unwrap(), number(5));
    }

    #[test]
    fn what_is_not_der_has_no_numbers() {
        let good = [0x30, 6, 2, 1, 1, 2, 1, 3];
        assert_eq!(Numbers::read(&good).unwrap().s, [3]);
        // What follows does not matter to Fabric.
        let trailing: [&[u8]; 2] = [
            &[0x30, 6, 2, 1, 1, 2, 1, 3, 0],
            &[0x30, 9, 2, 1, 1, 2, 1, 3, 2, 1, 1],
        ];
        for case in trailing {
            assert_eq!(Numbers::read(case).unwrap().s, [3], "{case:x?}");
            assert!(Numbers::read_strictly(case).is_none(), "{case:x?}");
        }
        let cases: [&[u8]; 8] = [
            b"",
            &[0x30],
            &[0x30, 6, 2, 1, 1, 2, 1],
            &[0x30, 3, 2, 1, 1],
            &[0x30, 6, 2, 1, 1, 2, 1, 0x80],
            &[0x30, 6, 2, 1, 1, 2, 1, 0],
            &[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1],
            &[0x30, 7, 2, 2, 0, 1, 2, 1, 1],
        ];
        for case in cases {
            assert!(Numbers::read(case).is_none(), "{case:x?}");
        }
    }
}
