//! The node's orderer identity, as the block writer uses it.

use std::sync::Arc;

use bytes::Bytes;
use quire_identity::SigningIdentity;
use quire_ordering::BlockSigner;
use quire_wire::tx_id::NONCE_BYTES;

use crate::random::random_nonce;

/// Signs blocks.
#[derive(Clone, Debug)]
pub(crate) struct OrdererSigner(pub(crate) Arc<SigningIdentity>);

impl BlockSigner for OrdererSigner {
    fn creator(&self) -> &Bytes {
        self.0.serialized()
    }

    fn nonce(&self) -> [u8; NONCE_BYTES] {
        random_nonce()
    }

    fn sign(&self, message: &[u8]) -> Bytes {
        self.0.sign(message)
    }
}
