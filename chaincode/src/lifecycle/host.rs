//! What `_lifecycle` asks of the node.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use quire_wire::lifecycle::ReferencedChaincode;

use super::config::ChannelConfig;
use crate::Transaction;

/// What `_lifecycle` asks of the node.
pub trait Host: Send + Sync + Debug {
    /// The configuration of a channel; none where the node has no such channel.
    fn config(&self, channel: &str) -> Option<Arc<dyn ChannelConfig>>;

    /// Whether who proposed the transaction may do what the resource is, such as
    /// `_lifecycle/CommitChaincodeDefinition`.
    ///
    /// # Errors
    /// Why not.
    fn check_access(&self, resource: &str, transaction: &Transaction) -> Result<(), String>;

    /// The chaincodes that run a package, by channel.
    fn references(&self, package_id: &str) -> BTreeMap<String, Vec<ReferencedChaincode>>;
}
