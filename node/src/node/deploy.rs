//! A chaincode is deployed: installed here, approved for this organisation, and committed if that suffices.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::lifecycle::{
    Connection, ConnectionError, Metadata, Package, PackageError, Packages as _, PackagesError,
};
use quire_chaincode::{Call, ChaincodeError, Invocation};
use quire_gateway::backend::Backend as _;
use quire_identity::policy::{PolicyTextError, read_signature_policy};
use quire_identity::{CreateIdentityError, SigningIdentity};
use quire_ledger::{LIFECYCLE, Meter, ReadError};
use quire_peer::config::in_state;
use quire_peer::{Channel, Proposal, SubmitError};
use quire_wire::collection::{ApplicationPolicy, PolicyKind};
use quire_wire::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CheckCommitReadinessResult,
    CommitChaincodeDefinitionArgs, LocalPackage, QueryApprovedChaincodeDefinitionArgs,
    QueryApprovedChaincodeDefinitionResult, QueryChaincodeDefinitionArgs,
    QueryChaincodeDefinitionResult, QueryChaincodeDefinitionsArgs, QueryChaincodeDefinitionsResult,
    SourceKind,
};
use quire_wire::tx_id::tx_id;
use quire_wire::{Code, DecodeError, Message};
use serde::{Deserialize, Serialize};

use super::Node;
use crate::chaincodes::{CodeError, pack_code};
use crate::clock;
use crate::random::random_nonce;

/// The policy under which definitions are committed.
const LIFECYCLE_ENDORSEMENT: &str = "/Channel/Application/LifecycleEndorsement";

/// What is to be deployed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) channel: String,
    /// The chaincode's name, which is its namespace.
    pub(crate) name: String,
    pub(crate) source: WantedSource,
    /// The definition's version; the number of the definition where none is given.
    pub(crate) version: Option<String>,
    /// Who must endorse: Fabric's policy text, or the path of a policy of the channel.
    pub(crate) policy: Option<String>,
}

/// Where the chaincode comes from. Paths are as the node sees them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum WantedSource {
    /// A folder with its code.
    Folder(PathBuf),
    /// A package, as `peer lifecycle chaincode package` makes it.
    Package(PathBuf),
    /// `host:port` of a chaincode as a service, in plain.
    Service(String),
}

/// What became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeployedChaincode {
    pub(crate) package_id: String,
    pub(crate) sequence: i64,
    pub(crate) version: String,
    /// Whether each organisation has approved.
    pub(crate) approvals: BTreeMap<String, bool>,
    /// Whether the definition is in force; if not, others have to approve it, and one of them commits it.
    pub(crate) is_committed: bool,
    /// Whether all was so before.
    pub(crate) was_there: bool,
}

/// A chaincode that a channel defines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinedChaincode {
    pub(crate) name: String,
    pub(crate) sequence: i64,
    pub(crate) version: String,
    /// The package that this organisation approved; none where it did not.
    pub(crate) package_id: Option<String>,
    /// Whether its process is connected.
    pub(crate) is_running: bool,
}

