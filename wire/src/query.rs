//! What Fabric's system chaincodes answer: parts of package `protos` (`peer/query.proto`,
//! `peer/transaction.proto`), of package `common` (`common/ledger.proto`), and the record of a chaincode that was
//! deployed before Fabric 2.

use bytes::Bytes;

use crate::common::Envelope;
use crate::config::SignaturePolicyEnvelope;

/// Where a channel's chain ends.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BlockchainInfo {
    /// How many blocks there are.
    #[prost(uint64, tag = "1")]
    pub height: u64,
    /// The hash of the last block's header.
    #[prost(bytes = "bytes", tag = "2")]
    pub current_block_hash: Bytes,
    /// What the last block names as its previous hash.
    #[prost(bytes = "bytes", tag = "3")]
    pub previous_block_hash: Bytes,
    /// There if the chain begins with a snapshot.
    #[prost(message, optional, tag = "4")]
    pub bootstrapping_snapshot_info: Option<BootstrappingSnapshotInfo>,
}

/// The snapshot that a chain begins with.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BootstrappingSnapshotInfo {
    /// The last block that it includes.
    #[prost(uint64, tag = "1")]
    pub last_block_in_snapshot: u64,
}

/// A transaction with its verdict.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProcessedTransaction {
    /// The transaction.
    #[prost(message, optional, tag = "1")]
    pub transaction_envelope: Option<Envelope>,
    /// The verdict.
    #[prost(int32, tag = "2")]
    pub validation_code: i32,
}

/// The channels of a node.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChannelQueryResponse {
    /// Each of them.
    #[prost(message, repeated, tag = "1")]
    pub channels: Vec<ChannelInfo>,
}

/// A channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChannelInfo {
    /// Its name.
    #[prost(string, tag = "1")]
    pub channel_id: String,
}

/// Chaincodes that are installed, or that a channel has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeQueryResponse {
    /// Each of them.
    #[prost(message, repeated, tag = "1")]
    pub chaincodes: Vec<ChaincodeInfo>,
}

/// A chaincode that is installed, or that a channel has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeInfo {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// The path of its source.
    #[prost(string, tag = "3")]
    pub path: String,
    /// The arguments of its first call, as a text.
    #[prost(string, tag = "4")]
    pub input: String,
    /// What endorses it.
    #[prost(string, tag = "5")]
    pub escc: String,
    /// What validates it.
    #[prost(string, tag = "6")]
    pub vscc: String,
    /// A hash of its code.
    #[prost(bytes = "bytes", tag = "7")]
    pub id: Bytes,
}

/// The record in state of a chaincode that was deployed before Fabric 2.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeData {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// What endorses it.
    #[prost(string, tag = "3")]
    pub escc: String,
    /// What validates it.
    #[prost(string, tag = "4")]
    pub vscc: String,
    /// Who must endorse.
    #[prost(message, optional, tag = "5")]
    pub policy: Option<SignaturePolicyEnvelope>,
    /// Hashes of its code.
    #[prost(bytes = "bytes", tag = "6")]
    pub data: Bytes,
    /// A hash of all of it.
    #[prost(bytes = "bytes", tag = "7")]
    pub id: Bytes,
    /// Who may deploy it.
    #[prost(message, optional, tag = "8")]
    pub instantiation_policy: Option<SignaturePolicyEnvelope>,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use quire_testkit::conformance;

    use super::*;

    #[test]
    fn records_of_chaincodes_are_the_bytes_of_fabric() {
        let cases = conformance::read_lines("rules/privdata/lscc.jsonl");
        let records = cases.iter().filter(|case| case["kind"] == "chaincode_data");
        let mut compared = 0;
        for case in records {
            let text = |member: &str| case[member].as_str().unwrap().to_owned();
            let bytes = |member: &str| Bytes::from(hex::decode(text(member)).unwrap());
            let policy = |member: &str| {
                let bytes = Some(bytes(member)).filter(|bytes| !bytes.is_empty());
                bytes.map(|bytes| SignaturePolicyEnvelope::decode(bytes).unwrap())
            };
            let record = ChaincodeData {
                name: text("name"),
                version: text("version"),
                escc: text("escc"),
                vscc: text("vscc"),
                policy: policy("policy_hex"),
                data: bytes("data_hex"),
                id: bytes("id_hex"),
                instantiation_policy: policy("instantiation_policy_hex"),
            };
            assert_eq!(hex::encode(record.encode_to_vec()), text("bytes_hex"));
            assert_eq!(ChaincodeData::decode(bytes("bytes_hex")), Ok(record));
            compared += 1;
        }
        assert_eq!(compared, 4);
    }
}
