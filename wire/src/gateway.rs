//! Package `gateway` of Fabric (`gateway/gateway.proto`): what applications and a peer's Gateway say to each other,
//! and the status that a call ends with (`google/rpc/status.proto`).

use bytes::Bytes;

use crate::common::Envelope;
use crate::deliver::SeekPosition;
use crate::peer::{ChaincodeEvent, Response, SignedProposal};

/// Asks for the endorsements of a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndorseRequest {
    /// The transaction's id.
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    /// The channel.
    #[prost(string, tag = "2")]
    pub channel_id: String,
    /// The proposal, signed by its creator.
    #[prost(message, optional, tag = "3")]
    pub proposed_transaction: Option<SignedProposal>,
    /// MSP ids of those whose peers endorse; none leaves it to the Gateway.
    #[prost(string, repeated, tag = "4")]
    pub endorsing_organizations: Vec<String>,
}

/// A transaction that its creator has to sign.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndorseResponse {
    /// The transaction, without a signature.
    #[prost(message, optional, tag = "1")]
    pub prepared_transaction: Option<Envelope>,
}

/// Asks for a transaction to be ordered.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubmitRequest {
    /// The transaction's id.
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    /// The channel.
    #[prost(string, tag = "2")]
    pub channel_id: String,
    /// The transaction, signed by its creator.
    #[prost(message, optional, tag = "3")]
    pub prepared_transaction: Option<Envelope>,
}

/// The transaction is ordered.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SubmitResponse {}

/// A [`CommitStatusRequest`], signed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignedCommitStatusRequest {
    /// The serialized request.
    #[prost(bytes = "bytes", tag = "1")]
    pub request: Bytes,
    /// The signature of the request's identity over it.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
}

/// Asks what became of a transaction.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CommitStatusRequest {
    /// The transaction's id.
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    /// The channel.
    #[prost(string, tag = "2")]
    pub channel_id: String,
    /// Who asks: a serialized [`crate::msp::SerializedIdentity`].
    #[prost(bytes = "bytes", tag = "3")]
    pub identity: Bytes,
}

/// What became of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CommitStatusResponse {
    /// Its validation code.
    #[prost(int32, tag = "1")]
    pub result: i32,
    /// Its block.
    #[prost(uint64, tag = "2")]
    pub block_number: u64,
}

/// Asks for a call of which nothing is ordered.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EvaluateRequest {
    /// The transaction's id.
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    /// The channel.
    #[prost(string, tag = "2")]
    pub channel_id: String,
    /// The proposal, signed by its creator.
    #[prost(message, optional, tag = "3")]
    pub proposed_transaction: Option<SignedProposal>,
    /// MSP ids of those whose peers may answer; none leaves it to the Gateway.
    #[prost(string, repeated, tag = "4")]
    pub target_organizations: Vec<String>,
}

/// What a call answered.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EvaluateResponse {
    /// The chaincode's answer.
    #[prost(message, optional, tag = "1")]
    pub result: Option<Response>,
}

/// A [`ChaincodeEventsRequest`], signed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignedChaincodeEventsRequest {
    /// The serialized request.
    #[prost(bytes = "bytes", tag = "1")]
    pub request: Bytes,
    /// The signature of the request's identity over it.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
}

/// Asks for the events of a chaincode.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeEventsRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel_id: String,
    /// The chaincode.
    #[prost(string, tag = "2")]
    pub chaincode_id: String,
    /// Who asks: a serialized [`crate::msp::SerializedIdentity`].
    #[prost(bytes = "bytes", tag = "3")]
    pub identity: Bytes,
    /// The first block; none begins with the next one.
    #[prost(message, optional, tag = "4")]
    pub start_position: Option<SeekPosition>,
    /// Begins behind this transaction, if it is known.
    #[prost(string, tag = "5")]
    pub after_transaction_id: String,
}

/// The events of a chaincode in a block.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeEventsResponse {
    /// One of each transaction that has one, in their order.
    #[prost(message, repeated, tag = "1")]
    pub events: Vec<ChaincodeEvent>,
    /// The block.
    #[prost(uint64, tag = "2")]
    pub block_number: u64,
}

/// Who failed, and why: a detail of a call's status.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ErrorDetail {
    /// The address of the node.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Its organisation.
    #[prost(string, tag = "2")]
    pub msp_id: String,
    /// What it said.
    #[prost(string, tag = "3")]
    pub message: String,
}

/// The name of [`ErrorDetail`] in an [`Any`].
pub const ERROR_DETAIL: &str = "type.googleapis.com/gateway.ErrorDetail";

/// `google.rpc.Status`: how a call ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RpcStatus {
    /// gRPC's code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// The text.
    #[prost(string, tag = "2")]
    pub message: String,
    /// What there is to know beside the text.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`: a message with its name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Any {
    /// The name of its type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The serialized message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}
