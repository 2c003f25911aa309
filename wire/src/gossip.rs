//! Package `gossip` of Fabric (`gossip/message.proto`): what a peer says of itself, as discovery passes it on.

use bytes::Bytes;

/// A signed [`GossipMessage`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Envelope {
    /// The message.
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
    /// The sender's signature over it.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
}

/// A message between peers; only two kinds of it are known here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GossipMessage {
    /// Unused in these kinds.
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
    /// The channel, where the message belongs to one alone.
    #[prost(bytes = "bytes", tag = "2")]
    pub channel: Bytes,
    /// A [`tag`]: how far it may be passed on.
    #[prost(int32, tag = "3")]
    pub tag: i32,
    /// What it says.
    #[prost(oneof = "Content", tags = "5, 15")]
    pub content: Option<Content>,
}

/// Values of [`GossipMessage::tag`].
pub mod tag {
    /// Everywhere.
    pub const EMPTY: i32 = 1;
    /// In the channel or in the organisation.
    pub const CHAN_OR_ORG: i32 = 5;
}

/// Two of the kinds of [`GossipMessage`].
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Content {
    /// The sender lives.
    #[prost(message, tag = "5")]
    Alive(AliveMessage),
    /// What the sender has of a channel.
    #[prost(message, tag = "15")]
    StateInfo(StateInfo),
}

/// A peer lives, and answers there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AliveMessage {
    /// Who.
    #[prost(message, optional, tag = "1")]
    pub membership: Option<Member>,
    /// When.
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<PeerTime>,
}

/// A peer and its address.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Member {
    /// `host:port`.
    #[prost(string, tag = "1")]
    pub endpoint: String,
    /// Unused.
    #[prost(bytes = "bytes", tag = "2")]
    pub metadata: Bytes,
    /// What gossip calls the peer.
    #[prost(bytes = "bytes", tag = "3")]
    pub pki_id: Bytes,
}

/// A peer's time.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PeerTime {
    /// When the peer was started, in nanoseconds since 1970.
    #[prost(uint64, tag = "1")]
    pub inc_num: u64,
    /// Grows with each message.
    #[prost(uint64, tag = "2")]
    pub seq_num: u64,
}

/// What a peer has of a channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StateInfo {
    /// When it said so.
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<PeerTime>,
    /// What gossip calls the peer.
    #[prost(bytes = "bytes", tag = "3")]
    pub pki_id: Bytes,
    /// A digest of the peer's name and the channel's.
    #[prost(bytes = "bytes", tag = "4")]
    pub channel_mac: Bytes,
    /// What it has.
    #[prost(message, optional, tag = "5")]
    pub properties: Option<Properties>,
}

/// Height and chaincodes of a peer in a channel.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Properties {
    /// How many blocks it has.
    #[prost(uint64, tag = "1")]
    pub ledger_height: u64,
    /// Whether it left the channel.
    #[prost(bool, tag = "2")]
    pub left_channel: bool,
    /// The chaincodes that it runs.
    #[prost(message, repeated, tag = "3")]
    pub chaincodes: Vec<Chaincode>,
}

/// A chaincode that a peer runs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Chaincode {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The number of its definition.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Unused.
    #[prost(bytes = "bytes", tag = "3")]
    pub metadata: Bytes,
}
