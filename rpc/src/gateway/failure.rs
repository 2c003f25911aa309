//! How calls of the Gateway fail: Fabric's codes and texts, with who failed as a detail.

use quire_wire::Message as _;
use quire_wire::gateway::{Any, ERROR_DETAIL, ErrorDetail, RpcStatus};
use quire_wire::peer::ProposalResponse;
use tonic::{Code, Status};

use crate::endorser::Rejected;
use crate::failure::cut;
use crate::services::Services;

/// Statuses of a chaincode's answer with which it counts as one.
const GOOD: std::ops::Range<i32> = 200..400;
/// Fabric's status of a failure.
const FAILED: i32 = 500;

/// What an endorser's answer means to the Gateway.
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
    /// Whether another endorser may answer otherwise.
    pub(super) retry: bool,
}

/// Why an endorser's answer is no success; `None` if it is one.
pub(super) fn failure(answer: &Result<ProposalResponse, Rejected>) -> Option<Failure> {
    let response = match answer {
        Err(rejected) => {
            return Some(Failure {
                code: if rejected.by_endorser {
                    Code::FailedPrecondition
                } else {
                    Code::Unavailable
                },
                message: rejected.text.clone(),
                retry: !rejected.by_endorser,
            });
        }
        Ok(response) => response,
    };
    let answer = response.response.as_ref();
    let (status, message) = answer.map_or((0, ""), |answer| (answer.status, &*answer.message));
    if GOOD.contains(&status) {
        return None;
    }
    if status == FAILED && response.payload.is_empty() {
        // The endorser says so, and not the chaincode.
        return Some(Failure {
            code: Code::Aborted,
            message: message.to_owned(),
            retry: true,
        });
    }
    Some(Failure {
        code: Code::Unknown,
        message: format!("chaincode response {status}, {message}"),
        retry: false,
    })
}

/// A status that names this node as the one that failed, with what it said. What a chaincode said may be long.
pub(super) fn of_this_node(services: &Services, code: Code, message: &str, said: &str) -> Status {
    let detail = ErrorDetail {
        address: services.address.clone(),
        msp_id: services.backend.msp_id(),
        message: cut(said).to_owned(),
    };
    let message = cut(message).to_owned();
    let details = RpcStatus {
        code: code as i32,
        message: message.clone(),
        details: vec![Any {
            type_url: ERROR_DETAIL.to_owned(),
            value: detail.encode_to_vec().into(),
        }],
    };
    Status::with_details(code, message, details.encode_to_vec().into())
}
