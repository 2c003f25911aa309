//! What applications ask about channels.

use std::collections::BTreeSet;

use bytes::Bytes;
use quire_identity::{Role, SigningIdentity};
use quire_wire::Message as _;
use quire_wire::deliver::Nothing;
use quire_wire::discovery::{
    Answer, AuthInfo, ChaincodeQuery, PeerMembershipQuery, Query, QueryResult, Question, Request,
    Response, SignedRequest,
};
use quire_wire::gossip::{Content, Envelope, GossipMessage};
use quire_wire::peer::{ChaincodeCall, ChaincodeInterest};
use tonic::{Code, Status};

use crate::kit::{ADDRESS, Node};
use crate::recorded::{ALL, exchanges, node_at};

/// Exchanges whose answers name peers of the recorded network, which is not there.
const OF_OTHER_PEERS: [&str; 7] = [
    "discovery: endorsers of helper",
    "discovery: endorsers of labcc with collBoth",
    "discovery: endorsers of labcc with collEP",
    "discovery: endorsers of labcc with collOrg1, no private reads",
    "discovery: local peers by admin",
    "discovery: peers",
    "discovery: peers filtered by chaincode",
];

async fn ask(node: &Node, request: &[u8]) -> Result<Response, Status> {
    let request = SignedRequest::decode(request).unwrap();
    node.discovery().discover(None, request).await
}

/// A result in a form that does not depend on the order of maps, and without what texts say of key policies, which is
/// left out here.
fn sorted(result: &QueryResult) -> QueryResult {
    let mut result = result.clone();
    if let Some(Answer::Error(error)) = &mut result.answer
        && let Some((before, _)) = error.content.split_once(" key_policies:")
    {
        error.content = format!("{before}}}");
    }
    if let Some(Answer::Config(config)) = &mut result.answer {
        config
            .orderers
            .sort_by(|one, other| one.msp_id.cmp(&other.msp_id));
    }
    result
}

#[tokio::test]
async fn recorded_questions_are_answered_as_fabric_did_but_for_the_peers_that_there_are() {
    let (node, _open) = node_at(ALL);
    let mut of_other_peers = BTreeSet::new();
    let mut count = 0;
    for exchange in exchanges("discovery") {
        let label = &exchange.label;
        let answered = ask(&node, &exchange.requests[0]).await;
        let Some(recorded) = exchange.responses.first() else {
            let status = answered.unwrap_err();
            assert_eq!(i32::from(status.code()), exchange.code, "{label}");
            assert_eq!(status.message(), exchange.message, "{label}");
            count += 1;
            continue;
        };
        let recorded = hex::decode(recorded).unwrap();
        let recorded = Response::decode(recorded.as_slice()).unwrap();
        let answered = answered.unwrap();
        let depends = recorded.results.iter().any(|result| {
            matches!(
                result.answer,
                Some(Answer::Chaincodes(_) | Answer::Members(_))
            )
        });
        if depends {
            of_other_peers.insert(label.clone());
            continue;
        }
        let sorted = |response: &Response| response.results.iter().map(sorted).collect::<Vec<_>>();
        assert_eq!(sorted(&answered), sorted(&recorded), "{label}");
        count += 1;
    }
    let expected = OF_OTHER_PEERS.map(ToOwned::to_owned);
    assert_eq!(of_other_peers, BTreeSet::from(expected));
    assert_eq!(count, 23 - OF_OTHER_PEERS.len());
}

fn request(who: &SigningIdentity, queries: Vec<Query>) -> SignedRequest {
    let request = Request {
        authentication: Some(AuthInfo {
            client_identity: who.serialized().clone(),
            client_tls_cert_hash: Bytes::new(),
        }),
        queries,
    };
    let payload: Bytes = request.encode_to_vec().into();
    SignedRequest {
        signature: who.sign(&payload),
        payload,
    }
}

fn query(channel: &str, question: Question) -> Query {
    Query {
        channel: channel.to_owned(),
        question: Some(question),
    }
}

fn interest(name: &str) -> ChaincodeInterest {
    let call = ChaincodeCall {
        name: name.to_owned(),
        ..ChaincodeCall::default()
    };
    ChaincodeInterest {
        chaincodes: vec![call],
    }
}

async fn answer(node: &Node, who: &SigningIdentity, query: Query) -> Answer {
    let request = request(who, vec![query]);
    let response = node.discovery().discover(None, request).await.unwrap();
    let [result] = response.results.try_into().unwrap();
    let QueryResult { answer } = result;
    answer.unwrap()
}

/// The content of a message of gossip that the node signed.
fn said(node: &Node, envelope: Option<&Envelope>) -> Content {
    let envelope = envelope.unwrap();
    let organization = node.organization.msp();
    let identity = organization.validate(node.endorser().serialized()).unwrap();
    identity
        .verify(&envelope.payload, &envelope.signature)
        .unwrap();
    let message = GossipMessage::decode(envelope.payload.clone()).unwrap();
    message.content.unwrap()
}

