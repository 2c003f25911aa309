//! Channel configuration: packages `common` (`configtx.proto`, `configuration.proto`,
//! `policies.proto`), `orderer` and `peer` (`configuration.proto`) of Fabric.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The data of a CONFIG payload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigEnvelope {
    /// The whole configuration that is in force from this block on.
    #[prost(message, optional, tag = "1")]
    pub config: Option<Config>,
    /// The update that led here; not set in block 0.
    #[prost(message, optional, tag = "2")]
    pub last_update: Option<super::common::Envelope>,
}

/// A channel configuration.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Config {
    /// Grows by one with every update.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// The root of the tree.
    #[prost(message, optional, tag = "2")]
    pub channel_group: Option<ConfigGroup>,
}

/// A node of the configuration tree.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigGroup {
    /// Grows by one when the set of members changes.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// Sub-groups by name.
    #[prost(btree_map = "string, message", tag = "2")]
    pub groups: BTreeMap<String, ConfigGroup>,
    /// Values by name.
    #[prost(btree_map = "string, message", tag = "3")]
    pub values: BTreeMap<String, ConfigValue>,
    /// Policies by name.
    #[prost(btree_map = "string, message", tag = "4")]
    pub policies: BTreeMap<String, ConfigPolicy>,
    /// The policy that governs changes of this group.
    #[prost(string, tag = "5")]
    pub mod_policy: String,
}

/// A leaf of the configuration tree.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigValue {
    /// Grows by one with every change.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// A message whose type follows from the value's name.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// The policy that governs changes of this value.
    #[prost(string, tag = "3")]
    pub mod_policy: String,
}

/// A policy in the configuration tree.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigPolicy {
    /// Grows by one with every change.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// The policy itself.
    #[prost(message, optional, tag = "2")]
    pub policy: Option<Policy>,
    /// The policy that governs changes of this policy.
    #[prost(string, tag = "3")]
    pub mod_policy: String,
}

/// A policy of one of several kinds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Policy {
    /// A [`policy_type`].
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// A [`SignaturePolicyEnvelope`] or an [`ImplicitMetaPolicy`].
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// Values of the `type` of a [`Policy`].
pub mod policy_type {
    /// A [`super::SignaturePolicyEnvelope`].
    pub const SIGNATURE: i32 = 1;
    /// An [`super::ImplicitMetaPolicy`].
    pub const IMPLICIT_META: i32 = 3;
}

/// A rule over signatures with the identities it speaks of.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignaturePolicyEnvelope {
    /// Always 0.
    #[prost(int32, tag = "1")]
    pub version: i32,
    /// The rule.
    #[prost(message, optional, tag = "2")]
    pub rule: Option<SignaturePolicy>,
    /// What the rule's leaves point at.
    #[prost(message, repeated, tag = "3")]
    pub identities: Vec<super::msp::MspPrincipal>,
}

/// A tree of "n out of these" with principals as leaves.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignaturePolicy {
    /// Leaf or inner node.
    #[prost(oneof = "SignatureRule", tags = "1, 2")]
    pub rule: Option<SignatureRule>,
}

/// The two kinds of [`SignaturePolicy`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum SignatureRule {
    /// A signature by the identity at this position.
    #[prost(int32, tag = "1")]
    SignedBy(i32),
    /// At least `n` of the rules.
    #[prost(message, tag = "2")]
    NOutOf(NOutOf),
}

/// At least `n` of `rules` hold.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NOutOf {
    /// The number of rules that must hold.
    #[prost(int32, tag = "1")]
    pub n: i32,
    /// The rules.
    #[prost(message, repeated, tag = "2")]
    pub rules: Vec<SignaturePolicy>,
}

/// A rule over the policies of the same name in the sub-groups.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImplicitMetaPolicy {
    /// Name of the policy in the sub-groups.
    #[prost(string, tag = "1")]
    pub sub_policy: String,
    /// An [`implicit_meta_rule`].
    #[prost(int32, tag = "2")]
    pub rule: i32,
}

/// Values of [`ImplicitMetaPolicy::rule`].
pub mod implicit_meta_rule {
    /// One sub-group suffices.
    pub const ANY: i32 = 0;
    /// Every sub-group must agree.
    pub const ALL: i32 = 1;
    /// More than half of the sub-groups must agree.
    pub const MAJORITY: i32 = 2;
}

/// Value `HashingAlgorithm`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HashingAlgorithm {
    /// `SHA256`.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Value `BlockDataHashingStructure`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BlockDataHashingStructure {
    /// Width of the Merkle tree; `u32::MAX` means a flat hash, the only one Fabric accepts.
    #[prost(uint32, tag = "1")]
    pub width: u32,
}

/// Value `OrdererAddresses`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OrdererAddresses {
    /// `host:port` of each orderer.
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
}

/// Value `Capabilities`: the behaviour that every member must know.
///
/// Fabric declares a map. Its entries are spelled out here because Fabric writes the empty message of
/// each, and prost's maps leave such a default out.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Capabilities {
    /// Sorted by name; each name occurs once.
    #[prost(message, repeated, tag = "1")]
    pub capabilities: Vec<CapabilityEntry>,
}

/// An entry of [`Capabilities`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CapabilityEntry {
    /// The name, such as `V2_0`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// It is always set.
    #[prost(message, optional, tag = "2")]
    pub capability: Option<Capability>,
}

