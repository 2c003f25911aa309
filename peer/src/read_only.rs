//! A channel that takes no transactions, because its orderers are elsewhere.

use bytes::Bytes;
use quire_chaincode::{Call, ChaincodeError, Documents};
use quire_ledger::{Meter, Reader};
use tokio::sync::oneshot;

use crate::endorser::evaluate;
use crate::submit::{Evaluated, Outcome, Proposal, SubmitError, Submitted, Submitter};

/// Evaluates calls, and submits none.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    pub(crate) reader: Reader,
    pub(crate) documents: Documents,
}

impl Submitter for ReadOnly {
    fn submit(&self, _: Proposal) -> Result<Submitted, SubmitError> {
        Err(SubmitError::ReadOnly)
    }

    fn evaluate(&self, call: &Call, meter: Meter) -> Result<Evaluated, ChaincodeError> {
        evaluate(&self.documents, &self.reader, call, meter)
    }

    fn order(&self, _: Bytes) -> Result<oneshot::Receiver<Outcome>, SubmitError> {
        Err(SubmitError::ReadOnly)
    }

    fn is_pending(&self, _: &str) -> bool {
        false
    }
}
