//! Package `protos` of Fabric, `peer/collection.proto` and `peer/policy.proto`: collections of private data.

use crate::config::SignaturePolicyEnvelope;

/// The collections of a chaincode.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CollectionConfigPackage {
    /// One entry a collection.
    #[prost(message, repeated, tag = "1")]
    pub config: Vec<CollectionConfig>,
}

/// A collection of the only kind that there is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CollectionConfig {
    /// The collection; always there.
    #[prost(message, optional, tag = "1")]
    pub static_collection_config: Option<StaticCollectionConfig>,
}

/// A collection whose members its definition names.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StaticCollectionConfig {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Whose peers keep its data.
    #[prost(message, optional, tag = "2")]
    pub member_orgs_policy: Option<CollectionPolicyConfig>,
    /// To how many other peers data must have been given before it is endorsed.
    #[prost(int32, tag = "3")]
    pub required_peer_count: i32,
    /// To how many an endorser tries to give it.
    #[prost(int32, tag = "4")]
    pub maximum_peer_count: i32,
    /// After how many blocks data is purged; never where it is 0.
    #[prost(uint64, tag = "5")]
    pub block_to_live: u64,
    /// Whether only members' clients may read it through a chaincode.
    #[prost(bool, tag = "6")]
    pub member_only_read: bool,
    /// Whether only members' clients may write it through a chaincode.
    #[prost(bool, tag = "7")]
    pub member_only_write: bool,
    /// Who must endorse what is written to it; as for its chaincode where there is none.
    #[prost(message, optional, tag = "8")]
    pub endorsement_policy: Option<ApplicationPolicy>,
}

/// The members of a collection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CollectionPolicyConfig {
    /// Any of the principals that it names.
    #[prost(message, optional, tag = "1")]
    pub signature_policy: Option<SignaturePolicyEnvelope>,
}

/// Who must endorse: spelled out, or a policy of the channel.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ApplicationPolicy {
    /// Which of the two.
    #[prost(oneof = "PolicyKind", tags = "1, 2")]
    pub r#type: Option<PolicyKind>,
}

/// The two kinds of [`ApplicationPolicy`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum PolicyKind {
    /// The policy itself.
    #[prost(message, tag = "1")]
    SignaturePolicy(SignaturePolicyEnvelope),
    /// The path of one in the channel's configuration.
    #[prost(string, tag = "2")]
    ChannelConfigPolicyReference(String),
}
