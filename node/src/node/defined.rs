//! The chaincodes that a channel defines, as they are told.

use std::sync::Arc;

use quire_chaincode::lifecycle::{
    Deployment, LifecycleError, SimulatedState, approvals, deployments,
};
use quire_gateway::chaincodes::{DefinedChaincode, DefinedCollection, DeployedChaincode};
use quire_identity::Bundle;
use quire_identity::policy::write_signature_policy;
use quire_ledger::{ReadError, Simulator};
use quire_peer::config::in_state;
use quire_peer::{ChaincodeHost, Channel};
use quire_wire::Message as _;
use quire_wire::collection::{ApplicationPolicy, PolicyKind, StaticCollectionConfig};

use super::{Node, Wanted};

impl Node {
    /// The chaincodes that a channel defines, by name. Blocks.
    pub(crate) fn defined(
        &self,
        channel: &Channel,
    ) -> Result<Vec<DefinedChaincode>, LifecycleError> {
        let Some(state) = in_state(&channel.reader)? else {
            // An imported ledger without a configuration has no organisations, and so no definitions of theirs.
            return Ok(Vec::new());
        };
        let bundle = Bundle::new(&channel.name, state.config);
        let bundle = bundle.map_err(|error| ReadError::Config(error.to_string()))?;
        let mut simulator = Simulator::new(channel.reader.snapshot());
        let mut state = SimulatedState(&mut simulator);
        let organization = self.endorser.msp_id();
        let host = self.chaincodes.as_ref();
        let packages = host.map_or_else(
            || ChaincodeHost::idle().packages,
            |host| Arc::clone(&host.packages) as _,
        );
        let defined = deployments(&mut state, &channel.name, &bundle, organization, &*packages)?;
        let told = defined.into_iter().map(|deployment| {
            let Deployment {
                name, definition, ..
            } = &deployment;
            let approvals = approvals(&mut state, &channel.name, &bundle, name, definition)?;
            Ok(DefinedChaincode {
                approvals,
                is_running: self.is_running(deployment.package_id.as_deref()),
                ..told(deployment)
            })
        });
        told.collect()
    }

    /// A chaincode that runs a package here by the definition in force, if that is as it is wanted. A policy that is named
    /// is not looked at, and none is found then.
    pub(super) fn deployed_as_wanted(
        &self,
        channel: &Channel,
        wanted: &Wanted,
        package_id: &str,
    ) -> Result<Option<DeployedChaincode>, LifecycleError> {
        let version = wanted.version.as_ref();
        let is_wanted = |one: &DefinedChaincode| {
            one.name == wanted.name
                && one.package_id.as_deref() == Some(package_id)
                && version.is_none_or(|version| *version == one.version)
                && wanted
                    .init_required
                    .is_none_or(|required| required == one.init_required)
        };
        if wanted.policy.is_some() {
            return Ok(None);
        }
        let found = self.defined(channel)?.into_iter().find(is_wanted);
        Ok(found.map(|one| DeployedChaincode {
            package_id: package_id.to_owned(),
            sequence: one.sequence,
            version: one.version,
            approvals: one.approvals,
            is_committed: true,
            was_there: true,
            is_running: one.is_running,
        }))
    }

    /// Whether the process of a package is connected here.
    pub(super) fn is_running(&self, package_id: Option<&str>) -> bool {
        let host = self.chaincodes.as_ref();
        let both = host.zip(package_id);
        both.is_some_and(|(host, package_id)| host.processes.is_running(package_id))
    }
}

/// What a definition itself says.
fn told(deployment: Deployment) -> DefinedChaincode {
    let parameters = deployment.definition.parameters;
    let policy = ApplicationPolicy::decode(parameters.validation.validation_parameter);
    let collections = parameters.collections.config.into_iter();
    let collections = collections.filter_map(|one| one.static_collection_config);
    DefinedChaincode {
        name: deployment.name,
        sequence: deployment.definition.sequence,
        version: parameters.endorsement.version,
        init_required: parameters.endorsement.init_required,
        policy: policy.ok().and_then(policy_text),
        collections: collections.map(collection).collect(),
        approvals: std::collections::BTreeMap::new(),
        package_id: deployment.package_id,
        is_running: false,
    }
}

fn collection(collection: StaticCollectionConfig) -> DefinedCollection {
    let members = collection.member_orgs_policy;
    let members = members.and_then(|members| members.signature_policy);
    DefinedCollection {
        name: collection.name,
        policy: members.as_ref().and_then(write_signature_policy),
        required_peer_count: collection.required_peer_count,
        max_peer_count: collection.maximum_peer_count,
        block_to_live: collection.block_to_live,
        member_only_read: collection.member_only_read,
        member_only_write: collection.member_only_write,
        endorsement_policy: collection.endorsement_policy.and_then(policy_text),
    }
}

/// A policy in words, or the path of one.
fn policy_text(policy: ApplicationPolicy) -> Option<String> {
    match policy.r#type? {
        PolicyKind::SignaturePolicy(policy) => write_signature_policy(&policy),
        PolicyKind::ChannelConfigPolicyReference(path) => Some(path),
    }
}
