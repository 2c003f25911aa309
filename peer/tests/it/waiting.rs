//! A chaincode that waits for somebody else, like a chaincode in another process.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quire_chaincode::{
    Answer, Call, Chaincode, ChaincodeError, Event, Invocation, Piece, Proposed, Simulated, Weight,
};
use quire_ledger::{CreateOptions, Meter, Simulator};
use quire_peer::{SubmitError, Submitted, Submitter as _, UnpackedProposal};
use quire_wire::transaction::Opened;
use quire_wire::{Code, Message as _, peer::ChaincodeEvent};
use tokio::sync::oneshot;

use crate::kit::{Client, Node, Running, outcome, proposal};

/// The namespace that the chaincode governs.
const NAMESPACE: &str = "slow";

/// A chaincode that a slow somebody tells what to write under each key: it waits once before it reads the
/// key, and once before it writes.
#[derive(Clone, Debug, Default)]
struct Slow {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The threads on which its work was done.
    threads: Arc<Mutex<HashSet<std::thread::ThreadId>>>,
    /// Calls that have a simulator now.
    in_flight: Arc<AtomicUsize>,
}

/// What the chaincode waits for.
#[derive(Debug)]
struct Asked {
    answer: oneshot::Sender<Bytes>,
}

/// Counts a call as long as this exists.
struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Slow {
    /// Waits for an answer, and goes on with it.
    fn ask(
        &self,
        weight: Weight,
        go_on: impl FnOnce(&Self, Bytes) -> Invocation<Simulated> + Send + 'static,
    ) -> Invocation<Simulated> {
        let (answer, answered) = oneshot::channel();
        self.asked.lock().push(Asked { answer });
        let this = self.clone();
        Invocation::wait(async move {
            let answer = answered.await.unwrap_or_default();
            Piece::new(weight, move |_| {
                this.threads.lock().insert(std::thread::current().id());
                go_on(&this, answer)
            })
        })
    }

    /// Answers everybody who waits now, and returns their number.
    fn answer(&self, answer: &'static str) -> usize {
        let asked = std::mem::take(&mut *self.asked.lock());
        let count = asked.len();
        for asked in asked {
            // The receiver may be gone.
            drop(asked.answer.send(Bytes::from_static(answer.as_bytes())));
        }
        count
    }
}

impl Chaincode for Slow {
    fn invoke(
        &self,
        call: &Call,
        _: &dyn Proposed,
        mut simulator: Simulator,
    ) -> Invocation<Simulated> {
        let key = call.function.clone();
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let counted = InFlight(Arc::clone(&self.in_flight));
        self.ask(Weight::Brief, move |slow, _| {
            let before = simulator.get(NAMESPACE, &key).unwrap();
            slow.ask(Weight::Keys, move |_, value| {
                let _counted = counted;
                let answer = match (&value[..], before) {
                    (b"no", _) => Err(ChaincodeError::refused("no")),
                    (_, Some(_)) => Err(ChaincodeError::refused("it is there")),
                    (_, None) => {
                        simulator.put(NAMESPACE, &key, value.clone());
                        Ok(Answer {
                            event: Some(Event {
                                name: "written".to_owned(),
                                payload: value.clone(),
                            }),
                            ..Answer::of(value)
                        })
                    }
                };
                Invocation::Done(Simulated { simulator, answer })
            })
        })
    }

    fn version(&self) -> String {
        "2.1".to_owned()
    }
}

fn call(key: &str) -> Call {
    Call {
        chaincode: NAMESPACE.to_owned(),
        function: key.to_owned(),
        args: Vec::new(),
    }
}

/// A channel in which the chaincode governs its namespace.
fn channel(node: &Node, slow: &Slow) -> Running {
    let channel = node.channel(500, CreateOptions::default());
    let chaincodes = &channel.0.channel.chaincodes;
    chaincodes.deploy(NAMESPACE, Arc::new(slow.clone()));
    channel
}

fn submit(node: &Node, channel: &Running, key: &str) -> Invocation<Result<Submitted, SubmitError>> {
    Arc::clone(channel.peer()).submit(proposal(&node.client, call(key)))
}

