//! The backups that a node makes by itself.

use std::path::PathBuf;

use clap::Args;

use super::values::{at_once, period};

/// Where backups go, how often they are made, and how many are kept.
#[expect(
    clippy::struct_field_names,
    reason = "fields are named as their flags are"
)]
#[derive(Clone, Debug, Args)]
pub(crate) struct BackupsArguments {
    /// The folder for the backups that the node makes by itself, each in a folder of its own that is named by its
    /// moment; best on another disk.
    #[arg(long, value_name = "DIR", env = "QUIRE_BACKUP_TO")]
    pub(crate) backup_to: Option<PathBuf>,
    /// Make one whenever the newest is so many seconds old; without it, only when an administrator asks.
    #[arg(long, value_name = "SECONDS", env = "QUIRE_BACKUP_EVERY", value_parser = period)]
    pub(crate) backup_every: Option<u64>,
    /// Keep so many, the newest.
    #[arg(
        long,
        value_name = "N",
        env = "QUIRE_BACKUP_KEEP",
        value_parser = at_once("backups", 1),
        default_value_t = 7
    )]
    pub(crate) backup_keep: usize,
}
