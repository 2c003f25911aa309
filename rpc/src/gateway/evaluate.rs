//! `Evaluate`: a call of which nothing is ordered.

use std::sync::Arc;

use quire_peer::Wanted;
use quire_wire::gateway::{EvaluateRequest, EvaluateResponse};
use quire_wire::peer::ProposalResponse;
use tonic::Status;

use super::failure::{failure, of_this_node};
use super::proposal::{NotProposed, read};
use crate::call::Caller;
use crate::endorser::{Rejected, process};
use crate::services::Services;

/// `Evaluate`.
pub(crate) async fn evaluate(
    services: Arc<Services>,
    request: EvaluateRequest,
    _: Caller,
) -> Result<EvaluateResponse, Status> {
    let proposal = match read(request.proposed_transaction) {
        Ok(proposal) => proposal,
        Err(NotProposed::Rejected(rejected)) => return answer(&services, Err(rejected)),
        Err(why) => {
            let text = format!("failed to unpack transaction proposal: {why}");
            return Err(Status::invalid_argument(text));
        }
    };
    let (channel, chaincode) = (proposal.headers().channel(), proposal.specified());
    if services.backend.channel(channel).is_none() {
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
    let answered = process(&services, proposal, Wanted::Answer).await?;
    answer(&services, answered)
}

fn answer(
    services: &Services,
    answered: Result<ProposalResponse, Rejected>,
) -> Result<EvaluateResponse, Status> {
    if let Some(failure) = failure(&answered) {
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
            services,
            failure.code,
            &text,
            &failure.message,
        ));
    }
    let result = answered.unwrap_or_default().response;
    Ok(EvaluateResponse { result })
}
