//! `quire`: a tamper-evident JSON ledger server in one binary.
//!
//! * [`cli`]: what can be typed; [`settings`]: what a file adds. [`run`]: the server, as its
//!   [`config`] says. [`commands`]: everything else.
//! * [`data_directory`]: whether there is what a command needs, before it begins.
//! * [`modes`]: who else may look into a data directory.
//! * [`admin`]: the socket through which commands act on a running node.
//! * [`directory`]: what a data directory consists of, for a start and for a check of it.
//! * [`node`]: the channels of a data directory, as the gateway sees them.
//! * [`memory`]: how much of it there is, and what requests may hold.
//! * [`metrics`]: what is counted, and what it means.
//!
//! The journey of a transaction is told by `quire_peer`.

mod admin;
mod cli;
mod clock;
mod commands;
mod config;
mod data_directory;
mod directory;
mod listen;
mod logging;
mod memory;
mod metrics;
mod migrations;
mod modes;
mod node;
mod random;
mod run;
mod settings;
mod signer;
mod state;
mod terminal;
mod tls;
mod tokens;

use std::process::ExitCode;

use crate::cli::{Command, Needs};
use crate::data_directory::PathError;
use crate::settings::Settings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let (cli, settings) = match Settings::read() {
        Ok(read) => read,
        Err(code) => return code,
    };
    let command = cli.command.unwrap_or(Command::Run(cli.run));
    if let Err(error) = look(command.needs()) {
        return match command {
            Command::Check(_) => commands::refuse_no_ledger(&error),
            _ => commands::refuse_path(&error),
        };
    }
    if command.writes_data() {
        modes::own_umask();
    }
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Blocks(arguments) => commands::blocks::run(&arguments),
        Command::Channel(arguments) => commands::channel::run(&arguments),
        Command::Token(arguments) => commands::token::run(&arguments),
        Command::Config(arguments) => settings.print(&arguments),
        Command::Rebuild(arguments) => commands::rebuild::run(&arguments),
        Command::Repair(arguments) => commands::repair::run(&arguments),
        Command::TruncateTail(arguments) => commands::truncate::run(&arguments),
        Command::Migrate(arguments) => commands::migrate::run(&arguments),
    }
}

/// Makes sure that a command finds what it needs: nothing is made by one that does not.
fn look(needs: Needs<'_>) -> Result<(), PathError> {
    match needs {
        Needs::Nothing => Ok(()),
        Needs::DataDirectory(path) => data_directory::must_be(path),
        Needs::Remains(path) => data_directory::must_be_whole_or_not(path),
        Needs::Place(path) => data_directory::may_be_made(path).map(|_| ()),
    }
}
