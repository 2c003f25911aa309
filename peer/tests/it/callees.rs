//! A chaincode that calls others: whom it may call for its client, and what that costs.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use quire_chaincode::lifecycle::{Installed, OnInstall, Packages, PackagesError};
use quire_chaincode::shim::{Deadline, Limits, ShimChaincode, Stream};
use quire_chaincode::{
    Answer, Call, Chaincode, ChaincodeError, Chaincodes, Invocation, Proposed, Reach, Simulated,
};
use quire_ledger::{CreateOptions, FindError, Meter, Query, Reader, Simulator};
use quire_ordering::Unobserved;
use quire_peer::channel::Host;
use quire_peer::{
    Attached, ChaincodeHost, Channels, Evaluated, OpenChannel, Processes, Proposal, Submitter as _,
    Timer,
};
use quire_wire::Message;
use quire_wire::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CommitChaincodeDefinitionArgs,
    LocalPackage, ReferencedChaincode, SourceKind,
};
use quire_wire::peer::{ChaincodeId, ChaincodeInput, ChaincodeSpec, Response, SignedProposal};
use quire_wire::shim::{ChaincodeMessage, MessageType};

use crate::kit::{CHANNEL, Node, Running, outcome, proposal};
use crate::system::guard;

/// The chaincode whose process the test plays, and one that it calls.
const CALLER: &str = "caller";
const CALLEE: &str = "callee";
/// Another channel.
const OTHER: &str = "other";

/// What a channel needs for one chaincode in a process, which the test plays.
#[derive(Debug, Default)]
struct Played {
    attached: Mutex<Vec<Arc<ShimChaincode>>>,
    other: Mutex<Option<(Reader, Arc<Chaincodes>)>>,
}

impl Processes for Played {
    fn attach(&self, _: &str, attached: Attached) {
        self.attached.lock().push(attached.chaincode);
    }

    fn references(&self, _: &str) -> BTreeMap<String, Vec<ReferencedChaincode>> {
        BTreeMap::new()
    }

    fn detach(&self, _: &str, _: &Arc<ShimChaincode>) {}
}

impl Timer for Played {
    fn deadline(&self) -> Deadline {
        Box::pin(std::future::pending())
    }
}

impl Channels for Played {
    fn names(&self) -> Vec<String> {
        vec![OTHER.to_owned()]
    }

    fn reader(&self, _: &str) -> Option<Reader> {
        None
    }

    fn check_access(&self, _: &str, _: &str, _: &SignedProposal) -> Result<(), String> {
        Ok(())
    }

    fn open(&self, _: &str, _: &SignedProposal) -> Result<(Reader, Arc<Chaincodes>), String> {
        Ok(self.other.lock().clone().unwrap())
    }
}

impl Packages for Played {
    fn install(&self, _: &[u8]) -> Result<Installed, PackagesError> {
        Err(PackagesError::Full(0))
    }

    fn installed(&self) -> Vec<Installed> {
        Vec::new()
    }

    fn get(&self, _: &str) -> Result<Option<Bytes>, PackagesError> {
        Ok(None)
    }

    fn tell(&self, _: Weak<dyn OnInstall>) {}
}

/// Looks through all documents of a namespace.
#[derive(Debug)]
struct Greedy;

impl Chaincode for Greedy {
    fn invoke(
        &self,
        _: &Call,
        _: &dyn Proposed,
        mut simulator: Simulator,
    ) -> Invocation<Simulated> {
        let query = Query::parse(br#"{"selector": {"never": 1}}"#).unwrap();
        let found = simulator.find("orders", &query, usize::MAX);
        let answer = match found {
            Ok(_) => Ok(Answer::of(Bytes::from_static(b"all seen"))),
            Err(error @ FindError::TooExpensive(_)) => Err(error.into()),
            Err(error) => panic!("{error:?}"),
        };
        Invocation::Done(Simulated { simulator, answer })
    }
}

/// A channel that defines [`CALLER`], and its process.
struct Bench {
    node: Node,
    channel: Running,
    played: Arc<Played>,
    stream: Stream,
}

impl Bench {
    fn new() -> Self {
        let node = Node::new();
        let played = Arc::new(Played::default());
        let host = Host {
            chaincode: ChaincodeHost {
                packages: Arc::clone(&played) as _,
                processes: Arc::clone(&played) as _,
                timer: Arc::clone(&played) as _,
                channels: Arc::clone(&played) as _,
            },
            ..node.host()
        };
        let ledger = node
            .ledgers
            .create(CHANNEL, node.genesis(10), CreateOptions::default());
        let open = OpenChannel::ordered_here(ledger.unwrap(), &host, Arc::new(Unobserved));
        let channel = Running(open.unwrap());
        define(&node, &channel);
        let began = Instant::now();
        let process = loop {
            if let Some(process) = played.attached.lock().pop() {
                break process;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "nothing is deployed"
            );
            std::thread::yield_now();
        };
        let stream = Stream::new(Limits::default(), |_| Ok(()));
        stream.take(register()).unwrap();
        while next(&stream).is_some() {}
        process.connect(stream.process());
        Self {
            node,
            channel,
            played,
            stream,
        }
    }

