//! The chaincodes of a channel, as the gateway asks the node for them.

use std::collections::BTreeMap;

use bytes::Bytes;
use quire_chaincode::ChaincodeError;
use quire_peer::SubmitError;
use quire_wire::Code;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A chaincode that a channel defines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Chaincode)]
pub struct DefinedChaincode {
    /// Its name, which is its namespace.
    pub name: String,
    /// The number of its definition, from 1.
    pub sequence: i64,
    /// The definition's version.
    pub version: String,
    /// Whether the first call of this version must be an initialisation.
    pub init_required: bool,
    /// Who must endorse: a policy in Fabric's words, or the path of one of the channel's. Null if it is neither.
    pub policy: Option<String>,
    /// Its collections of private data.
    pub collections: Vec<DefinedCollection>,
    /// Whether each organisation has approved this very definition.
    pub approvals: BTreeMap<String, bool>,
    /// The package that this node's organisation has approved for it; null if it has approved none.
    pub package_id: Option<String>,
    /// Whether its process is connected to this node.
    pub is_running: bool,
}

/// A collection of private data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Collection)]
pub struct DefinedCollection {
    /// Its name.
    pub name: String,
    /// Whose peers keep its data.
    pub policy: Option<String>,
    /// To how many other peers data must have been given before it is endorsed.
    pub required_peer_count: i32,
    /// To how many an endorser tries to give it.
    pub max_peer_count: i32,
    /// After how many blocks data is purged; never if it is 0.
    pub block_to_live: u64,
    /// Whether only members' clients may read it.
    pub member_only_read: bool,
    /// Whether only members' clients may write it.
    pub member_only_write: bool,
    /// Who must endorse what is written to it; null if the chaincode's policy holds.
    pub endorsement_policy: Option<String>,
}

/// What is to be deployed on a channel.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The chaincode's name.
    pub name: String,
    /// Where it comes from.
    pub source: DeploymentSource,
    /// The definition's version; its number if none is given.
    pub version: Option<String>,
    /// Who must endorse: a policy in Fabric's words, or the path of one of the channel's. If none is given, that of
    /// the definition in force, and for a first one the channel's default.
    pub policy: Option<String>,
    /// Whether its first call must be an initialisation. If it is not said, as in the definition in force.
    pub init_required: Option<bool>,
}

/// Where a chaincode comes from.
#[derive(Clone, Debug)]
pub enum DeploymentSource {
    /// A package that is installed, by its id.
    Installed(String),
    /// A package, as `peer lifecycle chaincode package` makes it.
    Package(Bytes),
    /// `host:port` of a chaincode as a service, in plain.
    Service(String),
}

/// What became of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeployedChaincode {
    /// The package.
    pub package_id: String,
    /// The number of the definition, from 1.
    pub sequence: i64,
    /// The definition's version.
    pub version: String,
    /// Whether each organisation has approved it.
    pub approvals: BTreeMap<String, bool>,
    /// Whether the definition is in force; if not, others have to approve it, and one of them commits it.
    pub is_committed: bool,
    /// Whether all was so before.
    pub was_there: bool,
    /// Whether its process is connected to this node. A process that was just begun may take a while.
    pub is_running: bool,
}

/// Why a chaincode was not deployed. What was done before stays, and the same request goes on.
#[derive(Debug, thiserror::Error)]
pub enum DeployChaincodeError {
    /// The request must be fixed.
    #[error("{0}")]
    Invalid(String),
    /// No package of that id is installed.
    #[error("package {0:?} is not installed")]
    NotInstalled(String),
    /// The node has no processes of chaincodes.
    #[error("this node runs no chaincode")]
    NoHost,
    /// `_lifecycle` said no.
    #[error(transparent)]
    Refused(ChaincodeError),
    /// A step was not ordered.
    #[error(transparent)]
    NotOrdered(SubmitError),
    /// A step is in a block and not valid.
    #[error("{function} is in block {block} and not valid: {code}")]
    NotValid {
        /// The step.
        function: String,
        /// The block.
        block: u64,
        /// The verdict.
        code: Code,
    },
    /// What became of a step is not known.
    #[error("what became of {0} is not known")]
    Unknown(String),
    /// The operator looks at the log.
    #[error("the chaincode could not be deployed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
