//! An envelope of a client on its way into the order, and what an orderer of Fabric answers.
//!
//! Statuses and texts are those of an orderer without a system channel, which applications match.

use std::sync::Arc;

use bytes::Bytes;
use quire_identity::config::UpdateError;
use quire_ledger::chain_of;
use quire_peer::{Channel, Promised, Refused, SubmitError, UpdateRefused};
use quire_wire::common::{ChannelHeader, Envelope, Payload, header_type};
use quire_wire::deliver::status;
use quire_wire::{DecodeError, tolerant};

use crate::backend::Backend;
use crate::failure::GARBAGE;

/// What Fabric says of a creator who may not write, whatever the reason is.
const DENIED: &str = "implicit policy evaluation failed - 0 sub-policies were satisfied, but this policy requires 1 \
                      of the 'Writers' sub-policies to be satisfied: permission denied";

/// What became of an envelope.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The channel that it names, if there is one.
    pub(crate) channel: Option<Arc<str>>,
    /// A [`header_type`]; none if it cannot be read.
    pub(crate) header_type: Option<i32>,
    pub(crate) outcome: Result<Handed, NotOrdered>,
}

/// An envelope was handed to the order.
#[derive(Debug)]
pub(crate) struct Handed {
    /// The outcome, if the envelope may be lost until then; none if it is in the order already.
    outcome: Option<Promised>,
    channel: Arc<str>,
}

impl Handed {
    /// Waits until the envelope is in the order.
    pub(crate) async fn wait(self) -> Result<(), NotOrdered> {
        let Some(outcome) = self.outcome else {
            return Ok(());
        };
        match outcome.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(turned_away)) => Err(not_ordered(&self.channel, &turned_away)),
            Err(_) => {
                let info = "it is not known whether the order has the transaction: send it again";
                Err(NotOrdered::new(status::SERVICE_UNAVAILABLE, info))
            }
        }
    }
}

/// Why an envelope was not ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotOrdered {
    /// A [`status`].
    pub(crate) status: i32,
    /// In Fabric's words where it has some.
    pub(crate) info: String,
}

impl NotOrdered {
    fn new(status: i32, info: impl Into<String>) -> Self {
        let info = info.into();
        Self { status, info }
    }

    fn bad(info: impl Into<String>) -> Self {
        Self::new(status::BAD_REQUEST, info)
    }

    /// Whether the sender must change something, as against trying again later.
    pub(crate) fn is_senders(&self) -> bool {
        self.status < status::INTERNAL_SERVER_ERROR
    }
}

