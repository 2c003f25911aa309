//! Transaction ids: `lower-hex(sha256(nonce ‖ creator))`, Fabric's rule.

use crate::hash::sha256;

/// The length of a nonce in Fabric's clients, and here.
pub const NONCE_BYTES: usize = 24;

/// The transaction id of a nonce and a serialized [`crate::msp::SerializedIdentity`].
#[must_use]
pub fn tx_id(nonce: &[u8], creator: &[u8]) -> String {
    hex::encode(sha256([nonce, creator]))
}

#[cfg(test)]
mod tests {
    #[test]
    fn transaction_ids_are_those_of_fabric() {
        assert_eq!(
            super::tx_id(b"nonce", b"creator"),
            "709184f9d24f6ade8fcd4d6521a6eef295fef6c2e67216c58b68ac15e8946492"
        );
    }
}
