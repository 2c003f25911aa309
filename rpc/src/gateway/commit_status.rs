//! `CommitStatus`: what became of a transaction.

use std::sync::Arc;

use quire_peer::{Channel, SignedData};
use quire_wire::Message as _;
use quire_wire::gateway::{CommitStatusRequest, CommitStatusResponse, SignedCommitStatusRequest};
use tonic::Status;

use crate::call::Caller;
use crate::services::Services;

/// Fabric's resource.
const RESOURCE: &str = "gateway/CommitStatus";

/// `CommitStatus`. Waits for a transaction that is not committed until the caller's deadline, or the node's.
pub(crate) async fn commit_status(
    services: Arc<Services>,
    signed: SignedCommitStatusRequest,
    caller: Caller,
) -> Result<CommitStatusResponse, Status> {
    if signed.request.is_empty() {
        return Err(Status::invalid_argument(
            "a commit status request is required",
        ));
    }
    let request = CommitStatusRequest::decode(signed.request.clone());
    let request = request
        .map_err(|error| Status::invalid_argument(format!("invalid status request: {error}")))?;
    for (is_missing, text) in [
        (request.identity.is_empty(), "no identity provided"),
        (request.channel_id.is_empty(), "no channel ID provided"),
        (
            request.transaction_id.is_empty(),
            "transaction ID should not be empty",
        ),
    ] {
        if is_missing {
            return Err(Status::invalid_argument(text));
        }
    }
    let signed = SignedData {
        creator: &request.identity,
        data: &signed.request,
        signature: &signed.signature,
    };
    let channel = services.permitted(&request.channel_id, RESOURCE, signed)?;
    // Watched before it is looked for: what commits in between is told.
    let watch = channel.submitter.watch(&request.transaction_id);
    if let Some(found) = find(&services, &channel, &request.transaction_id).await? {
        return Ok(found);
    }
    let end = caller.deadline.at_most(services.limits.max_wait);
    let mut stopping = services.backend.stopping();
    let outcome = async {
        match watch.await {
            Some(outcome) => outcome,
            // Nothing will commit any more.
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        outcome = outcome => Ok(CommitStatusResponse {
            result: i32::from(outcome.code.0),
            block_number: outcome.block,
        }),
        () = tokio::time::sleep_until(end) => Err(Status::deadline_exceeded(
            "the transaction was not committed in time",
        )),
        _ = stopping.wait_for(|stopping| *stopping) => {
            Err(Status::unavailable("the node stops: ask again"))
        }
    }
}

async fn find(
    services: &Services,
    channel: &Channel,
    tx_id: &str,
) -> Result<Option<CommitStatusResponse>, Status> {
    let (reader, tx_id) = (channel.reader.clone(), tx_id.to_owned());
    let found =
        services
            .threads
            .weighed(quire_chaincode::Weight::Brief, &channel.reader, move || {
                reader.transaction(&tx_id)
            });
    let found = found.await?;
    let found = found.map_err(|error| Status::aborted(quire_ledger::chain_of(&error)))?;
    Ok(found.map(|location| CommitStatusResponse {
        result: i32::from(location.code.0),
        block_number: location.height.block,
    }))
}
