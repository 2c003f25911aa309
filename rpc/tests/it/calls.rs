//! Calls of a peer's Gateway and Endorser, as HTTP brings them, against what a real peer answered.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Request};
use http_body::Body as _;
use quire_identity::config::edit;
use quire_peer::Clock as _;
use quire_rpc::Proposing;
use quire_testkit::conformance;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Header};
use quire_wire::gateway::{EndorseRequest, EvaluateRequest};
use quire_wire::hash::sha256;
use quire_wire::peer::{Proposal, SignedProposal};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::kit::Node;
use crate::recorded::{ALL, is_recorded, node_at, plain};

/// How a call ended.
#[derive(Debug, Default)]
struct Ended {
    code: i32,
    message: String,
    responses: Vec<Bytes>,
}

/// Sends one message, and takes at most so many responses.
async fn call(router: &Router, method: &str, message: &[u8], most: usize) -> Ended {
    let length = u32::try_from(message.len()).unwrap();
    let body = [&[0], &length.to_be_bytes()[..], message].concat();
    let request = Request::post(method)
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "700m")
        .body(Body::from(body))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let mut ended = Ended::default();
    ended.take_status(response.headers());
    let mut body = response.into_body();
    let mut data = Vec::new();
    while ended.responses.len() < most {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame else { break };
        match frame.unwrap().into_data() {
            Ok(bytes) => data.extend_from_slice(&bytes),
            Err(frame) => ended.take_status(&frame.into_trailers().unwrap()),
        }
        while let Some(response) = first_message(&mut data) {
            ended.responses.push(response);
        }
    }
    // Several may have come at once.
    ended.responses.truncate(most);
    ended
}

fn first_message(data: &mut Vec<u8>) -> Option<Bytes> {
    let mut head = data.get(1..5)?;
    let length = usize::try_from(head.get_u32()).unwrap();
    let message = Bytes::copy_from_slice(data.get(5..5 + length)?);
    data.drain(..5 + length);
    Some(message)
}

