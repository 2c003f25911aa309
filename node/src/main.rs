//! `quire`: a tamper-evident JSON ledger server in one binary.
//!
//! * [`cli`]: what can be typed; [`settings`]: what a file adds. [`run`]: the server, as its
//!   [`config`] says. [`commands`]: everything else.
//! * [`admin`]: the socket through which commands act on a running node.
//! * [`directory`]: what a data directory consists of, for a start and for a check of it.
//! * [`node`]: the channels of a data directory, as the gateway sees them.
//! * [`metrics`]: what is counted, and what it means.
//! * [`pipeline`]: the journey of a transaction, top to bottom. Read that first.

mod admin;
mod cli;
mod clock;
mod commands;
mod config;
mod directory;
mod genesis;
mod logging;
mod metrics;
mod migrations;
mod node;
mod pipeline;
mod run;
mod settings;
mod state;
mod terminal;
mod tls;
mod tokens;

use std::process::ExitCode;

use crate::cli::Command;
use crate::settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (cli, settings) = match Settings::read() {
        Ok(read) => read,
        Err(code) => return code,
    };
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Channel(arguments) => commands::channel::run(&arguments),
        Command::Token(arguments) => commands::token::run(&arguments),
        Command::Config(arguments) => settings.print(&arguments),
        Command::Rebuild(arguments) => commands::rebuild::run(&arguments),
        Command::Repair(arguments) => commands::repair::run(&arguments),
        Command::TruncateTail(arguments) => commands::truncate::run(&arguments),
    }
}
