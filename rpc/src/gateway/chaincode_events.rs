//! `ChaincodeEvents`: what a chaincode's valid transactions tell, block by block.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use quire_ledger::chain_of;
use quire_peer::{Channel, SignedData};
use quire_wire::Message as _;
use quire_wire::deliver::Position;
use quire_wire::gateway::{
    ChaincodeEventsRequest, ChaincodeEventsResponse, SignedChaincodeEventsRequest,
};
use tokio::sync::watch;
use tonic::Status;

use crate::call::Answers;
use crate::services::Services;

/// Fabric's resource.
const RESOURCE: &str = "gateway/ChaincodeEvents";

/// `ChaincodeEvents`. Blocks without events of the chaincode are passed over. The stream has no end of its own; a block
/// is read when the reader has taken what came before.
pub(crate) async fn chaincode_events(
    services: Arc<Services>,
    signed: SignedChaincodeEventsRequest,
) -> Result<Answers<ChaincodeEventsResponse>, Status> {
    if signed.request.is_empty() {
        return Err(Status::invalid_argument(
            "a chaincode events request is required",
        ));
    }
    let request = ChaincodeEventsRequest::decode(signed.request.clone()).map_err(|error| {
        Status::invalid_argument(format!("invalid chaincode events request: {error}"))
    })?;
    let data = SignedData {
        creator: &request.identity,
        data: &signed.request,
        signature: &signed.signature,
    };
    let channel = services.permitted(&request.channel_id, RESOURCE, data)?;
    let (next, after) = start(&services, &channel, &request).await?;
    let listener = Listener {
        heights: channel.heights.clone(),
        stopping: services.backend.stopping(),
        creator: Bytes::copy_from_slice(&request.identity),
        chaincode: request.chaincode_id,
        services,
        channel,
        next,
        after,
    };
    Ok(Answers::new(unfold(
        Some(listener),
        |listener| async move {
            let mut listener = listener?;
            match listener.next().await {
                Ok(Some(response)) => Some((Ok(response), Some(listener))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        },
    )))
}

/// The first block to look at, and the transaction behind which events begin.
async fn start(
    services: &Services,
    channel: &Channel,
    request: &ChaincodeEventsRequest,
) -> Result<(u64, Option<After>), Status> {
    let after = &request.after_transaction_id;
    if !after.is_empty() {
        let (reader, tx_id) = (channel.reader.clone(), after.clone());
        let found = services.threads.work(move || reader.transaction(&tx_id));
        let found = found.await?;
        let found = found.map_err(|error| Status::aborted(chain_of(&error)))?;
        if let Some(found) = found {
            let at = found.height;
            let after = After::Transaction {
                block: at.block,
                tx: at.tx,
            };
            return Ok((at.block, Some(after)));
        }
    }
    let position = request.start_position.and_then(|start| start.position);
    let next = match position {
        None | Some(Position::NextCommit(_)) => channel.reader.height(),
        Some(Position::Specified(specified)) => specified.number,
        Some(Position::Newest(_)) => return Err(wrong_start("Newest")),
        Some(Position::Oldest(_)) => return Err(wrong_start("Oldest")),
    };
    // Fabric's Gateway waits for a transaction that it does not know, and tells nothing.
    Ok((next, (!after.is_empty()).then_some(After::Unknown)))
}

fn wrong_start(kind: &str) -> Status {
    Status::invalid_argument(format!(
        "invalid start position type: *orderer.SeekPosition_{kind}"
    ))
}

/// The transaction behind which events begin.
#[derive(Clone, Copy, Debug)]
enum After {
    Transaction { block: u64, tx: u64 },
    Unknown,
}

/// Somebody who listens.
struct Listener {
    services: Arc<Services>,
    channel: Channel,
    heights: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    creator: Bytes,
    chaincode: String,
    /// The block to look at next.
    next: u64,
    after: Option<After>,
}

impl Listener {
    /// The next events; none where no block will follow.
    async fn next(&mut self) -> Result<Option<ChaincodeEventsResponse>, Status> {
        loop {
            let next = self.next;
            let stops = || Status::unavailable("the node stops: listen again");
            tokio::select! {
                grown = self.heights.wait_for(|height| *height > next) => {
                    if grown.is_err() {
                        return Err(stops());
                    }
                }
                _ = self.stopping.wait_for(|stopping| *stopping) => return Err(stops()),
            }
            if let Some(access) = &self.channel.access {
                let may = access.check_again(RESOURCE, &self.creator);
                may.map_err(|error| Status::permission_denied(chain_of(&error)))?;
            }
            if matches!(self.after, Some(After::Unknown)) {
                self.next += 1;
                continue;
            }
            let response = self.read(next).await?;
            self.next += 1;
            if !response.events.is_empty() {
                return Ok(Some(response));
            }
        }
    }

    async fn read(&self, number: u64) -> Result<ChaincodeEventsResponse, Status> {
        let Services { told, threads, .. } = &*self.services;
        let all = told.events(threads, &self.channel, number).await?;
        let wanted = all.iter().filter(|(tx, event)| {
            let is_passed = match self.after {
                None => true,
                Some(After::Transaction { block, tx: at }) => (number, *tx) > (block, at),
                Some(After::Unknown) => false,
            };
            is_passed && event.chaincode_id == self.chaincode
        });
        Ok(ChaincodeEventsResponse {
            events: wanted.map(|(_, event)| event.clone()).collect(),
            block_number: number,
        })
    }
}
