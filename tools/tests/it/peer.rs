//! `peer`, against peers and orderers in this process.

mod channel;
mod lifecycle;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quire_identity::{Msp, MspFolder, MspVersion};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, Header, SignatureHeader};
use quire_wire::config::{Config, ConfigGroup, ConfigValue, OrdererAddresses};
use quire_wire::deliver::{
    BroadcastResponse, DeliverResponse, FilteredBlock, FilteredTransaction, Response as Event,
};
use quire_wire::peer::{
    ChaincodeInvocationSpec, ChaincodeProposalPayload, Endorsement, Proposal, ProposalResponse,
    Response, SignedProposal,
};
use quire_wire::transaction::{Opened, seal};
use quire_wire::tx_id::tx_id;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedSender;

use crate::grpc::{Answer, Served, serve};
use crate::kit::{Run, cryptogen, now, peer};

const PROCESS: &str = "/protos.Endorser/ProcessProposal";
const FILTERED: &str = "/protos.Deliver/DeliverFiltered";
const BROADCAST: &str = "/orderer.AtomicBroadcast/Broadcast";
const NETWORK: &str = "
PeerOrgs:
  - Name: Org1
    Domain: org1.example.com
    EnableNodeOUs: true
    Users:
      Count: 1
";

/// What endorsers sign: a message with no more than the hash of a proposal.
const OUTCOME: &str = "\n\x07outcome";

/// A user of an organisation.
struct User(TempDir);

impl User {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("crypto-config.yaml");
        fs::write(&file, NETWORK).unwrap();
        let (file, output) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
        cryptogen(&["generate", "--config", file, "--output", output]).done();
        Self(folder)
    }

    fn msp(&self) -> PathBuf {
        let users = self
            .0
            .path()
            .join("peerOrganizations/org1.example.com/users");
        users.join("User1@org1.example.com/msp")
    }

    /// Runs the tool as this user, with the peer at an address.
    fn run(&self, address: &str, arguments: &[&str]) -> Run {
        let msp = self.msp();
        let environment = [
            ("CORE_PEER_ADDRESS", address),
            ("CORE_PEER_LOCALMSPID", "Org1MSP"),
            ("CORE_PEER_MSPCONFIGPATH", msp.to_str().unwrap()),
        ];
        peer(arguments, &environment)
    }

    /// A path in the user's folder.
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// A proposal, taken apart.
struct Proposed {
    channel: ChannelHeader,
    creator: SignatureHeader,
    chaincode: String,
    args: Vec<Bytes>,
    is_init: bool,
    transient: BTreeMap<String, Vec<u8>>,
}

fn proposed(signed: &SignedProposal) -> Proposed {
    let proposal = Proposal::decode(signed.proposal_bytes.clone()).unwrap();
    let header = Header::decode(proposal.header).unwrap();
    let payload = ChaincodeProposalPayload::decode(proposal.payload).unwrap();
    let spec = ChaincodeInvocationSpec::decode(payload.input).unwrap();
    let spec = spec.chaincode_spec.unwrap();
    let input = spec.input.unwrap();
    Proposed {
        channel: ChannelHeader::decode(header.channel_header).unwrap(),
        creator: SignatureHeader::decode(header.signature_header).unwrap(),
        chaincode: spec.chaincode_id.unwrap().name,
        args: input.args,
        is_init: input.is_init,
        transient: payload.transient_map,
    }
}

fn response(status: i32, message: &str, payload: impl Into<Bytes>) -> Response {
    Response {
        status,
        message: message.to_owned(),
        payload: payload.into(),
    }
}

/// What an endorser says of a call that went well.
fn endorsed(endorser: &'static str, outcome: &'static str, payload: &'static str) -> Answer {
    Answer::of(&ProposalResponse {
        version: 1,
        response: Some(response(200, "", payload)),
        payload: outcome.into(),
        endorsement: Some(Endorsement {
            endorser: endorser.into(),
            signature: "signature".into(),
        }),
        ..ProposalResponse::default()
    })
}

/// What a peer says without an endorsement.
fn answered(response: Response) -> Answer {
    Answer::of(&ProposalResponse {
        response: Some(response),
        ..ProposalResponse::default()
    })
}

fn query(user: &User, address: &str, more: &[&str]) -> Run {
    let call = ["chaincode", "query", "-C", "main", "-n", "orders", "-c"];
    user.run(address, &[&call[..], more].concat())
}

