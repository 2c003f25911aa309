//! `quire backup`: of a stopped node directly, of a running one through its socket. `quire restore`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_disk::OsDisk;
use quire_ledger::{Ledgers, OpenError, Progress, StateEngine};

use crate::admin::client;
use crate::admin::{self, Message};
use crate::backup::{BackedUp, BackupError, Source, back_up, restore};
use crate::clock;
use crate::commands::verb::{Needs, Verb};
use crate::exit::{DAMAGED, failed, print_other_answer};
use crate::settings::Settings;
use crate::terminal::ProgressDisplay;

/// Copy a data directory, of a stopped node or of a running one, which goes on meanwhile. The copy is a data
/// directory, without what a start makes again from the blocks.
#[derive(Clone, Debug, Args)]
pub(crate) struct BackupArguments {
    /// The folder, as the node sees it, or a file `NAME.tar.zst`. An earlier backup there is replaced when the new
    /// one is whole; of a folder, what has not changed since is not copied again.
    target: PathBuf,
    /// The data directory.
    #[arg(
        long,
        value_name = "DIR",
        env = "QUIRE_DATA",
        default_value = "./quire-data"
    )]
    data: PathBuf,
    /// Leave the organisation, identities, tokens and the CA's registry out. Put all of them in their place before
    /// a start: without the registry nothing is revoked, and without tokens the node is open to everybody.
    #[arg(long)]
    without_identities: bool,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

/// Make a data directory of a backup. Every byte is compared with what was backed up.
#[derive(Clone, Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The folder or file that `quire backup` made.
    source: PathBuf,
    /// The data directory to make: a folder that is empty, or not there yet.
    #[arg(
        long,
        value_name = "DIR",
        env = "QUIRE_DATA",
        default_value = "./quire-data"
    )]
    data: PathBuf,
}

impl Verb for BackupArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let mut display = ProgressDisplay::new();
        let mut progress = |progress: Progress<'_>| display.show(progress);
        // The node may have been started somewhere else.
        let target = std::path::absolute(&self.target);
        let target = match target.or_else(|_| Ok::<_, std::io::Error>(self.target.clone())) {
            Ok(target) => target,
            Err(error) => return failed(&error, None),
        };
        match of_stopped(self, &target, &mut progress) {
            Ok(made) => tell(&made, self.json),
            Err(BackupError::Open(OpenError::InUse(_))) => {
                let request = admin::BackUp {
                    target,
                    identities: !self.without_identities,
                };
                match client::ask(&self.data, "POST", "/backup", &request, &mut progress) {
                    Ok(Message::BackedUp(made)) => tell(&made, self.json),
                    other => print_other_answer(other),
                }
            }
            Err(error) => failed(&error, error.advice()),
        }
    }
}

fn of_stopped(
    arguments: &BackupArguments,
    target: &std::path::Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<BackedUp, BackupError> {
    let data = &arguments.data;
    // State is not looked at, wherever it is: what is wrong with it is no trouble of a backup.
    let (ledgers, _) = Ledgers::look(Arc::new(OsDisk), data, &StateEngine::Fjall)?;
    let identities = !arguments.without_identities;
    let source = Source::of(&ledgers, data, identities, BTreeMap::new());
    back_up(&OsDisk, &source, target, clock::now(), progress)
}

fn tell(made: &BackedUp, json: bool) -> ExitCode {
    let code = if made.trouble.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DAMAGED)
    };
    if json {
        return match serde_json::to_string_pretty(made) {
            Ok(text) => {
                println!("{text}");
                code
            }
            Err(error) => failed(&error, None),
        };
    }
    for channel in &made.channels {
        let name = &channel.name;
        match (channel.height, &channel.trouble) {
            (Some(height), _) => println!("channel {name}: {height} blocks"),
            (None, trouble) => println!(
                "channel {name}: copied as it is, for it does not open: {}",
                trouble.as_deref().unwrap_or_default()
            ),
        }
    }
    println!(
        "{}: {} files, {} bytes, {} of them copied now",
        made.path.display(),
        made.files,
        made.bytes,
        made.copied_bytes
    );
    for trouble in &made.trouble {
        println!("not whole: {trouble}");
    }
    if !made.trouble.is_empty() {
        println!("  `quire check` says what to do. Keep the backups that were made before.");
    }
    code
}

impl Verb for RestoreArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::Nothing
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let mut display = ProgressDisplay::new();
        let mut progress = |progress: Progress<'_>| display.show(progress);
        match restore(&OsDisk, &self.source, &self.data, &mut progress) {
            Ok(manifest) => {
                println!(
                    "{}: the backup of {}, {} files, {} bytes",
                    self.data.display(),
                    manifest.made,
                    manifest.files.len(),
                    manifest.bytes()
                );
                println!(
                    "  Stop the old node before a start here, for both have its keys; revoke again what was \
                     revoked since."
                );
                if !manifest.identities {
                    println!(
                        "  It was made without identities: put organization, identities, tokens and ca there \
                         before a start. Without ca nothing is revoked, without tokens the node is open to \
                         everybody."
                    );
                }
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error, error.advice()),
        }
    }
}
