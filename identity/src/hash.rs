//! The hash functions that certificates and organisations may name.

use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use sha3::{Digest, Sha3_256, Sha3_384};

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashFunction {
    /// Broken; only in revocation lists, where Fabric accepts it.
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Sha3_256,
    Sha3_384,
}

impl HashFunction {
    /// The function by the name that an organisation's configuration calls it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "SHA256" => Some(Self::Sha256),
            "SHA384" => Some(Self::Sha384),
            "SHA3_256" => Some(Self::Sha3_256),
            "SHA3_384" => Some(Self::Sha3_384),
            _ => None,
        }
    }

    /// The digest of the parts, one after the other.
    pub(crate) fn digest<'a>(self, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
            Self::Sha3_256 => return sha3::<Sha3_256>(parts),
            Self::Sha3_384 => return sha3::<Sha3_384>(parts),
        };
        let mut context = digest::Context::new(algorithm);
        for part in parts {
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    }
}

fn sha3<'a, D: Digest>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}
