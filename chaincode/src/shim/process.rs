//! A chaincode whose code runs in another process.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use quire_ledger::Simulator;
use quire_wire::Message as _;
use quire_wire::shim::{ChaincodeMessage, MessageType};

use super::error::ShimError;
use super::exchange::Exchange;
use super::host::{Deadline, Host};
use super::request::Asking;
use super::stream::Process;
use crate::chaincode::{Call, Chaincode, ChaincodeError, Simulated};
use crate::invocation::{Invocation, Piece, Weight};
use crate::proposed::{Proposed, Transaction};

/// A chaincode whose code runs in another process, if that is connected.
///
/// Calls wait a while for a process that is about to come, as behind a deployment or a crash. Once one of them has
/// waited in vain, the others fail at once, until there is a process again.
pub struct ShimChaincode {
    version: String,
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    host: Arc<dyn Host>,
    line: Mutex<Line>,
}

/// The way to the process.
#[derive(Default)]
struct Line {
    process: Option<Process>,
    /// Whether nobody waits for a process any more.
    is_given_up: bool,
    /// Calls that wait for one.
    waiting: Vec<Waker>,
}

impl Line {
    fn is_ready(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_ready)
    }

    fn wake(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

impl ShimChaincode {
    /// A chaincode of a channel, which has no process yet. Its name is its namespace.
    #[must_use]
    pub fn new(name: String, version: String, host: Arc<dyn Host>) -> Self {
        let line = Mutex::default();
        let inner = Arc::new(Inner { name, host, line });
        Self { version, inner }
    }

    /// Makes the calls from now on with this process; those under way stay where they are.
    pub fn connect(&self, process: Process) {
        let mut line = self.inner.line.lock();
        line.process = Some(process);
        line.is_given_up = false;
        line.wake();
    }

    /// Makes no more calls; those under way go on.
    pub fn disconnect(&self) {
        let mut line = self.inner.line.lock();
        line.process = None;
        line.is_given_up = true;
        line.wake();
    }
}

impl Inner {
    fn begin(&self, transaction: Transaction, simulator: Simulator) -> Invocation<Simulated> {
        match self.exchange(transaction, &simulator) {
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

    fn exchange(
        &self,
        transaction: Transaction,
        simulator: &Simulator,
    ) -> Result<Exchange, ShimError> {
        let process = self.line.lock().process.clone();
        let process = process.ok_or(ShimError::NotConnected)?;
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

    /// Whether a call has to wait for the process.
    fn may_come(&self) -> bool {
        let line = self.line.lock();
        !line.is_given_up && !line.is_ready()
    }

    /// Ready when there is a process, or nobody waits for one any more.
    fn poll_come(&self, grace: &mut Deadline, context: &mut Context<'_>) -> Poll<()> {
        let mut line = self.line.lock();
        if line.is_given_up || line.is_ready() {
            return Poll::Ready(());
        }
        if grace.as_mut().poll(context).is_ready() {
            line.is_given_up = true;
            line.wake();
            return Poll::Ready(());
        }
        let waker = context.waker();
        if !line.waiting.iter().any(|known| known.will_wake(waker)) {
            line.waiting.push(waker.clone());
        }
        Poll::Pending
    }
}

impl Chaincode for ShimChaincode {
    fn invoke(
        &self,
        _: &Call,
        proposed: &dyn Proposed,
        simulator: Simulator,
    ) -> Invocation<Simulated> {
        let transaction = proposed.transaction();
        if !self.inner.may_come() {
            return self.inner.begin(transaction, simulator);
        }
        let inner = Arc::clone(&self.inner);
        Invocation::wait(async move {
            let mut grace = inner.host.grace();
            poll_fn(|context| inner.poll_come(&mut grace, context)).await;
            Piece::new(Weight::Brief, move |_| inner.begin(transaction, simulator))
        })
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
            .field("name", &self.inner.name)
            .field("version", &self.version)
            .field("process", &self.inner.line.lock().process)
            .finish_non_exhaustive()
    }
}
