//! Endorsements of another organisation: asked for at its peers, checked, and never taken for granted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use quire_identity::Role;
use quire_peer::{Ended, Failure, NotCollected, SubmitError, Unendorsed};
use quire_rpc::{Application, Client, Proposing, Target};
use quire_wire::common::Envelope;
use quire_wire::gateway::{EndorseRequest, ErrorDetail, RpcStatus};
use quire_wire::hash::sha256;
use quire_wire::peer::{Endorsement, ProposalResponse, Response as Answer};
use quire_wire::{Code, Message as _};
use tower::ServiceExt as _;

use crate::kit::Node;
use crate::network::{CHANNEL, Network, PATIENCE, answered, framed, message_of, place, serve};

const PATH: &str = "/protos.Endorser/ProcessProposal";

/// What a peer does that means no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evil {
    Hangs,
    Huge,
    Garbage,
    Refuses,
    Fails,
    Differs,
    Silent,
    BadSignature,
    AsClient,
    AsOtherOrganization,
    AsAsker,
}

const ALL: [(Evil, Ended, &str); 11] = [
    (Evil::Hangs, Ended::Unreachable, "has not answered within"),
    (Evil::Huge, Ended::Unsound, "too large"),
    (Evil::Garbage, Ended::Unsound, "Protobuf"),
    (
        Evil::Refuses,
        Ended::Refused,
        "code = Unknown desc = not today",
    ),
    (Evil::Fails, Ended::Failed, "chaincode response 500, no"),
    (
        Evil::Differs,
        Ended::Differs,
        "ProposalResponsePayloads do not match",
    ),
    (Evil::Silent, Ended::Unsound, "has no endorsement"),
    (
        Evil::BadSignature,
        Ended::Unsound,
        "signature does not hold",
    ),
    (
        Evil::AsClient,
        Ended::Unsound,
        "none of those whom the policy asks for",
    ),
    (
        Evil::AsOtherOrganization,
        Ended::Unsound,
        "not known to the channel",
    ),
    (Evil::AsAsker, Ended::Unsound, "is a member of Org1MSP"),
];

/// The answer of the second's peer, made worse.
async fn worse(evil: Evil, network: &Network, stranger: &Node, request: Request) -> Response {
    match evil {
        Evil::Hangs => std::future::pending().await,
        Evil::Huge => return answered(framed(&vec![0; 2 << 20]), 0, ""),
        Evil::Garbage => return answered(framed(b"\xff\xff\xff\xff"), 0, ""),
        Evil::Refuses => return answered(Bytes::new(), 2, "not today"),
        _ => {}
    }
    let honest = network.two.router().oneshot(request).await.unwrap();
    let message = message_of(honest.into_body()).await;
    let mut response = ProposalResponse::decode(message).unwrap();
    let signed_by = |who: &quire_identity::SigningIdentity, payload: &Bytes| Endorsement {
        endorser: who.serialized().clone(),
        signature: who.sign(&[payload, &who.serialized()[..]].concat()),
    };
    match evil {
        Evil::Fails => {
            response.response = Some(Answer {
                status: 500,
                message: "no".to_owned(),
                ..Answer::default()
            });
        }
        Evil::Differs => {
            response.payload = [&response.payload[..], b"\x1a\0"].concat().into();
            response.endorsement = Some(signed_by(&network.two.endorser(), &response.payload));
        }
        Evil::Silent => response.endorsement = None,
        Evil::BadSignature => {
            let mut endorsement = signed_by(&network.two.endorser(), &response.payload);
            endorsement.signature = network.two.endorser().sign(b"something else");
            response.endorsement = Some(endorsement);
        }
        Evil::AsClient => {
            let client = network.two.identity("somebody", Role::Client);
            response.endorsement = Some(signed_by(&client, &response.payload));
        }
        Evil::AsOtherOrganization => {
            response.endorsement = Some(signed_by(&stranger.endorser(), &response.payload));
        }
        _ => response.endorsement = Some(signed_by(&network.one.endorser(), &response.payload)),
    }
    answered(framed(&response.encode_to_vec()), 0, "")
}

