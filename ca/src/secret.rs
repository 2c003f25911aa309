//! What is kept of a secret: a hash that is slow to make, because people choose secrets that can be guessed.

use std::fmt;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Refusal};

/// What one guess costs: 19 MiB of memory, twice over, some 20 ms of a processor.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Longer ones are not read; the hash's time would grow with them.
pub const MAX_SECRET_BYTES: usize = 1024;

/// How many characters a secret has that is made here: 72 bits of randomness.
const MADE_CHARS: usize = 12;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The hash of no secret that anybody knows.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                       AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A secret's hash with its salt and cost: Argon2id in the text form of RFC 9106's implementations.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(String);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

impl SecretHash {
    /// The hash of a secret.
    ///
    /// # Errors
    /// If the secret is too long, or the system has no random numbers.
    pub fn of(secret: &str, random: &dyn SecureRandom) -> Result<Self, Refusal> {
        if secret.len() > MAX_SECRET_BYTES {
            let detail = format!("A secret has at most {MAX_SECRET_BYTES} bytes");
            return Err(Refusal::new(400, Code::BadBody, detail));
        }
        let salt: [u8; 16] = fresh(random)?;
        let failed = |error: argon2::password_hash::Error| {
            Refusal::new(500, Code::Unknown, format!("no hash of a secret: {error}"))
        };
        let salt = SaltString::encode_b64(&salt).map_err(failed)?;
        let hash = hasher()?.hash_password(secret.as_bytes(), &salt);
        Ok(Self(hash.map_err(failed)?.to_string()))
    }

    /// Whether `secret` is the one.
    #[must_use]
    pub fn is_of(&self, secret: &str) -> bool {
        let hash = PasswordHash::new(&self.0);
        let (Ok(hash), Ok(hasher)) = (hash, hasher()) else {
            return false;
        };
        // Whatever is too long is none, and costs no more for that.
        let shown = secret.get(..MAX_SECRET_BYTES).unwrap_or(secret);
        hasher.verify_password(shown.as_bytes(), &hash).is_ok() && shown.len() == secret.len()
    }
}

/// Takes as long as [`SecretHash::is_of`], for names that nobody has.
pub fn waste_time(secret: &str) {
    std::hint::black_box(SecretHash(NOBODYS.to_owned()).is_of(secret));
}

/// A secret that nobody chose.
///
/// # Errors
/// If the system has no random numbers.
pub fn random_secret(random: &dyn SecureRandom) -> Result<String, Refusal> {
    let bytes: [u8; MADE_CHARS] = fresh(random)?;
    let char = |byte: u8| ALPHABET.get(usize::from(byte & 63)).copied();
    let chars = bytes.into_iter().filter_map(char).map(char::from);
    Ok(chars.collect())
}

/// Bytes of randomness.
///
/// # Errors
/// If the system has none.
pub fn fresh<const N: usize>(random: &dyn SecureRandom) -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    let filled = random.fill(&mut bytes);
    let failed = |_| Refusal::new(500, Code::Unknown, "the system gave no random numbers");
    filled.map_err(failed)?;
    Ok(bytes)
}

fn hasher() -> Result<Argon2<'static>, Refusal> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None);
    let failed = |error| Refusal::new(500, Code::Unknown, format!("no hash of a secret: {error}"));
    let params = params.map_err(failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;

    #[test]
    fn a_secret_is_known_by_its_hash_and_nothing_else_is() {
        let random = SystemRandom::new();
        let hash = SecretHash::of("adminpw", &random).unwrap();
        assert!(hash.is_of("adminpw"));
        let long = "a".repeat(MAX_SECRET_BYTES + 1);
        for wrong in ["", "adminp", "adminpw ", "Adminpw", &long] {
            assert!(!hash.is_of(wrong), "{wrong}");
        }
        let json = serde_json::to_string(&hash).unwrap();
        assert!(json.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{json}");
        assert_ne!(SecretHash::of("adminpw", &random).unwrap(), hash, "salted");
        assert!(SecretHash::of(&long, &random).is_err());
        assert!(!SecretHash("nonsense".to_owned()).is_of("nonsense"));
    }

    #[test]
    fn secrets_that_are_made_up_differ() {
        let random = SystemRandom::new();
        let one = random_secret(&random).unwrap();
        assert_eq!(one.len(), MADE_CHARS);
        assert_ne!(one, random_secret(&random).unwrap());
    }

    #[test]
    fn a_name_that_nobody_has_costs_a_hash_too() {
        // One that could not be read would cost nothing, and tell.
        let shown = SecretHash(NOBODYS.to_owned());
        let hash = PasswordHash::new(&shown.0).unwrap();
        assert!(hash.salt.is_some() && hash.hash.is_some_and(|hash| hash.len() == 32));
        assert!(!shown.is_of("adminpw"));
    }
}
