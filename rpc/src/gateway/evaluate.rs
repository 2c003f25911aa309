//! `Evaluate`: a call of which nothing is ordered.

use std::sync::Arc;

use quire_peer::Wanted;
use quire_wire::gateway::{EvaluateRequest, EvaluateResponse};
use tonic::Status;

use super::failure::{failure, of_this_node};
use super::proposal::Proposed;
use crate::call::Caller;
use crate::endorser::process;
use crate::services::Services;

/// `Evaluate`.
pub(crate) async fn evaluate(
    services: Arc<Services>,
    request: EvaluateRequest,
    _: Caller,
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
    let answer = process(&services, signed, Wanted::Answer).await?;
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
        return Err(of_this_node(
            &services,
            failure.code,
            &text,
            &failure.message,
        ));
    }
    let result = answer.unwrap_or_default().response;
    Ok(EvaluateResponse { result })
}
