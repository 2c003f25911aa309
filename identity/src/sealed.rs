//! A text that only a passphrase opens.
//!
//! ```text
//! -----BEGIN QUIRE IDENTITIES-----
//! magic "quire-identities", version 1     17 bytes
//! salt                                    16
//! content, sealed                         the content's, and 16
//! SHA-256 of all before                   32
//! -----END QUIRE IDENTITIES-----
//! ```
//!
//! The key is Argon2id of passphrase and salt, at the cost that RFC 9106 recommends where memory is short (64 MiB, three
//! passes); the seal is ChaCha20-Poly1305 (RFC 8439) over the content, with the first 33 bytes as what else it vouches for.
//! What a guess costs stands nowhere in the file: nobody can make a reader take more. The hash at the end keeps no secret
//! and proves nothing; it tells a file that was damaged on its way from a passphrase that is not the one.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use quire_wire::hash::sha256;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::pem;

const LABEL: &str = "QUIRE IDENTITIES";
const MAGIC: &[u8] = b"quire-identities";
const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const HEAD_BYTES: usize = MAGIC.len() + 1 + SALT_BYTES;
const HASH_BYTES: usize = 32;

/// What one guess costs.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// Fewer characters are guessed from a stolen file, whatever a guess costs.
pub const MIN_PASSPHRASE_CHARS: usize = 10;
/// More bytes are not read.
pub const MAX_PASSPHRASE_BYTES: usize = 1024;
/// Most bytes that are sealed.
pub const MAX_CONTENT_BYTES: usize = 4 << 20;
/// Most bytes of a sealed text: that in base64, with what is around it.
pub const MAX_SEALED_BYTES: u64 = 6 << 20;

/// A passphrase; `Debug` does not tell it.
pub struct Passphrase(String);

impl Passphrase {
    /// Takes a text for one.
    ///
    /// # Errors
    /// [`SealError::Passphrase`] if it is too short or too long.
    pub fn new(text: String) -> Result<Self, SealError> {
        let is_good =
            text.chars().count() >= MIN_PASSPHRASE_CHARS && text.len() <= MAX_PASSPHRASE_BYTES;
        is_good.then_some(Self(text)).ok_or(SealError::Passphrase)
    }

    fn key(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let mut key = [0; 32];
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(key.len())).ok()?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(self.0.as_bytes(), salt, &mut key)
            .ok()?;
        Some(LessSafeKey::new(
            UnboundKey::new(&CHACHA20_POLY1305, &key).ok()?,
        ))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, or absurdly long.
    #[error(
        "a passphrase has at least {MIN_PASSPHRASE_CHARS} characters and at most {MAX_PASSPHRASE_BYTES} bytes"
    )]
    Passphrase,
    /// There is more than fits.
    #[error("there are more than {MAX_CONTENT_BYTES} bytes to seal: seal fewer identities a file")]
    TooMuch,
    /// The operating system has no random numbers, or no memory for the hash.
    #[error(
        "the operating system gave no random numbers, or not the 64 MiB of memory that the hash takes"
    )]
    System,
}

/// Why a text was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// It is something else.
    #[error("it is no file of sealed identities")]
    NotSealed,
    /// It was cut or changed on its way.
    #[error("it was cut, or changed on its way")]
    Damaged,
    /// It is of a later release.
    #[error("it is of version {0}, which this release does not know")]
    Version(u8),
    /// It is whole.
    #[error("the passphrase is not the one that it was sealed with")]
    WrongPassphrase,
    /// What was sealed is not what this release seals.
    #[error("what is sealed in it are no identities")]
    Content,
}

/// Seals a content.
///
/// # Errors
/// See [`SealError`].
pub fn seal(content: &[u8], passphrase: &Passphrase) -> Result<String, SealError> {
    if content.len() > MAX_CONTENT_BYTES {
        return Err(SealError::TooMuch);
    }
    let mut salt = [0; SALT_BYTES];
    let filled = SystemRandom::new().fill(&mut salt);
    filled.map_err(|_| SealError::System)?;
    let key = passphrase.key(&salt).ok_or(SealError::System)?;
    let head = [MAGIC, &[VERSION], &salt].concat();
    let mut sealed = content.to_vec();
    key.seal_in_place_append_tag(nonce(), Aad::from(&head), &mut sealed)
        .map_err(|_| SealError::System)?;
    let mut all = [head, sealed].concat();
    let hash = sha256([&all[..]]);
    all.extend_from_slice(&hash);
    Ok(pem::encode(LABEL, &all))
}

