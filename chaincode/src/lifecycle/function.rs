//! The functions of `_lifecycle`: one message in, one message out.

use bytes::Bytes;
use quire_wire::Message;
use quire_wire::collection::CollectionConfigPackage;
use quire_wire::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ApproveChaincodeDefinitionForMyOrgResult,
    ApprovedChaincodeDefinition, ChaincodeDefinition, ChaincodeEndorsementInfo, ChaincodeSource,
    ChaincodeValidationInfo, CheckCommitReadinessResult, CommitChaincodeDefinitionArgs,
    CommitChaincodeDefinitionResult, GetInstalledChaincodePackageArgs,
    GetInstalledChaincodePackageResult, InstallChaincodeArgs, InstallChaincodeResult,
    InstalledChaincode, LocalPackage, Mismatches, QueryApprovedChaincodeDefinitionArgs,
    QueryApprovedChaincodeDefinitionResult, QueryApprovedChaincodeDefinitionsArgs,
    QueryApprovedChaincodeDefinitionsResult, QueryChaincodeDefinitionArgs,
    QueryChaincodeDefinitionResult, QueryChaincodeDefinitionsArgs, QueryChaincodeDefinitionsResult,
    QueryInstalledChaincodeArgs, QueryInstalledChaincodesArgs, QueryInstalledChaincodesResult,
    References, SourceKind, Unavailable,
};

use super::collections;
use super::config::ChannelConfig;
use super::definition::{Approval, Definition, Parameters};
use super::definitions::Definitions;
use super::error::{DefinitionError, LifecycleError};
use super::host::Host;
use super::legacy;
use super::name::{is_chaincode_name, is_system_name, is_version};
use super::packages::{Installed, Packages};
use super::state::State;

/// A function that is called, with all that it may ask.
pub(super) struct Function<'a> {
    /// Its name.
    pub(super) name: &'a str,
    pub(super) argument: Bytes,
    /// MSP id of the node's organisation.
    pub(super) organization: &'a str,
    pub(super) host: &'a dyn Host,
    pub(super) packages: &'a dyn Packages,
    /// None outside of a channel.
    pub(super) channel: Option<Channel<'a>>,
}

/// The channel that a call is about.
pub(super) struct Channel<'a> {
    pub(super) name: &'a str,
    pub(super) config: &'a dyn ChannelConfig,
    pub(super) state: &'a mut dyn State,
    /// MSP ids of the organisations whose approvals count.
    pub(super) organizations: Vec<String>,
}

