//! Package `protos` of Fabric (`peer/*.proto`): proposals, transactions, chaincode calls.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::common::Timestamp;
use crate::config::SignaturePolicyEnvelope;

/// What a client asks peers to endorse.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Proposal {
    /// A serialized [`crate::common::Header`].
    #[prost(bytes = "bytes", tag = "1")]
    pub header: Bytes,
    /// A serialized [`ChaincodeProposalPayload`].
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
    /// Unused.
    #[prost(bytes = "bytes", tag = "3")]
    pub extension: Bytes,
}

/// A proposal with its creator's signature.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignedProposal {
    /// A serialized [`Proposal`].
    #[prost(bytes = "bytes", tag = "1")]
    pub proposal_bytes: Bytes,
    /// The creator's signature over it.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
}

/// Extension of the channel header: which chaincode is called.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeHeaderExtension {
    /// The chaincode.
    #[prost(message, optional, tag = "2")]
    pub chaincode_id: Option<ChaincodeId>,
}

/// A chaincode by name and version.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeId {
    /// Path of its source; unused.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The name, which is also its namespace in state.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The version that ran.
    #[prost(string, tag = "3")]
    pub version: String,
}

/// The chaincode call that a proposal requests.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeProposalPayload {
    /// A serialized [`ChaincodeInvocationSpec`].
    #[prost(bytes = "bytes", tag = "1")]
    pub input: Bytes,
    /// Private input: never part of a transaction or a hash.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub transient_map: BTreeMap<String, Vec<u8>>,
}

/// A chaincode call.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeInvocationSpec {
    /// Which chaincode and with what.
    #[prost(message, optional, tag = "1")]
    pub chaincode_spec: Option<ChaincodeSpec>,
}

/// A chaincode and its input.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeSpec {
    /// The language; 1 (Go) in all of Fabric's own clients.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Which chaincode.
    #[prost(message, optional, tag = "2")]
    pub chaincode_id: Option<ChaincodeId>,
    /// Function and arguments.
    #[prost(message, optional, tag = "3")]
    pub input: Option<ChaincodeInput>,
    /// Unused.
    #[prost(int32, tag = "4")]
    pub timeout: i32,
}

/// The arguments of a call; the first is the function's name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeInput {
    /// Function name, then arguments.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub args: Vec<Bytes>,
    /// What others than the caller added to the call; the key is its name.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub decorations: BTreeMap<String, Vec<u8>>,
    /// Whether this is the chaincode's first call.
    #[prost(bool, tag = "3")]
    pub is_init: bool,
}

/// What an endorser signs (with its identity appended).
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProposalResponsePayload {
    /// See [`crate::hash::proposal_hash`].
    #[prost(bytes = "bytes", tag = "1")]
    pub proposal_hash: Bytes,
    /// A serialized [`ChaincodeAction`].
    #[prost(bytes = "bytes", tag = "2")]
    pub extension: Bytes,
}

/// What a chaincode call did.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeAction {
    /// A serialized [`crate::rwset::TxReadWriteSet`].
    #[prost(bytes = "bytes", tag = "1")]
    pub results: Bytes,
    /// A serialized [`ChaincodeEvent`].
    #[prost(bytes = "bytes", tag = "2")]
    pub events: Bytes,
    /// What the chaincode answered.
    #[prost(message, optional, tag = "3")]
    pub response: Option<Response>,
    /// Which chaincode answered.
    #[prost(message, optional, tag = "4")]
    pub chaincode_id: Option<ChaincodeId>,
}

/// What a chaincode tells its listeners.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeEvent {
    /// Which chaincode tells it.
    #[prost(string, tag = "1")]
    pub chaincode_id: String,
    /// The transaction in which it tells it.
    #[prost(string, tag = "2")]
    pub tx_id: String,
    /// Its name.
    #[prost(string, tag = "3")]
    pub event_name: String,
    /// What it tells.
    #[prost(bytes = "bytes", tag = "4")]
    pub payload: Bytes,
}

/// A chaincode's answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// A status as in HTTP; below 400 the call is endorsed.
    #[prost(int32, tag = "1")]
    pub status: i32,
    /// A message for people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// The result.
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
}

/// An endorser's answer to a proposal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProposalResponse {
    /// Always 1.
    #[prost(int32, tag = "1")]
    pub version: i32,
    /// The endorser's clock.
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<Timestamp>,
    /// The chaincode's answer.
    #[prost(message, optional, tag = "4")]
    pub response: Option<Response>,
    /// A serialized [`ProposalResponsePayload`].
    #[prost(bytes = "bytes", tag = "5")]
    pub payload: Bytes,
    /// The signature.
    #[prost(message, optional, tag = "6")]
    pub endorsement: Option<Endorsement>,
    /// What the call touched, by which those who must endorse it are found.
    #[prost(message, optional, tag = "7")]
    pub interest: Option<ChaincodeInterest>,
}

/// An endorser's signature over `proposal response payload ‖ endorser`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Endorsement {
    /// A serialized [`crate::msp::SerializedIdentity`].
    #[prost(bytes = "bytes", tag = "1")]
    pub endorser: Bytes,
    /// ASN.1 DER, low S.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
}

/// The data of an endorser transaction's payload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Transaction {
    /// Always one.
    #[prost(message, repeated, tag = "1")]
    pub actions: Vec<TransactionAction>,
}

/// One action of a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TransactionAction {
    /// A serialized [`crate::common::SignatureHeader`]: the proposal's.
    #[prost(bytes = "bytes", tag = "1")]
    pub header: Bytes,
    /// A serialized [`ChaincodeActionPayload`].
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
}

/// The call and its outcome.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeActionPayload {
    /// A serialized [`ChaincodeProposalPayload`] without its transient map.
    #[prost(bytes = "bytes", tag = "1")]
    pub chaincode_proposal_payload: Bytes,
    /// The endorsed outcome.
    #[prost(message, optional, tag = "2")]
    pub action: Option<ChaincodeEndorsedAction>,
}

/// The outcome of a call with its endorsements.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeEndorsedAction {
    /// A serialized [`ProposalResponsePayload`].
    #[prost(bytes = "bytes", tag = "1")]
    pub proposal_response_payload: Bytes,
    /// Who endorsed it.
    #[prost(message, repeated, tag = "2")]
    pub endorsements: Vec<Endorsement>,
}

/// The calls of a transaction that is to be endorsed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeInterest {
    /// The calls, the transaction's own first.
    #[prost(message, repeated, tag = "1")]
    pub chaincodes: Vec<ChaincodeCall>,
}

/// What a transaction does with a chaincode.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeCall {
    /// The chaincode.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The collections that it touches.
    #[prost(string, repeated, tag = "2")]
    pub collection_names: Vec<String>,
    /// Whether it reads none of their data.
    #[prost(bool, tag = "3")]
    pub no_private_reads: bool,
    /// Whether it writes nothing outside of them.
    #[prost(bool, tag = "4")]
    pub no_public_writes: bool,
    /// The policies of the keys that it writes.
    #[prost(message, repeated, tag = "5")]
    pub key_policies: Vec<SignaturePolicyEnvelope>,
    /// Whether the chaincode's own policy does not matter.
    #[prost(bool, tag = "6")]
    pub disregard_namespace_policy: bool,
}
