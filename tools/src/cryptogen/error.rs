//! Why a network's keys and certificates could not be made.

use std::path::PathBuf;

use super::key::KeyError;
use crate::files::FileError;

/// What is wrong with the description of a network, or with what is there of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum GenerateError {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("{0}")]
    Stream(#[from] std::io::Error),
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("the configuration is no crypto-config.yaml: {0}")]
    Yaml(String),
    #[error("the template {template:?} {reason}")]
    Template { template: String, reason: String },
    #[error("{0:?} cannot be the name of a folder")]
    Name(String),
    #[error("{} is there already; `extend` adds to it", .0.display())]
    Exists(PathBuf),
    #[error("the authority in {}: {reason}", path.display())]
    Authority { path: PathBuf, reason: String },
}
