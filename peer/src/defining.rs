//! What `_lifecycle` asks of a channel.

use std::collections::BTreeMap;
use std::sync::Arc;

use quire_chaincode::Transaction;
use quire_chaincode::lifecycle::{ChannelConfig, Host};
use quire_wire::lifecycle::ReferencedChaincode;

use crate::access::{check_access, creator};
use crate::config::Current;
use crate::processes::Processes;

/// What `_lifecycle` asks of a channel.
#[derive(Debug)]
pub(crate) struct Defining {
    pub(crate) channel: Arc<str>,
    /// MSP id of the node's organisation.
    pub(crate) organization: String,
    pub(crate) config: Current,
    pub(crate) processes: Arc<dyn Processes>,
}

impl Host for Defining {
    fn config(&self, channel: &str) -> Option<Arc<dyn ChannelConfig>> {
        (*channel == *self.channel).then(|| Arc::clone(&self.config.get().bundle) as _)
    }

    fn check_access(&self, resource: &str, transaction: &Transaction) -> Result<(), String> {
        let in_force = self.config.get();
        let who = in_force.bundle.msps();
        let who = who.validate(&creator(&transaction.proposal));
        let who = who.map_err(|error| error.to_string())?;
        let checked = check_access(&in_force, &self.organization, resource, &who);
        checked.map_err(|error| error.to_string())
    }

    fn references(&self, package_id: &str) -> BTreeMap<String, Vec<ReferencedChaincode>> {
        self.processes.references(package_id)
    }
}
