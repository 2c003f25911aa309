//! Package `discovery` of Fabric (`discovery/protocol.proto`): who is in a channel, and who must endorse what.
//!
//! Where Fabric declares a map whose values may be empty messages, its entries are spelled out, because Fabric
//! writes such a value, and prost's maps leave it out.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::deliver::Nothing;
use crate::gossip::Envelope;
use crate::msp::FabricMspConfig;
use crate::peer::ChaincodeInterest;

/// A request with its sender's signature.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignedRequest {
    /// A serialized [`Request`].
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
    /// The signature over it.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
}

/// Several questions of one sender.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Who asks.
    #[prost(message, optional, tag = "1")]
    pub authentication: Option<AuthInfo>,
    /// The questions.
    #[prost(message, repeated, tag = "2")]
    pub queries: Vec<Query>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AuthInfo {
    /// A serialized [`crate::msp::SerializedIdentity`].
    #[prost(bytes = "bytes", tag = "1")]
    pub client_identity: Bytes,
    /// Hash of the sender's TLS certificate, if it has one.
    #[prost(bytes = "bytes", tag = "2")]
    pub client_tls_cert_hash: Bytes,
}

/// A question.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Query {
    /// The channel; empty for [`Question::LocalPeers`].
    #[prost(string, tag = "1")]
    pub channel: String,
    /// The question.
    #[prost(oneof = "Question", tags = "2, 3, 4, 5")]
    pub question: Option<Question>,
}

/// The kinds of [`Query`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Question {
    /// Organisations and orderers.
    #[prost(message, tag = "2")]
    Config(Nothing),
    /// Peers of the channel.
    #[prost(message, tag = "3")]
    Peers(PeerMembershipQuery),
    /// Who must endorse.
    #[prost(message, tag = "4")]
    Chaincodes(ChaincodeQuery),
    /// Peers that this peer knows, of whichever channel.
    #[prost(message, tag = "5")]
    LocalPeers(Nothing),
}

/// Asks for peers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PeerMembershipQuery {
    /// Only those that can endorse this.
    #[prost(message, optional, tag = "1")]
    pub filter: Option<ChaincodeInterest>,
}

/// Asks who must endorse.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeQuery {
    /// Calls, one entry a transaction.
    #[prost(message, repeated, tag = "1")]
    pub interests: Vec<ChaincodeInterest>,
}

/// The answers to a [`Request`], in its order.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// The answers.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// An answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryResult {
    /// The answer.
    #[prost(oneof = "Answer", tags = "1, 2, 3, 4")]
    pub answer: Option<Answer>,
}

/// The kinds of [`QueryResult`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Answer {
    /// There is none.
    #[prost(message, tag = "1")]
    Error(Error),
    /// Organisations and orderers.
    #[prost(message, tag = "2")]
    Config(ConfigResult),
    /// Who must endorse.
    #[prost(message, tag = "3")]
    Chaincodes(ChaincodeQueryResult),
    /// Peers.
    #[prost(message, tag = "4")]
    Members(PeerMembershipResult),
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Error {
    /// The reason.
    #[prost(string, tag = "1")]
    pub content: String,
}

/// Organisations and orderers of a channel.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigResult {
    /// The organisations by their MSP ids.
    #[prost(btree_map = "string, message", tag = "1")]
    pub msps: BTreeMap<String, FabricMspConfig>,
    /// Where the orderers of each organisation answer.
    #[prost(message, repeated, tag = "2")]
    pub orderers: Vec<OrderersEntry>,
}

/// An entry of [`ConfigResult::orderers`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OrderersEntry {
    /// The organisation's MSP id.
    #[prost(string, tag = "1")]
    pub msp_id: String,
    /// The addresses.
    #[prost(message, optional, tag = "2")]
    pub endpoints: Option<Endpoints>,
}

/// Several addresses.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Endpoints {
    /// The addresses.
    #[prost(message, repeated, tag = "1")]
    pub endpoint: Vec<Endpoint>,
}

/// An address.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Endpoint {
    /// The host.
    #[prost(string, tag = "1")]
    pub host: String,
    /// The port.
    #[prost(uint32, tag = "2")]
    pub port: u32,
}

/// Peers by their organisations.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PeerMembershipResult {
    /// One entry for each organisation.
    #[prost(message, repeated, tag = "1")]
    pub peers_by_org: Vec<PeersEntry>,
}

/// Peers under a name: an organisation's MSP id, or a group's.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PeersEntry {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The peers.
    #[prost(message, optional, tag = "2")]
    pub peers: Option<Peers>,
}

/// Several peers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Peers {
    /// The peers.
    #[prost(message, repeated, tag = "1")]
    pub peers: Vec<Peer>,
}

/// A peer, as it says itself.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Peer {
    /// What it has of the channel: a [`crate::gossip::StateInfo`].
    #[prost(message, optional, tag = "1")]
    pub state_info: Option<Envelope>,
    /// Where it answers: a [`crate::gossip::AliveMessage`].
    #[prost(message, optional, tag = "2")]
    pub membership_info: Option<Envelope>,
    /// Its serialized identity.
    #[prost(bytes = "bytes", tag = "3")]
    pub identity: Bytes,
}

/// Who must endorse, one entry for each interest.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeQueryResult {
    /// The entries.
    #[prost(message, repeated, tag = "1")]
    pub content: Vec<EndorsementDescriptor>,
}

/// Who must endorse a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndorsementDescriptor {
    /// The chaincode that is called first.
    #[prost(string, tag = "1")]
    pub chaincode: String,
    /// Groups of peers of which one is as good as another, by names that mean nothing.
    #[prost(message, repeated, tag = "2")]
    pub endorsers_by_groups: Vec<PeersEntry>,
    /// Each of these suffices.
    #[prost(message, repeated, tag = "3")]
    pub layouts: Vec<Layout>,
}

/// How many peers of which groups suffice.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Layout {
    /// How many, by the group's name.
    #[prost(btree_map = "string, uint32", tag = "1")]
    pub quantities_by_group: BTreeMap<String, u32>,
}