impl Function<'_> {
    /// Does what the function does; the answer is its result, serialized.
    pub(super) fn run(mut self) -> Result<Bytes, LifecycleError> {
        match self.name {
            "InstallChaincode" => self.install(),
            "QueryInstalledChaincode" => self.query_installed(),
            "QueryInstalledChaincodes" => self.query_all_installed(),
            "GetInstalledChaincodePackage" => self.get_package(),
            "ApproveChaincodeDefinitionForMyOrg" => self.approve(),
            "QueryApprovedChaincodeDefinition" => self.query_approved(),
            "QueryApprovedChaincodeDefinitions" => self.query_all_approved(),
            "CheckCommitReadiness" => self.check_readiness(),
            "CommitChaincodeDefinition" => self.commit(),
            "QueryChaincodeDefinition" => self.query_definition(),
            "QueryChaincodeDefinitions" => self.query_all_definitions(),
            other => Err(LifecycleError::UnknownFunction(other.to_owned())),
        }
    }

    fn argument<M: Message + Default>(&self) -> Result<M, LifecycleError> {
        M::decode(self.argument.clone()).map_err(|source| LifecycleError::Argument {
            function: self.name.to_owned(),
            source,
        })
    }

    fn install(&self) -> Result<Bytes, LifecycleError> {
        let args: InstallChaincodeArgs = self.argument()?;
        let installed = self.packages.install(&args.chaincode_install_package)?;
        Ok(answer(&InstallChaincodeResult {
            package_id: installed.package_id,
            label: installed.label,
        }))
    }

    fn query_installed(&self) -> Result<Bytes, LifecycleError> {
        let args: QueryInstalledChaincodeArgs = self.argument()?;
        let mut installed = self.packages.installed().into_iter();
        let found = installed.find(|one| one.package_id == args.package_id);
        let found = found.ok_or(LifecycleError::NotInstalled(args.package_id))?;
        Ok(answer(&self.told(found)))
    }

    fn query_all_installed(&self) -> Result<Bytes, LifecycleError> {
        let QueryInstalledChaincodesArgs {} = self.argument()?;
        let installed = self.packages.installed().into_iter();
        let installed_chaincodes = installed.map(|one| self.told(one)).collect();
        Ok(answer(&QueryInstalledChaincodesResult {
            installed_chaincodes,
        }))
    }

    fn told(&self, installed: Installed) -> InstalledChaincode {
        let references = self.host.references(&installed.package_id).into_iter();
        let references =
            references.map(|(channel, chaincodes)| (channel, References { chaincodes }));
        InstalledChaincode {
            package_id: installed.package_id,
            label: installed.label,
            references: references.collect(),
        }
    }

    fn get_package(&self) -> Result<Bytes, LifecycleError> {
        let args: GetInstalledChaincodePackageArgs = self.argument()?;
        let found = self.packages.get(&args.package_id)?;
        let found = found.ok_or(LifecycleError::NoPackage(args.package_id))?;
        Ok(answer(&GetInstalledChaincodePackageResult {
            chaincode_install_package: found,
        }))
    }

    fn approve(&mut self) -> Result<Bytes, LifecycleError> {
        let args: ApproveChaincodeDefinitionForMyOrgArgs = self.argument()?;
        let definition = Definition {
            sequence: args.sequence,
            parameters: Parameters {
                endorsement: ChaincodeEndorsementInfo {
                    version: args.version,
                    init_required: args.init_required,
                    endorsement_plugin: args.endorsement_plugin,
                },
                validation: ChaincodeValidationInfo {
                    validation_plugin: args.validation_plugin,
                    validation_parameter: args.validation_parameter,
                },
                collections: args.collections.unwrap_or_default(),
            },
        };
        let package_id = match args.source.and_then(|source| source.r#type) {
            Some(SourceKind::LocalPackage(package)) => package.package_id,
            Some(SourceKind::Unavailable(_)) | None => String::new(),
        };
        let organization = self.organization;
        let mut channel = self.channel()?;
        channel.check(&args.name, &definition.parameters)?;
        let approval = Approval {
            definition,
            package_id,
        };
        let mut definitions = channel.definitions();
        definitions.approve(organization, &args.name, approval)?;
        Ok(answer(&ApproveChaincodeDefinitionForMyOrgResult {}))
    }

    fn query_approved(&mut self) -> Result<Bytes, LifecycleError> {
        let args: QueryApprovedChaincodeDefinitionArgs = self.argument()?;
        let (organization, packages) = (self.organization, self.packages);
        let mut channel = self.channel()?;
        let mut definitions = channel.definitions();
        let found = definitions.approved(organization, &args.name, args.sequence, packages)?;
        let source = source_of(found.package_id);
        let (sequence, parameters) = (found.definition.sequence, found.definition.parameters);
        Ok(answer(&QueryApprovedChaincodeDefinitionResult {
            sequence,
            version: parameters.endorsement.version,
            endorsement_plugin: parameters.endorsement.endorsement_plugin,
            validation_plugin: parameters.validation.validation_plugin,
            validation_parameter: parameters.validation.validation_parameter,
            collections: Some(parameters.collections),
            init_required: parameters.endorsement.init_required,
            source: Some(source),
        }))
    }

    fn query_all_approved(&mut self) -> Result<Bytes, LifecycleError> {
        let QueryApprovedChaincodeDefinitionsArgs {} = self.argument()?;
        let organization = self.organization;
        let mut channel = self.channel()?;
        let found = channel.definitions().all_approved(organization)?;
        let approved = found.into_iter().map(|(name, approval)| {
            let parameters = approval.definition.parameters;
            ApprovedChaincodeDefinition {
                name,
                sequence: approval.definition.sequence,
                version: parameters.endorsement.version,
                endorsement_plugin: parameters.endorsement.endorsement_plugin,
                validation_plugin: parameters.validation.validation_plugin,
                validation_parameter: parameters.validation.validation_parameter,
                collections: Some(parameters.collections),
                init_required: parameters.endorsement.init_required,
                source: Some(source_of(approval.package_id)),
            }
        });
        Ok(answer(&QueryApprovedChaincodeDefinitionsResult {
            approved_chaincode_definitions: approved.collect(),
        }))
    }

    fn check_readiness(&mut self) -> Result<Bytes, LifecycleError> {
        let args: CommitChaincodeDefinitionArgs = self.argument()?;
        let (name, mut definition) = proposed(args);
        let mut channel = self.channel()?;
        let organizations = channel.organizations.clone();
        let mut definitions = channel.definitions();
        let readiness = definitions.readiness(&name, &mut definition, &organizations)?;
        let mismatches = readiness.mismatches.into_iter();
        let mismatches =
            mismatches.map(|(organization, items)| (organization, Mismatches { items }));
        Ok(answer(&CheckCommitReadinessResult {
            approvals: readiness.approvals,
            mismatches: mismatches.collect(),
        }))
    }

    fn commit(&mut self) -> Result<Bytes, LifecycleError> {
        let args: CommitChaincodeDefinitionArgs = self.argument()?;
        let (name, definition) = proposed(args);
        let organization = self.organization;
        let mut channel = self.channel()?;
        channel.check(&name, &definition.parameters)?;
        let organizations = channel.organizations.clone();
        if !organizations.iter().any(|one| one == organization) {
            return Err(LifecycleError::Channel(
                "impossibly, this peer's org is processing requests for a channel it is not a \
                 member of"
                    .to_owned(),
            ));
        }
        let readiness = channel
            .definitions()
            .commit(&name, definition, &organizations)?;
        if readiness.approvals.get(organization) != Some(&true) {
            return Err(LifecycleError::NotAgreed(organization.to_owned()));
        }
        Ok(answer(&CommitChaincodeDefinitionResult {}))
    }

    fn query_definition(&mut self) -> Result<Bytes, LifecycleError> {
        let args: QueryChaincodeDefinitionArgs = self.argument()?;
        let mut channel = self.channel()?;
        let organizations = channel.organizations.clone();
        let mut definitions = channel.definitions();
        let found = definitions.definition(&args.name)?;
        let readiness = definitions.approvals(&args.name, &found, &organizations)?;
        let parameters = found.parameters;
        Ok(answer(&QueryChaincodeDefinitionResult {
            sequence: found.sequence,
            version: parameters.endorsement.version,
            endorsement_plugin: parameters.endorsement.endorsement_plugin,
            validation_plugin: parameters.validation.validation_plugin,
            validation_parameter: parameters.validation.validation_parameter,
            collections: Some(parameters.collections),
            init_required: parameters.endorsement.init_required,
            approvals: readiness.approvals,
        }))
    }

    fn query_all_definitions(&mut self) -> Result<Bytes, LifecycleError> {
        let QueryChaincodeDefinitionsArgs {} = self.argument()?;
        let mut channel = self.channel()?;
        let found = channel.definitions().definitions()?;
        let definitions = found.into_iter().map(|(name, definition)| {
            let parameters = definition.parameters;
            ChaincodeDefinition {
                name,
                sequence: definition.sequence,
                version: parameters.endorsement.version,
                endorsement_plugin: parameters.endorsement.endorsement_plugin,
                validation_plugin: parameters.validation.validation_plugin,
                validation_parameter: parameters.validation.validation_parameter,
                collections: Some(parameters.collections),
                init_required: parameters.endorsement.init_required,
            }
        });
        Ok(answer(&QueryChaincodeDefinitionsResult {
            chaincode_definitions: definitions.collect(),
        }))
    }
}