/// Opens a text that [`seal`] made.
///
/// # Errors
/// See [`UnsealError`].
pub fn unseal(text: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>, UnsealError> {
    let begin = format!("-----BEGIN {LABEL}-----");
    if !text
        .windows(begin.len())
        .any(|part| part == begin.as_bytes())
    {
        return Err(UnsealError::NotSealed);
    }
    let block = pem::Block::first(text).filter(|block| block.label == LABEL.as_bytes());
    let all = block.ok_or(UnsealError::Damaged)?.content;
    let (sealed, hash) = all
        .split_last_chunk::<HASH_BYTES>()
        .ok_or(UnsealError::Damaged)?;
    if sha256([sealed]) != *hash {
        return Err(UnsealError::Damaged);
    }
    let (head, content) = sealed
        .split_at_checked(HEAD_BYTES)
        .ok_or(UnsealError::Damaged)?;
    let (magic, rest) = head.split_at_checked(MAGIC.len()).unwrap_or_default();
    let (&version, salt) = rest.split_first().ok_or(UnsealError::Damaged)?;
    if magic != MAGIC {
        return Err(UnsealError::NotSealed);
    }
    if version != VERSION {
        return Err(UnsealError::Version(version));
    }
    let key = passphrase.key(salt).ok_or(UnsealError::WrongPassphrase)?;
    let mut content = content.to_vec();
    let opened = key.open_in_place(nonce(), Aad::from(head), &mut content);
    let opened = opened.map_err(|_| UnsealError::WrongPassphrase)?.len();
    content.truncate(opened);
    Ok(content)
}

/// Always the same: a key, whose salt is fresh, seals once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_with_its_passphrase_alone() {
        let sealed = seal(b"secret", &passphrase("correct horse")).unwrap();
        let again = seal(b"secret", &passphrase("correct horse")).unwrap();
        assert_ne!(sealed, again, "each has a salt of its own");
        let opened = unseal(sealed.as_bytes(), &passphrase("correct horse"));
        assert_eq!(opened.unwrap(), b"secret");
        let refused = unseal(sealed.as_bytes(), &passphrase("correct house"));
        assert_eq!(refused, Err(UnsealError::WrongPassphrase));
        let quoted = format!("> see below\r\n{}", sealed.replace('\n', "\r\n"));
        let opened = unseal(quoted.as_bytes(), &passphrase("correct horse"));
        assert_eq!(opened.unwrap(), b"secret");
    }

    #[test]
    fn a_cut_or_changed_file_is_told_from_a_wrong_passphrase() {
        let right = passphrase("correct horse");
        let sealed = seal(b"secret", &right).unwrap();
        let begin = sealed.find('\n').unwrap();
        for length in begin + 1..sealed.len() - 2 {
            let refused = unseal(&sealed.as_bytes()[..length], &right);
            assert_eq!(refused, Err(UnsealError::Damaged), "{length} bytes");
        }
        let content = pem::Block::first(sealed.as_bytes()).unwrap().content;
        for position in 0..content.len() {
            let mut flipped = content.clone();
            flipped[position] ^= 1;
            let refused = unseal(pem::encode(LABEL, &flipped).as_bytes(), &right);
            assert_eq!(refused, Err(UnsealError::Damaged), "byte {position}");
        }
        for text in [
            "",
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        ] {
            let refused = unseal(text.as_bytes(), &right);
            assert_eq!(refused, Err(UnsealError::NotSealed), "{text}");
        }
    }

    #[test]
    fn whoever_makes_the_hash_right_again_does_not_get_past_the_seal() {
        let right = passphrase("correct horse");
        let sealed = seal(b"secret", &right).unwrap();
        let content = pem::Block::first(sealed.as_bytes()).unwrap().content;
        let refused = |position: usize| {
            let mut changed = content[..content.len() - HASH_BYTES].to_vec();
            changed[position] ^= 1;
            let hash = sha256([&changed[..]]);
            changed.extend_from_slice(&hash);
            unseal(pem::encode(LABEL, &changed).as_bytes(), &right).unwrap_err()
        };
        assert_eq!(refused(0), UnsealError::NotSealed);
        assert_eq!(refused(MAGIC.len()), UnsealError::Version(VERSION ^ 1));
        for position in [MAGIC.len() + 1, HEAD_BYTES, HEAD_BYTES + 6] {
            assert_eq!(refused(position), UnsealError::WrongPassphrase);
        }
    }

    #[test]
    fn passphrases_that_are_guessed_at_once_are_refused() {
        for text in ["", "short", &"x".repeat(MAX_PASSPHRASE_BYTES + 1)] {
            let refused = Passphrase::new(text.to_owned()).err();
            assert_eq!(refused, Some(SealError::Passphrase));
        }
        let large = vec![0; MAX_CONTENT_BYTES + 1];
        let refused = seal(&large, &passphrase("correct horse"));
        assert_eq!(refused, Err(SealError::TooMuch));
    }
}
