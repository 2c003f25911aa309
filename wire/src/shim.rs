//! Package `protos` of Fabric (`peer/chaincode_shim.proto`): what a peer and a chaincode say to each other.

use bytes::Bytes;

use crate::common::Timestamp;
use crate::peer::{ChaincodeEvent, SignedProposal};

/// A message of a peer or of a chaincode.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeMessage {
    /// A [`MessageType`].
    #[prost(enumeration = "MessageType", tag = "1")]
    pub r#type: i32,
    /// The time when it was made; Fabric's peer does not set it.
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<Timestamp>,
    /// A serialized message, which depends on the type.
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
    /// The transaction that it is about.
    #[prost(string, tag = "4")]
    pub txid: String,
    /// In a call, what the client sent.
    #[prost(message, optional, tag = "5")]
    pub proposal: Option<SignedProposal>,
    /// In the result of a call, what the chaincode tells its listeners.
    #[prost(message, optional, tag = "6")]
    pub chaincode_event: Option<ChaincodeEvent>,
    /// The channel of the transaction.
    #[prost(string, tag = "7")]
    pub channel_id: String,
}

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are Fabric's")]
pub enum MessageType {
    Undefined = 0,
    Register = 1,
    Registered = 2,
    Init = 3,
    Ready = 4,
    Transaction = 5,
    Completed = 6,
    Error = 7,
    GetState = 8,
    PutState = 9,
    DelState = 10,
    InvokeChaincode = 11,
    Response = 13,
    GetStateByRange = 14,
    GetQueryResult = 15,
    QueryStateNext = 16,
    QueryStateClose = 17,
    Keepalive = 18,
    GetHistoryForKey = 19,
    GetStateMetadata = 20,
    PutStateMetadata = 21,
    GetPrivateDataHash = 22,
    PurgePrivateData = 23,
    WriteBatchState = 24,
    GetStateMultiple = 25,
}

impl MessageType {
    /// Fabric's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Undefined => "UNDEFINED",
            Self::Register => "REGISTER",
            Self::Registered => "REGISTERED",
            Self::Init => "INIT",
            Self::Ready => "READY",
            Self::Transaction => "TRANSACTION",
            Self::Completed => "COMPLETED",
            Self::Error => "ERROR",
            Self::GetState => "GET_STATE",
            Self::PutState => "PUT_STATE",
            Self::DelState => "DEL_STATE",
            Self::InvokeChaincode => "INVOKE_CHAINCODE",
            Self::Response => "RESPONSE",
            Self::GetStateByRange => "GET_STATE_BY_RANGE",
            Self::GetQueryResult => "GET_QUERY_RESULT",
            Self::QueryStateNext => "QUERY_STATE_NEXT",
            Self::QueryStateClose => "QUERY_STATE_CLOSE",
            Self::Keepalive => "KEEPALIVE",
            Self::GetHistoryForKey => "GET_HISTORY_FOR_KEY",
            Self::GetStateMetadata => "GET_STATE_METADATA",
            Self::PutStateMetadata => "PUT_STATE_METADATA",
            Self::GetPrivateDataHash => "GET_PRIVATE_DATA_HASH",
            Self::PurgePrivateData => "PURGE_PRIVATE_DATA",
            Self::WriteBatchState => "WRITE_BATCH_STATE",
            Self::GetStateMultiple => "GET_STATE_MULTIPLE",
        }
    }
}

/// What the peer can do beyond Fabric 2; it is sent with `READY`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ChaincodeAdditionalParams {
    /// Whether the peer accepts batches of writes.
    #[prost(bool, tag = "1")]
    pub use_write_batch: bool,
    /// The most writes of a batch.
    #[prost(uint32, tag = "2")]
    pub max_size_write_batch: u32,
    /// Whether the peer reads several keys at once.
    #[prost(bool, tag = "3")]
    pub use_get_multiple_keys: bool,
    /// The most keys of such a request.
    #[prost(uint32, tag = "4")]
    pub max_size_get_multiple_keys: u32,
}