    /// What the caller's process is told when it calls another chaincode, or why the whole call ended there.
    fn answer(&self, callee: &str, meter: Meter) -> Result<String, ChaincodeError> {
        self.answer_for(Reach::default(), callee, "f", "", meter)
    }

    /// The same for a client whose token is for some channels.
    fn answer_for(
        &self,
        reach: Reach,
        callee: &str,
        function: &str,
        argument: &str,
        meter: Meter,
    ) -> Result<String, ChaincodeError> {
        let call = Call {
            chaincode: CALLER.to_owned(),
            function: "f".to_owned(),
            args: Vec::new(),
        };
        let asked = Proposal {
            meter,
            reach,
            ..proposal(&self.node.client, call)
        };
        let begun = self.channel.peer().evaluate(asked);
        let begun = pump(begun);
        let asking = next(&self.stream).unwrap();
        let spec = ChaincodeSpec {
            chaincode_id: Some(ChaincodeId {
                name: callee.to_owned(),
                ..ChaincodeId::default()
            }),
            input: Some(ChaincodeInput {
                args: [function, argument]
                    .map(|arg| Bytes::copy_from_slice(arg.as_bytes()))
                    .to_vec(),
                ..ChaincodeInput::default()
            }),
            ..ChaincodeSpec::default()
        };
        let say = |kind: MessageType, payload: Vec<u8>| {
            let message = ChaincodeMessage {
                r#type: kind.into(),
                payload: payload.into(),
                txid: asking.txid.clone(),
                channel_id: asking.channel_id.clone(),
                ..ChaincodeMessage::default()
            };
            self.stream.take(message).unwrap();
        };
        say(MessageType::InvokeChaincode, spec.encode_to_vec());
        let begun = match pump(begun) {
            Invocation::Done(ended) => return ended.map(|ended| panic!("{ended:?}")),
            begun @ Invocation::Waiting(_) => begun,
        };
        let told = next(&self.stream).unwrap();
        let done = Response {
            status: 200,
            ..Response::default()
        };
        say(MessageType::Completed, done.encode_to_vec());
        let evaluated: Evaluated = pump(begun).done().unwrap().unwrap();
        assert!(evaluated.result.is_empty());
        Ok(String::from_utf8_lossy(&told.payload).into_owned())
    }
}

/// Defines [`CALLER`] with a package.
fn define(node: &Node, channel: &Running) {
    let package_id = "caller:0".to_owned();
    let approval = ApproveChaincodeDefinitionForMyOrgArgs {
        sequence: 1,
        name: CALLER.to_owned(),
        version: "1".to_owned(),
        source: Some(ChaincodeSource {
            r#type: Some(SourceKind::LocalPackage(LocalPackage { package_id })),
        }),
        ..ApproveChaincodeDefinitionForMyOrgArgs::default()
    };
    let definition = CommitChaincodeDefinitionArgs {
        sequence: 1,
        name: CALLER.to_owned(),
        version: "1".to_owned(),
        ..CommitChaincodeDefinitionArgs::default()
    };
    for (function, argument) in [
        (
            "ApproveChaincodeDefinitionForMyOrg",
            approval.encode_to_vec(),
        ),
        ("CommitChaincodeDefinition", definition.encode_to_vec()),
    ] {
        let call = Call {
            chaincode: "_lifecycle".to_owned(),
            function: function.to_owned(),
            args: vec![argument.into()],
        };
        let submitted = Arc::clone(channel.peer()).submit(proposal(&node.admin(), call));
        let submitted = submitted.done().unwrap().unwrap();
        assert!(
            outcome(submitted.outcome).unwrap().code.is_valid(),
            "{function}"
        );
    }
}

fn register() -> ChaincodeMessage {
    let id = ChaincodeId {
        name: CALLER.to_owned(),
        ..ChaincodeId::default()
    };
    ChaincodeMessage {
        r#type: MessageType::Register.into(),
        payload: id.encode_to_vec().into(),
        ..ChaincodeMessage::default()
    }
}

fn next(stream: &Stream) -> Option<ChaincodeMessage> {
    match stream.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(message) => message,
        Poll::Pending => None,
    }
}

