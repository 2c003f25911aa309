//! Chaincodes of which the test plays the process, and calls of them without any runtime.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use quire_chaincode::shim::{Callee, Deadline, Host, Limits, ShimChaincode, Stream};
use quire_chaincode::{Call, Chaincode as _, ChaincodeError, Invocation, Simulated, Transaction};
use quire_ledger::Simulator;
use quire_wire::Message as _;
use quire_wire::peer::ChaincodeId;
use quire_wire::shim::{ChaincodeMessage, MessageType};

/// Chaincodes that call each other. Nobody is ever too late.
#[derive(Debug)]
pub(crate) struct Together {
    chaincodes: HashMap<String, Arc<ShimChaincode>>,
    pub(crate) streams: HashMap<String, Stream>,
}

impl Together {
    pub(crate) fn new(names: &[&str]) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let host = || Arc::new(Calling(this.clone())) as Arc<dyn Host>;
            let chaincodes = names.iter().map(|name| {
                let chaincode = ShimChaincode::new((*name).to_owned(), String::new(), host());
                ((*name).to_owned(), Arc::new(chaincode))
            });
            let chaincodes: HashMap<_, _> = chaincodes.collect();
            let streams = names.iter().map(|name| {
                let stream = connected(name, Limits::default());
                chaincodes[*name].connect(stream.process());
                ((*name).to_owned(), stream)
            });
            let streams = streams.collect();
            Self {
                chaincodes,
                streams,
            }
        })
    }

    /// Begins a call as an endorser of Fabric does, which looks the chaincode's definition up first.
    pub(crate) fn invoke(
        &self,
        name: &str,
        transaction: &Transaction,
        mut simulator: Simulator,
    ) -> Invocation<Simulated> {
        let Some(chaincode) = self.chaincodes.get(name) else {
            let answer = Err(ChaincodeError::NotFound {
                channel: transaction.channel.clone(),
                chaincode: name.to_owned(),
            });
            return Invocation::Done(Simulated { simulator, answer });
        };
        let key = format!("namespaces/fields/{name}/Sequence");
        simulator.get("_lifecycle", &key).unwrap();
        let call = Call {
            chaincode: name.to_owned(),
            function: String::new(),
            args: Vec::new(),
        };
        chaincode.invoke(&call, transaction, simulator)
    }
}

/// What the chaincodes have of each other.
#[derive(Debug)]
struct Calling(Weak<Together>);

impl Host for Calling {
    fn deadline(&self) -> Deadline {
        Box::pin(std::future::pending())
    }

    fn call(&self, callee: Callee, simulator: Simulator) -> Invocation<Simulated> {
        assert_eq!(callee.from, callee.transaction.channel);
        let together = self.0.upgrade().unwrap();
        together.invoke(&callee.chaincode, &callee.transaction, simulator)
    }
}

/// A stream whose process has registered and was told what follows.
pub(crate) fn connected(name: &str, limits: Limits) -> Stream {
    let stream = Stream::new(limits, |_| Ok(()));
    stream.take(register(name)).unwrap();
    assert_eq!(next(&stream).unwrap().encode_to_vec(), [8, 2]);
    let ready = "08041a0a080110e807180120e807";
    assert_eq!(hex::encode(next(&stream).unwrap().encode_to_vec()), ready);
    stream
}

pub(crate) fn register(name: &str) -> ChaincodeMessage {
    let id = ChaincodeId {
        name: name.to_owned(),
        ..ChaincodeId::default()
    };
    ChaincodeMessage {
        r#type: MessageType::Register.into(),
        payload: id.encode_to_vec().into(),
        ..ChaincodeMessage::default()
    }
}

/// The next message for the process; none where there is none now.
pub(crate) fn next(stream: &Stream) -> Option<ChaincodeMessage> {
    match stream.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(message) => message,
        Poll::Pending => None,
    }
}

/// Does all work on a call that can be done now.
pub(crate) fn pump<T>(mut call: Invocation<T>) -> Invocation<T> {
    loop {
        let Invocation::Waiting(mut waiting) = call else {
            return call;
        };
        let polled = Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop()));
        call = match polled {
            Poll::Ready(piece) => piece.run(None),
            Poll::Pending => return Invocation::Waiting(waiting),
        };
    }
}