/// Whether a serialized envelope is an update of a configuration.
pub(crate) fn is_update(envelope: &Bytes) -> bool {
    let header = header(envelope).ok().flatten();
    header.is_some_and(|header| header.r#type == header_type::CONFIG_UPDATE)
}

/// Puts a serialized envelope into the order of the channel that it names. What is ordered already counts as
/// ordered: a client that sends again has not heard the answer, and if it is put into a block, its id is used up
/// there. Verifies signatures, and so takes some hundred microseconds.
pub(crate) fn order(backend: &dyn Backend, envelope: Bytes) -> Attempt {
    let refused = |channel, header_type, refused| Attempt {
        channel,
        header_type,
        outcome: Err(refused),
    };
    let header = match header(&envelope) {
        Ok(Some(header)) => header,
        Ok(None) => {
            let info = "could not determine channel ID: header not set";
            return refused(None, None, NotOrdered::bad(info));
        }
        Err(error) => {
            let info =
                format!("could not determine channel ID: error unmarshalling Payload: {error}");
            return refused(None, None, NotOrdered::bad(info));
        }
    };
    let kind = Some(header.r#type);
    let Some(channel) = backend.channel(&header.channel_id) else {
        return refused(None, kind, NotOrdered::bad("channel does not exist"));
    };
    let outcome = match header.r#type {
        header_type::CONFIG => Err(NotOrdered::bad(
            "message is of type that cannot be processed directly",
        )),
        header_type::ORDERER_TRANSACTION => Err(NotOrdered::bad(
            "message is of type that is no longer supported",
        )),
        _ => order_in(&channel, envelope),
    };
    Attempt {
        channel: Some(channel.name),
        header_type: kind,
        outcome,
    }
}

/// The channel header of an envelope; none if it has no headers.
fn header(envelope: &Bytes) -> Result<Option<ChannelHeader>, DecodeError> {
    let envelope: Envelope = tolerant::decode(envelope.clone(), tolerant::ENVELOPE)?;
    let payload: Payload = tolerant::decode(envelope.payload, tolerant::PAYLOAD)?;
    let Some(header) = payload.header else {
        return Ok(None);
    };
    tolerant::decode(header.channel_header, tolerant::CHANNEL_HEADER).map(Some)
}

fn order_in(channel: &Channel, envelope: Bytes) -> Result<Handed, NotOrdered> {
    let submitter = &channel.submitter;
    match submitter.order(envelope) {
        Ok(outcome) => Ok(Handed {
            outcome: submitter.orders_later().then_some(outcome),
            channel: Arc::clone(&channel.name),
        }),
        Err(SubmitError::Duplicate) if submitter.orders_later() => {
            let info = "the transaction is on its way into the order already: look for it, or send it again later";
            Err(NotOrdered::new(status::SERVICE_UNAVAILABLE, info))
        }
        Err(SubmitError::Duplicate) => Ok(Handed {
            outcome: None,
            channel: Arc::clone(&channel.name),
        }),
        Err(error) => Err(not_ordered(&channel.name, &error)),
    }
}

fn not_ordered(channel: &str, error: &SubmitError) -> NotOrdered {
    match error {
        // Fabric's orderer has a status of its own for it, and does not use it.
        SubmitError::TooLarge(too_large) => NotOrdered::bad(format!(
            "message payload is {} bytes and exceeds maximum allowed {} bytes",
            too_large.size_bytes, too_large.limit_bytes
        )),
        SubmitError::Refused(reason) => refused(reason),
        SubmitError::RefusedByOrderer { status, info } => NotOrdered::new(*status, info.clone()),
        SubmitError::Config(reason) => {
            let said = not_applied(channel, reason);
            NotOrdered::bad(format!(
                "error applying config update to existing channel '{channel}': {said}"
            ))
        }
        SubmitError::Duplicate | SubmitError::Chaincode(_) | SubmitError::Unendorsed(_) => {
            NotOrdered::new(status::INTERNAL_SERVER_ERROR, chain_of(error))
        }
        SubmitError::ReadOnly
        | SubmitError::Overloaded { .. }
        | SubmitError::NotReady
        | SubmitError::StateUnavailable
        | SubmitError::OrdererUnavailable(_)
        | SubmitError::StorageFailed => {
            NotOrdered::new(status::SERVICE_UNAVAILABLE, chain_of(error))
        }
    }
}

fn refused(reason: &Refused) -> NotOrdered {
    match reason {
        Refused::Creator(_)
        | Refused::Expired(_)
        | Refused::Signature(_)
        | Refused::NotAWriter(_)
        | Refused::Policy(_) => NotOrdered::new(status::FORBIDDEN, DENIED),
        Refused::Empty => NotOrdered::bad("message payload is empty"),
        Refused::Malformed(_)
        | Refused::OtherChannel(_)
        | Refused::Kind(_)
        | Refused::TxId(_)
        | Refused::TooLarge(_) => NotOrdered::bad(reason.to_string()),
    }
}

/// Why an update of the configuration was not applied.
fn not_applied(channel: &str, reason: &UpdateRefused) -> String {
    match reason {
        UpdateRefused::Decode(_)
        | UpdateRefused::Update(UpdateError::Decode(_) | UpdateError::Malformed(_)) => format!(
            "error converting envelope to config update: error unmarshalling message for type CONFIG_UPDATE: \
             {GARBAGE}"
        ),
        UpdateRefused::Update(UpdateError::Channel(other)) => format!(
            "error authorizing update: ConfigUpdate for channel '{other}' but envelope for channel '{channel}'"
        ),
        reason => format!("error authorizing update: {}", chain_of(reason)),
    }
}
