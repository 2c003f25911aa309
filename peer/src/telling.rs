//! What the system chaincodes of a channel ask of the node.

use std::sync::Arc;

use quire_chaincode::Transaction;
use quire_chaincode::lifecycle::Host as _;
use quire_chaincode::system::Host;
use quire_ledger::Reader;

use crate::callees::Channels;
use crate::defining::Defining;

/// What the system chaincodes of a channel ask of the node. They tell of its other channels too.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) reader: Reader,
    pub(crate) defining: Arc<Defining>,
    pub(crate) channels: Arc<dyn Channels>,
}

impl Host for Telling {
    fn channels(&self) -> Vec<String> {
        let mut channels = self.channels.names();
        let own = self.reader.channel();
        if !channels.iter().any(|name| name == own) {
            channels.push(own.to_owned());
        }
        channels
    }

    fn reader(&self, channel: &str) -> Option<Reader> {
        if channel == self.reader.channel() {
            return Some(self.reader.clone());
        }
        self.channels.reader(channel)
    }

    fn check_access(
        &self,
        resource: &str,
        channel: &str,
        transaction: &Transaction,
    ) -> Result<(), String> {
        if channel.is_empty() || channel == self.reader.channel() {
            return self.defining.check_access(resource, transaction);
        }
        self.channels
            .check_access(channel, resource, &transaction.proposal)
    }
}
