//! Package `queryresult` of Fabric (`ledger/queryresult/kv_query_result.proto`): rows of queries.

use bytes::Bytes;

use crate::common::Timestamp;

/// A key and its value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Kv {
    /// The namespace of the key.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// The key.
    #[prost(string, tag = "2")]
    pub key: String,
    /// Its value.
    #[prost(bytes = "bytes", tag = "3")]
    pub value: Bytes,
}

/// What a transaction did to a key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KeyModification {
    /// The transaction.
    #[prost(string, tag = "1")]
    pub tx_id: String,
    /// The new value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// When its creator says it made it.
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Timestamp>,
    /// Whether the key was deleted.
    #[prost(bool, tag = "4")]
    pub is_delete: bool,
}
