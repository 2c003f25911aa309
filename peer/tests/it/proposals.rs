//! What is checked in a proposal before its chaincode runs, and the answer to a call that fails.

use bytes::Bytes;
use quire_chaincode::Call;
use quire_identity::{IdentityError, Role, SignatureError};
use quire_ledger::CreateOptions;
use quire_peer::ProposalError;
use quire_wire::common::header_type;
use quire_wire::peer::SignedProposal;
use quire_wire::tx_id::tx_id;

use crate::kit::{Client, Node, Running, beginning, outcome, put};

fn refused(channel: &Running, proposal: &SignedProposal) -> ProposalError {
    channel.endorse(proposal).unwrap_err()
}

/// One thing that is wrong with a proposal whose signature is valid.
type Wrong<'a> = (&'a str, fn(&mut Client<'_>), fn(&ProposalError) -> bool);

#[test]
fn a_proposal_that_breaks_a_rule_of_the_endorser_is_not_looked_at() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let cases: [Wrong<'_>; 9] = [
        (
            "channel",
            |client| client.header.channel_id = "other".to_owned(),
            |error| matches!(error, ProposalError::OtherChannel(name) if name == "other"),
        ),
        (
            "header type",
            |client| client.header.r#type = header_type::CONFIG_UPDATE,
            |error| matches!(error, ProposalError::HeaderType(header_type::CONFIG_UPDATE)),
        ),
        (
            "epoch",
            |client| client.header.epoch = 1,
            |error| matches!(error, ProposalError::Epoch(1)),
        ),
        (
            "transaction id",
            |client| client.header.tx_id = tx_id(b"another", client.identity.serialized()),
            |error| matches!(error, ProposalError::TxId { .. }),
        ),
        (
            "nonce",
            |client| {
                client.signature_header.nonce = Bytes::new();
                client.header.tx_id = tx_id(b"", client.identity.serialized());
            },
            |error| matches!(error, ProposalError::Missing("nonce")),
        ),
        (
            "creator",
            |client| {
                client.signature_header.creator = Bytes::new();
                client.header.tx_id = tx_id(&client.signature_header.nonce, b"");
            },
            |error| matches!(error, ProposalError::Missing("creator")),
        ),
        (
            "chaincode",
            |client| client.extension.chaincode_id = None,
            |error| matches!(error, ProposalError::Missing("chaincode")),
        ),
        (
            "specification",
            |client| client.spec = None,
            |error| matches!(error, ProposalError::Missing("chaincode specification")),
        ),
        (
            "input",
            |client| client.spec.as_mut().unwrap().input = None,
            |error| matches!(error, ProposalError::Missing("input")),
        ),
    ];
    for (what, wrong, is_right) in cases {
        let mut client = Client::new(&node.client, &put(1));
        wrong(&mut client);
        let error = refused(&channel, &client.proposal());
        assert!(is_right(&error), "{what}: {error:?}");
    }
    channel.stop();
}

#[test]
fn a_proposal_counts_only_with_the_signature_of_a_member_who_may_propose() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let client = Client::new(&node.client, &put(1));
    let mut proposal = client.proposal();
    proposal.signature = node.orderer.sign(&proposal.proposal_bytes);
    let error = refused(&channel, &proposal);
    let mismatch = matches!(error, ProposalError::Signature(SignatureError::Mismatch));
    assert!(mismatch, "{error:?}");
    proposal.signature = Bytes::new();
    let error = refused(&channel, &proposal);
    assert!(matches!(error, ProposalError::Missing("signature")));

    let stranger = Client::new(&node.stranger, &put(1)).proposal();
    let error = refused(&channel, &stranger);
    let unknown = matches!(error, ProposalError::Creator(IdentityError::UnknownMsp(_)));
    assert!(unknown, "{error:?}");

    // The application's writers are clients and administrators.
    let peer = node.identity("somepeer", Role::Peer);
    let error = refused(&channel, &Client::new(&peer, &put(1)).proposal());
    assert!(matches!(error, ProposalError::NotAProposer(name) if name == "somepeer"));

    node.clock
        .set(beginning() + std::time::Duration::from_secs(1_000_000_000));
    let error = refused(&channel, &client.proposal());
    assert!(matches!(error, ProposalError::Expired(name) if name == "client"));
    channel.stop();
}

#[test]
fn bytes_that_are_no_proposal_are_told_by_the_part_that_cannot_be_read() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let client = Client::new(&node.client, &put(1));
    let whole = client.proposal().proposal_bytes;
    for cut in 0..whole.len() {
        let proposal = SignedProposal {
            proposal_bytes: whole.slice(..cut),
            signature: node.client.sign(&whole[..cut]),
        };
        let error = refused(&channel, &proposal);
        assert!(
            matches!(
                error,
                ProposalError::Malformed { .. } | ProposalError::Missing(_)
            ),
            "cut at {cut}: {error:?}"
        );
    }
    channel.stop();
}

#[test]
fn the_id_of_a_transaction_in_a_block_is_not_endorsed_again() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let client = Client::new(&node.client, &put(1));
    let endorse = || channel.endorse(&client.proposal());
    endorse().unwrap();
    let response = endorse().unwrap();
    let envelope = client.envelope(&response);
    let waiting = channel.peer().order(envelope, quire_peer::Origin::Outside);
    outcome(waiting.unwrap()).unwrap();
    let error = endorse().unwrap_err();
    assert!(matches!(error, ProposalError::Duplicate(id) if id == client.header.tx_id));
    channel.stop();
}

#[test]
fn a_call_that_comes_to_nothing_is_answered_and_endorsed_by_nobody() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let call = Call {
        chaincode: "orders".to_owned(),
        function: "fly".to_owned(),
        args: Vec::new(),
    };
    let proposal = Client::new(&node.client, &call).proposal();
    let answer = channel.endorse(&proposal).unwrap();
    assert_eq!((answer.endorsement, answer.payload), (None, Bytes::new()));
    let response = answer.response.unwrap();
    assert_eq!(response.status, 400);
    assert!(response.message.contains("has no function \"fly\""));
    channel.stop();
}
