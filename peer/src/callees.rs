//! Chaincodes that are called by chaincodes.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use quire_chaincode::lifecycle::Host as _;
use quire_chaincode::shim::{Callee, Deadline, Host};
use quire_chaincode::system::{Subject, is_system};
use quire_chaincode::{Call, ChaincodeError, Chaincodes, Invocation, Simulated, Transaction};
use quire_ledger::{Reader, Simulator};
use quire_wire::peer::SignedProposal;

use crate::defining::Defining;

/// The resource that chaincodes use when they call others: Fabric's name.
pub const CHAINCODE_TO_CHAINCODE: &str = "peer/ChaincodeToChaincode";

/// Makes deadlines: ready when a call that begins now has taken too long.
pub trait Timer: Debug + Send + Sync {
    /// A deadline for a call that begins now.
    fn deadline(&self) -> Deadline;

    /// How long a call that begins now waits for a process that is not connected.
    fn grace(&self) -> Deadline {
        Box::pin(std::future::ready(()))
    }
}

/// The channels of a node, for chaincodes that read others than their own.
pub trait Channels: Debug + Send + Sync {
    /// The names of all of them.
    fn names(&self) -> Vec<String>;

    /// The ledger of a channel.
    fn reader(&self, channel: &str) -> Option<Reader>;

    /// Whether a client who has signed this proposal may use a resource of a channel, such as `qscc/GetChainInfo`.
    ///
    /// # Errors
    /// Why not.
    fn check_access(
        &self,
        channel: &str,
        resource: &str,
        proposal: &SignedProposal,
    ) -> Result<(), String>;

    /// What a chaincode may read of another channel for a client who has signed this proposal.
    ///
    /// # Errors
    /// Why it may read nothing, for the chaincode to be told.
    fn open(
        &self,
        channel: &str,
        proposal: &SignedProposal,
    ) -> Result<(Reader, Arc<Chaincodes>), String>;
}

/// What the chaincodes of a channel call.
#[derive(Debug)]
pub(crate) struct Callees {
    /// Weak, because the registry has the chaincodes, and each of them has this.
    pub(crate) chaincodes: Weak<Chaincodes>,
    pub(crate) channels: Arc<dyn Channels>,
    pub(crate) timer: Arc<dyn Timer>,
    /// The collection of this organisation.
    pub(crate) collection: String,
    /// Who may call them.
    pub(crate) access: Arc<Defining>,
}

impl Callees {
    /// Whether the client may call a chaincode of this channel through another. System chaincodes ask for themselves.
    fn check_access(&self, callee: &Callee) -> Result<(), String> {
        if is_system(&callee.chaincode) {
            return Ok(());
        }
        self.access
            .check_access(CHAINCODE_TO_CHAINCODE, &callee.transaction)
    }
}

impl Host for Callees {
    fn deadline(&self) -> Deadline {
        self.timer.deadline()
    }

    fn grace(&self) -> Deadline {
        self.timer.grace()
    }

    fn own_collection(&self) -> Option<&str> {
        Some(&self.collection)
    }

    fn call(&self, callee: Callee, mut simulator: Simulator) -> Invocation<Simulated> {
        let call = call_of(&callee.chaincode, &callee.transaction);
        if let Err(why) = check_reach(&callee, &call) {
            return refused(why, simulator);
        }
        if callee.transaction.channel == callee.from {
            return match self.chaincodes.upgrade() {
                // What the built-in one writes may be in any namespace, and none of its callers'.
                Some(chaincodes) if !chaincodes.is_deployed(&callee.chaincode) => {
                    refused(not_deployed(&callee.chaincode), simulator)
                }
                Some(chaincodes) => {
                    if let Err(why) = self.check_access(&callee) {
                        return refused(why, simulator);
                    }
                    let chaincode = chaincodes.of(&callee.chaincode);
                    chaincode.invoke(&call, &callee.transaction, simulator)
                }
                None => refused("the channel is closed".to_owned(), simulator),
            };
        }
        let channel = &callee.transaction.channel;
        let opened = self.channels.open(channel, &callee.transaction.proposal);
        match opened {
            // The built-in one reads all documents of a channel.
            Ok((_, chaincodes)) if !chaincodes.is_deployed(&callee.chaincode) => {
                refused(not_deployed(&callee.chaincode), simulator)
            }
            Ok((reader, chaincodes)) => {
                let mut theirs = Simulator::new(reader.snapshot());
                theirs.swap_meters(&mut simulator);
                let chaincode = chaincodes.of(&callee.chaincode);
                let invocation = chaincode.invoke(&call, &callee.transaction, theirs);
                // Nobody sees what it recorded in the other channel.
                invocation.map(move |mut simulated| {
                    simulator.swap_meters(&mut simulated.simulator);
                    Simulated {
                        simulator,
                        ..simulated
                    }
                })
            }
            Err(why) => refused(why, simulator),
        }
    }
}

/// Whether the client may have told of what a call tells of. Its token may be for some channels, while its identity is
/// a member of more.
fn check_reach(callee: &Callee, call: &Call) -> Result<(), String> {
    let transaction = &callee.transaction;
    let check = |channel: &str| {
        if transaction.reach.has(channel) {
            return Ok(());
        }
        Err(format!("the client's token is not for channel {channel}"))
    };
    check(&transaction.channel)?;
    match Subject::of(call) {
        Subject::Channel(channel) => check(&channel),
        Subject::Node if !transaction.reach.is_all() => {
            Err("the client's token is not for all channels of the node".to_owned())
        }
        Subject::Here | Subject::Node => Ok(()),
    }
}

fn not_deployed(chaincode: &str) -> String {
    format!("there is no chaincode {chaincode:?}")
}

fn refused(why: String, simulator: Simulator) -> Invocation<Simulated> {
    let answer = Err(ChaincodeError::refused(why));
    Invocation::Done(Simulated { simulator, answer })
}

/// A call by its arguments, of which the first is the function's name.
fn call_of(chaincode: &str, transaction: &Transaction) -> Call {
    let mut args = transaction.input.args.iter().cloned();
    let function = args.next().unwrap_or_default();
    Call {
        chaincode: chaincode.to_owned(),
        function: String::from_utf8_lossy(&function).into_owned(),
        args: args.collect(),
    }
}
