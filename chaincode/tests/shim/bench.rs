//! A small ledger, a chaincode in front of it, and a clock that the test turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use quire_chaincode::shim::{Callee, Deadline, Host, Limits, ShimChaincode, Stream};
use quire_chaincode::{Call, Chaincode as _, ChaincodeError, Invocation, Simulated, Transaction};
use quire_disk::OsDisk;
use quire_ledger::{CreateOptions, Ledger, Ledgers, Ordered, Purpose, Simulator};
use quire_testkit::{Transaction as Written, chain};
use quire_wire::Message;
use quire_wire::shim::{ChaincodeMessage, MessageType};

use crate::kit::{connected, pump};

pub(crate) const CHANNEL: &str = "main";
pub(crate) const NAME: &str = "cc";
/// The private collection of the node's organisation.
pub(crate) const OWN_COLLECTION: &str = "_implicit_org_Org1MSP";
/// Keys `k0000`, `k0001` and so on that the ledger has.
pub(crate) const ROWS: usize = 300;

/// Time is up for all calls, or for none.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    pub(crate) is_up: Arc<AtomicBool>,
    /// Whether calls wait for a process.
    pub(crate) waits: Arc<AtomicBool>,
    /// Calls of other chaincodes that are under way.
    pub(crate) callees: Arc<AtomicUsize>,
}

/// Counts a callee for as long as it is there.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Host for Clock {
    fn deadline(&self) -> Deadline {
        let is_up = Arc::clone(&self.is_up);
        Box::pin(std::future::poll_fn(move |_| {
            if is_up.load(Ordering::SeqCst) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    }

    fn grace(&self) -> Deadline {
        let waits = Arc::clone(&self.waits);
        Box::pin(std::future::poll_fn(move |_| {
            if waits.load(Ordering::SeqCst) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        }))
    }

    fn own_collection(&self) -> Option<&str> {
        Some(OWN_COLLECTION)
    }

    /// The callee never ends.
    fn call(&self, callee: Callee, simulator: Simulator) -> Invocation<Simulated> {
        if callee.chaincode != "endless" {
            let answer = Err(ChaincodeError::NotFound {
                channel: callee.transaction.channel,
                chaincode: callee.chaincode,
            });
            return Invocation::Done(Simulated { simulator, answer });
        }
        self.callees.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(Arc::clone(&self.callees));
        Invocation::wait(async move {
            let _held = (counted, simulator);
            std::future::pending().await
        })
    }
}

pub(crate) struct Bench {
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<Clock>,
    pub(crate) chaincode: ShimChaincode,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
        let genesis = chain::block(0, Bytes::new(), vec!["no envelope".into()]).into();
        let mut ledger = ledgers
            .create(CHANNEL, genesis, CreateOptions::default())
            .unwrap();
        let mut simulator = Simulator::new(ledger.reader().snapshot());
        for n in 0..ROWS {
            let value = format!(r#"{{"n":{n},"even":{}}}"#, n % 2 == 0);
            simulator.put(NAME, &format!("k{n:04}"), value.into());
        }
        let results = simulator.into_read_write_set().encode_to_vec().into();
        let written = Written {
            results,
            ..Written::new(CHANNEL, NAME, "rows")
        };
        let (number, hash) = ledger.tip();
        let hash = Bytes::copy_from_slice(&hash);
        let block = chain::block(number, hash, vec![written.envelope()]).into();
        let committed = ledger.commit(vec![Ordered::new(block, CHANNEL)]).unwrap();
        assert_eq!(committed[0].transactions[0].1, quire_wire::Code::VALID);
        let clock = Arc::new(Clock::default());
        let host = Arc::clone(&clock) as Arc<dyn Host>;
        Self {
            ledger,
            clock,
            chaincode: ShimChaincode::new(NAME.to_owned(), String::new(), host),
            _dir: dir,
        }
    }

    /// A process of the chaincode, which makes its calls from now on.
    pub(crate) fn connect(&self, limits: Limits) -> Stream {
        let stream = connected(NAME, limits);
        self.chaincode.connect(stream.process());
        stream
    }

    pub(crate) fn begin(&self, tx_id: &str) -> Invocation<Simulated> {
        let call = Call {
            chaincode: NAME.to_owned(),
            function: String::new(),
            args: Vec::new(),
        };
        let transaction = Transaction {
            channel: CHANNEL.to_owned(),
            tx_id: tx_id.to_owned(),
            ..Transaction::default()
        };
        let simulator = Simulator::new(self.ledger.reader().snapshot());
        pump(self.chaincode.invoke(&call, &transaction, simulator))
    }
}

/// A message of a process.
pub(crate) fn message(kind: MessageType, tx_id: &str, payload: &impl Message) -> ChaincodeMessage {
    ChaincodeMessage {
        r#type: kind.into(),
        payload: payload.encode_to_vec().into(),
        txid: tx_id.to_owned(),
        channel_id: CHANNEL.to_owned(),
        ..ChaincodeMessage::default()
    }
}

/// Why a call came to nothing.
pub(crate) fn error(call: Invocation<Simulated>) -> ChaincodeError {
    let simulated = pump(call).done().expect("a call that is done");
    simulated.answer.unwrap_err()
}
