//! `quire migrate`: what a start would migrate, without one: files on disk whose form is an older
//! release's, and files of query indexes that channels have not had.

use std::process::ExitCode;
use std::sync::Arc;

use quire_disk::{Disk, OsDisk};
use quire_ledger::{
    DataLock, Due, Migrated, Migration, OpenError, Progress, Status, StoredMigrateError,
    stored_channels, stored_migrate,
};

use crate::admin::client::{self, AskError};
use crate::admin::{self, ChannelMigrated, Message};
use crate::cli::MigrateArguments;
use crate::commands::{FAILED, advice, print_failure, print_not_asked, refuse_no_channel};
use crate::migrations;
use crate::terminal::print_error;

pub(crate) fn run(arguments: &MigrateArguments) -> ExitCode {
    let data = &arguments.data.data;
    let named = arguments.migrations.as_deref();
    let files = match migrations::of(named, data) {
        Ok(files) => files,
        Err(error) => {
            print_error(&error, error.advice());
            return ExitCode::from(FAILED);
        }
    };
    match migrate(arguments, &files) {
        Ok(channels) if channels.is_empty() => refuse_no_channel(data),
        Ok(channels) => {
            tell(&channels, arguments.dry_run, !arguments.dry_run);
            ExitCode::SUCCESS
        }
        Err(StoredMigrateError::Open(OpenError::InUse(_))) => ask(arguments, &files),
        Err(error) => {
            let advice = match &error {
                StoredMigrateError::Open(error) => advice(error),
                StoredMigrateError::Migrate(_) => None,
            };
            print_error(&error, advice);
            ExitCode::from(FAILED)
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
        Err(error) => {
            print_error(&error, None);
            return ExitCode::from(FAILED);
        }
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
        Ok(Message::Failed(failure)) => print_failure(&failure),
        Ok(other) => print_not_asked(&AskError::Refused(format!("{other:?}"))),
        Err(error) => print_not_asked(&error),
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
