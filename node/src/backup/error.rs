//! Why a backup is not made, or not restored.

use std::path::PathBuf;

use quire_disk::FileError;
use quire_ledger::OpenError;

use crate::advice;

/// Why a backup is not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{} is no backup: it has no backup.json", .0.display())]
    NoBackup(PathBuf),
    #[error("{} cannot be replaced by a backup: it holds {found}", path.display())]
    Occupied { path: PathBuf, found: String },
    #[error("{} is the backup of another node", .0.display())]
    OfAnother(PathBuf),
    #[error("a file system is mounted at {}", .0.display())]
    Mounted(PathBuf),
    #[error("a backup is under way")]
    Busy,
    #[error("the work on it broke off: {0}")]
    Broken(String),
    #[error("{} is in the data directory {}", path.display(), data.display())]
    InData { path: PathBuf, data: PathBuf },
    #[error("a backup of {0} files has a list that is too long")]
    TooManyFiles(usize),
    #[error("{} is damaged: {reason}", path.display())]
    Manifest { path: PathBuf, reason: String },
    #[error("{} is damaged: expected {expected}, found {found}", path.display())]
    Damaged {
        path: PathBuf,
        expected: String,
        found: String,
    },
    #[error("{} was replaced by something shorter while it was copied", .0.display())]
    Shrunk(PathBuf),
    #[error("there is something at {} already: it holds {found}", path.display())]
    NotEmpty { path: PathBuf, found: String },
    #[error("{} holds an unfinished restore of another backup, made {made}", path.display())]
    OtherRestore { path: PathBuf, made: String },
}

impl BackupError {
    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::File(error) => advice::of_io(&error.source),
            Self::Open(error) => advice::of_open(error),
            Self::NoBackup(_) => Some(
                "Name the folder or file that `quire backup` made. One that was begun and not finished is none: \
                 make it again.",
            ),
            Self::Occupied { .. } => Some(
                "Name a folder or file that is not there yet, or one with an earlier backup, which the new one \
                 replaces.",
            ),
            Self::OfAnother(_) => Some(
                "Give each node a folder of its own. A node with a new certificate counts as another: it begins a \
                 new folder too.",
            ),
            Self::Mounted(_) => Some("Name a folder in it, as with `/backup` at the end."),
            Self::Busy => Some("Wait until it has ended."),
            Self::Broken(_) => Some("It is tried again. Write an issue, with the log."),
            Self::InData { .. } => Some("Name a place outside of it, best on another disk."),
            Self::TooManyFiles(_) => {
                Some("Copy the data directory with the node stopped, and write an issue.")
            }
            Self::Manifest { .. } | Self::Damaged { .. } => Some(
                "Nothing was restored. Take another backup; `quire check --data BACKUP` tells all that is wrong \
                 with this one, and `quire repair` takes sound blocks from it.",
            ),
            Self::Shrunk(_) => Some("Run it again."),
            Self::NotEmpty { .. } => {
                Some("Restore into a folder that is not there yet, or an empty one.")
            }
            Self::OtherRestore { .. } => {
                Some("Restore that one, or remove the folder: there is nothing else in it.")
            }
        }
    }
}