impl Ended {
    fn take_status(&mut self, headers: &HeaderMap) {
        let text = |name: &str| Some(headers.get(name)?.to_str().unwrap());
        let Some(code) = text("grpc-status") else {
            return;
        };
        self.code = code.parse().unwrap();
        let message = text("grpc-message").unwrap_or_default();
        self.message = plain(&percent_decoded(message));
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A recorded call.
struct Recorded {
    label: String,
    method: String,
    request: Vec<u8>,
    responses: Vec<String>,
    /// Whether the server ended the call.
    ended: bool,
    code: i32,
    message: String,
}

fn recorded(file: &str) -> Vec<Recorded> {
    let lines = conformance::read_lines(&format!("fabric-network/grpc-transcripts/{file}.jsonl"));
    let read = |line: &Value| {
        let texts = |name: &str| {
            let texts = line[name].as_array().unwrap().iter();
            texts
                .map(|text| text.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        Recorded {
            label: line["label"].as_str().unwrap().to_owned(),
            method: line["method"].as_str().unwrap().to_owned(),
            request: hex::decode(&texts("requests_hex")[0]).unwrap(),
            responses: texts("responses_hex"),
            ended: line["ended_by"] == "server",
            code: i32::try_from(line["status"]["code"].as_i64().unwrap()).unwrap(),
            message: plain(line["status"]["message"].as_str().unwrap()),
        }
    };
    lines.iter().map(read).collect()
}

/// The time that a proposal states.
fn time_of(signed: &SignedProposal) -> Option<SystemTime> {
    let proposal = Proposal::decode(signed.proposal_bytes.clone()).ok()?;
    let header = Header::decode(proposal.header).ok()?;
    let header = ChannelHeader::decode(header.channel_header).ok()?;
    let seconds = u64::try_from(header.timestamp?.seconds).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn set_clock(node: &Node, one: &Recorded) {
    let signed = if one.method.ends_with("ProcessProposal") {
        SignedProposal::decode(&one.request[..]).ok()
    } else {
        let request = EvaluateRequest::decode(&one.request[..]).ok();
        request.and_then(|request| request.proposed_transaction)
    };
    // A proposal that lies about its time is as old as the one before it.
    if !one.label.contains("timestamp")
        && let Some(time) = signed.as_ref().and_then(time_of)
    {
        node.clock.set(time);
    }
}

/// Calls whose answers hang on what is not here: chaincodes that run, other peers, and what happened between two calls.
const GATEWAY_ELSEWHERE: [&str; 5] = [
    // The chaincode is the built-in one here.
    "evaluate: unknown chaincode",
    "endorse: unknown chaincode",
    "evaluate: unknown function",
    // It ran there. Here nobody runs it, and that is told like a policy that nobody satisfies.
    "endorse: private data of unknown collection",
    // A block that was not yet there.
    "events: no start (next commit)",
];

#[tokio::test]
async fn the_gateway_answers_as_a_real_peer_did() {
    let (node, _open) = node_at(ALL);
    let router = node.router();
    let mut compared = 0;
    for one in recorded("gateway") {
        if GATEWAY_ELSEWHERE.contains(&one.label.as_str()) {
            continue;
        }
        set_clock(&node, &one);
        let most = if one.ended {
            usize::MAX
        } else {
            one.responses.len().max(1)
        };
        let ended = call(&router, &one.method, &one.request, most).await;
        let label = &one.label;
        assert_eq!(
            ended.responses.len(),
            one.responses.len(),
            "{label}: {ended:?}"
        );
        for (response, recorded) in ended.responses.iter().zip(&one.responses) {
            assert!(is_recorded(response, recorded), "{label}: {response:?}");
        }
        if one.ended {
            assert_eq!(ended.code, one.code, "{label}: {}", ended.message);
            // Decoders and policies have words of their own.
            let is_ours = ["unmarshal", "parse", "Failed evaluating policy"];
            if !is_ours.iter().any(|words| one.message.contains(words)) {
                assert_eq!(ended.message, one.message, "{label}");
            }
        }
        compared += 1;
    }
    assert_eq!(compared, GATEWAY_COMPARED);
}

/// So many of the recorded calls of the Gateway are compared.
const GATEWAY_COMPARED: usize = 47;

#[tokio::test]
async fn the_endorser_rejects_as_a_real_peer_did() {
    let (node, _open) = node_at(211);
    let router = node.router();
    let mut compared = 0;
    for one in recorded("endorser") {
        // What is endorsed hangs on chaincodes and keys that are not here.
        let is_rejected = one.responses.is_empty() || one.label == "unknown channel";
        if !is_rejected {
            set_clock(&node, &one);
            continue;
        }
        set_clock(&node, &one);
        let ended = call(&router, &one.method, &one.request, usize::MAX).await;
        let label = &one.label;
        assert_eq!(ended.code, one.code, "{label}: {}", ended.message);
        for (response, recorded) in ended.responses.iter().zip(&one.responses) {
            assert!(is_recorded(response, recorded), "{label}: {response:?}");
        }
        let is_ours = ["unmarshal", "peer time"];
        if !is_ours.iter().any(|words| one.message.contains(words)) {
            assert_eq!(ended.message, one.message, "{label}");
        }
        compared += 1;
    }
    assert_eq!(compared, ENDORSER_COMPARED);
}

/// So many of the recorded calls of the Endorser are compared.
const ENDORSER_COMPARED: usize = 16;

/// The Gateway's answer to a proposal of the node's client that puts something under this key.
async fn endorse(node: &Node, router: &Router, key: &str, organizations: &[&str]) -> Ended {
    let text = |text: &str| Bytes::from(text.to_owned());
    let proposing = Proposing {
        chaincode: "orders".to_owned(),
        args: vec![text("put"), text(&format!("{key:?}")), text("1")],
        is_init: false,
        transient: BTreeMap::new(),
        nonce: sha256([key.as_bytes()])[..24].try_into().unwrap(),
        now: node.clock.now(),
    };
    let call_of = proposing.sign(&node.client, "main");
    let request = EndorseRequest {
        transaction_id: call_of.transaction_id,
        channel_id: "main".to_owned(),
        proposed_transaction: Some(call_of.proposal),
        endorsing_organizations: organizations.iter().map(|id| (*id).to_owned()).collect(),
    };
    let message = request.encode_to_vec();
    call(router, "/gateway.Gateway/Endorse", &message, usize::MAX).await
}

#[tokio::test]
async fn what_needs_the_endorsement_of_somebody_else_is_not_handed_out_unless_its_endorsers_are_named()
 {
    let node = Node::new();
    let open = node.create("main");
    let own = node.organization.msp_id().to_owned();
    let router = node.router();
    let ended = endorse(&node, &router, "a", &[]).await;
    assert_eq!((ended.code, ended.responses.len()), (0, 1), "{ended:?}");
    let policy = format!("AND('{own}.peer', 'OtherMSP.peer')");
    let update = node.update(&open, |config| {
        edit::set_policy(config, "/Channel/Application/Endorsement", &policy).unwrap();
    });
    let outcome = open.channel.submitter.order(update).unwrap().await.unwrap();
    assert!(outcome.unwrap().code.is_valid());
    let ended = endorse(&node, &router, "b", &[]).await;
    assert_eq!(ended.code, 9, "{ended:?}");
    assert_eq!(
        ended.message,
        "no combination of peers can be derived which satisfy the endorsement policy: no peer combination can \
         satisfy the endorsement policy"
    );
    let ended = endorse(&node, &router, "b", &[&own]).await;
    assert_eq!((ended.code, ended.responses.len()), (0, 1), "{ended:?}");
}

#[tokio::test]
async fn a_call_takes_a_thread_that_other_doors_share_and_waits_until_there_is_one() {
    let node = Node::new();
    let router = node.router();
    let threads = [node.threads.work.thread(), node.threads.work.thread()];
    let taken = futures_util::future::try_join_all(threads).await.unwrap();
    let mut asked = pin!(call(&router, "/discovery.Discovery/Discover", b"", 1));
    tokio::select! {
        ended = &mut asked => panic!("it did not wait: {ended:?}"),
        () = node.waiting.some() => {}
    }
    drop(taken);
    assert_eq!(asked.await.code, 2);
}
