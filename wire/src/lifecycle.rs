//! Package `lifecycle` of Fabric (`peer/lifecycle/*.proto`): how chaincodes are installed, approved and defined.
//!
//! Every function of `_lifecycle` takes the message of its name with `Args` and answers the one with `Result`.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::collection::CollectionConfigPackage;

/// Keep this package.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InstallChaincodeArgs {
    /// The package, as a file of it has it.
    #[prost(bytes = "bytes", tag = "1")]
    pub chaincode_install_package: Bytes,
}

/// It is kept.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InstallChaincodeResult {
    /// The package's id, `label:hash`.
    #[prost(string, tag = "1")]
    pub package_id: String,
    /// The package's label.
    #[prost(string, tag = "2")]
    pub label: String,
}

/// What is known of this package?
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryInstalledChaincodeArgs {
    /// The package's id, `label:hash`.
    #[prost(string, tag = "1")]
    pub package_id: String,
}

/// The bytes of this package.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetInstalledChaincodePackageArgs {
    /// The package's id, `label:hash`.
    #[prost(string, tag = "1")]
    pub package_id: String,
}

/// Its bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetInstalledChaincodePackageResult {
    /// The package, as a file of it has it.
    #[prost(bytes = "bytes", tag = "1")]
    pub chaincode_install_package: Bytes,
}

/// What is known of every package?
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct QueryInstalledChaincodesArgs {}

/// What is known of every package.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryInstalledChaincodesResult {
    /// One entry a package.
    #[prost(message, repeated, tag = "1")]
    pub installed_chaincodes: Vec<InstalledChaincode>,
}

/// A package that is kept; also the result of `QueryInstalledChaincode`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InstalledChaincode {
    /// The package's id, `label:hash`.
    #[prost(string, tag = "1")]
    pub package_id: String,
    /// The package's label.
    #[prost(string, tag = "2")]
    pub label: String,
    /// The chaincodes that run it, by channel.
    #[prost(btree_map = "string, message", tag = "3")]
    pub references: BTreeMap<String, References>,
}

/// The chaincodes of a channel that run a package.
#[derive(Clone, PartialEq, prost::Message)]
pub struct References {
    /// One entry a chaincode.
    #[prost(message, repeated, tag = "1")]
    pub chaincodes: Vec<ReferencedChaincode>,
}

/// A chaincode that runs a package.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReferencedChaincode {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The version of its definition.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// My organisation agrees to this definition.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ApproveChaincodeDefinitionForMyOrgArgs {
    /// Its number: 1 for the first definition of a name, and one more for each after it.
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    /// The chaincode's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The version, any text.
    #[prost(string, tag = "3")]
    pub version: String,
    /// Who endorses; `escc`.
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    /// Who validates; `vscc`.
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    /// The serialized [`crate::collection::ApplicationPolicy`].
    #[prost(bytes = "bytes", tag = "6")]
    pub validation_parameter: Bytes,
    /// Its collections.
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    /// Whether its first call must be an initialisation.
    #[prost(bool, tag = "8")]
    pub init_required: bool,
    /// Where the organisation has it.
    #[prost(message, optional, tag = "9")]
    pub source: Option<ChaincodeSource>,
}

/// It is on record.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ApproveChaincodeDefinitionForMyOrgResult {}

/// Where an organisation has a chaincode.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeSource {
    /// Nowhere where there is none.
    #[prost(oneof = "SourceKind", tags = "1, 2")]
    pub r#type: Option<SourceKind>,
}

/// The two kinds of [`ChaincodeSource`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum SourceKind {
    /// Nowhere.
    #[prost(message, tag = "1")]
    Unavailable(Unavailable),
    /// In a package of its peers.
    #[prost(message, tag = "2")]
    LocalPackage(LocalPackage),
}

/// The organisation's peers do not run the chaincode.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Unavailable {}

/// A package that each peer of the organisation is to have.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LocalPackage {
    /// The package's id, `label:hash`.
    #[prost(string, tag = "1")]
    pub package_id: String,
}

/// This is the definition from now on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommitChaincodeDefinitionArgs {
    /// Its number: 1 for the first definition of a name, and one more for each after it.
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    /// The chaincode's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The version, any text.
    #[prost(string, tag = "3")]
    pub version: String,
    /// Who endorses; `escc`.
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    /// Who validates; `vscc`.
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    /// The serialized [`crate::collection::ApplicationPolicy`].
    #[prost(bytes = "bytes", tag = "6")]
    pub validation_parameter: Bytes,
    /// Its collections.
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    /// Whether its first call must be an initialisation.
    #[prost(bool, tag = "8")]
    pub init_required: bool,
}

/// Who agrees to this definition?
pub type CheckCommitReadinessArgs = CommitChaincodeDefinitionArgs;

/// It is.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CommitChaincodeDefinitionResult {}

/// Who agrees to it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckCommitReadinessResult {
    /// Whether each organisation approved just this.
    #[prost(btree_map = "string, bool", tag = "1")]
    pub approvals: BTreeMap<String, bool>,
    /// What organisations approved otherwise, by their names.
    #[prost(btree_map = "string, message", tag = "2")]
    pub mismatches: BTreeMap<String, Mismatches>,
}

/// What an organisation approved otherwise.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Mismatches {
    /// Names of the fields that differ.
    #[prost(string, repeated, tag = "1")]
    pub items: Vec<String>,
}

/// What has my organisation approved for this name?
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryApprovedChaincodeDefinitionArgs {
    /// The chaincode's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its number: 1 for the first definition of a name, and one more for each after it.
    #[prost(int64, tag = "2")]
    pub sequence: i64,
}

