//! `Submit`: a signed transaction goes into the order.

use std::sync::Arc;

use quire_chaincode::Weight;
use quire_wire::deliver::status;
use quire_wire::gateway::{SubmitRequest, SubmitResponse};
use quire_wire::transaction::seal;
use tonic::{Code, Status};

use super::failure::of_this_node;
use crate::call::{Caller, by_size};
use crate::ordered::{is_update, order};
use crate::services::{MAX_NAME, Services};

/// `Submit`.
pub(crate) async fn submit(
    services: Arc<Services>,
    request: SubmitRequest,
    _: Caller,
) -> Result<SubmitResponse, Status> {
    let envelope = request.prepared_transaction;
    let envelope =
        envelope.ok_or_else(|| Status::invalid_argument("a prepared transaction is required"))?;
    if envelope.signature.is_empty() {
        return Err(Status::invalid_argument(
            "prepared transaction must be signed",
        ));
    }
    let channel = request.channel_id;
    if channel.len() > MAX_NAME {
        return Err(Status::failed_precondition(
            "the name of the channel is too long",
        ));
    }
    let Some(served) = services.backend.channel(&channel) else {
        return Err(Status::failed_precondition(format!(
            "failed to get config for channel [{channel}]: could not get last config for channel {channel}"
        )));
    };
    let envelope = seal(envelope.payload, envelope.signature);
    // An update of the configuration has many signatures.
    let weight = if is_update(&envelope) {
        Weight::Keys
    } else {
        Weight::Brief
    };
    let weight = by_size(weight, envelope.len());
    let backend = Arc::clone(&services.backend);
    let ordered = services.threads.weighed(weight, &served.reader, move || {
        order(&*backend, envelope).outcome
    });
    let placed = match ordered.await? {
        Ok(handed) => handed.wait().await,
        Err(refused) => Err(refused),
    };
    let Err(refused) = placed else {
        return Ok(SubmitResponse {});
    };
    let said = format!(
        "received unsuccessful response from orderer: status={}, info={}",
        status::name(refused.status),
        refused.info
    );
    if refused.is_senders() {
        return Err(Status::aborted(said));
    }
    let text = "no orderers could successfully process transaction";
    Err(of_this_node(&services, Code::Unavailable, text, &said))
}
