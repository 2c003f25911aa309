//! A token's text form and its hash.
//!
//! ```text
//! quire_0a1b2c3d4e5f6071_gYk0...      "quire_", id (16 hex digits), "_", 256 random bits in base64url
//! ```
//!
//! The hash is SHA-256 of the whole text. With 256 random bits there is nothing to guess, so nothing
//! slower is needed.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::ChangeTokenError;

const PREFIX: &str = "quire_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// A token as its holder shows it. Shown once; `Debug` does not tell it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn random(id: &str) -> Result<(SecretHash, Self), ChangeTokenError> {
        let secret = URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?);
        let text = format!("{PREFIX}{id}_{secret}");
        Ok((SecretHash::of(&text), Self(text)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is kept of a secret.
#[derive(Clone, Debug)]
pub(crate) struct SecretHash([u8; 32]);

impl SecretHash {
    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether `text` is the secret. Takes the same time whatever differs.
    pub(super) fn is_of(&self, text: &str) -> bool {
        self.0.ct_eq(&Self::of(text).0).into()
    }

    pub(super) fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        Some(Self(hash))
    }
}

/// The id inside of a token's text; tells nothing about whether the secret is right.
pub(super) fn id_in(text: &str) -> Option<&str> {
    let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
    Some(id)
}

/// Whether a token can have this id.
pub(super) fn is_id(id: &str) -> bool {
    id.len() == 2 * ID_BYTES
        && id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn random_id() -> Result<Arc<str>, ChangeTokenError> {
    Ok(hex::encode(random::<ID_BYTES>()?).into())
}

fn random<const N: usize>() -> Result<[u8; N], ChangeTokenError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| ChangeTokenError::NoRandomness)?;
    Ok(bytes)
}