/// Why a chaincode was not deployed. What was done before stays: the same command goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeployError {
    #[error("there is no channel {0}, or it is not open")]
    NoChannel(String),
    #[error("this node runs no chaincode")]
    NoHost,
    #[error("the folder cannot be packed")]
    Code(#[from] CodeError),
    #[error("the package cannot be made")]
    Package(#[from] PackageError),
    #[error("the address of the service cannot be used")]
    Connection(#[from] ConnectionError),
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the package cannot be installed")]
    Install(#[from] PackagesError),
    #[error("the policy cannot be read")]
    Policy(#[from] PolicyTextError),
    #[error("the organisation has no administrator")]
    Administrator(#[from] CreateIdentityError),
    #[error("{function} was refused")]
    Refused {
        function: &'static str,
        source: ChaincodeError,
    },
    #[error("{function} was not ordered")]
    NotOrdered {
        function: &'static str,
        source: SubmitError,
    },
    #[error("{function} is in block {block} and not valid: {code}")]
    Invalid {
        function: &'static str,
        block: u64,
        code: Code,
    },
    #[error("what became of {0} is not known: the channel stopped")]
    Unknown(&'static str),
    #[error("the answer of {function} cannot be read")]
    Answer {
        function: &'static str,
        source: DecodeError,
    },
    #[error("the channel's configuration cannot be read")]
    Config(#[from] ReadError),
}

/// `_lifecycle` of a channel, called as the organisation's administrator.
struct Calls {
    channel: Channel,
    identity: Arc<SigningIdentity>,
}

impl Node {
    /// Installs a chaincode on this node, approves it for this organisation, and commits its definition if that
    /// suffices. Where all is as wanted already, nothing is done. Blocks.
    pub(crate) fn deploy(&self, wanted: &Wanted) -> Result<DeployedChaincode, DeployError> {
        let host = self.chaincodes.as_ref().ok_or(DeployError::NoHost)?;
        let calls = self.lifecycle(&wanted.channel)?;
        let package = package(wanted)?;
        let package_id = match host.packages.install(&package) {
            Ok(installed) => installed.package_id,
            Err(PackagesError::Already(package_id)) => package_id,
            Err(error) => return Err(error.into()),
        };
        let policy = wanted.policy.as_deref().map(policy).transpose()?;
        let current = calls.definition(&wanted.name)?;
        if let Some(deployed) =
            calls.already(wanted, policy.as_ref(), &package_id, current.as_ref())?
        {
            return Ok(deployed);
        }
        let sequence = current.map_or(0, |current| current.sequence) + 1;
        let version = wanted
            .version
            .clone()
            .unwrap_or_else(|| sequence.to_string());
        let definition = CommitChaincodeDefinitionArgs {
            sequence,
            name: wanted.name.clone(),
            version: version.clone(),
            validation_parameter: policy.unwrap_or_default(),
            ..CommitChaincodeDefinitionArgs::default()
        };
        calls.approve(&definition, &package_id)?;
        let readiness: CheckCommitReadinessResult =
            calls.ask("CheckCommitReadiness", &definition)?;
        let is_committed = self.suffices(&calls.channel)?;
        if is_committed {
            calls.run("CommitChaincodeDefinition", &definition)?;
        }
        Ok(DeployedChaincode {
            package_id,
            sequence,
            version,
            approvals: readiness.approvals,
            is_committed,
            was_there: false,
        })
    }

    /// The chaincodes that a channel defines, by name.
    pub(crate) fn deployed(&self, channel: &str) -> Result<Vec<DefinedChaincode>, DeployError> {
        let calls = self.lifecycle(channel)?;
        let defined: QueryChaincodeDefinitionsResult = calls.ask(
            "QueryChaincodeDefinitions",
            &QueryChaincodeDefinitionsArgs {},
        )?;
        let defined = defined.chaincode_definitions.into_iter();
        let defined = defined.map(|one| {
            let approved = calls.approved(&one.name, one.sequence)?;
            let host = self.chaincodes.as_ref();
            let is_running = host.zip(approved.as_deref());
            let is_running =
                is_running.is_some_and(|(host, package_id)| host.processes.is_running(package_id));
            Ok(DefinedChaincode {
                name: one.name,
                sequence: one.sequence,
                version: one.version,
                package_id: approved,
                is_running,
            })
        });
        defined.collect()
    }

    fn lifecycle(&self, channel: &str) -> Result<Calls, DeployError> {
        let open = self.channel(channel);
        Ok(Calls {
            channel: open.ok_or_else(|| DeployError::NoChannel(channel.to_owned()))?,
            identity: self.organization.administrator(clock::now())?,
        })
    }

    /// Whether this node's endorsement alone commits definitions.
    fn suffices(&self, channel: &Channel) -> Result<bool, DeployError> {
        let Some(state) = in_state(&channel.reader)? else {
            return Ok(false);
        };
        let bundle = quire_identity::Bundle::new(&channel.name, state.config);
        let Ok(bundle) = bundle else {
            return Ok(false);
        };
        let endorser = bundle.msps().validate(self.endorser.serialized());
        let policy = bundle.policy(LIFECYCLE_ENDORSEMENT);
        Ok(endorser
            .is_ok_and(|endorser| policy.is_ok_and(|policy| policy.is_satisfied_by(&[endorser]))))
    }
}

impl Calls {
    fn definition(
        &self,
        name: &str,
    ) -> Result<Option<QueryChaincodeDefinitionResult>, DeployError> {
        let name = name.to_owned();
        let asked = QueryChaincodeDefinitionArgs { name };
        not_found_is_none(self.ask("QueryChaincodeDefinition", &asked))
    }

    /// The package that this organisation approved for a definition.
    fn approved(&self, name: &str, sequence: i64) -> Result<Option<String>, DeployError> {
        let name = name.to_owned();
        let asked = QueryApprovedChaincodeDefinitionArgs { name, sequence };
        let approved: Result<QueryApprovedChaincodeDefinitionResult, _> =
            self.ask("QueryApprovedChaincodeDefinition", &asked);
        match approved {
            Ok(approved) => Ok(local_package(approved.source)),
            Err(DeployError::Refused {
                source:
                    ChaincodeError::Refused { .. }
                    // Another node of the organisation has it.
                    | ChaincodeError::Read(ReadError::PrivateMissing { .. }),
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What there is, if it is all that is wanted.
    fn already(
        &self,
        wanted: &Wanted,
        policy: Option<&Bytes>,
        package_id: &str,
        current: Option<&QueryChaincodeDefinitionResult>,
    ) -> Result<Option<DeployedChaincode>, DeployError> {
        let Some(current) = current else {
            return Ok(None);
        };
        let has_version = wanted
            .version
            .as_ref()
            .is_none_or(|version| *version == current.version);
        let has_policy = policy.is_none_or(|policy| *policy == current.validation_parameter);
        let is_same = has_version && has_policy && !current.init_required;
        if !is_same || self.approved(&wanted.name, current.sequence)?.as_deref() != Some(package_id)
        {
            return Ok(None);
        }
        Ok(Some(DeployedChaincode {
            package_id: package_id.to_owned(),
            sequence: current.sequence,
            version: current.version.clone(),
            approvals: current.approvals.clone(),
            is_committed: true,
            was_there: true,
        }))
    }

    /// Approves a definition, unless that was done.
    fn approve(
        &self,
        definition: &CommitChaincodeDefinitionArgs,
        package_id: &str,
    ) -> Result<(), DeployError> {
        let package_id = package_id.to_owned();
        let approval = ApproveChaincodeDefinitionForMyOrgArgs {
            sequence: definition.sequence,
            name: definition.name.clone(),
            version: definition.version.clone(),
            validation_parameter: definition.validation_parameter.clone(),
            init_required: definition.init_required,
            source: Some(ChaincodeSource {
                r#type: Some(SourceKind::LocalPackage(LocalPackage { package_id })),
            }),
            ..ApproveChaincodeDefinitionForMyOrgArgs::default()
        };
        match self.run("ApproveChaincodeDefinitionForMyOrg", &approval) {
            Err(DeployError::NotOrdered {
                source: SubmitError::Chaincode(ChaincodeError::Refused { message, .. }),
                ..
            }) if message.contains("with unchanged content") => Ok(()),
            other => other,
        }
    }

    fn proposal(&self, function: &str, argument: &impl Message) -> Proposal {
        let nonce = random_nonce();
        Proposal {
            tx_id: tx_id(&nonce, self.identity.serialized()),
            identity: Arc::clone(&self.identity),
            nonce,
            call: Call {
                chaincode: LIFECYCLE.to_owned(),
                function: function.to_owned(),
                args: vec![argument.encode_to_vec().into()],
            },
            decoration: None,
            meter: Meter::default(),
        }
    }

    /// Calls a function that changes something, and waits until it is in force.
    fn run(&self, function: &'static str, argument: &impl Message) -> Result<(), DeployError> {
        let order = Arc::clone(&self.channel.submitter);
        // A chaincode of this process is done when it returns.
        let Invocation::Done(submitted) = order.submit(self.proposal(function, argument)) else {
            return Err(DeployError::Unknown(function));
        };
        let not_ordered = |source| DeployError::NotOrdered { function, source };
        let outcome = submitted.map_err(not_ordered)?.outcome.blocking_recv();
        let outcome = outcome.map_err(|_| DeployError::Unknown(function))?;
        if outcome.code.is_valid() {
            return Ok(());
        }
        Err(DeployError::Invalid {
            function,
            block: outcome.block,
            code: outcome.code,
        })
    }

    /// Calls a function that only tells something.
    fn ask<M: Message + Default>(
        &self,
        function: &'static str,
        argument: &impl Message,
    ) -> Result<M, DeployError> {
        let evaluated = self
            .channel
            .submitter
            .evaluate(self.proposal(function, argument));
        let Invocation::Done(evaluated) = evaluated else {
            return Err(DeployError::Unknown(function));
        };
        let refused = |source| DeployError::Refused { function, source };
        let answer = evaluated.map_err(refused)?.result;
        M::decode(answer).map_err(|source| DeployError::Answer { function, source })
    }
}

fn not_found_is_none<T>(answer: Result<T, DeployError>) -> Result<Option<T>, DeployError> {
    match answer {
        Err(DeployError::Refused {
            source: ChaincodeError::Refused { status: 404, .. },
            ..
        }) => Ok(None),
        other => other.map(Some),
    }
}

fn local_package(source: Option<ChaincodeSource>) -> Option<String> {
    match source?.r#type? {
        SourceKind::LocalPackage(package) => Some(package.package_id),
        SourceKind::Unavailable(_) => None,
    }
}

/// The bytes of a package.
fn package(wanted: &Wanted) -> Result<Vec<u8>, DeployError> {
    let label = match &wanted.version {
        Some(version) => format!("{}_{version}", wanted.name),
        None => wanted.name.clone(),
    };
    match &wanted.source {
        WantedSource::Folder(folder) => {
            let package = Package {
                metadata: Metadata {
                    path: String::new(),
                    kind: "code".to_owned(),
                    label,
                },
                code: pack_code(folder)?.into(),
            };
            Ok(package.write()?)
        }
        WantedSource::Package(path) => std::fs::read(path).map_err(|source| DeployError::Read {
            path: path.clone(),
            source,
        }),
        WantedSource::Service(address) => {
            let text = serde_json::json!({ "address": address }).to_string();
            let connection = Connection::read(text.as_bytes())?;
            Ok(Package::of_service(&label, &connection)?.write()?)
        }
    }
}

/// A policy as definitions have it.
fn policy(text: &str) -> Result<Bytes, DeployError> {
    let kind = if text.starts_with('/') {
        PolicyKind::ChannelConfigPolicyReference(text.to_owned())
    } else {
        PolicyKind::SignaturePolicy(read_signature_policy(text)?)
    };
    let policy = ApplicationPolicy { r#type: Some(kind) };
    Ok(policy.encode_to_vec().into())
}
