//! `config.yaml` of an organisation's folder: its organisational units.

use std::path::Path;

use serde::Deserialize;

use super::FolderError;
use super::files::Files;

/// What the file says. Other members are passed over, and names count in this spelling only, as in
/// Fabric.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ConfigYaml {
    #[serde(rename = "OrganizationalUnitIdentifiers")]
    pub(super) organizational_unit_identifiers: Option<Vec<UnitYaml>>,
    #[serde(rename = "NodeOUs")]
    pub(super) node_ous: Option<NodeOusYaml>,
}

/// The units of the kinds of members.
#[derive(Debug, Deserialize)]
pub(super) struct NodeOusYaml {
    #[serde(rename = "Enable", default)]
    pub(super) enable: bool,
    #[serde(rename = "ClientOUIdentifier")]
    pub(super) client: Option<UnitYaml>,
    #[serde(rename = "PeerOUIdentifier")]
    pub(super) peer: Option<UnitYaml>,
    #[serde(rename = "AdminOUIdentifier")]
    pub(super) admin: Option<UnitYaml>,
    #[serde(rename = "OrdererOUIdentifier")]
    pub(super) orderer: Option<UnitYaml>,
}

/// A unit.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct UnitYaml {
    /// Path of the CA's certificate in the folder; empty for any CA.
    #[serde(rename = "Certificate")]
    pub(super) certificate: String,
    #[serde(rename = "OrganizationalUnitIdentifier")]
    pub(super) organizational_unit_identifier: String,
}

impl ConfigYaml {
    /// Reads the file; a missing one says nothing.
    pub(super) fn read(files: Files<'_>, path: &Path) -> Result<Self, FolderError> {
        let content = match files.read(path) {
            Err(error) if error.is_not_found() => return Ok(Self::default()),
            content => content?.unwrap_or_default(),
        };
        let malformed = |reason: String| FolderError::Yaml {
            path: path.to_path_buf(),
            reason,
        };
        let text = str::from_utf8(&content).map_err(|error| malformed(error.to_string()))?;
        // Nothing at all, or only comments, is no value.
        let read: Option<Self> =
            serde_saphyr::from_str(text).map_err(|error| malformed(error.to_string()))?;
        Ok(read.unwrap_or_default())
    }
}