/// Drives a call to its end on whatever thread polls.
async fn finish<T>(mut invocation: Invocation<T>) -> T {
    loop {
        invocation = match invocation {
            Invocation::Done(done) => return done,
            Invocation::Waiting(waiting) => waiting.await.run(None),
        };
    }
}

#[test]
fn a_thousand_calls_that_wait_take_no_thread_each() {
    const CALLS: usize = 1_000;
    const WORKERS: usize = 3;
    let node = Node::new();
    let slow = Slow::default();
    let channel = channel(&node, &slow);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .build()
        .unwrap();
    let calls: Vec<_> = (0..CALLS)
        .map(|n| runtime.spawn(finish(submit(&node, &channel, &n.to_string()))))
        .collect();
    // All calls have begun, and none goes on before somebody answers.
    assert_eq!(slow.in_flight.load(Ordering::SeqCst), CALLS);
    assert_eq!(slow.answer("go on"), CALLS);
    while slow.asked.lock().len() < CALLS {
        std::thread::yield_now();
    }
    assert_eq!(slow.in_flight.load(Ordering::SeqCst), CALLS);
    // Meanwhile other transactions of the channel go on.
    let other = node.submit(&channel, 1).unwrap();
    assert_eq!(outcome(other.outcome).unwrap().code, Code::VALID);
    assert_eq!(slow.answer("written"), CALLS);
    for call in calls {
        let submitted = runtime.block_on(call).unwrap().unwrap();
        assert_eq!(submitted.result, "written");
        assert_eq!(outcome(submitted.outcome).unwrap().code, Code::VALID);
    }
    assert_eq!(slow.in_flight.load(Ordering::SeqCst), 0);
    assert!(slow.threads.lock().len() <= WORKERS);
    let written = channel.reader().snapshot().get(NAMESPACE, "999").unwrap();
    assert_eq!(written.unwrap().value, "written");
    channel.stop();
}

#[test]
fn what_a_chaincode_tells_and_its_version_stand_in_the_block() {
    let node = Node::new();
    let slow = Slow::default();
    let channel = channel(&node, &slow);
    let client = Client::new(&node.client, &call("a"));
    let proposal = UnpackedProposal::read(client.proposal()).unwrap();
    let begun = channel.peer().endorse(&proposal, Meter::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (response, ()) = runtime.block_on(async {
        tokio::join!(finish(begun.unwrap()), async {
            slow.answer("go on");
            while slow.asked.lock().is_empty() {
                tokio::task::yield_now().await;
            }
            slow.answer("told");
        })
    });
    let envelope = client.envelope(&response);
    let action = Opened::read(&envelope)
        .unwrap()
        .endorsed_call()
        .unwrap()
        .action;
    assert_eq!(action.chaincode_id.unwrap().version, "2.1");
    let event = ChaincodeEvent::decode(action.events).unwrap();
    let expected = ChaincodeEvent {
        chaincode_id: NAMESPACE.to_owned(),
        tx_id: client.header.tx_id.clone(),
        event_name: "written".to_owned(),
        payload: "told".into(),
    };
    assert_eq!(event, expected);
    let waiting = channel.peer().order(envelope, quire_peer::Origin::Outside);
    assert_eq!(outcome(waiting.unwrap()).unwrap().code, Code::VALID);
    channel.stop();
}

#[test]
fn a_call_that_is_dropped_or_refused_while_it_waits_orders_nothing() {
    let node = Node::new();
    let slow = Slow::default();
    let channel = channel(&node, &slow);
    drop(submit(&node, &channel, "dropped"));
    assert_eq!(slow.in_flight.load(Ordering::SeqCst), 0);
    assert_eq!(slow.answer("nobody hears it"), 1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (refused, ()) = runtime.block_on(async {
        tokio::join!(finish(submit(&node, &channel, "refused")), async {
            slow.answer("go on");
            while slow.asked.lock().is_empty() {
                tokio::task::yield_now().await;
            }
            slow.answer("no");
        })
    });
    let refused = refused.unwrap_err();
    let expected = |error: &ChaincodeError| matches!(error, ChaincodeError::Refused { message, .. } if message == "no");
    assert!(
        matches!(&refused, SubmitError::Chaincode(error) if expected(error)),
        "{refused:?}"
    );
    assert_eq!(channel.reader().height(), 1);
    channel.stop();
}
