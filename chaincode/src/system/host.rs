//! What system chaincodes ask of the node.

use std::fmt::Debug;

use quire_ledger::Reader;

use crate::Transaction;

/// What system chaincodes ask of the node.
pub trait Host: Send + Sync + Debug {
    /// The names of its channels.
    fn channels(&self) -> Vec<String>;

    /// The ledger of a channel; none where the node has no such channel.
    fn reader(&self, channel: &str) -> Option<Reader>;

    /// Whether who proposed the transaction may do what the resource is, such as `qscc/GetChainInfo`, in a channel;
    /// for resources of the node the channel is of no concern, and may be empty.
    ///
    /// # Errors
    /// Why not.
    fn check_access(
        &self,
        resource: &str,
        channel: &str,
        transaction: &Transaction,
    ) -> Result<(), String>;
}
