//! A chaincode whose code runs in another process.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use quire_ledger::Simulator;
use quire_wire::Message as _;
use quire_wire::shim::{ChaincodeMessage, MessageType};

use super::error::ShimError;
use super::exchange::Exchange;
use super::host::Host;
use super::request::Asking;
use super::stream::Process;
use crate::chaincode::{Call, Chaincode, ChaincodeError, Simulated};
use crate::invocation::{Invocation, Weight};
use crate::proposed::Proposed;

/// A chaincode whose code runs in another process, if that is connected.
pub struct ShimChaincode {
    name: String,
    version: String,
    process: RwLock<Option<Process>>,
    host: Arc<dyn Host>,
}

impl ShimChaincode {
    /// A chaincode of a channel, which has no process yet. Its name is its namespace.
    #[must_use]
    pub fn new(name: String, version: String, host: Arc<dyn Host>) -> Self {
        Self {
            name,
            version,
            process: RwLock::default(),
            host,
        }
    }

    /// Makes the calls from now on with this process; those under way stay where they are.
    pub fn connect(&self, process: Process) {
        *self.process.write() = Some(process);
    }

    /// Makes no more calls; those under way go on.
    pub fn disconnect(&self) {
        *self.process.write() = None;
    }

    fn begin(&self, proposed: &dyn Proposed, simulator: &Simulator) -> Result<Exchange, ShimError> {
        let process = self.process.read().clone();
        let process = process.ok_or(ShimError::NotConnected)?;
        let transaction = proposed.transaction();
        let kind = if transaction.input.is_init {
            MessageType::Init
        } else {
            MessageType::Transaction
        };
        let asking = Asking::new(&self.name, &transaction, self.host.own_collection());
        let seat = process.begin(ChaincodeMessage {
            r#type: kind.into(),
            payload: transaction.input.encode_to_vec().into(),
            txid: transaction.tx_id,
            proposal: Some(transaction.proposal),
            channel_id: transaction.channel,
            ..ChaincodeMessage::default()
        })?;
        Ok(Exchange {
            seat,
            asking,
            host: Arc::clone(&self.host),
            limits: process.limits,
            deadline: self.host.deadline(),
            snapshot: simulator.snapshot().clone(),
            calling: String::new(),
        })
    }
}

impl Chaincode for ShimChaincode {
    fn invoke(
        &self,
        _: &Call,
        proposed: &dyn Proposed,
        simulator: Simulator,
    ) -> Invocation<Simulated> {
        match self.begin(proposed, &simulator) {
            Ok(exchange) => exchange.wait(simulator),
            Err(source) => {
                let answer = Err(ChaincodeError::Unavailable {
                    chaincode: self.name.clone(),
                    source,
                });
                Invocation::Done(Simulated { simulator, answer })
            }
        }
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    /// To begin is to send one message.
    fn weight(&self, _: &Call) -> Weight {
        Weight::Brief
    }
}

impl fmt::Debug for ShimChaincode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShimChaincode")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("process", &*self.process.read())
            .finish_non_exhaustive()
    }
}
