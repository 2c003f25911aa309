//! `quire rebuild`: index, state and history made again from the blocks.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_disk::OsDisk;
use quire_ledger::{Follower, Ledgers, OpenError, Progress, Purpose, Status};

use crate::advice;
use crate::arguments::{CouchDbArguments, StateChoice};
use crate::commands::verb::{Needs, Verb};
use crate::exit::{failed, refuse_no_channel};
use crate::settings::Settings;
use crate::terminal::{ProgressDisplay, print_error};

/// Make index, state and history of a stopped node again from the blocks; all of them where none
/// is named. Drops nothing before every block was read and found sound.
#[derive(Clone, Debug, Args)]
pub(crate) struct RebuildArguments {
    /// The data directory.
    #[arg(
        long,
        value_name = "DIR",
        env = "QUIRE_DATA",
        default_value = "./quire-data"
    )]
    pub(crate) data: PathBuf,
    /// A TOML file with flags of `run` by their names; variables and the command line win over it.
    #[arg(long = "config", value_name = "FILE", env = "QUIRE_CONFIG")]
    pub(crate) _config: Option<PathBuf>,
    /// What keeps current state: `--state` of `run`, which says what to make again here.
    #[arg(
        long,
        value_name = "ENGINE",
        env = "QUIRE_STATE",
        value_enum,
        default_value_t = StateChoice::Fjall
    )]
    pub(crate) engine: StateChoice,
    #[command(flatten)]
    pub(crate) couchdb: CouchDbArguments,
    /// Only this channel.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: Option<String>,
    /// The index of blocks and transactions.
    #[arg(long)]
    pub(crate) index: bool,
    /// Current state.
    #[arg(long)]
    pub(crate) state: bool,
    /// The history of keys.
    #[arg(long)]
    pub(crate) history: bool,
}

impl Verb for RebuildArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let mut display = ProgressDisplay::new();
        let mut progress = |progress: Progress<'_>| display.show(progress);
        match rebuild(self, &mut progress) {
            Ok(0) => refuse_no_channel(&self.data),
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => failed(&error, advice::of_open(&error)),
        }
    }
}

/// Rebuilds the channels; how many there were.
fn rebuild(
    arguments: &RebuildArguments,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<usize, OpenError> {
    let asked = [
        ("index", arguments.index),
        ("state", arguments.state),
        ("history", arguments.history),
    ];
    let all = asked.iter().all(|(_, asked)| !asked);
    let is_asked = |follower: &Follower| all || asked.contains(&(follower.name(), true));
    let followers: Vec<Follower> = Follower::ALL.iter().copied().filter(is_asked).collect();
    let engine = arguments.couchdb.engine(arguments.engine)?;
    let ledgers = Ledgers::open_with(Arc::new(OsDisk), &arguments.data, Purpose::Use, &engine)?;
    if let Some(aside) = ledgers.set_aside() {
        println!(
            "the embedded engine did not open: moved to {}",
            aside.display()
        );
    }
    let names: Vec<String> = if let Some(name) = &arguments.channel {
        vec![name.clone()]
    } else {
        let records = ledgers.list()?.into_iter();
        let active = records.filter(|record| record.status == Status::Active);
        active.map(|record| record.name).collect()
    };
    let rebuilt: Vec<_> = followers.iter().map(|follower| follower.name()).collect();
    let mut first = Ok(names.len());
    for name in names {
        match ledgers.rebuild(&name, &followers, progress) {
            Ok((_, report)) => {
                let (rebuilt, height) = (rebuilt.join(", "), report.height);
                println!("channel {name}: {rebuilt} made again from {height} blocks");
            }
            // One that cannot be rebuilt keeps no other from it.
            Err(error) if first.is_ok() => first = Err(error),
            Err(error) => print_error(&error, advice::of_open(&error)),
        }
    }
    ledgers.settle();
    first
}
