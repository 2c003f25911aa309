//! `orderer/ab.proto` and `peer/events.proto` of Fabric: streams of blocks from peers and orderers, and
//! envelopes for an orderer.

use crate::common::Block;
use crate::peer::ChaincodeEvent;
use crate::rwset::TxPvtReadWriteSet;

/// Values of [`Response::Status`] and [`BroadcastResponse::status`] (Fabric's `common.Status`).
pub mod status {
    /// Done.
    pub const SUCCESS: i32 = 200;
    /// The request must be corrected.
    pub const BAD_REQUEST: i32 = 400;
    /// Whoever asks may not.
    pub const FORBIDDEN: i32 = 403;
    /// There is no such channel or block.
    pub const NOT_FOUND: i32 = 404;
    /// Larger than the channel allows.
    pub const REQUEST_ENTITY_TOO_LARGE: i32 = 413;
    /// Something broke.
    pub const INTERNAL_SERVER_ERROR: i32 = 500;
    /// Not now.
    pub const SERVICE_UNAVAILABLE: i32 = 503;

    /// Fabric's name of a status, such as `BAD_REQUEST`.
    #[must_use]
    pub fn name(status: i32) -> &'static str {
        match status {
            SUCCESS => "SUCCESS",
            BAD_REQUEST => "BAD_REQUEST",
            FORBIDDEN => "FORBIDDEN",
            NOT_FOUND => "NOT_FOUND",
            REQUEST_ENTITY_TOO_LARGE => "REQUEST_ENTITY_TOO_LARGE",
            INTERNAL_SERVER_ERROR => "INTERNAL_SERVER_ERROR",
            SERVICE_UNAVAILABLE => "SERVICE_UNAVAILABLE",
            _ => "UNKNOWN",
        }
    }
}

/// Which blocks somebody wants (`orderer.SeekInfo`): the data of the request's payload.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SeekInfo {
    /// The first block.
    #[prost(message, optional, tag = "1")]
    pub start: Option<SeekPosition>,
    /// The last block.
    #[prost(message, optional, tag = "2")]
    pub stop: Option<SeekPosition>,
    /// A [`seek_behavior`].
    #[prost(int32, tag = "3")]
    pub behavior: i32,
    /// A [`seek_error_response`].
    #[prost(int32, tag = "4")]
    pub error_response: i32,
    /// A [`seek_content`].
    #[prost(int32, tag = "5")]
    pub content_type: i32,
}

/// Values of [`SeekInfo::behavior`]: what happens at a block that does not exist yet.
pub mod seek_behavior {
    /// The stream waits for it.
    pub const BLOCK_UNTIL_READY: i32 = 0;
    /// The stream ends.
    pub const FAIL_IF_NOT_READY: i32 = 1;
}

/// Values of [`SeekInfo::error_response`]: what happens while the channel's consenter is broken.
pub mod seek_error_response {
    /// The stream ends.
    pub const STRICT: i32 = 0;
    /// The blocks that exist are sent.
    pub const BEST_EFFORT: i32 = 1;
}

/// Values of [`SeekInfo::content_type`].
pub mod seek_content {
    /// Whole blocks.
    pub const BLOCK: i32 = 0;
    /// Only headers and signatures, but for blocks with a configuration.
    pub const HEADER_WITH_SIG: i32 = 1;
}

/// A place in a chain.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SeekPosition {
    /// The place.
    #[prost(oneof = "Position", tags = "1, 2, 3, 4")]
    pub position: Option<Position>,
}

/// The kinds of [`SeekPosition`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Oneof)]
pub enum Position {
    /// The newest block that exists.
    #[prost(message, tag = "1")]
    Newest(Nothing),
    /// The first block.
    #[prost(message, tag = "2")]
    Oldest(Nothing),
    /// The block with this number.
    #[prost(message, tag = "3")]
    Specified(SeekSpecified),
    /// The first block that does not exist yet.
    #[prost(message, tag = "4")]
    NextCommit(Nothing),
}

/// A message without fields.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Nothing {}

/// A block by its number.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SeekSpecified {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// A message of a stream of blocks (`protos.DeliverResponse`). An orderer's (`orderer.DeliverResponse`) is the
/// same with the first two kinds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeliverResponse {
    /// What it is.
    #[prost(oneof = "Response", tags = "1, 2, 3, 4")]
    pub response: Option<Response>,
}

/// The kinds of [`DeliverResponse`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Response {
    /// How the request ended: a [`status`].
    #[prost(int32, tag = "1")]
    Status(i32),
    /// A block.
    #[prost(message, tag = "2")]
    Block(Block),
    /// A block's verdicts.
    #[prost(message, tag = "3")]
    FilteredBlock(FilteredBlock),
    /// A block with the private data behind its hashes.
    #[prost(message, tag = "4")]
    BlockAndPrivateData(BlockAndPrivateData),
}

impl From<Response> for DeliverResponse {
    fn from(response: Response) -> Self {
        let response = Some(response);
        Self { response }
    }
}

/// What became of a block's transactions, without what they hold.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilteredBlock {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel_id: String,
    /// The block's number.
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// The transactions.
    #[prost(message, repeated, tag = "4")]
    pub filtered_transactions: Vec<FilteredTransaction>,
}

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilteredTransaction {
    /// Its id.
    #[prost(string, tag = "1")]
    pub txid: String,
    /// A [`crate::common::header_type`].
    #[prost(int32, tag = "2")]
    pub r#type: i32,
    /// A [`crate::Code`].
    #[prost(int32, tag = "3")]
    pub tx_validation_code: i32,
    /// Set for endorser transactions.
    #[prost(message, optional, tag = "4")]
    pub transaction_actions: Option<FilteredTransactionActions>,
}

/// What an endorser transaction told.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilteredTransactionActions {
    /// One entry for each action that told something.
    #[prost(message, repeated, tag = "1")]
    pub chaincode_actions: Vec<FilteredChaincodeAction>,
}

/// What an action told.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FilteredChaincodeAction {
    /// The event without its payload.
    #[prost(message, optional, tag = "1")]
    pub chaincode_event: Option<ChaincodeEvent>,
}

/// A block with private data.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BlockAndPrivateData {
    /// The block.
    #[prost(message, optional, tag = "1")]
    pub block: Option<Block>,
    /// What its transactions wrote to private collections.
    ///
    /// Fabric declares a map. Its entries are spelled out here because Fabric writes the key 0, and prost's maps
    /// leave such a default out.
    #[prost(message, repeated, tag = "2")]
    pub private_data: Vec<PrivateDataEntry>,
}

/// An entry of [`BlockAndPrivateData`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct PrivateDataEntry {
    /// Position of the transaction in the block.
    #[prost(uint64, optional, tag = "1")]
    pub tx: Option<u64>,
    /// What it wrote.
    #[prost(message, optional, tag = "2")]
    pub set: Option<TxPvtReadWriteSet>,
}

/// An orderer's answer to an envelope.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BroadcastResponse {
    /// A [`status`].
    #[prost(int32, tag = "1")]
    pub status: i32,
    /// Why it was refused.
    #[prost(string, tag = "2")]
    pub info: String,
}
