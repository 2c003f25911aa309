//! A chaincode is deployed: installed here, approved for this organisation, and committed once enough organisations
//! have approved it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::lifecycle::{
    CodeError, ConnectionError, LifecycleError, PackageError, PackagesError,
};
use quire_chaincode::{Call, ChaincodeError, Invocation, Reach};
use quire_gateway::backend::Backend as _;
use quire_gateway::chaincodes::{DeployChaincodeError, DeployedChaincode};
use quire_identity::policy::PolicyTextError;
use quire_identity::{CreateIdentityError, SigningIdentity};
use quire_ledger::{LIFECYCLE, Meter, ReadError};
use quire_peer::config::in_state;
use quire_peer::{Channel, Proposal, SubmitError};
use quire_wire::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CheckCommitReadinessResult,
    CommitChaincodeDefinitionArgs, LocalPackage, QueryApprovedChaincodeDefinitionArgs,
    QueryApprovedChaincodeDefinitionResult, QueryChaincodeDefinitionArgs,
    QueryChaincodeDefinitionResult, SourceKind,
};
use quire_wire::tx_id::tx_id;
use quire_wire::{Code, DecodeError, Message};
use tokio::runtime::Handle;

use super::Node;
use super::wanted::{Wanted, install, policy};
use crate::clock;
use crate::random::random_nonce;

/// The policy under which definitions are committed.
const LIFECYCLE_ENDORSEMENT: &str = "/Channel/Application/LifecycleEndorsement";

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
    #[error("package {0:?} is not installed")]
    NotInstalled(String),
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
    #[error("the channel's definitions cannot be read")]
    Definitions(#[from] LifecycleError),
}

