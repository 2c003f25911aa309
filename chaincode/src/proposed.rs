//! The transaction that a call is part of.

use quire_wire::peer::{ChaincodeInput, SignedProposal};

use crate::reach::Reach;

/// Knows of which transaction a call is part. Nothing is made before it is asked for, because a chaincode
/// that needs none of it should not pay for it.
pub trait Proposed {
    /// The transaction. May cost a signature.
    fn transaction(&self) -> Transaction;
}

/// What a chaincode may learn of the transaction that it is called in. Of a call that is not ordered, it is
/// the one that there would have been.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    /// The channel.
    pub channel: String,
    /// The transaction's id.
    pub tx_id: String,
    /// The arguments as bytes, and whether this is the chaincode's first call. The first argument is the name
    /// of the function; there may be none.
    pub input: ChaincodeInput,
    /// What the client sent: who it is, when it asked, and what it says to the chaincode alone.
    pub proposal: SignedProposal,
    /// The channels that the client may have told of.
    pub reach: Reach,
}

impl Proposed for Transaction {
    fn transaction(&self) -> Transaction {
        self.clone()
    }
}
