//! ECDSA signatures as Fabric wants them: ASN.1 DER with S in the lower half of the curve's order.
//!
//! ```text
//! SEQUENCE { INTEGER r, INTEGER s }      30 len 02 len r.. 02 len s..
//! ```
//!
//! Of the two values of S that verify, Fabric takes the lower one only, so that nobody can make a
//! second signature out of a first.

use bytes::Bytes;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, UnparsedPublicKey, VerificationAlgorithm,
};

/// Bytes of a number modulo the order of P-256.
const P256_BYTES: usize = 32;

/// The order n of P-256.
const P256_ORDER: [u8; P256_BYTES] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The highest low S of P-256: half its order, rounded down.
const P256_HALF_ORDER: [u8; P256_BYTES] = half(P256_ORDER);

/// The highest low S of P-384: half its order, rounded down.
const P384_HALF_ORDER: [u8; 48] = half([
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
]);

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
}

/// The curves on which identities may have their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

impl Curve {
    fn half_order(self) -> &'static [u8] {
        match self {
            Self::P256 => &P256_HALF_ORDER,
            Self::P384 => &P384_HALF_ORDER,
        }
    }

    /// Fabric hashes with SHA-256 on every curve.
    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1,
            Self::P384 => &ECDSA_P384_SHA256_ASN1,
        }
    }
}

/// A public key, an uncompressed point on its curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) curve: Curve,
    pub(crate) point: Vec<u8>,
}

impl PublicKey {
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let s = s_of(signature).ok_or(SignatureError::Malformed)?;
        if is_above(s, self.curve.half_order()) {
            return Err(SignatureError::HighS);
        }
        UnparsedPublicKey::new(self.curve.algorithm(), &self.point)
            .verify(message, signature)
            .map_err(|_| SignatureError::Mismatch)
    }
}

/// The signature with the lower S for `r ‖ s` of P-256, as DER.
pub(crate) fn low_s_der(r: &[u8; P256_BYTES], s: &[u8; P256_BYTES]) -> Bytes {
    let mut body = Vec::with_capacity(2 * (P256_BYTES + 3));
    push_integer(&mut body, r);
    if *s > P256_HALF_ORDER {
        push_integer(&mut body, &order_minus(s));
    } else {
        push_integer(&mut body, s);
    }
    let mut der = Vec::with_capacity(body.len() + 2);
    der.push(0x30);
    der.push(short_length(&body));
    der.extend_from_slice(&body);
    der.into()
}

/// n - s, for s below n.
fn order_minus(s: &[u8; P256_BYTES]) -> [u8; P256_BYTES] {
    let mut difference = P256_ORDER;
    let mut borrow = false;
    for (digit, subtrahend) in difference.iter_mut().zip(s).rev() {
        let (partial, first) = digit.overflowing_sub(*subtrahend);
        let (result, second) = partial.overflowing_sub(u8::from(borrow));
        *digit = result;
        borrow = first || second;
    }
    assert!(!borrow, "s is below the order");
    difference
}

/// Appends a DER integer: no needless zero bytes in front, but one where the top bit is set.
fn push_integer(out: &mut Vec<u8>, number: &[u8]) {
    let digits = significant(number);
    let sign_byte = digits.first().is_none_or(|byte| byte & 0x80 != 0);
    out.push(0x02);
    out.push(short_length(digits) + u8::from(sign_byte));
    if sign_byte {
        out.push(0);
    }
    out.extend_from_slice(digits);
}

fn short_length(content: &[u8]) -> u8 {
    assert!(content.len() < 0x7f, "two numbers of 32 bytes");
    #[expect(clippy::cast_possible_truncation, reason = "just asserted")]
    let length = content.len() as u8;
    length
}

/// The digits of S in a signature that is well-formed DER with short lengths, the only kind that
/// curves of up to 384 bits need.
fn s_of(signature: &[u8]) -> Option<&[u8]> {
    let body = content_of(0x30, signature)
        .filter(|(_, rest)| rest.is_empty())?
        .0;
    let (_, rest) = content_of(0x02, body)?;
    let (s, rest) = content_of(0x02, rest)?;
    let negative = s.first().is_none_or(|byte| byte & 0x80 != 0);
    (rest.is_empty() && !negative).then(|| significant(s))
}

/// Content of the DER element at the start of `bytes`, and what follows it.
fn content_of(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    let [found, length] = *head;
    if found != tag || length >= 0x80 {
        return None;
    }
    rest.split_at_checked(usize::from(length))
}

fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Whether `number` without leading zeros is above `bound`, whose first byte is not zero.
fn is_above(number: &[u8], bound: &[u8]) -> bool {
    match number.len().cmp(&bound.len()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => number > bound,
        std::cmp::Ordering::Greater => true,
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where iterators cannot be used"
)]
const fn half<const N: usize>(order: [u8; N]) -> [u8; N] {
    let mut half = order;
    let mut index = N - 1;
    while index > 0 {
        half[index] = (order[index] >> 1) | (order[index - 1] << 7);
        index -= 1;
    }
    half[0] = order[0] >> 1;
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_order_is_what_fabric_compares_with() {
        assert_eq!(
            hex::encode(P256_HALF_ORDER),
            "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8"
        );
        assert_eq!(
            hex::encode(P384_HALF_ORDER),
            "7fffffffffffffffffffffffffffffffffffffffffffffffe3b1a6c0fa1b96efac0d06d9245853bd76760c\
             b5666294b9"
        );
    }

    fn number(low: u8) -> [u8; P256_BYTES] {
        let mut number = [0; P256_BYTES];
        number[P256_BYTES - 1] = low;
        number
    }

    #[test]
    fn the_boundary_value_is_low_and_the_next_is_folded_onto_it() {
        let mut above = P256_HALF_ORDER;
        above[P256_BYTES - 1] += 1;
        // n is odd: (n - 1) / 2 + 1 folds to (n - 1) / 2.
        assert_eq!(order_minus(&above), P256_HALF_ORDER);
        let low = low_s_der(&number(1), &P256_HALF_ORDER);
        assert_eq!(low, low_s_der(&number(1), &above));
        assert!(!is_above(s_of(&low).unwrap(), &P256_HALF_ORDER));
        assert!(is_above(&above, &P256_HALF_ORDER));
    }

    #[test]
    fn integers_are_minimal() {
        assert_eq!(
            low_s_der(&number(0x80), &number(0x7f)),
            [0x30, 7, 2, 2, 0, 0x80, 2, 1, 0x7f].as_slice()
        );
        assert_eq!(order_minus(&order_minus(&number(5))), number(5));
    }

    #[test]
    fn what_is_not_der_has_no_s() {
        let good = [0x30, 6, 2, 1, 1, 2, 1, 1];
        assert_eq!(s_of(&good), Some([1].as_slice()));
        let cases: [&[u8]; 8] = [
            b"",
            &[0x30],
            &[0x30, 6, 2, 1, 1, 2, 1],
            &[0x30, 6, 2, 1, 1, 2, 1, 1, 0],
            &[0x30, 7, 2, 1, 1, 2, 1, 1, 0],
            &[0x30, 3, 2, 1, 1],
            &[0x30, 6, 2, 1, 1, 2, 1, 0x80],
            &[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1],
        ];
        for case in cases {
            assert_eq!(s_of(case), None, "{case:x?}");
        }
    }
}
