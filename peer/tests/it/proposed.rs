//! What a chaincode is told about the transaction in which it is called.

use std::sync::Arc;

use parking_lot::Mutex;
use quire_chaincode::{Answer, Call, Chaincode, Invocation, Proposed, Simulated, Transaction};
use quire_ledger::{CreateOptions, Simulator};
use quire_peer::Submitter as _;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Header, SignatureHeader};
use quire_wire::peer::Proposal as ProposalMessage;

use crate::kit::{CHANNEL, Client, Node, outcome, proposal};

/// Remembers what it is told.
#[derive(Clone, Debug, Default)]
struct Curious(Arc<Mutex<Vec<Transaction>>>);

impl Chaincode for Curious {
    fn invoke(
        &self,
        _: &Call,
        proposed: &dyn Proposed,
        simulator: Simulator,
    ) -> Invocation<Simulated> {
        self.0.lock().push(proposed.transaction());
        let answer = Ok(Answer::of("1".into()));
        Invocation::Done(Simulated { simulator, answer })
    }
}

/// The headers that a chaincode was told.
fn headers(told: &Transaction) -> (ChannelHeader, SignatureHeader) {
    let proposal = ProposalMessage::decode(told.proposal.proposal_bytes.clone()).unwrap();
    let header = Header::decode(proposal.header).unwrap();
    (
        ChannelHeader::decode(header.channel_header).unwrap(),
        SignatureHeader::decode(header.signature_header).unwrap(),
    )
}

#[test]
fn a_chaincode_is_told_who_asks_in_which_transaction_whether_or_not_it_is_ordered() {
    let node = Node::new();
    let channel = node.channel(10, CreateOptions::default());
    let curious = Curious::default();
    let chaincodes = &channel.0.channel.chaincodes;
    chaincodes.deploy("curious", Arc::new(curious.clone()));
    let call = Call {
        chaincode: "curious".to_owned(),
        function: "ask".to_owned(),
        args: vec!["me".into()],
    };

    let evaluated = proposal(&node.client, call.clone());
    let submitted = proposal(&node.client, call.clone());
    let client = Client::new(&node.client, &call);
    let ids = [
        evaluated.tx_id.clone(),
        submitted.tx_id.clone(),
        client.header.tx_id.clone(),
    ];
    let peer = channel.peer();
    peer.evaluate(evaluated).done().unwrap().unwrap();
    let submitted = Arc::clone(peer).submit(submitted).done().unwrap().unwrap();
    outcome(submitted.outcome).unwrap();
    let signed = client.proposal();
    channel.endorse(&signed).unwrap();

    let told = curious.0.lock().clone();
    let told_ids = told.iter().map(|told| told.tx_id.clone());
    assert_eq!(told_ids.collect::<Vec<_>>(), ids);
    for told in &told {
        assert_eq!(told.channel, CHANNEL);
        assert_eq!(told.input.args, ["ask", "me"]);
        let (channel_header, signature_header) = headers(told);
        assert_eq!(channel_header.tx_id, told.tx_id);
        assert!(channel_header.timestamp.is_some());
        assert_eq!(signature_header.creator, *node.client.serialized());
        assert!(!told.proposal.signature.is_empty());
    }
    assert_eq!(told[2].proposal, signed);
    channel.stop();
}