/// Does all work on a call that can be done now.
fn pump<T>(mut call: Invocation<T>) -> Invocation<T> {
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

#[test]
fn a_channel_says_who_may_call_a_chaincode_through_another() {
    let bench = Bench::new();
    let chaincodes = &bench.channel.0.channel.chaincodes;
    chaincodes.deploy(CALLEE, Arc::new(Greedy));
    let told = bench.answer(CALLEE, Meter::default()).unwrap();
    assert!(told.contains("all seen"), "{told}");

    let (resource, nobody) = ("peer/ChaincodeToChaincode", "/Channel/Application/Nobody");
    guard(&bench.node, &bench.channel, resource, nobody);
    let told = bench.answer(CALLEE, Meter::default()).unwrap();
    assert!(
        told.contains(nobody) && !told.contains("all seen"),
        "{told}"
    );
    // System chaincodes ask for themselves.
    let told = bench.answer("lscc", Meter::default()).unwrap();
    assert!(!told.contains(nobody), "{told}");
    bench.channel.stop();
}

#[test]
fn a_chaincode_reads_no_channel_that_the_token_of_its_client_is_not_for() {
    let bench = Bench::new();
    let chaincodes = Arc::new(Chaincodes::default());
    chaincodes.deploy(CALLEE, Arc::new(Greedy));
    *bench.played.other.lock() = Some((bench.channel.reader().clone(), chaincodes));
    let ask = |channels: &[&str], callee: &str, function: &str, argument: &str| {
        let channels: Vec<_> = channels.iter().map(|name| (*name).to_owned()).collect();
        let reach = Reach::of(&channels);
        let answer = bench.answer_for(reach, callee, function, argument, Meter::default());
        answer.unwrap()
    };
    let callee = format!("{CALLEE}/{OTHER}");
    for channels in [&[][..], &[CHANNEL, OTHER]] {
        let told = ask(channels, &callee, "f", "");
        assert!(told.contains("all seen"), "{channels:?}: {told}");
    }
    let refused = format!("token is not for channel {OTHER}");
    let told = ask(&[CHANNEL], &callee, "f", "");
    assert!(told.contains(&refused), "{told}");
    // System chaincodes tell of other channels by their arguments.
    let told = ask(&[CHANNEL], "cscc", "GetConfigBlock", OTHER);
    assert!(told.contains(&refused), "{told}");
    let told = ask(&[CHANNEL], "cscc", "GetChannels", "");
    assert!(told.contains("not for all channels"), "{told}");
    bench.channel.stop();
}

#[test]
fn what_a_callee_of_another_channel_looks_through_counts_for_its_caller() {
    let bench = Bench::new();
    for n in 0..5 {
        let submitted = bench.channel.submit_as(&bench.node.client, n).unwrap();
        assert!(outcome(submitted.outcome).unwrap().code.is_valid());
    }
    let chaincodes = Arc::new(Chaincodes::default());
    chaincodes.deploy(CALLEE, Arc::new(Greedy));
    *bench.played.other.lock() = Some((bench.channel.reader().clone(), chaincodes));
    let callee = format!("{CALLEE}/{OTHER}");
    let told = bench.answer(&callee, Meter::default()).unwrap();
    assert!(told.contains("all seen"), "{told}");
    let ended = bench.answer(&callee, Meter::new(1, None)).unwrap_err();
    assert!(
        matches!(ended, ChaincodeError::TooExpensive(_)),
        "{ended:?}"
    );
    bench.channel.stop();
}

#[test]
fn no_chaincode_reads_the_documents_of_a_channel_through_the_built_in_one() {
    let bench = Bench::new();
    let submitted = bench.channel.submit_as(&bench.node.client, 0).unwrap();
    assert!(outcome(submitted.outcome).unwrap().code.is_valid());
    let chaincodes = Arc::new(Chaincodes::default());
    *bench.played.other.lock() = Some((bench.channel.reader().clone(), chaincodes));
    for callee in ["orders".to_owned(), format!("orders/{OTHER}")] {
        let told = bench.answer(&callee, Meter::default()).unwrap();
        assert!(
            told.contains("there is no chaincode \"orders\""),
            "{callee}: {told}"
        );
    }
    bench.channel.stop();
}
