//! What is to be deployed, and where it comes from.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use quire_chaincode::lifecycle::{
    Connection, Metadata, Package, Packages as _, PackagesError, pack_code,
};
use quire_gateway::chaincodes::{Deployment, DeploymentSource};
use quire_identity::policy::read_signature_policy;
use quire_wire::Message as _;
use quire_wire::collection::{ApplicationPolicy, PolicyKind};
use serde::{Deserialize, Serialize};

use super::deploy::DeployError;
use crate::chaincodes::Chaincodes;

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
    /// Who must endorse: Fabric's policy text, or the path of a policy of the channel. An upgrade without it keeps what
    /// is in force.
    pub(crate) policy: Option<String>,
    /// Whether its first call must be an initialisation. An upgrade without it keeps what is in force.
    pub(crate) init_required: Option<bool>,
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
    /// A package that is installed, by its id.
    Installed(String),
    /// The bytes of a package.
    #[serde(skip)]
    Given(Bytes),
}

impl Wanted {
    /// What a caller of the API wants.
    pub(super) fn of(channel: &str, deployment: Deployment) -> Self {
        Self {
            channel: channel.to_owned(),
            name: deployment.name,
            source: match deployment.source {
                DeploymentSource::Installed(package_id) => WantedSource::Installed(package_id),
                DeploymentSource::Package(bytes) => WantedSource::Given(bytes),
                DeploymentSource::Service(address) => WantedSource::Service(address),
            },
            version: deployment.version,
            policy: deployment.policy,
            init_required: deployment.init_required,
        }
    }
}

/// Sees to it that what is wanted is installed.
pub(super) fn install(host: &Chaincodes, wanted: &Wanted) -> Result<String, DeployError> {
    if let WantedSource::Installed(package_id) = &wanted.source {
        let installed = host.packages.installed();
        let is_installed = installed.iter().any(|one| one.package_id == *package_id);
        return if is_installed {
            Ok(package_id.clone())
        } else {
            Err(DeployError::NotInstalled(package_id.clone()))
        };
    }
    match host.packages.install(&package(wanted)?) {
        Ok(installed) => Ok(installed.package_id),
        Err(PackagesError::Already(package_id)) => Ok(package_id),
        Err(error) => Err(error.into()),
    }
}

/// The bytes of a package.
fn package(wanted: &Wanted) -> Result<Bytes, DeployError> {
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
            Ok(package.write()?.into())
        }
        WantedSource::Package(path) => read(path),
        WantedSource::Given(bytes) => Ok(bytes.clone()),
        WantedSource::Installed(package_id) => Err(DeployError::NotInstalled(package_id.clone())),
        WantedSource::Service(address) => {
            let text = serde_json::json!({ "address": address }).to_string();
            let connection = Connection::read(text.as_bytes())?;
            Ok(Package::of_service(&label, &connection)?.write()?.into())
        }
    }
}

fn read(path: &Path) -> Result<Bytes, DeployError> {
    let bytes = std::fs::read(path);
    let bytes = bytes.map_err(|source| DeployError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(bytes.into())
}

/// A policy as definitions have it.
pub(super) fn policy(text: &str) -> Result<Bytes, DeployError> {
    let kind = if text.starts_with('/') {
        PolicyKind::ChannelConfigPolicyReference(text.to_owned())
    } else {
        PolicyKind::SignaturePolicy(read_signature_policy(text)?)
    };
    let policy = ApplicationPolicy { r#type: Some(kind) };
    Ok(policy.encode_to_vec().into())
}
