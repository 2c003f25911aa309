//! Why there is no configuration.

use std::path::PathBuf;

use quire_identity::config::ComputeError;
use quire_identity::msp::folder::FolderError;
use quire_wire::DecodeError;
use quire_wire::json;

use crate::files::FileError;

/// What is wrong with `configtx.yaml`, with what it names, or with what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum GenerateError {
    #[error(
        "there is no configtx.yaml in {0}; -configPath or FABRIC_CFG_PATH names the folder that has it"
    )]
    NoFile(String),
    #[error("{} is no YAML: {reason}", path.display())]
    Yaml { path: PathBuf, reason: String },
    #[error("{place} {what}")]
    Value { place: String, what: String },
    #[error("there is no profile {0:?}")]
    NoProfile(String),
    #[error("there is no organisation {0:?}")]
    NoOrganization(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Folder(#[from] FolderError),
    #[error("the update: {0}")]
    Compute(#[from] ComputeError),
    #[error("{0}")]
    File(#[from] FileError),
    #[error("{0}")]
    Stream(#[from] std::io::Error),
    #[error("{0}")]
    Json(#[from] json::Error),
    #[error("{0}")]
    Decode(#[from] DecodeError),
    #[error("the operating system gave no random numbers")]
    Random,
    #[error("the clock stands before 1970, or is out of range")]
    Clock,
}

impl GenerateError {
    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }
}
