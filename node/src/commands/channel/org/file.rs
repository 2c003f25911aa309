//! A file with an organisation, as it stands in a channel's configuration.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use quire_identity::config::edit::msp_of;
use quire_wire::config::ConfigGroup;
use quire_wire::{DecodeError, Message as _, json};

/// Most bytes of the file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why a file holds no organisation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrganizationFileError {
    #[error("the file {} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("the file {} has more than {MAX_FILE_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("the file {} is no organisation in JSON", .0.display())]
    Json(PathBuf, #[source] json::Error),
    #[error("the file {} is no organisation", .0.display())]
    Decode(PathBuf, #[source] DecodeError),
    #[error("the file {} holds no MSP", .0.display())]
    NoMsp(PathBuf),
}

/// Reads an organisation: JSON as configtxgen prints it, or a serialized `common.ConfigGroup`.
pub(crate) fn read_organization(file: &Path) -> Result<ConfigGroup, OrganizationFileError> {
    let path = || file.to_owned();
    let unreadable = |source| OrganizationFileError::Read(path(), source);
    if std::fs::metadata(file).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Err(OrganizationFileError::TooLarge(path()));
    }
    let content = std::fs::read(file).map_err(unreadable)?;
    let is_json = content.trim_ascii_start().starts_with(b"{");
    let bytes = if is_json {
        let read = json::read(json::application_organization(), &content);
        read.map_err(|source| OrganizationFileError::Json(path(), source))?
    } else {
        content
    };
    let group = ConfigGroup::decode(Bytes::from(bytes))
        .map_err(|source| OrganizationFileError::Decode(path(), source))?;
    match msp_of(&group) {
        Some(_) => Ok(group),
        None => Err(OrganizationFileError::NoMsp(path())),
    }
}
