//! Why a function of `_lifecycle` comes to nothing, in Fabric's words where clients may go by them.

use quire_ledger::ReadError;

use super::collections::CollectionError;
use super::packages::PackagesError;

/// Why a function comes to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The name is not defined on the channel: Fabric's status 404.
    #[error("namespace {0} is not defined")]
    NotDefined(String),
    /// There is no such number of a definition, or not yet, or no more.
    #[error("{0}")]
    Sequence(String),
    /// An approval would change nothing, or what is committed.
    #[error("{0}")]
    Redefined(String),
    /// The definition breaks a rule.
    #[error("error validating chaincode definition: {0}")]
    Invalid(#[from] DefinitionError),
    /// The organisation has not approved such a definition.
    #[error(
        "could not fetch approved chaincode definition (name: '{name}', sequence: '{sequence}') on \
         channel '{channel}'"
    )]
    NotApproved {
        /// The chaincode.
        name: String,
        /// The definition's number.
        sequence: i64,
        /// The channel.
        channel: String,
    },
    /// The node's organisation must approve a definition before the node endorses its commit.
    #[error("chaincode definition not agreed to by this org ({0})")]
    NotAgreed(String),
    /// The channel cannot have definitions, as it is configured.
    #[error("{0}")]
    Channel(String),
    /// What is in state is not what `_lifecycle` writes.
    #[error("{0}")]
    State(String),
    /// There is no package with this id.
    #[error("could not find chaincode with package id '{0}'")]
    NotInstalled(String),
    /// There is no package with this id to be given out.
    #[error("could not load cc install package: chaincode install package '{0}' not found")]
    NoPackage(String),
    /// A package cannot be kept, or not be read.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// There is no such function.
    #[error("receiver *lifecycle.Invocation.{0} does not exist")]
    UnknownFunction(String),
    /// The argument is not the function's message.
    #[error("could not decode input arg for *lifecycle.Invocation.{function}: {source}")]
    Argument {
        /// The function.
        function: String,
        /// What is wrong with the argument.
        source: quire_wire::DecodeError,
    },
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Which rule a definition breaks.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// No name of a chaincode.
    #[error(
        "invalid chaincode name '{0}'. Names can only consist of alphanumerics, '_', and '-' and can \
         only begin with alphanumerics"
    )]
    Name(String),
    /// A name that Fabric keeps for itself.
    #[error("chaincode name '{0}' is the name of a system chaincode")]
    SystemName(String),
    /// No version.
    #[error(
        "invalid chaincode version '{0}'. Versions can only consist of alphanumerics, '_', '-', '+', \
         and '.'"
    )]
    Version(String),
    /// Its collections.
    #[error(transparent)]
    Collections(#[from] CollectionError),
}
