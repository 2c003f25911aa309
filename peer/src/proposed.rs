//! What a chaincode may learn of the transaction that it is called in.

use std::collections::BTreeMap;

use quire_chaincode::{Proposed, Reach, Transaction};
use quire_identity::SigningIdentity;
use quire_wire::Message as _;
use quire_wire::peer::{
    ChaincodeInput, ChaincodeInvocationSpec, ChaincodeProposalPayload, SignedProposal,
};
use quire_wire::transaction::ProposalBytes;

use crate::clock::Clock;
use crate::endorser::proposal_bytes;
use crate::submit::Proposal;
use crate::unpacked::UnpackedProposal;

/// A call that will be endorsed.
pub(crate) struct Asked<'a> {
    pub(crate) channel: &'a str,
    pub(crate) tx_id: &'a str,
    pub(crate) bytes: &'a ProposalBytes,
    pub(crate) reach: Reach,
    pub(crate) creator: Creator<'a>,
}

/// The creator of a proposal.
pub(crate) enum Creator<'a> {
    /// An identity of this node, which signs it for a chaincode that asks.
    Here(&'a SigningIdentity),
    /// Somebody else, who has signed it.
    Elsewhere(&'a UnpackedProposal),
}

/// A call that will not be ordered. Its proposal is made only if a chaincode asks for it.
pub(crate) struct Evaluating<'a> {
    pub(crate) channel: &'a str,
    pub(crate) proposal: &'a Proposal,
    pub(crate) clock: &'a dyn Clock,
}

impl Proposed for Asked<'_> {
    fn transaction(&self) -> Transaction {
        let (proposal, input) = match self.creator {
            Creator::Here(identity) => {
                let proposal_bytes = self.bytes.proposal();
                let signature = identity.sign(&proposal_bytes);
                let proposal = SignedProposal {
                    proposal_bytes,
                    signature,
                };
                (proposal, input(self.bytes))
            }
            Creator::Elsewhere(proposal) => (proposal.signed().clone(), proposal.input.clone()),
        };
        Transaction {
            channel: self.channel.to_owned(),
            tx_id: self.tx_id.to_owned(),
            input,
            proposal,
            reach: self.reach.clone(),
        }
    }
}

impl Proposed for Evaluating<'_> {
    fn transaction(&self) -> Transaction {
        let proposal = self.proposal;
        let asked = Asked {
            channel: self.channel,
            tx_id: &proposal.tx_id,
            bytes: &proposal_bytes(self.channel, proposal, self.clock.now().into()),
            reach: proposal.reach.clone(),
            creator: Creator::Here(&proposal.identity),
        };
        asked.transaction()
    }
}

/// The input of the chaincode from a proposal that was made here.
fn input(proposal: &ProposalBytes) -> ChaincodeInput {
    let payload = ChaincodeProposalPayload::decode(proposal.payload.clone());
    let spec = payload.and_then(|payload| ChaincodeInvocationSpec::decode(payload.input));
    let spec = spec.ok().and_then(|spec| spec.chaincode_spec);
    let input = spec.and_then(|spec| spec.input).unwrap_or_default();
    ChaincodeInput {
        decorations: BTreeMap::new(),
        ..input
    }
}
