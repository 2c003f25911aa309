//! A channel that takes no transactions, because its orderers are elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::{ChaincodeError, Chaincodes, Invocation};
use quire_ledger::{Meter, Reader};
use quire_wire::peer::ProposalResponse;

use crate::clock::Clock;
use crate::endorser::evaluate;
use crate::submit::{Evaluated, Promised, Proposal, SubmitError, Submitted, Submitter, Wanted};
use crate::unpacked::{ProposalError, UnpackedProposal};
use crate::watch::Watch;

/// Evaluates calls, and submits none.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    pub(crate) reader: Reader,
    pub(crate) chaincodes: Arc<Chaincodes>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Submitter for ReadOnly {
    fn submit(self: Arc<Self>, _: Proposal) -> Invocation<Result<Submitted, SubmitError>> {
        Invocation::Done(Err(SubmitError::ReadOnly))
    }

    fn evaluate(&self, proposal: Proposal) -> Invocation<Result<Evaluated, ChaincodeError>> {
        evaluate(&self.chaincodes, &self.reader, &*self.clock, &proposal)
    }

    fn propose(
        self: Arc<Self>,
        _: &UnpackedProposal,
        _: Wanted,
        _: Meter,
    ) -> Result<Invocation<ProposalResponse>, ProposalError> {
        Err(ProposalError::Channel(SubmitError::ReadOnly))
    }

    fn order(&self, _: Bytes) -> Result<Promised, SubmitError> {
        Err(SubmitError::ReadOnly)
    }

    fn orders_later(&self) -> bool {
        false
    }

    fn is_pending(&self, _: &str) -> bool {
        false
    }

    fn watch(&self, _: &str) -> Watch {
        Watch::in_vain()
    }
}