impl From<DeployError> for DeployChaincodeError {
    fn from(error: DeployError) -> Self {
        let told = quire_ledger::chain_of(&error);
        match error {
            DeployError::NoHost => Self::NoHost,
            DeployError::NotInstalled(package_id) => Self::NotInstalled(package_id),
            DeployError::NoChannel(_)
            | DeployError::Code(_)
            | DeployError::Package(_)
            | DeployError::Connection(_)
            | DeployError::Install(PackagesError::Package(_) | PackagesError::Full(_))
            | DeployError::Policy(_) => Self::Invalid(told),
            DeployError::Refused { source, .. } => Self::Refused(source),
            DeployError::NotOrdered { source, .. } => Self::NotOrdered(source),
            DeployError::Invalid {
                function,
                block,
                code,
            } => Self::NotValid {
                function: function.to_owned(),
                block,
                code,
            },
            DeployError::Unknown(function) => Self::Unknown(function.to_owned()),
            other => Self::Failed(Box::new(other)),
        }
    }
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
        let name = &wanted.channel;
        let channel = self.channel(name);
        let channel = channel.ok_or_else(|| DeployError::NoChannel(name.clone()))?;
        let package_id = install(host, wanted)?;
        // As where another node of the organisation has approved it: nobody is asked, so no administrator is needed.
        if let Some(there) = self.deployed_as_wanted(&channel, wanted, &package_id)? {
            return Ok(there);
        }
        let calls = self.lifecycle(channel)?;
        let policy = wanted.policy.as_deref().map(policy).transpose()?;
        let current = calls.definition(&wanted.name)?;
        if let Some(current) = &current
            && is_as_wanted(current, wanted, policy.as_ref())
        {
            let approved = calls.approved(&wanted.name, current.sequence)?;
            if approved.as_ref() == Some(&package_id) {
                return Ok(self.as_defined(current, package_id, true));
            }
            // Others committed it, and this organisation joins them.
            if approved.is_none() {
                calls.approve(&as_committed(&wanted.name, current), &package_id)?;
                let joined = calls.definition(&wanted.name)?;
                let joined = joined.as_ref().unwrap_or(current);
                return Ok(self.as_defined(joined, package_id, false));
            }
        }
        let definition = next(current.as_ref(), wanted, policy);
        calls.approve(&definition, &package_id)?;
        let readiness: CheckCommitReadinessResult =
            calls.ask("CheckCommitReadiness", &definition)?;
        let approved = |msp_id: &str| readiness.approvals.get(msp_id) == Some(&true);
        let others = calls.channel.collector.as_ref();
        let is_committed = self.suffices(&calls.channel)?
            || others.is_some_and(|others| others.could_endorse(LIFECYCLE, approved));
        if is_committed {
            calls.run("CommitChaincodeDefinition", &definition)?;
        }
        let is_running = self.is_running(Some(&package_id));
        Ok(DeployedChaincode {
            package_id,
            sequence: definition.sequence,
            version: definition.version,
            approvals: readiness.approvals,
            is_committed,
            was_there: false,
            is_running,
        })
    }

    /// What there is of a definition that is committed.
    fn as_defined(
        &self,
        current: &QueryChaincodeDefinitionResult,
        package_id: String,
        was_there: bool,
    ) -> DeployedChaincode {
        let is_running = self.is_running(Some(&package_id));
        DeployedChaincode {
            package_id,
            sequence: current.sequence,
            version: current.version.clone(),
            approvals: current.approvals.clone(),
            is_committed: true,
            was_there,
            is_running,
        }
    }

    fn lifecycle(&self, channel: Channel) -> Result<Calls, DeployError> {
        Ok(Calls {
            channel,
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
            endorsement_plugin: definition.endorsement_plugin.clone(),
            validation_plugin: definition.validation_plugin.clone(),
            collections: definition.collections.clone(),
            source: Some(ChaincodeSource {
                r#type: Some(SourceKind::LocalPackage(LocalPackage { package_id })),
            }),
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
            is_init: false,
            decoration: None,
            meter: Meter::default(),
            reach: Reach::default(),
        }
    }

    /// Calls a function that changes something, and waits until it is in force.
    fn run(&self, function: &'static str, argument: &impl Message) -> Result<(), DeployError> {
        let order = Arc::clone(&self.channel.submitter);
        let submitted = driven(order.submit(self.proposal(function, argument)));
        let submitted = submitted.ok_or(DeployError::Unknown(function))?;
        let not_ordered = |source| DeployError::NotOrdered { function, source };
        let outcome = submitted.map_err(not_ordered)?.outcome.blocking_recv();
        let outcome = outcome.map_err(|_| DeployError::Unknown(function))?;
        let outcome = outcome.map_err(not_ordered)?;
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

/// Drives a call to its end. A chaincode of this process is done when it returns, but others may have to endorse what
/// it did. None without a runtime, where nobody could be asked.
fn driven<T: Send + 'static>(mut invocation: Invocation<T>) -> Option<T> {
    loop {
        match invocation {
            Invocation::Done(done) => return Some(done),
            Invocation::Waiting(waiting) => {
                let piece = Handle::try_current().ok()?.block_on(waiting);
                invocation = piece.run(None);
            }
        }
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

/// Whether a definition says what is wanted; what is not named may be as it is.
fn is_as_wanted(
    current: &QueryChaincodeDefinitionResult,
    wanted: &Wanted,
    policy: Option<&Bytes>,
) -> bool {
    let version = wanted.version.as_ref();
    version.is_none_or(|version| *version == current.version)
        && policy.is_none_or(|policy| *policy == current.validation_parameter)
        && wanted
            .init_required
            .is_none_or(|required| required == current.init_required)
}

/// The definition that comes after the current one. What is not named stays as it is, but for the version.
fn next(
    current: Option<&QueryChaincodeDefinitionResult>,
    wanted: &Wanted,
    policy: Option<Bytes>,
) -> CommitChaincodeDefinitionArgs {
    let mut definition = current.map_or_else(
        || CommitChaincodeDefinitionArgs {
            name: wanted.name.clone(),
            ..CommitChaincodeDefinitionArgs::default()
        },
        |current| as_committed(&wanted.name, current),
    );
    definition.sequence += 1;
    let version = wanted.version.clone();
    definition.version = version.unwrap_or_else(|| definition.sequence.to_string());
    if let Some(policy) = policy {
        definition.validation_parameter = policy;
    }
    if let Some(required) = wanted.init_required {
        definition.init_required = required;
    }
    definition
}

/// A committed definition, as it is approved after the fact, and as an upgrade starts from it.
fn as_committed(
    name: &str,
    current: &QueryChaincodeDefinitionResult,
) -> CommitChaincodeDefinitionArgs {
    CommitChaincodeDefinitionArgs {
        sequence: current.sequence,
        name: name.to_owned(),
        version: current.version.clone(),
        endorsement_plugin: current.endorsement_plugin.clone(),
        validation_plugin: current.validation_plugin.clone(),
        validation_parameter: current.validation_parameter.clone(),
        collections: current.collections.clone(),
        init_required: current.init_required,
    }
}

#[cfg(test)]
mod tests {
    use quire_wire::collection::{CollectionConfig, CollectionConfigPackage};

    use super::super::wanted::WantedSource;
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            channel: "main".to_owned(),
            name: "orders".to_owned(),
            source: WantedSource::Service("h:1".to_owned()),
            version: None,
            policy: None,
            init_required: None,
        }
    }

    fn current() -> QueryChaincodeDefinitionResult {
        QueryChaincodeDefinitionResult {
            sequence: 4,
            version: "1.3".to_owned(),
            validation_parameter: "strict".into(),
            validation_plugin: "vscc".to_owned(),
            endorsement_plugin: "escc".to_owned(),
            collections: Some(CollectionConfigPackage {
                config: vec![CollectionConfig::default()],
            }),
            init_required: true,
            ..QueryChaincodeDefinitionResult::default()
        }
    }

    #[test]
    fn an_upgrade_changes_what_it_names_and_nothing_else() {
        let as_it_was = CommitChaincodeDefinitionArgs {
            sequence: 5,
            version: "5".to_owned(),
            ..as_committed("orders", &current())
        };
        assert!(as_it_was.collections.is_some());
        let nothing_named = next(Some(&current()), &wanted(), None);
        assert_eq!(nothing_named, as_it_was);
        let all_named = Wanted {
            version: Some("2".to_owned()),
            init_required: Some(false),
            ..wanted()
        };
        assert_eq!(
            next(Some(&current()), &all_named, Some("lax".into())),
            CommitChaincodeDefinitionArgs {
                version: "2".to_owned(),
                validation_parameter: "lax".into(),
                init_required: false,
                ..as_it_was
            }
        );
    }

    #[test]
    fn a_first_definition_has_the_defaults_of_the_channel_where_it_names_nothing() {
        let first = CommitChaincodeDefinitionArgs {
            sequence: 1,
            name: "orders".to_owned(),
            version: "1".to_owned(),
            ..CommitChaincodeDefinitionArgs::default()
        };
        assert_eq!(next(None, &wanted(), None), first);
    }
}