/// A key whose value is asked for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetState {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The private collection; empty for public state.
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// A key whose metadata are asked for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetStateMetadata {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The private collection; empty for public state.
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// Keys whose values are asked for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetStateMultiple {
    /// The keys.
    #[prost(string, repeated, tag = "1")]
    pub keys: Vec<String>,
    /// The private collection; empty for public state.
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// The values of several keys.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetStateMultipleResult {
    /// In the order of the keys; empty for a key without a value.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub values: Vec<Bytes>,
}

/// A key to write.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PutState {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its new value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// The private collection; empty for public state.
    #[prost(string, tag = "3")]
    pub collection: String,
}

/// A key whose metadata must be written.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PutStateMetadata {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The private collection; empty for public state.
    #[prost(string, tag = "3")]
    pub collection: String,
    /// The whole new metadata.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<StateMetadata>,
}

/// Several writes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WriteBatchState {
    /// In order.
    #[prost(message, repeated, tag = "1")]
    pub rec: Vec<WriteRecord>,
}

/// One write of several.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WriteRecord {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its new value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// The private collection; empty for public state.
    #[prost(string, tag = "3")]
    pub collection: String,
    /// Its new metadata.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<StateMetadata>,
    /// What is written: a [`MessageType`] that writes.
    #[prost(enumeration = "MessageType", tag = "5")]
    pub r#type: i32,
}

/// A key to delete, or to purge from a collection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DelState {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The private collection; empty for public state.
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// Keys from one to another.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetStateByRange {
    /// The first, inclusive.
    #[prost(string, tag = "1")]
    pub start_key: String,
    /// The last, exclusive; empty for the end of the namespace.
    #[prost(string, tag = "2")]
    pub end_key: String,
    /// The private collection; empty for public state.
    #[prost(string, tag = "3")]
    pub collection: String,
    /// A serialized [`QueryMetadata`], if pages are asked for.
    #[prost(bytes = "bytes", tag = "4")]
    pub metadata: Bytes,
}

/// A rich query.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetQueryResult {
    /// JSON text.
    #[prost(string, tag = "1")]
    pub query: String,
    /// The private collection; empty for public state.
    #[prost(string, tag = "2")]
    pub collection: String,
    /// A serialized [`QueryMetadata`], if pages are asked for.
    #[prost(bytes = "bytes", tag = "3")]
    pub metadata: Bytes,
}

/// The page of a query.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryMetadata {
    /// The most rows of the page.
    #[prost(int32, tag = "1")]
    pub page_size: i32,
    /// The beginning of the page: the bookmark of the page before.
    #[prost(string, tag = "2")]
    pub bookmark: String,
}

/// A key whose past is asked for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetHistoryForKey {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
}

/// Asks for more rows of a query.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryStateNext {
    /// The query's id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Ends a query.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryStateClose {
    /// The query's id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// A row of a query.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryResultBytes {
    /// A serialized [`crate::query_result::Kv`] or [`crate::query_result::KeyModification`].
    #[prost(bytes = "bytes", tag = "1")]
    pub result_bytes: Bytes,
}

/// Rows of a query.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryResponse {
    /// The rows.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResultBytes>,
    /// Whether more follow.
    #[prost(bool, tag = "2")]
    pub has_more: bool,
    /// The query's id.
    #[prost(string, tag = "3")]
    pub id: String,
    /// A serialized [`QueryResponseMetadata`], if pages were asked for.
    #[prost(bytes = "bytes", tag = "4")]
    pub metadata: Bytes,
}

/// What the answer says about a page.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryResponseMetadata {
    /// The number of rows of the page.
    #[prost(int32, tag = "1")]
    pub fetched_records_count: i32,
    /// The beginning of the next page.
    #[prost(string, tag = "2")]
    pub bookmark: String,
}

/// A member of a key's metadata.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StateMetadata {
    /// Its name.
    #[prost(string, tag = "1")]
    pub metakey: String,
    /// Its value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// The metadata of a key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StateMetadataResult {
    /// All members of the metadata.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<StateMetadata>,
}
