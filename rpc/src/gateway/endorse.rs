//! `Endorse`: a transaction for its creator to sign.

use std::sync::Arc;

use quire_peer::{Wanted, unsigned_transaction};
use quire_wire::common::Envelope;
use quire_wire::gateway::{EndorseRequest, EndorseResponse};
use tonic::{Code, Status};

use super::failure::{failure, of_this_node};
use super::proposal::{NotProposed, Proposed};
use crate::call::Caller;
use crate::endorser::process;
use crate::services::Services;

/// `Endorse`.
pub(crate) async fn endorse(
    services: Arc<Services>,
    request: EndorseRequest,
    _: Caller,
) -> Result<EndorseResponse, Status> {
    let signed = request.proposed_transaction.unwrap_or_default();
    let proposed = Proposed::read(&signed).map_err(|why| {
        Status::invalid_argument(match why {
            NotProposed::Missing => {
                "the proposed transaction must contain a signed proposal".to_owned()
            }
            why => why.to_string(),
        })
    })?;
    let Proposed { channel, chaincode } = &proposed;
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
    let answer = process(&services, signed.clone(), Wanted::Endorsement).await?;
    if let Some(failure) = failure(&answer) {
        let text = "failed to endorse transaction, see attached details for more info";
        return Err(of_this_node(
            &services,
            Code::Aborted,
            text,
            &failure.message,
        ));
    }
    let prepared = answer.ok().and_then(|response| {
        let payload = unsigned_transaction(&signed, response)?;
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
