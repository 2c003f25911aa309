//! What an operator says of a CA, and what it is given from outside.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ring::rand::SecureRandom;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What an operator says of a CA.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What clients call it.
    pub name: String,
    /// How long a certificate of an identity, or for TLS, is good.
    pub certificate_life: Duration,
    /// How long a revocation list says that it is good.
    pub crl_life: Duration,
    /// How many wrong secrets lock an identity.
    pub password_attempts: u32,
}

/// How long the certificate of an intermediate authority is good.
pub const AUTHORITY_LIFE: Duration = DAY.saturating_mul(5 * 365);

/// The longest life of a certificate that can be asked for.
pub const MAX_CERTIFICATE_LIFE: Duration = DAY.saturating_mul(30 * 365);

impl Settings {
    /// Those of a new Fabric CA.
    #[must_use]
    pub fn named(name: String) -> Self {
        Self {
            name,
            certificate_life: DAY.saturating_mul(365),
            crl_life: DAY,
            password_attempts: 10,
        }
    }
}

/// What a CA is given from outside: the time, and randomness.
#[derive(Clone)]
pub struct Outside {
    /// The time now.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Randomness that nobody can foresee.
    pub random: Arc<dyn SecureRandom + Send + Sync>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside(..)")
    }
}
