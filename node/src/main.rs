//! `quire`: a tamper-evident JSON ledger server in one binary.
//!
//! * [`cli`]: what can be typed. [`run`]: the server. [`commands`]: everything else.
//! * [`admin`]: the socket through which commands act on a running node.
//! * [`node`]: the channels of a data directory, as the gateway sees them.
//! * [`pipeline`]: the journey of a transaction, top to bottom. Read that first.

mod admin;
mod cli;
mod clock;
mod commands;
mod genesis;
mod logging;
mod node;
mod pipeline;
mod run;
mod terminal;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Channel(arguments) => commands::channel::run(&arguments),
        Command::Rebuild(arguments) => commands::rebuild::run(&arguments),
        Command::Repair(arguments) => commands::repair::run(&arguments),
        Command::TruncateTail(arguments) => commands::truncate::run(&arguments),
    }
}
