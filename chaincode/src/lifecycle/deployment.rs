//! What a channel's definitions make of a node.

use std::collections::BTreeMap;

use quire_ledger::ReadError;

use super::config::ChannelConfig;
use super::definition::Definition;
use super::definitions::Definitions;
use super::error::LifecycleError;
use super::packages::Packages;
use super::state::State;

/// A chaincode that a channel defines.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Its name, which is its namespace.
    pub name: String,
    /// How it is defined.
    pub definition: Definition,
    /// The package that this organisation's nodes run for it; none if the organisation has not approved this very
    /// definition, or has approved it without a package.
    pub package_id: Option<String>,
}

/// Whether each organisation whose approval counts has approved a definition; by MSP ids.
///
/// # Errors
/// The ledger could not be read.
pub fn approvals(
    state: &mut dyn State,
    channel: &str,
    config: &dyn ChannelConfig,
    name: &str,
    definition: &Definition,
) -> Result<BTreeMap<String, bool>, LifecycleError> {
    let organizations = config.application_organizations().unwrap_or_default();
    let mut known = Definitions {
        channel,
        config,
        state,
    };
    let readiness = known.approvals(name, definition, &organizations)?;
    Ok(readiness.approvals)
}

/// The chaincodes that a channel defines, in the order of their names, as an organisation runs them. An approval that
/// another node of the organisation endorsed is known by its hashes, if its package is installed here.
///
/// # Errors
/// The ledger could not be read, or holds a definition that nobody could have written.
pub fn deployments(
    state: &mut dyn State,
    channel: &str,
    config: &dyn ChannelConfig,
    organization: &str,
    packages: &dyn Packages,
) -> Result<Vec<Deployment>, LifecycleError> {
    let mut known = Definitions {
        channel,
        config,
        state,
    };
    let definitions = known.definitions()?;
    let deployments = definitions.into_iter().map(|(name, definition)| {
        let approved = known.approved(organization, &name, definition.sequence, packages);
        let approval = match approved {
            Ok(approval) => Some(approval),
            // The package is not installed here, or something else was approved.
            Err(
                LifecycleError::NotApproved { .. }
                | LifecycleError::Read(ReadError::PrivateMissing { .. }),
            ) => None,
            Err(error) => return Err(error),
        };
        let approval = approval.filter(|approval| {
            let ours = &approval.definition.parameters;
            definition.parameters.difference(ours).is_none()
        });
        let package_id = approval.map(|approval| approval.package_id);
        Ok(Deployment {
            name,
            definition,
            package_id: package_id.filter(|package_id| !package_id.is_empty()),
        })
    });
    deployments.collect()
}
