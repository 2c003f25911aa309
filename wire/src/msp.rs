//! Package `msp` of Fabric, and `common/msp_principal.proto`: identities, what an organisation is
//! made of, and who a policy may name.

use bytes::Bytes;

/// An identity as it stands in headers and endorsements.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SerializedIdentity {
    /// The organisation.
    #[prost(string, tag = "1")]
    pub mspid: String,
    /// The certificate, PEM.
    #[prost(bytes = "bytes", tag = "2")]
    pub id_bytes: Bytes,
}

/// Value `MSP` of an organisation's group.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MspConfig {
    /// 0 is X.509 ([`FabricMspConfig`]).
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Depends on the type.
    #[prost(bytes = "bytes", tag = "2")]
    pub config: Bytes,
}

/// An organisation with X.509 certificates.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FabricMspConfig {
    /// The MSP's id.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Certificates of the root CAs, PEM.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub root_certs: Vec<Bytes>,
    /// Certificates of intermediate CAs, PEM.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub intermediate_certs: Vec<Bytes>,
    /// Certificates of administrators; empty if node OUs tell who is an administrator.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub admins: Vec<Bytes>,
    /// Certificate revocation lists, PEM.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub revocation_list: Vec<Bytes>,
    /// This is never set in a channel configuration, because it would hold a private key.
    #[prost(bytes = "bytes", tag = "6")]
    pub signing_identity: Bytes,
    /// Organisational units that a certificate must have.
    #[prost(message, repeated, tag = "7")]
    pub organizational_unit_identifiers: Vec<FabricOuIdentifier>,
    /// Hash functions.
    #[prost(message, optional, tag = "8")]
    pub crypto_config: Option<FabricCryptoConfig>,
    /// Certificates of the root CAs for TLS, PEM.
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub tls_root_certs: Vec<Bytes>,
    /// Certificates of intermediate CAs for TLS, PEM.
    #[prost(bytes = "bytes", repeated, tag = "10")]
    pub tls_intermediate_certs: Vec<Bytes>,
    /// How organisational units tell clients, peers, admins and orderers apart.
    #[prost(message, optional, tag = "11")]
    pub fabric_node_ous: Option<FabricNodeOus>,
}

/// Hash functions of an organisation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FabricCryptoConfig {
    /// `SHA2`.
    #[prost(string, tag = "1")]
    pub signature_hash_family: String,
    /// `SHA256`.
    #[prost(string, tag = "2")]
    pub identity_identifier_hash_function: String,
}

/// An organisational unit below a CA.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FabricOuIdentifier {
    /// The CA's certificate, PEM; empty for any CA of the organisation.
    #[prost(bytes = "bytes", tag = "1")]
    pub certificate: Bytes,
    /// The OU's value.
    #[prost(string, tag = "2")]
    pub organizational_unit_identifier: String,
}

/// The organisational units of the four kinds of members.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FabricNodeOus {
    /// Whether OUs count at all.
    #[prost(bool, tag = "1")]
    pub enable: bool,
    /// OU of clients.
    #[prost(message, optional, tag = "2")]
    pub client_ou_identifier: Option<FabricOuIdentifier>,
    /// OU of peers.
    #[prost(message, optional, tag = "3")]
    pub peer_ou_identifier: Option<FabricOuIdentifier>,
    /// OU of administrators.
    #[prost(message, optional, tag = "4")]
    pub admin_ou_identifier: Option<FabricOuIdentifier>,
    /// OU of orderers.
    #[prost(message, optional, tag = "5")]
    pub orderer_ou_identifier: Option<FabricOuIdentifier>,
}

/// The signer that a policy's leaf asks for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MspPrincipal {
    /// A [`principal_classification`].
    #[prost(int32, tag = "1")]
    pub principal_classification: i32,
    /// A serialized [`MspRole`], [`OrganizationUnit`], [`SerializedIdentity`], [`MspIdentityAnonymity`] or
    /// [`CombinedPrincipal`].
    #[prost(bytes = "bytes", tag = "2")]
    pub principal: Bytes,
}

/// Values of [`MspPrincipal::principal_classification`].
pub mod principal_classification {
    /// A [`super::MspRole`].
    pub const ROLE: i32 = 0;
    /// A [`super::OrganizationUnit`].
    pub const ORGANIZATION_UNIT: i32 = 1;
    /// A [`super::SerializedIdentity`].
    pub const IDENTITY: i32 = 2;
    /// A [`super::MspIdentityAnonymity`].
    pub const ANONYMITY: i32 = 3;
    /// A [`super::CombinedPrincipal`].
    pub const COMBINED: i32 = 4;
}

/// Every identity with an organisational unit.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OrganizationUnit {
    /// The organisation.
    #[prost(string, tag = "1")]
    pub msp_identifier: String,
    /// The OU's value.
    #[prost(string, tag = "2")]
    pub organizational_unit_identifier: String,
    /// Digest of the CA that gives the unit and of the CAs above it.
    #[prost(bytes = "bytes", tag = "3")]
    pub certifiers_identifier: Bytes,
}

/// Whether an identity says whose it is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MspIdentityAnonymity {
    /// An [`anonymity`].
    #[prost(int32, tag = "1")]
    pub anonymity_type: i32,
}

/// Values of [`MspIdentityAnonymity::anonymity_type`].
pub mod anonymity {
    /// It says so.
    pub const NOMINAL: i32 = 0;
    /// It does not.
    pub const ANONYMOUS: i32 = 1;
}

/// Every identity to which all of some principals apply.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CombinedPrincipal {
    /// The principals.
    #[prost(message, repeated, tag = "1")]
    pub principals: Vec<MspPrincipal>,
}

/// A role in an organisation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MspRole {
    /// The organisation.
    #[prost(string, tag = "1")]
    pub msp_identifier: String,
    /// A [`role`].
    #[prost(int32, tag = "2")]
    pub role: i32,
}

/// Values of [`MspRole::role`].
pub mod role {
    /// Anybody with a valid certificate.
    pub const MEMBER: i32 = 0;
    /// An administrator.
    pub const ADMIN: i32 = 1;
    /// A client.
    pub const CLIENT: i32 = 2;
    /// A peer.
    pub const PEER: i32 = 3;
    /// An orderer.
    pub const ORDERER: i32 = 4;
}