/// The failures of a submission that too few have endorsed.
fn failures<T: std::fmt::Debug>(submitted: Result<T, SubmitError>) -> Vec<Failure> {
    match submitted {
        Err(SubmitError::Unendorsed(Unendorsed::NotCollected(NotCollected(failures)))) => failures,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_endorsed_by_both_organizations_and_valid_at_both() {
    let (listener, address) = place().await;
    let network = Network::new(&[address]).await;
    let asked = serve(listener, network.two.router());
    let outcome = network.put("a").await.unwrap();
    assert_eq!(outcome.code, Code::VALID);
    network.reach(&network.second).await;
    let reader = &network.second.channel.reader;
    let id = network.proposal("a", "put", &[]).tx_id;
    assert_eq!(reader.transaction(&id).unwrap().unwrap().code, Code::VALID);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(network.told(), [("Org2MSP".to_owned(), Ended::Endorsed)]);

    network
        .set_policy("OR('Org1MSP.peer', 'Org2MSP.peer')")
        .await;
    assert_eq!(network.put("b").await.unwrap().code, Code::VALID);
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "nobody else need endorse it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_endorsement_is_told_by_name_and_nothing_is_ordered() {
    let mut wrong = Vec::new();
    for (evil, ended, said) in ALL {
        let (listener, address) = place().await;
        let network = Arc::new(Network::new(std::slice::from_ref(&address)).await);
        let stranger = Arc::new(Node::of("Org3MSP", Arc::new(quire_peer::Nobody)));
        let peer = Arc::clone(&network);
        serve(listener, router(evil, peer, stranger));
        let height = network.first.channel.reader.height();
        let began = Instant::now();
        let submitted = network.put("a").await;
        assert!(
            began.elapsed() < PATIENCE + Duration::from_secs(5),
            "{evil:?}"
        );
        let told = match &submitted {
            Err(SubmitError::Unendorsed(Unendorsed::NotCollected(NotCollected(failures)))) => {
                failures.as_slice()
            }
            _ => &[],
        };
        let is_told = |failure: &Failure| {
            failure.ended == ended
                && (&*failure.msp_id, &*failure.address) == ("Org2MSP", &*address)
                && failure.text.contains(said)
                && failure.text.len() <= 1024
        };
        if !matches!(told, [failure] if is_told(failure)) {
            wrong.push(format!("{evil:?}: {submitted:?}"));
            continue;
        }
        assert_eq!(network.told(), [("Org2MSP".to_owned(), ended)]);
        assert_eq!(network.first.channel.reader.height(), height);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn router(evil: Evil, network: Arc<Network>, stranger: Arc<Node>) -> Router {
    let answer = move |request: Request| {
        let (network, stranger) = (Arc::clone(&network), Arc::clone(&stranger));
        async move { worse(evil, &network, &stranger, request).await }
    };
    Router::new().route(PATH, post(answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_peer_of_an_organization_fails_another_one_endorses() {
    let (bad, bad_address) = place().await;
    let (good, good_address) = place().await;
    let network = Arc::new(Network::new(&[bad_address, good_address]).await);
    let stranger = Arc::new(Node::of("Org3MSP", Arc::new(quire_peer::Nobody)));
    let asked = serve(
        bad,
        router(Evil::BadSignature, Arc::clone(&network), stranger),
    );
    serve(good, network.two.router());
    for number in 0..6 {
        let outcome = network.put(&format!("k{number}")).await.unwrap();
        assert_eq!(outcome.code, Code::VALID);
    }
    assert!(asked.load(Ordering::SeqCst) >= 2, "they take turns");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_away_is_told_at_once_and_asked_again_when_it_is_back() {
    let (listener, address) = place().await;
    let network = Network::new(std::slice::from_ref(&address)).await;
    drop(listener);
    for _ in 0..3 {
        let failures = failures(network.put("a").await);
        assert_eq!(failures[0].ended, Ended::Unreachable, "{failures:?}");
        assert!(
            failures[0]
                .text
                .starts_with("rpc error: code = Unavailable")
        );
    }
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    serve(listener, network.two.router());
    let began = Instant::now();
    while network.put("a").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_behind_endorses_the_same_transaction_when_it_has_caught_up() {
    let (listener, address) = place().await;
    let network = Network::new(&[address]).await;
    serve(listener, network.two.router());
    assert_eq!(network.put("a").await.unwrap().code, Code::VALID);
    network.reach(&network.second).await;
    let height = network.first.channel.reader.height();
    network.gate.send_replace(height);
    let version = network.put("a2").await.unwrap();
    assert_eq!(version.code, Code::VALID);
    // What it reads is not there yet.
    let change = || network.proposal("change", "merge", &["\"a2\"", "{\"n\":2}"]);
    let refused = failures(network.submit(change()).await.map(drop));
    assert!(
        matches!(refused[0].ended, Ended::Failed | Ended::Differs),
        "{refused:?}"
    );
    network.gate.send_replace(u64::MAX);
    network.reach(&network.second).await;
    let submitted = network.submit(change()).await.unwrap();
    assert_eq!(submitted.outcome.await.unwrap().unwrap().code, Code::VALID);
}

/// A proposal of the first's client, which puts something under this key.
fn proposing(network: &Network, key: &str) -> Proposing {
    let text = |text: &str| Bytes::from(text.to_owned());
    Proposing {
        chaincode: "orders".to_owned(),
        args: vec![text("put"), text(&format!("{key:?}")), text("1")],
        is_init: false,
        transient: BTreeMap::new(),
        nonce: sha256([key.as_bytes()])[..24].try_into().unwrap(),
        now: quire_peer::Clock::now(&*network.one.clock),
    }
}

/// A client of the first's Gateway.
async fn client(network: &Network) -> Client {
    let (listener, address) = place().await;
    serve(listener, network.one.router());
    let target = Target {
        address,
        dial_timeout: Duration::from_secs(3),
        tls: None,
    };
    Client::connect(&target).await.unwrap()
}

fn request(network: &Network, key: &str, organizations: &[&str]) -> EndorseRequest {
    let call = proposing(network, key).sign(&network.one.client, CHANNEL);
    EndorseRequest {
        transaction_id: call.transaction_id,
        channel_id: CHANNEL.to_owned(),
        proposed_transaction: Some(call.proposal),
        endorsing_organizations: organizations.iter().map(|id| (*id).to_owned()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_the_gateway_is_endorsed_by_both_or_by_those_whom_its_client_names() {
    let (listener, address) = place().await;
    let network = Network::new(&[address]).await;
    let asked = serve(listener, network.two.router());
    let client = client(&network).await;
    let application = Application::new(client.clone(), Arc::clone(&network.one.client), CHANNEL);
    let verdict = application.submit(proposing(&network, "a")).await.unwrap();
    assert_eq!(verdict.result, 0);
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    for (key, named, count) in [
        ("own", &["Org1MSP"][..], 1),
        ("other", &["Org2MSP"], 1),
        ("both", &["Org2MSP", "Org1MSP"], 2),
    ] {
        let endorsed = client.endorse(request(&network, key, named)).await.unwrap();
        let payload = endorsed.prepared_transaction.unwrap().payload;
        let envelope: Bytes = Envelope {
            signature: network.one.client.sign(&payload),
            payload,
        }
        .encode_to_vec()
        .into();
        let opened = quire_wire::transaction::Opened::read(&envelope).unwrap();
        let endorsements = opened.endorsed_call().unwrap().endorsements;
        assert_eq!(endorsements.len(), count, "{key}");
        let outcome = network.first.channel.submitter.order(envelope).unwrap();
        let expected = if count == 2 {
            Code::VALID
        } else {
            Code::ENDORSEMENT_POLICY_FAILURE
        };
        assert_eq!(outcome.await.unwrap().unwrap().code, expected, "{key}");
    }
    let refused = client
        .endorse(request(&network, "c", &["Org1MSP", "Org3MSP"]))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), quire_rpc::Code::Unavailable);
    let text = "failed to find any endorsing peers for org(s): Org3MSP";
    assert_eq!(refused.message(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_another_outcome_is_named_as_a_real_gateway_names_it() {
    let (listener, address) = place().await;
    let network = Arc::new(Network::new(std::slice::from_ref(&address)).await);
    let stranger = Arc::new(Node::of("Org3MSP", Arc::new(quire_peer::Nobody)));
    serve(
        listener,
        router(Evil::Differs, Arc::clone(&network), stranger),
    );
    let client = client(&network).await;
    let refused = client
        .endorse(request(&network, "a", &[]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), quire_rpc::Code::Aborted);
    let text =
        "failed to collect enough transaction endorsements, see attached details for more info";
    assert_eq!(refused.message(), text);
    let status = RpcStatus::decode(refused.details()).unwrap();
    let details = status.details.iter();
    let details: Vec<ErrorDetail> = details
        .map(|detail| ErrorDetail::decode(detail.value.clone()).unwrap())
        .collect();
    let expected = ErrorDetail {
        address,
        msp_id: "Org2MSP".to_owned(),
        message: "ProposalResponsePayloads do not match".to_owned(),
    };
    assert_eq!(details, [expected]);
}
