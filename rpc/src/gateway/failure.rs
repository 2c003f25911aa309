//! How calls of the Gateway fail: Fabric's codes and texts, with who failed as a detail.

use quire_peer::discovery::NoDescriptor;
use quire_peer::{Failure as Failed, NoPlan, RemotePeer};
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
/// Details of a status, at most: they stand in the head of an answer.
const MAX_DETAILS: usize = 8;

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
    detailed(code, message, &[here(services, said)])
}

/// The status of a transaction that too few have endorsed, with each that did not.
pub(super) fn of_peers(mut details: Vec<ErrorDetail>, failures: &[Failed]) -> Status {
    details.extend(failures.iter().map(there));
    let text =
        "failed to collect enough transaction endorsements, see attached details for more info";
    detailed(Code::Aborted, text, &details)
}

/// That this node failed, and what it said.
pub(super) fn here(services: &Services, said: &str) -> ErrorDetail {
    ErrorDetail {
        address: services.address.clone(),
        msp_id: services.backend.msp_id(),
        message: cut(said).to_owned(),
    }
}

/// That a peer elsewhere failed.
pub(super) fn there(failed: &Failed) -> ErrorDetail {
    ErrorDetail {
        address: failed.address.to_string(),
        msp_id: failed.msp_id.to_string(),
        message: cut(&failed.text).to_owned(),
    }
}

/// What a peer elsewhere said that did not succeed.
pub(super) fn said_there(peer: &RemotePeer, said: &str) -> ErrorDetail {
    ErrorDetail {
        address: peer.address.to_string(),
        msp_id: peer.msp_id.to_string(),
        message: cut(said).to_owned(),
    }
}

/// A status with who failed.
pub(super) fn detailed(code: Code, message: &str, details: &[ErrorDetail]) -> Status {
    let message = cut(message).to_owned();
    let details = details.iter().take(MAX_DETAILS).map(|detail| Any {
        type_url: ERROR_DETAIL.to_owned(),
        value: detail.encode_to_vec().into(),
    });
    let status = RpcStatus {
        code: code as i32,
        message: message.clone(),
        details: details.collect(),
    };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// Why nobody can endorse a transaction, in Fabric's words where it has some.
pub(super) fn no_plan(channel: &str, why: &NoPlan) -> String {
    let reason = match why {
        NoPlan::Read(_) => "the channel's definitions cannot be read".to_owned(),
        NoPlan::NoPeers { reason, .. } => match reason {
            NoDescriptor::Chaincode(name) => {
                format!("No metadata was found for chaincode {name} in channel {channel}")
            }
            NoDescriptor::Peers => {
                "no peer combination can satisfy the endorsement policy".to_owned()
            }
            NoDescriptor::Installed => {
                "required chaincodes are not installed on sufficient peers".to_owned()
            }
            NoDescriptor::Unsatisfiable => "endorsement policy cannot be satisfied".to_owned(),
            other => other.to_string(),
        },
    };
    format!("no combination of peers can be derived which satisfy the endorsement policy: {reason}")
}
