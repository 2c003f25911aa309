//! The one place that asks the operating system for randomness.

use quire_wire::tx_id::NONCE_BYTES;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Fresh randomness from the operating system.
pub(crate) fn random_nonce() -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no key or nonce can be made"
    )]
    SystemRandom::new()
        .fill(&mut nonce)
        .expect("the operating system gives randomness");
    nonce
}
