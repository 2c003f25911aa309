//! `Evaluate`: a call of which nothing is ordered.

use std::sync::Arc;

use quire_wire::Message as _;
use quire_wire::gateway::{EvaluateRequest, EvaluateResponse};
use quire_wire::peer::{ChaincodeAction, ProposalResponse, ProposalResponsePayload, Response};
use tonic::Status;

use super::failure::{failure, of_this_node};
use super::proposal::Proposed;
use crate::call::Deadline;
use crate::endorser::process;
use crate::services::Services;

/// `Evaluate`.
pub(crate) async fn evaluate(
    services: Arc<Services>,
    request: EvaluateRequest,
    _: Deadline,
) -> Result<EvaluateResponse, Status> {
    let signed = request.proposed_transaction.unwrap_or_default();
    let unpacking =
        |why| Status::invalid_argument(format!("failed to unpack transaction proposal: {why}"));
    let Proposed { channel, chaincode } = Proposed::read(&signed).map_err(unpacking)?;
    if services.backend.channel(&channel).is_none() {
        return Err(Status::unavailable(format!(
            "failed to get config for channel [{channel}]: could not get last config for channel {channel}"
        )));
    }
    let targets = &request.target_organizations;
    if !targets.is_empty() && !targets.contains(&services.backend.msp_id()) {
        return Err(Status::failed_precondition(format!(
            "no peers available to evaluate chaincode {chaincode} in channel {channel}"
        )));
    }
    let answer = process(&services, signed).await?;
    if let Some(failure) = failure(&answer) {
        let text = if failure.retry {
            // Nobody else is here to be asked.
            "failed to evaluate transaction, see attached details for more info".to_owned()
        } else {
            format!(
                "evaluate call to endorser returned error: {}",
                failure.message
            )
        };
        return Err(of_this_node(&services, failure.code, text, failure.message));
    }
    let response = answer.unwrap_or_default();
    let result = response.response.clone().unwrap_or_default();
    Ok(EvaluateResponse {
        result: Some(Response {
            payload: result_of(&response).unwrap_or(result.payload),
            ..result
        }),
    })
}

/// The chaincode's answer as the endorsement has it.
fn result_of(response: &ProposalResponse) -> Option<bytes::Bytes> {
    let payload = ProposalResponsePayload::decode(response.payload.clone()).ok()?;
    let action = ChaincodeAction::decode(payload.extension).ok()?;
    Some(action.response?.payload)
}
