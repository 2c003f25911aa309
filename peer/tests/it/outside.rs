//! Clients with keys of their own: they do the two verbs apart, and an envelope that comes from outside is
//! checked.

use std::time::Duration;

use bytes::Bytes;
use quire_identity::Role;
use quire_ledger::CreateOptions;
use quire_ordering::Refused;
use quire_peer::{Origin, SubmitError};
use quire_wire::Code;
use quire_wire::peer::ProposalResponse;
use quire_wire::transaction::seal;

use crate::kit::{Client, Node, Running, beginning, outcome, put};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn endorsed(channel: &Running, client: &Client<'_>) -> ProposalResponse {
    channel.endorse(&client.proposal()).unwrap()
}

fn order(channel: &Running, envelope: Bytes) -> Result<Code, SubmitError> {
    let waiting = channel.peer().order(envelope, Origin::Outside)?;
    Ok(outcome(waiting).unwrap().code)
}

#[test]
fn a_client_with_its_own_key_gets_its_transaction_into_a_block_by_the_two_verbs() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let alice = node.identity("alice", Role::Client);
    let mut client = Client::new(&alice, &put(3));
    client.transient = b"for the chaincode alone".to_vec();
    let response = endorsed(&channel, &client);
    let answer = response.response.clone().unwrap();
    assert_eq!((answer.status, response.version), (200, 1));
    assert_eq!(answer.payload, r#"{"previousVersion":null}"#);
    assert_eq!(
        channel.reader().height(),
        1,
        "an endorsement orders nothing"
    );

    let envelope = client.envelope(&response);
    assert_eq!(order(&channel, envelope.clone()).unwrap(), Code::VALID);
    let value = channel.reader().snapshot().get("orders", "3").unwrap();
    assert_eq!(value.unwrap().value, "3");
    // It takes effect only once, however often it is sent.
    assert_eq!(order(&channel, envelope).unwrap(), Code::DUPLICATE_TXID);
    channel.stop();
}

/// What this node signs itself is not verified; a signature that only looks like its own is verified.
#[test]
fn an_endorsement_that_nobody_made_does_not_count_whoever_shares_the_block() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let client = Client::new(&node.client, &put(1));
    let response = endorsed(&channel, &client);
    let mut forged = response.clone();
    let endorsement = forged.endorsement.as_mut().unwrap();
    endorsement.signature = node.client.sign(b"something else");
    let waiting = channel
        .peer()
        .order(client.envelope(&forged), Origin::Outside)
        .unwrap();
    let beside = node.submit(&channel, 2).unwrap();
    let code = outcome(waiting).unwrap().code;
    assert_eq!(code, Code::ENDORSEMENT_POLICY_FAILURE);
    assert_eq!(outcome(beside.outcome).unwrap().code, Code::VALID);
    channel.stop();
}

#[test]
fn an_envelope_that_broadcast_would_refuse_is_refused_and_nobody_waits_for_it() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let refused = |envelope: Bytes| match order(&channel, envelope) {
        Err(SubmitError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    };
    let client = Client::new(&node.client, &put(1));
    let response = endorsed(&channel, &client);
    let payload = client.transaction(&response);

    let by_another = seal(payload.clone(), node.orderer.sign(&payload));
    assert!(matches!(refused(by_another), Refused::Signature(_)));
    assert_eq!(refused(seal(Bytes::new(), Bytes::new())), Refused::Empty);
    let mut stranger = Client::new(&node.stranger, &put(1));
    let envelope = stranger.envelope(&response);
    assert!(matches!(refused(envelope), Refused::Creator(_)));
    // Nobody can take the id of another transaction by claiming it.
    let mut claims = Client::new(&node.orderer, &put(1));
    claims.header.tx_id.clone_from(&client.header.tx_id);
    let envelope = claims.envelope(&response);
    let another = Refused::TxId(client.header.tx_id.clone());
    assert_eq!(refused(envelope), another);
    stranger.header.channel_id = "other".to_owned();
    let envelope = stranger.envelope(&response);
    assert!(matches!(refused(envelope), Refused::OtherChannel(_)));
    let large = Bytes::from(vec![b'"'; 11 << 20]);
    let envelope = seal(payload, large);
    assert!(matches!(
        order(&channel, envelope),
        Err(SubmitError::TooLarge(_))
    ));
    assert_eq!(channel.reader().height(), 1);

    // These attempts do not hinder the transaction itself.
    let envelope = client.envelope(&response);
    assert_eq!(order(&channel, envelope).unwrap(), Code::VALID);
    channel.stop();
}

#[test]
fn who_writes_through_the_node_passes_the_same_filters() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let submitted = node.submit(&channel, 1).unwrap();
    assert_eq!(outcome(submitted.outcome).unwrap().code, Code::VALID);
    let refused = |result| match result {
        Err(SubmitError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    };
    let stranger = refused(channel.submit_as(&node.stranger, 2));
    assert!(matches!(stranger, Refused::Creator(_)), "{stranger:?}");
    node.clock.set(beginning() + 31 * YEAR);
    let expired = refused(node.submit(&channel, 3));
    assert_eq!(expired, Refused::Expired("client".to_owned()));
    assert_eq!(channel.reader().height(), 2);
    channel.stop();
}

#[test]
fn a_closed_channel_takes_nothing() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let client = Client::new(&node.client, &put(1));
    let envelope = client.envelope(&endorsed(&channel, &client));
    channel.0.close();
    assert!(matches!(
        order(&channel, envelope),
        Err(SubmitError::NotReady)
    ));
    assert!(matches!(
        node.submit(&channel, 1),
        Err(SubmitError::NotReady)
    ));
    channel.stop();
}
