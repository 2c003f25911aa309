//! `quire channel pause`, `resume` and `remove`, of a stopped node.

use std::io::{BufRead as _, Read as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_disk::OsDisk;
use quire_ledger::{Ledgers, OpenError, Purpose, chain_of};

use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// The most bytes of a name that is typed.
const MAX_LINE_BYTES: u64 = 1024;

/// Set a channel of a stopped node aside: it is kept, and no start opens it until it is resumed.
#[derive(Clone, Debug, Args)]
pub(crate) struct PauseArguments {
    /// The channel.
    name: String,
    #[command(flatten)]
    data: DataArguments,
}

/// Let the next start of a stopped node open a channel again that was paused.
#[derive(Clone, Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The channel.
    name: String,
    #[command(flatten)]
    data: DataArguments,
}

/// Remove a channel of a stopped node for good, with its blocks, private values and state. Where others have it, it
/// can be joined again; where nobody has, it is lost. Its name is to be typed again.
#[derive(Clone, Debug, Args)]
pub(crate) struct RemoveArguments {
    /// The channel.
    name: String,
    /// Do not ask for the name.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    data: DataArguments,
}

fn open(data: &DataArguments) -> Result<Ledgers, OpenError> {
    let engine = data.state.engine().map_err(OpenError::from)?;
    Ledgers::open_with(Arc::new(OsDisk), &data.data, Purpose::Use, &engine)
}

fn print(said: Result<String, OpenError>) -> ExitCode {
    match said {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, advice::of_open(&error)),
    }
}

impl Verb for PauseArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let name = &self.name;
        let paused = open(&self.data).and_then(|ledgers| ledgers.pause(name));
        print(paused.map(|was_active| {
            let is = if was_active {
                "is paused"
            } else {
                "was not in use"
            };
            format!("channel {name} {is}")
        }))
    }
}

impl Verb for ResumeArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let name = &self.name;
        let resumed = open(&self.data).and_then(|ledgers| ledgers.resume(name));
        print(resumed.map(|was_paused| {
            let is = if was_paused {
                "is opened by the next start"
            } else {
                "was not paused"
            };
            format!("channel {name} {is}")
        }))
    }
}

impl Verb for RemoveArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let name = &self.name;
        let ledgers = match open(&self.data) {
            Ok(ledgers) => ledgers,
            Err(error) => return print(Err(error)),
        };
        match (ledgers.end(name), ledgers.record(name)) {
            (Ok(end), _) => eprintln!(
                "channel {name}: {} blocks, the last has the hash {}",
                end.height,
                hex::encode(end.hash)
            ),
            (Err(error), Ok(Some(_))) => {
                eprintln!("channel {name} does not open: {}", chain_of(&error));
            }
            (Err(error), _) => return print(Err(error)),
        }
        if !self.yes && !is_typed(name) {
            return failed(&NotTyped, Some("Type it, or give --yes."));
        }
        let removed = ledgers.remove_for_good(name);
        if removed.is_ok() {
            ledgers.settle();
        }
        print(removed.map(|bytes| format!("channel {name} is removed: {bytes} bytes of blocks")))
    }
}

/// Nobody has said that a channel is to be removed.
#[derive(Debug, thiserror::Error)]
#[error("nothing was removed: the name of the channel was not typed")]
struct NotTyped;

/// Asks for the name of a channel.
fn is_typed(name: &str) -> bool {
    eprint!("Type the name of the channel to remove it for good: ");
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_LINE_BYTES)
        .read_line(&mut text);
    read.is_ok() && text.trim() == name
}
