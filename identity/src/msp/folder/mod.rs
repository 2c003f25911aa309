//! Organisations in folders, as Fabric's tools make them and its peers read them.
//!
//! ```text
//! cacerts/               certificates of root CAs, a file each; at least one
//! intermediatecerts/     of CAs below them
//! admincerts/            of listed administrators
//! crls/                  revocation lists
//! tlscacerts/            of root CAs for TLS
//! tlsintermediatecerts/  of CAs below those; only read if there are roots
//! config.yaml            organisational units
//! signcerts/             the certificate of whose folder it is, if it is somebody's
//! keystore/              and the key
//! ```
//!
//! What is read is what Fabric reads: files in the order of their names, those without a PEM block left
//! out. Fabric says nothing of these; here they are listed.

mod config_yaml;
mod files;
mod signer;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quire_disk::{Disk, FileError};
use quire_wire::msp::{FabricCryptoConfig, FabricMspConfig, FabricNodeOus, FabricOuIdentifier};

use super::RevocationList;
use crate::pem;
use config_yaml::{ConfigYaml, UnitYaml};
use files::Files;
pub use signer::SignerError;
pub(crate) use write::files_of;
pub use write::{WriteError, write};

/// Most files of one kind.
const MAX_FILES: usize = 1_000;

/// Why a folder is none of an organisation.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It, or something in it, cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no certificate where one must be.
    #[error("{} has no certificate in PEM", path.display())]
    NoCertificate {
        /// The folder of certificates.
        path: PathBuf,
    },
    /// More files than any organisation has.
    #[error("{} has more than {MAX_FILES} files", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// `config.yaml` is not YAML, or holds something of another type.
    #[error("{} cannot be understood: {reason}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
}

/// A file that Fabric does not read, though it is where it would be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The file.
    pub path: PathBuf,
    /// Why, in words.
    pub reason: String,
}

/// An organisation in a folder.
#[derive(Debug)]
pub struct MspFolder {
    path: PathBuf,
    /// Its value in a channel configuration.
    pub config: FabricMspConfig,
    /// What stands in the folder without being part of that, so that it can be told.
    pub ignored: Vec<Ignored>,
}

impl MspFolder {
    /// Reads the organisation `msp_id` in the folder `path`. Whether it is sound, only
    /// [`Msp::from_config`](super::Msp::from_config) finds out.
    ///
    /// # Errors
    /// If Fabric could not read it either, or a file is larger than an organisation's may be.
    pub fn read(path: &Path, msp_id: &str) -> Result<Self, FolderError> {
        Self::read_from(Files::Given, path, msp_id)
    }

    /// The same of a folder that this node has written.
    pub(crate) fn read_kept(
        disk: &dyn Disk,
        path: &Path,
        msp_id: &str,
    ) -> Result<Self, FolderError> {
        Self::read_from(Files::Kept(disk), path, msp_id)
    }

    fn read_from(files: Files<'_>, path: &Path, msp_id: &str) -> Result<Self, FolderError> {
        let mut ignored = Vec::new();
        let mut list = |name: &str| read_list(files, &path.join(name), &mut ignored);
        let authorities = path.join("cacerts");
        let Some(root_certs) = list("cacerts")? else {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return Err(FileError::of("list", &authorities)(missing).into());
        };
        if root_certs.is_empty() {
            return Err(FolderError::NoCertificate { path: authorities });
        }
        let admins = list("admincerts")?.unwrap_or_default();
        let intermediate_certs = list("intermediatecerts")?.unwrap_or_default();
        let tls_root_certs = list("tlscacerts")?.unwrap_or_default();
        let tls_intermediate_certs = if tls_root_certs.is_empty() {
            Vec::new()
        } else {
            list("tlsintermediatecerts")?.unwrap_or_default()
        };
        let revocation_list = list("crls")?.unwrap_or_default();
        let config_yaml = ConfigYaml::read(files, &path.join("config.yaml"))?;
        let organizational_unit_identifiers = restrictions(files, path, &config_yaml)?;
        let fabric_node_ous = node_units(files, path, &config_yaml, &mut ignored);
        let config = FabricMspConfig {
            name: msp_id.to_owned(),
            root_certs,
            intermediate_certs,
            admins,
            revocation_list,
            signing_identity: Bytes::new(),
            organizational_unit_identifiers,
            crypto_config: Some(usual_hash_functions()),
            tls_root_certs,
            tls_intermediate_certs,
            fabric_node_ous,
        };
        Ok(Self {
            path: path.to_path_buf(),
            config,
            ignored,
        })
    }
}

