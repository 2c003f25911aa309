//! What the shim needs of the node.

use std::fmt::Debug;
use std::pin::Pin;

use quire_ledger::Simulator;

use crate::chaincode::Simulated;
use crate::invocation::Invocation;
use crate::proposed::Transaction;

/// Ready when a call has taken too long.
pub type Deadline = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the shim needs of the node: time, and the other chaincodes.
pub trait Host: Debug + Send + Sync {
    /// Ready when a call that begins now has taken too long.
    fn deadline(&self) -> Deadline;

    /// Ready when a call that begins now has waited long enough for a process that is not connected: at once, unless
    /// there is somebody who brings it up.
    fn grace(&self) -> Deadline {
        Box::pin(std::future::ready(()))
    }

    /// The private collection whose values this node keeps, its organisation's own.
    fn own_collection(&self) -> Option<&str> {
        None
    }

    /// Calls another chaincode for one that is called. In the caller's channel it shares the simulator. In
    /// another channel it gets one of that channel, whose records nobody will see, and the caller's comes
    /// back as it was.
    fn call(&self, callee: Callee, simulator: Simulator) -> Invocation<Simulated>;
}

/// Whom a chaincode calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Callee {
    /// The chaincode's name.
    pub chaincode: String,
    /// The channel that the caller is in.
    pub from: String,
    /// What the callee is told: its channel, its arguments, and of the client what the caller was told.
    pub transaction: Transaction,
}
