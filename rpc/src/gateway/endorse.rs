//! `Endorse`: a transaction for its creator to sign.

use std::sync::Arc;

use quire_peer::{UnpackedProposal, Wanted};
use quire_wire::common::Envelope;
use quire_wire::gateway::{EndorseRequest, EndorseResponse};
use quire_wire::peer::ProposalResponse;
use tonic::{Code, Status};

use super::failure::{failure, of_this_node};
use super::proposal::{NotProposed, read};
use crate::call::Caller;
use crate::endorser::{Rejected, process};
use crate::services::Services;

/// `Endorse`.
pub(crate) async fn endorse(
    services: Arc<Services>,
    request: EndorseRequest,
    _: Caller,
) -> Result<EndorseResponse, Status> {
    let proposal = match read(request.proposed_transaction) {
        Ok(proposal) => proposal,
        Err(NotProposed::Rejected(rejected)) => return assemble(&services, None, Err(rejected)),
        Err(NotProposed::Missing) => {
            let text = "the proposed transaction must contain a signed proposal";
            return Err(Status::invalid_argument(text));
        }
        Err(why) => return Err(Status::invalid_argument(why.to_string())),
    };
    let (channel, chaincode) = (proposal.headers().channel(), proposal.specified());
    let own = services.backend.msp_id();
    let others: Vec<&str> = request
        .endorsing_organizations
        .iter()
        .filter(|organization| **organization != own)
        .map(String::as_str)
        .collect();
    if !others.is_empty() {
        return Err(Status::unavailable(format!(
            "failed to find any endorsing peers for org(s): {}",
            others.join(", ")
        )));
    }
    if services.backend.channel(channel).is_none() {
        return Err(Status::failed_precondition(format!(
            "no combination of peers can be derived which satisfy the endorsement policy: No metadata was found \
             for chaincode {chaincode} in channel {channel}"
        )));
    }
    let answered = process(&services, Arc::clone(&proposal), Wanted::Endorsement).await?;
    assemble(&services, Some(&proposal), answered)
}

/// The transaction of a proposal that was endorsed.
fn assemble(
    services: &Services,
    proposal: Option<&UnpackedProposal>,
    answered: Result<ProposalResponse, Rejected>,
) -> Result<EndorseResponse, Status> {
    if let Some(failure) = failure(&answered) {
        let text = "failed to endorse transaction, see attached details for more info";
        return Err(of_this_node(
            services,
            Code::Aborted,
            text,
            &failure.message,
        ));
    }
    let prepared = answered.ok().and_then(|response| {
        let payload = proposal?.unsigned_transaction(response)?;
        Some(Envelope {
            payload,
            ..Envelope::default()
        })
    });
    let prepared = prepared.ok_or_else(|| {
        Status::aborted("failed to assemble transaction: the endorser has not endorsed it")
    })?;
    Ok(EndorseResponse {
        prepared_transaction: Some(prepared),
    })
}
