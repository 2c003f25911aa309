//! The elliptic curves on which Fabric takes ECDSA keys.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, UnparsedPublicKey, VerificationAlgorithm,
};

use crate::hash::HashFunction;
use crate::signature::Numbers;

const P224_ORDER: [u8; 28] = hex(b"ffffffffffffffffffffffffffff16a2e0b8f03e13dd29455c5c2a3d");
const P256_ORDER: [u8; 32] =
    hex(b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
const P384_ORDER: [u8; 48] = hex(
    b"ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
);
const P521_ORDER: [u8; 66] = hex(
    b"01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
);

/// The highest low S of each: half the order, rounded down.
const P224_HALF_ORDER: [u8; 28] = half(P224_ORDER);
const P256_HALF_ORDER: [u8; 32] = half(P256_ORDER);
const P384_HALF_ORDER: [u8; 48] = half(P384_ORDER);
const P521_HALF_ORDER: [u8; 66] = half(P521_ORDER);

/// The first byte of a point that is written with both coordinates.
const UNCOMPRESSED: u8 = 4;

/// A curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P224,
    P256,
    P384,
    P521,
}

/// Verifies by a crate that knows the curve and takes any digest: ring knows only some pairs of curve
/// and hash function, and those come first.
macro_rules! verify_on {
    ($curve:ident, $point:expr, $digest:expr, $numbers:expr, $bytes:expr) => {{
        use $curve::ecdsa::signature::hazmat::PrehashVerifier as _;
        let signature = fixed($numbers, $bytes)
            .and_then(|bytes| $curve::ecdsa::Signature::from_slice(&bytes).ok());
        let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes($point).ok();
        match (signature, key) {
            (Some(signature), Some(key)) => key.verify_prehash($digest, &signature).is_ok(),
            _ => false,
        }
    }};
}

impl Curve {
    /// The curve by the bytes of its object identifier.
    pub(crate) fn by_oid(oid: &[u8]) -> Option<Self> {
        match oid {
            [0x2b, 0x81, 0x04, 0, 0x21] => Some(Self::P224),
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7] => Some(Self::P256),
            [0x2b, 0x81, 0x04, 0, 0x22] => Some(Self::P384),
            [0x2b, 0x81, 0x04, 0, 0x23] => Some(Self::P521),
            _ => None,
        }
    }

    pub(crate) fn order(self) -> &'static [u8] {
        match self {
            Self::P224 => &P224_ORDER,
            Self::P256 => &P256_ORDER,
            Self::P384 => &P384_ORDER,
            Self::P521 => &P521_ORDER,
        }
    }

    pub(crate) fn half_order(self) -> &'static [u8] {
        match self {
            Self::P224 => &P224_HALF_ORDER,
            Self::P256 => &P256_HALF_ORDER,
            Self::P384 => &P384_HALF_ORDER,
            Self::P521 => &P521_HALF_ORDER,
        }
    }

    /// Whether this is a point of the curve, with both its coordinates.
    pub(crate) fn has(self, point: &[u8]) -> bool {
        if point.first() != Some(&UNCOMPRESSED) {
            return false;
        }
        match self {
            Self::P224 => p224::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
            Self::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
            Self::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
            Self::P521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
        }
    }

    /// Whether the signature was made with the key of `point` over the hash of `message`.
    pub(crate) fn verify(
        self,
        hash: HashFunction,
        point: &[u8],
        message: &[u8],
        numbers: &Numbers<'_>,
    ) -> bool {
        let ring: Option<&dyn VerificationAlgorithm> = match (self, hash) {
            (Self::P256, HashFunction::Sha256) => Some(&ECDSA_P256_SHA256_ASN1),
            (Self::P384, HashFunction::Sha256) => Some(&ECDSA_P384_SHA256_ASN1),
            _ => None,
        };
        if let Some(algorithm) = ring {
            let key = UnparsedPublicKey::new(algorithm, point);
            return key.verify(message, &numbers.to_der()).is_ok();
        }
        let digest = hash.digest([message]);
        let bytes = self.order().len();
        // A digest that is shorter than the order counts as a number with zeros in front.
        let padding = vec![0; bytes.saturating_sub(digest.len())];
        let digest = &[padding, digest].concat()[..];
        match self {
            Self::P224 => verify_on!(p224, point, digest, numbers, bytes),
            Self::P256 => verify_on!(p256, point, digest, numbers, bytes),
            Self::P384 => verify_on!(p384, point, digest, numbers, bytes),
            Self::P521 => verify_on!(p521, point, digest, numbers, bytes),
        }
    }
}

/// Both numbers, each with zeros in front up to `bytes`.
fn fixed(numbers: &Numbers<'_>, bytes: usize) -> Option<Vec<u8>> {
    let mut fixed = Vec::with_capacity(2 * bytes);
    for number in [numbers.r, numbers.s] {
        let zeros = bytes.checked_sub(number.len())?;
        fixed.resize(fixed.len() + zeros, 0);
        fixed.extend_from_slice(number);
    }
    Some(fixed)
}

const fn hex<const N: usize>(digits: &[u8]) -> [u8; N] {
    match hex::const_decode_to_array(digits) {
        Ok(bytes) => bytes,
        Err(_) => panic!("not a number of that many bytes"),
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
        let halves = [
            (
                Curve::P224,
                "7fffffffffffffffffffffffffff8b51705c781f09ee94a2ae2e151e",
            ),
            (
                Curve::P256,
                "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8",
            ),
            (
                Curve::P384,
                "7fffffffffffffffffffffffffffffffffffffffffffffffe3b1a6c0fa1b96efac0d06d9245853bd7676\
                 0cb5666294b9",
            ),
            (
                Curve::P521,
                "00fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffd28c343c1df97cb35\
                 bfe600a47b84d2e81ddae4dc44ce23d75db7db8f489c3204",
            ),
        ];
        for (curve, half) in halves {
            assert_eq!(hex::encode(curve.half_order()), half, "{curve:?}");
        }
    }

    #[test]
    fn only_points_of_the_curve_with_both_coordinates_are_keys() {
        use p256::elliptic_curve::sec1::ToEncodedPoint as _;
        let key = p256::SecretKey::from_slice(&[7; 32]).unwrap().public_key();
        let point = key.to_encoded_point(false).as_bytes().to_vec();
        assert!(Curve::P256.has(&point));
        assert!(!Curve::P384.has(&point));
        assert!(!Curve::P256.has(key.to_encoded_point(true).as_bytes()));
        let mut beside = point;
        *beside.last_mut().unwrap() ^= 1;
        assert!(!Curve::P256.has(&beside));
        assert!(!Curve::P256.has(&[0]));
        assert!(!Curve::P256.has(&[]));
    }
}
