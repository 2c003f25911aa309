//! `quire rebuild`: index, state and history made again from the blocks.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use clap::builder::PossibleValuesParser;
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
    /// What keeps current state: `--state` of `run`.
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
    /// What to make again; may be repeated. All of them where none is named.
    #[arg(long = "follower", value_name = "NAME", value_parser = follower())]
    pub(crate) followers: Vec<String>,
    /// The same as `--follower index`.
    #[arg(long, hide = true)]
    pub(crate) index: bool,
    /// The same as `--follower state`. The state engine is `--engine`.
    #[arg(long, hide = true)]
    pub(crate) state: bool,
    /// The same as `--follower history`.
    #[arg(long, hide = true)]
    pub(crate) history: bool,
}

impl RebuildArguments {
    /// The followers that were named, or all of them.
    fn followers(&self) -> Vec<Follower> {
        let flags = [
            ("index", self.index),
            ("state", self.state),
            ("history", self.history),
        ];
        let is_named = |follower: &Follower| {
            let name = follower.name();
            self.followers.iter().any(|named| named == name) || flags.contains(&(name, true))
        };
        let named: Vec<_> = Follower::ALL.iter().copied().filter(is_named).collect();
        if named.is_empty() {
            return Follower::ALL.to_vec();
        }
        named
    }
}

/// The names of followers.
fn follower() -> PossibleValuesParser {
    let names = Follower::ALL.iter().map(|follower| follower.name());
    PossibleValuesParser::new(names)
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
    let followers = arguments.followers();
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;
    use crate::commands::Command;

    fn named(flags: &[&str]) -> Vec<&'static str> {
        let all = ["quire", "rebuild"].iter().chain(flags);
        let Some(Command::Rebuild(rebuild)) = Cli::try_parse_from(all).unwrap().command else {
            panic!("another command");
        };
        rebuild
            .followers()
            .into_iter()
            .map(Follower::name)
            .collect()
    }

    #[test]
    fn followers_are_named_by_one_flag_and_still_by_their_own() {
        assert_eq!(named(&[]).len(), Follower::ALL.len());
        for name in ["index", "state", "history"] {
            assert_eq!(named(&["--follower", name]), [name]);
            assert_eq!(named(&[&format!("--{name}")]), [name]);
        }
        let both = named(&["--follower", "history", "--state", "--engine", "couchdb"]);
        assert_eq!(both, ["state", "history"]);
        let unknown = Cli::try_parse_from(["quire", "rebuild", "--follower", "blocks"]);
        assert!(unknown.is_err());
    }
}