/// The hash functions of every organisation in a folder.
fn usual_hash_functions() -> FabricCryptoConfig {
    FabricCryptoConfig {
        signature_hash_family: "SHA2".to_owned(),
        identity_identifier_hash_function: "SHA256".to_owned(),
    }
}

/// The files of a folder that hold PEM, in the order of their names; `None` if there is no folder.
fn read_list(
    files: Files<'_>,
    folder: &Path,
    ignored: &mut Vec<Ignored>,
) -> Result<Option<Vec<Bytes>>, FolderError> {
    let Some(names) = files.names_in(folder)? else {
        return Ok(None);
    };
    let mut list = Vec::new();
    for name in names {
        let path = folder.join(name);
        let reason = match files.read(&path) {
            Ok(None) => continue,
            Ok(Some(content)) if pem::Block::first(&content).is_some() => {
                list.push(content.into());
                continue;
            }
            Ok(Some(content)) if RevocationList::read(&content).is_some() => {
                "a revocation list, but not in PEM: Fabric does not read it".to_owned()
            }
            Ok(Some(_)) => "no PEM in it".to_owned(),
            Err(error) if error.source.kind() == io::ErrorKind::FileTooLarge => {
                return Err(error.into());
            }
            Err(error) => error.source.to_string(),
        };
        ignored.push(Ignored { path, reason });
    }
    Ok(Some(list))
}

/// The units of which every member must have one. A certificate that is missing is an error, as in
/// Fabric.
fn restrictions(
    files: Files<'_>,
    folder: &Path,
    config: &ConfigYaml,
) -> Result<Vec<FabricOuIdentifier>, FolderError> {
    let units = config.organizational_unit_identifiers.iter().flatten();
    let mut read = Vec::new();
    for unit in units {
        let path = folder.join(&unit.certificate);
        let Some(certificate) = files.read(&path)? else {
            let error = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(FileError::of("read", &path)(error).into());
        };
        read.push(FabricOuIdentifier {
            certificate: certificate.into(),
            organizational_unit_identifier: unit.organizational_unit_identifier.clone(),
        });
    }
    Ok(read)
}

/// The units of the kinds of members, if they count. A certificate that is missing only leaves the unit
/// open to every CA, as in Fabric.
fn node_units(
    files: Files<'_>,
    folder: &Path,
    config: &ConfigYaml,
    ignored: &mut Vec<Ignored>,
) -> Option<FabricNodeOus> {
    let node_ous = config
        .node_ous
        .as_ref()
        .filter(|node_ous| node_ous.enable)?;
    let mut unit = |unit: &Option<UnitYaml>| {
        let unit = unit
            .as_ref()
            .filter(|unit| !unit.organizational_unit_identifier.is_empty())?;
        let mut certificate = Bytes::new();
        if !unit.certificate.is_empty() {
            let path = folder.join(&unit.certificate);
            let missing = match files.read(&path) {
                Ok(Some(content)) => {
                    certificate = content.into();
                    None
                }
                Ok(None) => Some("a folder".to_owned()),
                Err(error) => Some(error.source.to_string()),
            };
            if let Some(why) = missing {
                let name = &unit.organizational_unit_identifier;
                let reason = format!("{why}: every CA may give the unit {name:?}");
                ignored.push(Ignored { path, reason });
            }
        }
        Some(FabricOuIdentifier {
            certificate,
            organizational_unit_identifier: unit.organizational_unit_identifier.clone(),
        })
    };
    Some(FabricNodeOus {
        enable: true,
        client_ou_identifier: unit(&node_ous.client),
        peer_ou_identifier: unit(&node_ous.peer),
        admin_ou_identifier: unit(&node_ous.admin),
        orderer_ou_identifier: unit(&node_ous.orderer),
    })
}

#[cfg(test)]
mod tests;
