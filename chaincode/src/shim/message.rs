//! Messages of the shim, and what is said in each.

use quire_wire::Message as _;
use quire_wire::shim::{ChaincodeMessage, MessageType};

/// Bytes of a message.
pub(super) fn size(message: &ChaincodeMessage) -> usize {
    message.encoded_len()
}

pub(super) fn of_type(kind: MessageType) -> ChaincodeMessage {
    ChaincodeMessage {
        r#type: kind.into(),
        ..ChaincodeMessage::default()
    }
}

/// Whether a message asks for something.
pub(super) fn is_request(kind: MessageType) -> bool {
    use MessageType as M;
    match kind {
        M::GetState
        | M::PutState
        | M::DelState
        | M::InvokeChaincode
        | M::GetStateByRange
        | M::GetQueryResult
        | M::QueryStateNext
        | M::QueryStateClose
        | M::GetHistoryForKey
        | M::GetStateMetadata
        | M::PutStateMetadata
        | M::GetPrivateDataHash
        | M::PurgePrivateData
        | M::WriteBatchState
        | M::GetStateMultiple => true,
        M::Undefined
        | M::Register
        | M::Registered
        | M::Init
        | M::Ready
        | M::Transaction
        | M::Completed
        | M::Error
        | M::Response
        | M::Keepalive => false,
    }
}

/// Fabric's answer to a request that belongs to no call.
pub(super) fn stray(kind: MessageType, request: &ChaincodeMessage) -> ChaincodeMessage {
    let why = match kind {
        MessageType::InvokeChaincode => "could not get valid transaction",
        _ => "no ledger context",
    };
    failed(kind, &request.channel_id, &request.txid, why)
}

/// Fabric's answer to a request that failed.
pub(super) fn failed(
    kind: MessageType,
    channel_id: &str,
    txid: &str,
    why: &str,
) -> ChaincodeMessage {
    let text = format!("{} failed: transaction ID: {txid}: {why}", kind.name());
    ChaincodeMessage {
        payload: text.into(),
        txid: txid.to_owned(),
        channel_id: channel_id.to_owned(),
        ..of_type(MessageType::Error)
    }
}
