//! The answer to a call that failed: it says why, and nobody endorses it.

use bytes::Bytes;
use quire_chaincode::ChaincodeError;
use quire_ledger::chain_of;
use quire_wire::peer::{ChaincodeAction, ChaincodeId, ProposalResponse, Response};
use quire_wire::transaction::ProposalBytes;

/// A chaincode's answer to a call that its caller must correct.
const BAD_CALL: i32 = 400;
/// The answer to a call that its caller may not make.
const NOT_ALLOWED: i32 = 403;
/// A chaincode's answer to a call that could not be run.
const FAILED: i32 = 500;

/// A call that failed, and what is answered beside why.
#[derive(Debug)]
pub(crate) struct NotEndorsed {
    pub(crate) error: ChaincodeError,
    /// What a chaincode did that said no itself, as Fabric's peers tell it; mostly nothing.
    payload: Bytes,
}

impl From<ChaincodeError> for NotEndorsed {
    fn from(error: ChaincodeError) -> Self {
        Self {
            error,
            payload: Bytes::new(),
        }
    }
}

impl NotEndorsed {
    /// A chaincode's no, with what it had read and written until then: a serialized read-write set.
    pub(crate) fn by_chaincode(
        error: ChaincodeError,
        proposal: &ProposalBytes,
        chaincode_id: ChaincodeId,
        results: impl FnOnce() -> Bytes,
    ) -> Self {
        let ChaincodeError::Refused { status, .. } = &error else {
            return error.into();
        };
        // By this, Fabric's clients tell a chaincode's failure from a peer's.
        if *status < FAILED {
            return error.into();
        }
        let action = ChaincodeAction {
            results: results(),
            response: Some(response(&error)),
            chaincode_id: Some(chaincode_id),
            ..ChaincodeAction::default()
        };
        Self {
            payload: proposal.response_payload(&action),
            error,
        }
    }
}

impl From<NotEndorsed> for ProposalResponse {
    fn from(NotEndorsed { error, payload }: NotEndorsed) -> Self {
        Self {
            response: Some(response(&error)),
            payload,
            ..Self::default()
        }
    }
}

fn response(error: &ChaincodeError) -> Response {
    let (status, payload) = match error {
        ChaincodeError::Refused {
            status, payload, ..
        } => (*status, payload.clone()),
        ChaincodeError::Read(_)
        | ChaincodeError::NotRun(_)
        | ChaincodeError::Unavailable { .. }
        | ChaincodeError::TimedOut { .. } => (FAILED, Bytes::new()),
        ChaincodeError::NotAllowed(_) => (NOT_ALLOWED, Bytes::new()),
        _ => (BAD_CALL, Bytes::new()),
    };
    Response {
        status,
        message: chain_of(error),
        payload,
    }
}
