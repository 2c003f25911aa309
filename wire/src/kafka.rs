//! `orderer/kafka.proto` of Fabric 1.4: what its orderers write into a channel's topic, and what of that they keep in
//! each block.

use bytes::Bytes;

/// One message of a topic.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KafkaMessage {
    /// What it is. Without it the message means nothing.
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    pub kind: Option<Kind>,
}

/// The kinds of [`KafkaMessage`].
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Kind {
    /// An envelope.
    #[prost(message, tag = "1")]
    Regular(KafkaMessageRegular),
    /// All that waits becomes a block.
    #[prost(message, tag = "2")]
    TimeToCut(KafkaMessageTimeToCut),
    /// An orderer is there.
    #[prost(message, tag = "3")]
    Connect(KafkaMessageConnect),
}

/// An envelope to be ordered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KafkaMessageRegular {
    /// A serialized envelope.
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
    /// The sequence of the configuration that let it in.
    #[prost(uint64, tag = "2")]
    pub config_seq: u64,
    /// A [`class`].
    #[prost(int32, tag = "3")]
    pub class: i32,
    /// The offset at which it was first, if it is there again because the configuration had changed by then; 0
    /// otherwise.
    #[prost(int64, tag = "4")]
    pub original_offset: i64,
}

/// Values of [`KafkaMessageRegular::class`].
pub mod class {
    /// Orderers of Fabric 1.0 did not say.
    pub const UNKNOWN: i32 = 0;
    /// An ordinary transaction.
    pub const NORMAL: i32 = 1;
    /// A configuration.
    pub const CONFIG: i32 = 2;
}

/// The request that what waits becomes a block. The first one for a block is the one that counts.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KafkaMessageTimeToCut {
    /// The number of that block.
    #[prost(uint64, tag = "1")]
    pub block_number: u64,
}

/// The first message of an orderer that has started: after it the partition exists.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KafkaMessageConnect {
    /// Fabric's orderers leave it empty, and read nothing in it.
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
}

/// What a block says of its place in the topic: the consenter's metadata of the block.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct KafkaMetadata {
    /// The offset of the last message that is done with once the block is written.
    #[prost(int64, tag = "1")]
    pub last_offset_persisted: i64,
    /// The largest [original offset](KafkaMessageRegular::original_offset) of all messages that were ordered again.
    #[prost(int64, tag = "2")]
    pub last_original_offset_processed: i64,
    /// The offset of the last configuration that was found stale, and sent again.
    #[prost(int64, tag = "3")]
    pub last_resubmitted_config_offset: i64,
}