#[tokio::test]
async fn the_node_is_the_peer_of_its_channels_and_says_where_it_is() {
    let node = Node::new();
    node.create("main");
    let question = Question::Peers(PeerMembershipQuery::default());
    let Answer::Members(members) = answer(&node, &node.client, query("main", question)).await
    else {
        panic!();
    };
    let [organization] = &members.peers_by_org[..] else {
        panic!("{members:?}");
    };
    assert_eq!(organization.name, "Org1MSP");
    let [peer] = &organization.peers.as_ref().unwrap().peers[..] else {
        panic!("{members:?}");
    };
    assert_eq!(peer.identity, node.endorser().serialized());
    let Content::Alive(alive) = said(&node, peer.membership_info.as_ref()) else {
        panic!();
    };
    assert_eq!(alive.membership.unwrap().endpoint, ADDRESS);
    let Content::StateInfo(state) = said(&node, peer.state_info.as_ref()) else {
        panic!();
    };
    let properties = state.properties.unwrap();
    assert_eq!(properties.ledger_height, 1);
    let names = properties.chaincodes.iter().map(|one| one.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["_lifecycle"]);
}

#[tokio::test]
async fn only_administrators_of_the_organisation_learn_of_its_peers_without_a_channel() {
    let node = Node::new();
    node.create("main");
    let administrator = node.identity("boss", Role::Admin);
    let local = || query("", Question::LocalPeers(Nothing {}));
    let denied = answer(&node, &node.client, local()).await;
    assert!(matches!(denied, Answer::Error(error) if error.content == "access denied"));
    let Answer::Members(members) = answer(&node, &administrator, local()).await else {
        panic!();
    };
    let peers = members.peers_by_org[0].peers.as_ref().unwrap();
    assert!(peers.peers[0].state_info.is_none());
    let odd = answer(
        &node,
        &administrator,
        query("", Question::Config(Nothing {})),
    )
    .await;
    assert!(matches!(odd, Answer::Error(error) if error.content.contains("request type")));
}

#[tokio::test]
async fn the_node_endorses_for_namespaces_of_the_built_in_chaincode_and_for_definitions() {
    let node = Node::new();
    node.create("main");
    for name in ["orders", "_lifecycle"] {
        let question = Question::Chaincodes(ChaincodeQuery {
            interests: vec![interest(name)],
        });
        let found = answer(&node, &node.client, query("main", question)).await;
        let Answer::Chaincodes(found) = found else {
            panic!("{name}: {found:?}");
        };
        let [descriptor] = &found.content[..] else {
            panic!("{found:?}");
        };
        assert_eq!(descriptor.chaincode, name);
        let [group] = &descriptor.endorsers_by_groups[..] else {
            panic!("{found:?}");
        };
        let quantities = &descriptor.layouts[0].quantities_by_group;
        assert_eq!(quantities.get(&group.name), Some(&1));
        let peers = &group.peers.as_ref().unwrap().peers;
        assert_eq!(peers.len(), 1);
        assert_eq!(peers[0].identity, node.endorser().serialized());
    }
}

#[tokio::test]
async fn a_request_for_more_than_anybody_needs_is_refused() {
    let node = Node::new();
    node.create("main");
    let discovery = node.discovery();
    let many = vec![query("main", Question::Config(Nothing {})); 101];
    let refused = discovery.discover(None, request(&node.client, many));
    assert_eq!(refused.await.unwrap_err().code(), Code::InvalidArgument);
    let calls = vec![interest("orders"); 101];
    let many = vec![query(
        "main",
        Question::Chaincodes(ChaincodeQuery { interests: calls }),
    )];
    let refused = discovery.discover(None, request(&node.client, many));
    assert_eq!(refused.await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn under_mutual_tls_a_request_is_bound_to_its_connection() {
    let node = Node::new();
    node.create("main");
    let ask = |hash: &'static [u8], certificate| {
        let mut sent = request(&node.client, Vec::new());
        let mut inner = Request::decode(sent.payload.clone()).unwrap();
        let who = inner.authentication.as_mut().unwrap();
        who.client_tls_cert_hash = Bytes::from_static(hash);
        sent.payload = inner.encode_to_vec().into();
        let discovery = node.discovery();
        async move { discovery.discover(certificate, sent).await.map(drop) }
    };
    assert!(ask(&[5; 32], Some([5; 32])).await.is_ok());
    assert!(ask(&[], None).await.is_ok());
    let refused = ask(&[5; 32], Some([6; 32])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unknown);
    assert!(ask(&[], Some([6; 32])).await.is_err());
}
