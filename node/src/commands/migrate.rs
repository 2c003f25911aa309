//! `quire migrate`: what a start would migrate, without one: files on disk whose form is an older
//! release's, and files of query indexes that channels have not had.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_disk::{Disk, OsDisk};
use quire_ledger::{
    DataLock, Due, Migrated, Migration, OpenError, Progress, Status, StoredMigrateError,
    stored_channels, stored_migrate,
};

use crate::admin::client;
use crate::admin::{self, Message};
use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::{failed, print_other_answer, refuse_no_channel};
use crate::migrations;
use crate::node::ChannelMigrated;
use crate::settings::Settings;

/// Bring files on disk to the forms of this release, and give channels the files of query indexes
/// that they have not had, of a stopped node or of a running one; says what it did. A start does
/// the same.
#[derive(Clone, Debug, Args)]
pub(crate) struct MigrateArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The folder with files of query indexes; without this, `migrations` in the data directory, if it
    /// is there.
    #[arg(long, value_name = "DIR", env = "QUIRE_MIGRATIONS")]
    pub(crate) migrations: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Verb for MigrateArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let data = &self.data.data;
        let named = self.migrations.as_deref();
        let files = match migrations::of(named, data) {
            Ok(files) => files,
            Err(error) => return failed(&error, error.advice()),
        };
        match migrate(self, &files) {
            Ok(channels) if channels.is_empty() => refuse_no_channel(data),
            Ok(channels) => {
                tell(&channels, self.dry_run, !self.dry_run);
                ExitCode::SUCCESS
            }
            Err(StoredMigrateError::Open(OpenError::InUse(_))) => ask(self, &files),
            Err(error) => {
                let advice = match &error {
                    StoredMigrateError::Open(error) => advice::of_open(error),
                    StoredMigrateError::Migrate(_) => None,
                };
                failed(&error, advice)
            }
        }
    }
}

/// Every channel that is in use, with what it lacks or got.
fn migrate(
    arguments: &MigrateArguments,
    files: &[Migration],
) -> Result<Vec<(String, Due)>, StoredMigrateError> {
    let data = &arguments.data.data;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    // Definitions are replaced whole: to read them needs nobody's leave.
    let _lock = if arguments.dry_run {
        None
    } else {
        Some(DataLock::take(data)?)
    };
    let records = stored_channels(Arc::clone(&disk), data)?.into_iter();
    let active = records.filter(|record| record.status == Status::Active);
    let migrated = active.map(|record| {
        let dir = data.join("channels").join(&record.name);
        let only_tell = arguments.dry_run;
        let due = stored_migrate(disk.as_ref(), &dir, &record.name, files, only_tell)?;
        Ok((record.name, due))
    });
    migrated.collect()
}

/// Lets the running node give its channels the files. It replaces a file of an older form by itself, as
/// soon as there is something to write into it.
fn ask(arguments: &MigrateArguments, files: &[Migration]) -> ExitCode {
    let data = &arguments.data.data;
    let folder = migrations::folder(arguments.migrations.as_deref(), data);
    // The node may have been started somewhere else.
    let folder = match folder.canonicalize() {
        Ok(folder) => folder,
        Err(_) if files.is_empty() => {
            println!("there are no files of query indexes to give to the running node");
            return ExitCode::SUCCESS;
        }
        Err(error) => return failed(&error, None),
    };
    let request = admin::Migrate { migrations: folder };
    let mut no_progress = |_: Progress<'_>| ();
    match client::ask(data, "POST", "/migrate", &request, &mut no_progress) {
        Ok(Message::Migrated(channels)) => {
            let channels = channels.into_iter().map(|migrated| {
                let ChannelMigrated {
                    channel,
                    applied,
                    gone,
                } = migrated;
                let due = Due {
                    form: None,
                    migrated: Migrated { applied, gone },
                };
                (channel, due)
            });
            tell(&channels.collect::<Vec<_>>(), false, false);
            ExitCode::SUCCESS
        }
        other => print_other_answer(other),
    }
}

fn tell(channels: &[(String, Due)], is_dry: bool, is_built_later: bool) {
    let mut nothing = true;
    for (channel, due) in channels {
        if let Some((before, after)) = due.form {
            nothing = false;
            let verb = if is_dry { "would be" } else { "was" };
            println!(
                "channel {channel}: indexes.json of form {before} {verb} written in form {after}"
            );
        }
        for (file, indexes) in &due.migrated.applied {
            nothing = false;
            let verb = if is_dry { "would be" } else { "was" };
            let plural = if *indexes == 1 { "" } else { "es" };
            let when = if is_built_later {
                ", built at the next start"
            } else {
                ""
            };
            println!("channel {channel}: {file} {verb} applied: {indexes} index{plural}{when}");
        }
        for file in &due.migrated.gone {
            println!("channel {channel}: {file} was applied once, and is there no more");
        }
    }
    if nothing {
        println!("nothing to migrate");
    }
}
