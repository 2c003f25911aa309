//! An envelope of a client on its way into the order, and what an orderer of Fabric answers.

use bytes::Bytes;
use quire_ledger::chain_of;
use quire_ordering::Refused;
use quire_peer::SubmitError;
use quire_wire::common::{ChannelHeader, Envelope, Payload};
use quire_wire::{DecodeError, Message, tolerant};

use crate::backend::Backend;

/// Fabric's status of an orderer's answer (`common.Status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderStatus {
    BadRequest = 400,
    Forbidden = 403,
    Internal = 500,
    Unavailable = 503,
}

impl OrderStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::Forbidden => "FORBIDDEN",
            Self::Internal => "INTERNAL_SERVER_ERROR",
            Self::Unavailable => "SERVICE_UNAVAILABLE",
        }
    }

    /// Whether the sender must change something, as against trying again later.
    pub(crate) fn is_senders(self) -> bool {
        (self as i32) < 500
    }
}

/// Why an envelope was not ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotOrdered {
    pub(crate) status: OrderStatus,
    /// In Fabric's words where it has some.
    pub(crate) info: String,
}

/// Puts a serialized envelope into the order of the channel that it names. What is ordered already counts as
/// ordered: a client that sends again has not heard the answer. Verifies signatures, and so takes some hundred
/// microseconds.
///
/// # Errors
/// See [`NotOrdered`].
pub(crate) fn order(backend: &dyn Backend, envelope: Bytes) -> Result<(), NotOrdered> {
    let name = channel_of(&envelope).map_err(|error| NotOrdered {
        status: OrderStatus::BadRequest,
        info: format!("could not determine channel ID: error unmarshalling Payload: {error}"),
    })?;
    let channel = backend.channel(&name).ok_or_else(|| NotOrdered {
        status: OrderStatus::BadRequest,
        info: "channel does not exist".to_owned(),
    })?;
    match channel.submitter.order(envelope) {
        Ok(_) | Err(SubmitError::Duplicate) => Ok(()),
        Err(error) => Err(not_ordered(&error)),
    }
}

/// The channel that an envelope names.
pub(crate) fn channel_of(envelope: &Bytes) -> Result<String, DecodeError> {
    let envelope = Envelope::decode(envelope.clone())?;
    let payload = Payload::decode(envelope.payload)?;
    let header = payload.header.unwrap_or_default().channel_header;
    let header: ChannelHeader = tolerant::decode(header, tolerant::CHANNEL_HEADER)?;
    Ok(header.channel_id)
}

fn not_ordered(error: &SubmitError) -> NotOrdered {
    let status = match error {
        SubmitError::Refused(refused) => match refused {
            Refused::Creator(_)
            | Refused::Expired(_)
            | Refused::Signature(_)
            | Refused::NotAWriter(_) => OrderStatus::Forbidden,
            _ => OrderStatus::BadRequest,
        },
        // Fabric's orderer has a status of its own for it, and does not use it.
        SubmitError::TooLarge | SubmitError::Config(_) => OrderStatus::BadRequest,
        SubmitError::ReadOnly
        | SubmitError::Overloaded { .. }
        | SubmitError::NotReady
        | SubmitError::StateUnavailable
        | SubmitError::StorageFailed => OrderStatus::Unavailable,
        SubmitError::Duplicate | SubmitError::Chaincode(_) => OrderStatus::Internal,
    };
    NotOrdered {
        status,
        info: chain_of(error),
    }
}