#[test]
fn a_query_is_signed_by_its_caller_and_prints_what_the_chaincode_answers() {
    let user = User::new();
    let served = serve(|_, _| endorsed("peer", OUTCOME, "7 crates\u{1}"));
    let input = r#"{"function":"get","Args":["k"]}"#;
    let run = query(
        &user,
        &served.address,
        &[input, "--transient", r#"{"t":"AQI="}"#],
    )
    .done();
    assert_eq!((run.text(), &*run.errors), ("7 crates\u{1}\n", ""));
    let run = query(&user, &served.address, &[input, "--hex"]).done();
    assert_eq!(run.text(), "3720637261746573".to_owned() + "01\n");
    let run = query(&user, &served.address, &[input, "-r"]).done();
    assert_eq!(run.text(), "[55 32 99 114 97 116 101 115 1]\n");

    let asked = served.asked::<SignedProposal>(PROCESS);
    assert_eq!(asked.len(), 3);
    let call = proposed(&asked[0]);
    assert_eq!(
        (&*call.channel.channel_id, &*call.chaincode),
        ("main", "orders")
    );
    assert_eq!(call.args, ["get", "k"]);
    assert_eq!(
        call.transient,
        BTreeMap::from([("t".to_owned(), vec![1, 2])])
    );
    assert_eq!(
        call.channel.tx_id,
        tx_id(&call.creator.nonce, &call.creator.creator)
    );
    assert_eq!(call.channel.timestamp, Some(now().into()));
    let folder = MspFolder::read(&user.msp(), "Org1MSP").unwrap();
    let msp = Msp::from_config(&folder.config, MspVersion::V3_0).unwrap();
    let creator = msp.deserialize(&call.creator.creator).unwrap();
    let (message, signature) = (&asked[0].proposal_bytes, &asked[0].signature);
    creator.verify(message, signature).unwrap();
}

#[test]
fn what_a_peer_does_not_endorse_is_told_and_ends_with_a_status() {
    let user = User::new();
    let served = serve(|_, _| answered(response(500, "no \"k\"", "")));
    let run = query(&user, &served.address, &[r#"{"Args":["get"]}"#]);
    assert_eq!((run.status, run.text()), (1, ""));
    let expected =
        "Error: endorsement failure during query. response: status:500 message:\"no \\\"k\\\"\"\n";
    assert_eq!(run.errors, expected);

    let served = serve(|_, _| Answer::Status(2, "proposal client identity expired"));
    let run = query(&user, &served.address, &[r#"{"Args":["get"]}"#]);
    let expected = "Error: error endorsing query: rpc error: code = Unknown desc = proposal client identity expired\n";
    assert_eq!((run.status, &*run.errors), (1, expected));

    let run = query(&user, "127.0.0.1:1", &[r#"{"Args":["get"]}"#]);
    let expected = "Error: client failed to connect to 127.0.0.1:1: it cannot be reached: ";
    assert_eq!(run.status, 1);
    assert!(run.errors.starts_with(expected), "{}", run.errors);
}

#[test]
fn what_is_missing_is_said_before_anybody_is_asked() {
    let user = User::new();
    for (arguments, expected) in [
        (
            &["chaincode", "query", "-n", "a"][..],
            "Error: The required parameter 'channelID' is empty. Rerun the command with -C flag\n",
        ),
        (
            &["chaincode", "invoke", "-C", "main"],
            "Error: must supply value for chaincode name parameter\n",
        ),
        (
            &[
                "chaincode",
                "query",
                "-C",
                "main",
                "-n",
                "a",
                "-c",
                r#"{"Args":[]}"#,
                "--peerAddresses",
                "a:1",
                "--peerAddresses",
                "b:1",
            ],
            "Error: 'query' command supports one peer. 2 peers provided\n",
        ),
    ] {
        let run = user.run("127.0.0.1:1", arguments);
        assert_eq!((run.status, &*run.errors), (1, expected), "{arguments:?}");
    }
    let run = peer(&["channel", "list"], &[]);
    let expected = "Error: the variable CORE_PEER_LOCALMSPID must be set\n";
    assert_eq!((run.status, &*run.errors), (1, expected));
    let run = peer(&["version"], &[]).done();
    assert!(
        run.text().starts_with("peer:\n Version: "),
        "{}",
        run.text()
    );
}

/// What feeds the listeners of verdicts, and what is told them of a transaction.
type Listeners = Arc<Mutex<Vec<UnboundedSender<Vec<u8>>>>>;

/// A peer that endorses an outcome, and tells verdicts once there are some.
fn endorser(name: &'static str, outcome: &'static str, listeners: &Listeners) -> Served {
    let listeners = Arc::clone(listeners);
    serve(move |path, _| {
        if path == PROCESS {
            return endorsed(name, outcome, "ok");
        }
        let (sender, answer) = Answer::stream();
        sender.send(verdict("an earlier one", 0)).unwrap();
        listeners.lock().unwrap().push(sender);
        answer
    })
}

/// An orderer that has a transaction judged at once.
fn orderer(code: i32, listeners: &Listeners) -> Served {
    let listeners = Arc::clone(listeners);
    serve(move |path, message| {
        assert_eq!(path, BROADCAST);
        let opened = opened(&Envelope::decode(message).unwrap());
        for listener in listeners.lock().unwrap().iter() {
            // Whoever listened may have gone.
            drop(listener.send(verdict(&opened.channel_header.tx_id, code)));
        }
        Answer::of(&BroadcastResponse {
            status: 200,
            info: String::new(),
        })
    })
}

fn verdict(txid: &str, code: i32) -> Vec<u8> {
    let transaction = FilteredTransaction {
        txid: txid.to_owned(),
        tx_validation_code: code,
        ..FilteredTransaction::default()
    };
    let block = FilteredBlock {
        filtered_transactions: vec![transaction],
        ..FilteredBlock::default()
    };
    DeliverResponse::from(Event::FilteredBlock(block)).encode_to_vec()
}

fn opened(envelope: &Envelope) -> Opened {
    Opened::read(&seal(envelope.payload.clone(), envelope.signature.clone())).unwrap()
}

fn invoke(user: &User, peers: &[&Served], more: &[&str]) -> Run {
    let call = [
        "chaincode",
        "invoke",
        "-C",
        "main",
        "-n",
        "orders",
        "-c",
        r#"{"Args":["put","k"]}"#,
    ];
    let named = peers.iter();
    let named = named.flat_map(|served| ["--peerAddresses", &*served.address]);
    let arguments: Vec<_> = call
        .into_iter()
        .chain(named)
        .chain(more.iter().copied())
        .collect();
    user.run("127.0.0.1:1", &arguments)
}

#[test]
fn an_invoke_is_endorsed_by_each_peer_ordered_and_waited_for() {
    let user = User::new();
    let listeners = Listeners::default();
    let peers = [
        endorser("a", OUTCOME, &listeners),
        endorser("b", OUTCOME, &listeners),
    ];
    let orderer = orderer(0, &listeners);
    let more = [
        "-o",
        &orderer.address,
        "--waitForEvent",
        "--isInit",
        "--tls=false",
    ];
    let run = invoke(&user, &[&peers[0], &peers[1]], &more).done();
    assert_eq!(run.text(), "");

    let sent = orderer.asked::<Envelope>(BROADCAST);
    let transaction = opened(&sent[0]);
    let call = transaction.endorsed_action().unwrap();
    let endorsers: Vec<_> = call
        .endorsements
        .iter()
        .map(|one| one.endorser.clone())
        .collect();
    assert_eq!(endorsers, ["a", "b"]);
    assert_eq!(call.proposal_response_payload, OUTCOME);
    let asked = proposed(&peers[1].asked::<SignedProposal>(PROCESS)[0]);
    assert!(asked.is_init);
    assert_eq!(transaction.channel_header, asked.channel);

    let id = &asked.channel.tx_id;
    let lines: Vec<_> = run.errors.lines().collect();
    let [first, second, last] = &lines[..] else {
        panic!("{lines:?}")
    };
    for (line, served) in [(first, &peers[0]), (second, &peers[1])] {
        let expected = format!(
            "ClientWait -> txid [{id}] committed with status (VALID) at {}",
            served.address
        );
        assert!(line.ends_with(&expected), "{line}");
    }
    let expected = "2026-09-21 14:13:20.000 UTC 0003 INFO [chaincodeCmd] chaincodeInvokeOrQuery -> \
                    Chaincode invoke successful. result: status:200 payload:\"ok\"";
    assert_eq!(*last, expected);
}

#[test]
fn a_transaction_that_is_found_invalid_is_a_failure_where_it_is_waited_for() {
    let user = User::new();
    let listeners = Listeners::default();
    let peer = endorser("a", OUTCOME, &listeners);
    let orderer = orderer(11, &listeners);
    let run = invoke(&user, &[&peer], &["-o", &orderer.address, "--waitForEvent"]);
    assert_eq!(run.status, 1);
    let expected = "Error: transaction invalidated with status (MVCC_READ_CONFLICT)\n";
    assert!(run.errors.ends_with(expected), "{}", run.errors);

    // Without waiting nobody knows.
    let run = invoke(&user, &[&peer], &["-o", &orderer.address]).done();
    assert!(
        run.errors
            .contains("Chaincode invoke successful. result: status:200")
    );
    assert_eq!(peer.asked::<Envelope>(FILTERED).len(), 1);
}

#[test]
fn nobody_is_waited_for_longer_than_is_said() {
    let user = User::new();
    let peer = endorser("a", OUTCOME, &Listeners::default());
    let orderer = orderer(0, &Listeners::default());
    let more = [
        "-o",
        &orderer.address,
        "--waitForEvent",
        "--waitForEventTimeout",
        "300ms",
    ];
    let run = invoke(&user, &[&peer], &more);
    assert_eq!(run.status, 1);
    assert_eq!(
        run.errors,
        "Error: timed out waiting for txid on all peers\n"
    );
}

#[test]
fn nothing_is_ordered_that_the_peers_do_not_agree_on() {
    let user = User::new();
    let listeners = Listeners::default();
    let orderer = orderer(0, &listeners);
    let refusing = serve(|_, _| answered(response(500, "no", "")));
    let peers = [
        endorser("a", "one outcome", &listeners),
        endorser("b", "another", &listeners),
    ];
    let run = invoke(&user, &[&peers[0], &peers[1]], &["-o", &orderer.address]);
    let expected =
        "Error: could not assemble transaction: the endorsers have endorsed different outcomes\n";
    assert_eq!((run.status, &*run.errors), (1, expected));
    let run = invoke(&user, &[&peers[0], &refusing], &["-o", &orderer.address]);
    let expected =
        "Error: endorsement failure during invoke. response: status:500 message:\"no\"\n";
    assert_eq!((run.status, &*run.errors), (1, expected));
    assert!(orderer.asked::<Envelope>(BROADCAST).is_empty());
}

#[test]
fn without_an_orderer_it_is_the_one_of_the_channels_configuration() {
    let user = User::new();
    let orderer = serve(|_, _| {
        Answer::of(&BroadcastResponse {
            status: 403,
            info: "no writer".to_owned(),
        })
    });
    let config = config(&orderer.address);
    let peer = serve(move |_, message| {
        let call = proposed(&SignedProposal::decode(message).unwrap());
        if call.chaincode != "cscc" {
            return endorsed("peer", OUTCOME, "");
        }
        assert_eq!(call.args, ["GetChannelConfig", "main"]);
        answered(response(200, "", config.clone()))
    });
    let run = invoke(&user, &[&peer], &[]);
    let expected = "Error: got unexpected status: FORBIDDEN -- no writer\n";
    assert_eq!((run.status, &*run.errors), (1, expected));
    assert_eq!(orderer.asked::<Envelope>(BROADCAST).len(), 1);
}

/// A configuration whose organisation of orderers has an address, which counts before that of the channel.
fn config(address: &str) -> Vec<u8> {
    let value = |address: &str| ConfigValue {
        value: OrdererAddresses {
            addresses: vec![address.to_owned()],
        }
        .encode_to_vec()
        .into(),
        ..ConfigValue::default()
    };
    let group = |groups: &[(&str, ConfigGroup)], values: &[(&str, ConfigValue)]| {
        let owned = |name: &str| name.to_owned();
        ConfigGroup {
            groups: groups
                .iter()
                .map(|(name, one)| (owned(name), one.clone()))
                .collect(),
            values: values
                .iter()
                .map(|(name, one)| (owned(name), one.clone()))
                .collect(),
            ..ConfigGroup::default()
        }
    };
    let organization = group(&[], &[("Endpoints", value(address))]);
    let orderer = group(&[("OrdererOrg", organization)], &[]);
    let root = group(
        &[("Orderer", orderer)],
        &[("OrdererAddresses", value("nowhere:1"))],
    );
    let config = Config {
        sequence: 0,
        channel_group: Some(root),
    };
    config.encode_to_vec()
}
