//! `Endorse`: a transaction for its creator to sign.

use std::sync::Arc;

use quire_chaincode::Weight;
use quire_peer::{Channel, UnpackedProposal, Wanted};
use quire_wire::common::Envelope;
use quire_wire::gateway::{EndorseRequest, EndorseResponse};
use quire_wire::peer::{ChaincodeCall, ChaincodeInterest, ProposalResponse};
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
    let Some(served) = services.backend.channel(channel) else {
        return Err(Status::failed_precondition(format!(
            "no combination of peers can be derived which satisfy the endorsement policy: No metadata was found \
             for chaincode {chaincode} in channel {channel}"
        )));
    };
    let answered = process(&services, Arc::clone(&proposal), Wanted::Endorsement).await?;
    if request.endorsing_organizations.is_empty() {
        suffices(&services, &served, &proposal, &answered).await?;
    }
    assemble(&services, Some(&proposal), answered)
}

/// Makes sure that the endorsement of this node suffices, which nobody asks who names the endorsers. Where a chaincode
/// could not be run here, the answer says whether anybody could have endorsed it.
async fn suffices(
    services: &Arc<Services>,
    channel: &Channel,
    proposal: &UnpackedProposal,
    answered: &Result<ProposalResponse, Rejected>,
) -> Result<(), Status> {
    let Ok(response) = answered else {
        return Ok(());
    };
    let touched = match failure(answered) {
        None => response.interest.clone(),
        Some(failure) if failure.retry => None,
        Some(_) => return Ok(()),
    };
    let touched = touched.filter(|interest| !interest.chaincodes.is_empty());
    let interest = touched.unwrap_or_else(|| ChaincodeInterest {
        chaincodes: vec![ChaincodeCall {
            name: proposal.specified().to_owned(),
            ..ChaincodeCall::default()
        }],
    });
    let work = {
        let (services, channel) = (Arc::clone(services), channel.clone());
        move || services.discovery.suffices(&channel, &interest)
    };
    let found = services
        .threads
        .weighed(Weight::Brief, &channel.reader, work);
    let found = found.await?;
    found.map_err(|error| Status::failed_precondition(error.to_string()))
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
