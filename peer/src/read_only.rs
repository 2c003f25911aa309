//! A channel that takes no transactions, because its orderers are elsewhere.

use quire_chaincode::{Call, ChaincodeError, Documents};
use quire_ledger::{Meter, Reader};

use crate::endorser::evaluate;
use crate::submit::{Evaluated, Proposal, SubmitError, Submitted, Submitter};

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

    fn is_pending(&self, _: &str) -> bool {
        false
    }
}