impl<'a> Function<'a> {
    /// The channel; a call has one function, which asks for it once.
    fn channel(&mut self) -> Result<Channel<'a>, LifecycleError> {
        let channel = self.channel.take();
        channel.ok_or_else(|| {
            LifecycleError::Channel("could not get channelconfig for channel ''".to_owned())
        })
    }
}

impl Channel<'_> {
    fn definitions(&mut self) -> Definitions<'_> {
        Definitions {
            channel: self.name,
            config: self.config,
            state: self.state,
        }
    }

    /// Whether a definition keeps the rules, and may come after the one that is committed.
    fn check(&mut self, name: &str, parameters: &Parameters) -> Result<(), LifecycleError> {
        if !is_chaincode_name(name) {
            return Err(DefinitionError::Name(name.to_owned()).into());
        }
        if is_system_name(name) {
            return Err(DefinitionError::SystemName(name.to_owned()).into());
        }
        let version = &parameters.endorsement.version;
        if !is_version(version) {
            return Err(DefinitionError::Version(version.clone()).into());
        }
        let config = self.config;
        let proposed = &parameters.collections;
        collections::check(proposed, config).map_err(DefinitionError::from)?;
        let committed = self.committed_collections(name)?;
        let checked = collections::check_succession(proposed, committed.as_ref());
        Ok(checked.map_err(DefinitionError::from)?)
    }

    /// The collections that a chaincode has, also if it was deployed before Fabric 2.
    fn committed_collections(
        &mut self,
        name: &str,
    ) -> Result<Option<CollectionConfigPackage>, LifecycleError> {
        match self.definitions().definition(name) {
            Ok(definition) => Ok(Some(definition.parameters.collections)),
            Err(LifecycleError::NotDefined(_)) => legacy::collections(self.state, name),
            Err(error) => Err(error),
        }
    }
}

/// What a definition that is to be committed says.
fn proposed(args: CommitChaincodeDefinitionArgs) -> (String, Definition) {
    let parameters = Parameters {
        endorsement: ChaincodeEndorsementInfo {
            version: args.version,
            init_required: args.init_required,
            endorsement_plugin: args.endorsement_plugin,
        },
        validation: ChaincodeValidationInfo {
            validation_plugin: args.validation_plugin,
            validation_parameter: args.validation_parameter,
        },
        collections: args.collections.unwrap_or_default(),
    };
    let sequence = args.sequence;
    let definition = Definition {
        sequence,
        parameters,
    };
    (args.name, definition)
}

/// Where an organisation has a chaincode whose package has this id.
fn source_of(package_id: String) -> ChaincodeSource {
    let kind = if package_id.is_empty() {
        SourceKind::Unavailable(Unavailable {})
    } else {
        SourceKind::LocalPackage(LocalPackage { package_id })
    };
    ChaincodeSource { r#type: Some(kind) }
}

fn answer(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