/// What it has approved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryApprovedChaincodeDefinitionResult {
    /// Its number: 1 for the first definition of a name, and one more for each after it.
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    /// The version, any text.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Who endorses; `escc`.
    #[prost(string, tag = "3")]
    pub endorsement_plugin: String,
    /// Who validates; `vscc`.
    #[prost(string, tag = "4")]
    pub validation_plugin: String,
    /// The serialized [`crate::collection::ApplicationPolicy`].
    #[prost(bytes = "bytes", tag = "5")]
    pub validation_parameter: Bytes,
    /// Its collections.
    #[prost(message, optional, tag = "6")]
    pub collections: Option<CollectionConfigPackage>,
    /// Whether its first call must be an initialisation.
    #[prost(bool, tag = "7")]
    pub init_required: bool,
    /// Where the organisation has it.
    #[prost(message, optional, tag = "8")]
    pub source: Option<ChaincodeSource>,
}

/// What has my organisation approved?
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct QueryApprovedChaincodeDefinitionsArgs {}

/// All that it has approved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryApprovedChaincodeDefinitionsResult {
    /// One entry an approval.
    #[prost(message, repeated, tag = "1")]
    pub approved_chaincode_definitions: Vec<ApprovedChaincodeDefinition>,
}

/// One approval.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ApprovedChaincodeDefinition {
    /// The chaincode's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its number: 1 for the first definition of a name, and one more for each after it.
    #[prost(int64, tag = "2")]
    pub sequence: i64,
    /// The version, any text.
    #[prost(string, tag = "3")]
    pub version: String,
    /// Who endorses; `escc`.
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    /// Who validates; `vscc`.
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    /// The serialized [`crate::collection::ApplicationPolicy`].
    #[prost(bytes = "bytes", tag = "6")]
    pub validation_parameter: Bytes,
    /// Its collections.
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    /// Whether its first call must be an initialisation.
    #[prost(bool, tag = "8")]
    pub init_required: bool,
    /// Where the organisation has it.
    #[prost(message, optional, tag = "9")]
    pub source: Option<ChaincodeSource>,
}

/// How is this name defined?
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryChaincodeDefinitionArgs {
    /// The chaincode's name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// How it is defined.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryChaincodeDefinitionResult {
    /// Its number: 1 for the first definition of a name, and one more for each after it.
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    /// The version, any text.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Who endorses; `escc`.
    #[prost(string, tag = "3")]
    pub endorsement_plugin: String,
    /// Who validates; `vscc`.
    #[prost(string, tag = "4")]
    pub validation_plugin: String,
    /// The serialized [`crate::collection::ApplicationPolicy`].
    #[prost(bytes = "bytes", tag = "5")]
    pub validation_parameter: Bytes,
    /// Its collections.
    #[prost(message, optional, tag = "6")]
    pub collections: Option<CollectionConfigPackage>,
    /// Whether its first call must be an initialisation.
    #[prost(bool, tag = "7")]
    pub init_required: bool,
    /// Whether each organisation approved just this.
    #[prost(btree_map = "string, bool", tag = "8")]
    pub approvals: BTreeMap<String, bool>,
}

/// Which names are defined?
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct QueryChaincodeDefinitionsArgs {}

/// All that are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryChaincodeDefinitionsResult {
    /// One entry a chaincode.
    #[prost(message, repeated, tag = "1")]
    pub chaincode_definitions: Vec<ChaincodeDefinition>,
}

/// One definition.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeDefinition {
    /// The chaincode's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its number: 1 for the first definition of a name, and one more for each after it.
    #[prost(int64, tag = "2")]
    pub sequence: i64,
    /// The version, any text.
    #[prost(string, tag = "3")]
    pub version: String,
    /// Who endorses; `escc`.
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    /// Who validates; `vscc`.
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    /// The serialized [`crate::collection::ApplicationPolicy`].
    #[prost(bytes = "bytes", tag = "6")]
    pub validation_parameter: Bytes,
    /// Its collections.
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    /// Whether its first call must be an initialisation.
    #[prost(bool, tag = "8")]
    pub init_required: bool,
}

/// The part of a definition that endorsers go by, in state.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeEndorsementInfo {
    /// The version, any text.
    #[prost(string, tag = "1")]
    pub version: String,
    /// Whether its first call must be an initialisation.
    #[prost(bool, tag = "2")]
    pub init_required: bool,
    /// Who endorses; `escc`.
    #[prost(string, tag = "3")]
    pub endorsement_plugin: String,
}

/// The part of a definition that committers go by, in state.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChaincodeValidationInfo {
    /// Who validates; `vscc`.
    #[prost(string, tag = "1")]
    pub validation_plugin: String,
    /// The serialized [`crate::collection::ApplicationPolicy`].
    #[prost(bytes = "bytes", tag = "2")]
    pub validation_parameter: Bytes,
}

/// What something in the state of `_lifecycle` is, and which fields it has.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StateMetadata {
    /// What kind of thing it is.
    #[prost(string, tag = "1")]
    pub datatype: String,
    /// The names of its fields.
    #[prost(string, repeated, tag = "2")]
    pub fields: Vec<String>,
}

/// The value of a field in the state of `_lifecycle`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StateData {
    /// The value; none in a field that was never written.
    #[prost(oneof = "StateValue", tags = "1, 2, 3")]
    pub r#type: Option<StateValue>,
}

/// The kinds of [`StateData`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum StateValue {
    /// A number.
    #[prost(int64, tag = "1")]
    Int64(i64),
    /// A serialized message.
    #[prost(bytes = "bytes", tag = "2")]
    Bytes(Bytes),
    /// A text.
    #[prost(string, tag = "3")]
    String(String),
}