/// An empty message: the name of a capability says everything.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Capability {}

/// Value `ConsensusType` of the orderer group.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConsensusType {
    /// `solo`, `kafka`, `etcdraft`, `BFT`.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// What the consenter needs.
    #[prost(bytes = "bytes", tag = "2")]
    pub metadata: Bytes,
    /// 0 is normal, 1 is maintenance.
    #[prost(int32, tag = "3")]
    pub state: i32,
}

/// What [`ConsensusType::metadata`] holds for `etcdraft`, as far as it says who takes part.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RaftMetadata {
    /// The orderers that take part.
    #[prost(message, repeated, tag = "1")]
    pub consenters: Vec<RaftConsenter>,
}

/// An orderer that takes part in `etcdraft`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RaftConsenter {
    /// Where the others reach it.
    #[prost(string, tag = "1")]
    pub host: String,
    /// At which port.
    #[prost(uint32, tag = "2")]
    pub port: u32,
}

/// Value `BatchSize` of the orderer group.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BatchSize {
    /// The most transactions in a block.
    #[prost(uint32, tag = "1")]
    pub max_message_count: u32,
    /// The most bytes that a transaction may have.
    #[prost(uint32, tag = "2")]
    pub absolute_max_bytes: u32,
    /// The bytes that a block exceeds only if it must.
    #[prost(uint32, tag = "3")]
    pub preferred_max_bytes: u32,
}

/// Value `BatchTimeout` of the orderer group.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchTimeout {
    /// A duration in Go's notation, such as `2s`.
    #[prost(string, tag = "1")]
    pub timeout: String,
}

/// Value `ChannelRestrictions` of the orderer group.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ChannelRestrictions {
    /// The most channels; 0 is no limit.
    #[prost(uint64, tag = "1")]
    pub max_count: u64,
}

/// The data of a `CONFIG_UPDATE` payload: what should change, and who signed for it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigUpdateEnvelope {
    /// A serialized [`ConfigUpdate`].
    #[prost(bytes = "bytes", tag = "1")]
    pub config_update: Bytes,
    /// Signatures, each over its own header and `config_update`.
    #[prost(message, repeated, tag = "2")]
    pub signatures: Vec<ConfigSignature>,
}

/// A signature of a [`ConfigUpdateEnvelope`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfigSignature {
    /// A serialized [`super::common::SignatureHeader`].
    #[prost(bytes = "bytes", tag = "1")]
    pub signature_header: Bytes,
    /// A signature over the header's and the update's bytes, ASN.1 DER, low S.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
}

/// A change of a channel's configuration.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigUpdate {
    /// The channel.
    #[prost(string, tag = "1")]
    pub channel_id: String,
    /// The versions from which the change was computed. Only versions count.
    #[prost(message, optional, tag = "2")]
    pub read_set: Option<ConfigGroup>,
    /// A changed element has a version that is one higher, and a new element has version 0.
    #[prost(message, optional, tag = "3")]
    pub write_set: Option<ConfigGroup>,
    /// Parts that a receiver may not know.
    #[prost(btree_map = "string, bytes", tag = "5")]
    pub isolated_data: BTreeMap<String, Bytes>,
}

/// Value `ACLs` of the application group: which policies guard which functions.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Acls {
    /// The key is the function's name, such as `qscc/GetChainInfo`.
    #[prost(btree_map = "string, message", tag = "1")]
    pub acls: BTreeMap<String, ApiResource>,
}

/// The policy of a function.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ApiResource {
    /// A path, or the name of a policy of the application group.
    #[prost(string, tag = "1")]
    pub policy_ref: String,
}

/// Value `AnchorPeers` of an organisation in the application group.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AnchorPeers {
    /// Peers through which other organisations may learn about this one.
    #[prost(message, repeated, tag = "1")]
    pub anchor_peers: Vec<AnchorPeer>,
}

/// The address where a peer listens.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AnchorPeer {
    /// A name or an address.
    #[prost(string, tag = "1")]
    pub host: String,
    /// A TCP port.
    #[prost(int32, tag = "2")]
    pub port: i32,
}

/// Value `Orderers` of the orderer group: who takes part in BFT.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Orderers {
    /// The nodes that take part.
    #[prost(message, repeated, tag = "1")]
    pub consenter_mapping: Vec<Consenter>,
}

/// A node that takes part in BFT.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Consenter {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// The host where it listens.
    #[prost(string, tag = "2")]
    pub host: String,
    /// The port there.
    #[prost(uint32, tag = "3")]
    pub port: u32,
    /// Its organisation.
    #[prost(string, tag = "4")]
    pub msp_id: String,
    /// Its certificate, PEM.
    #[prost(bytes = "bytes", tag = "5")]
    pub identity: Bytes,
    /// Its certificate as a client of TLS, PEM.
    #[prost(bytes = "bytes", tag = "6")]
    pub client_tls_cert: Bytes,
    /// Its certificate as a server of TLS, PEM.
    #[prost(bytes = "bytes", tag = "7")]
    pub server_tls_cert: Bytes,
}

/// Value `KafkaBrokers` of the orderer group.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KafkaBrokers {
    /// `host:port` of each broker.
    #[prost(string, repeated, tag = "1")]
    pub brokers: Vec<String>,
}

/// Value `Consortium` of the root group.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Consortium {
    /// The consortium that the channel was made for.
    #[prost(string, tag = "1")]
    pub name: String,
}
