//! `quire`: a tamper-evident JSON ledger server in one binary.
//!
//! * [`cli`]: the command line; [`settings`]: what a file adds. [`commands`]: what can be typed, the
//!   server, as its [`config`] says, among it.
//! * [`data_directory`]: what a data directory consists of, for a start and for a check of it, and whether
//!   there is one, before a command begins.
//! * [`backup`]: copies of one, and the way back.
//! * [`endings`]: what comes to an end, and when.
//! * [`modes`]: who else may look into a data directory.
//! * [`admin`]: the socket through which commands act on a running node.
//! * [`node`]: the channels of a data directory, as the gateway sees them.
//! * [`memory`]: how much of it there is, and what requests may hold.
//! * [`metrics`]: what is counted, and what it means.
//!
//! The journey of a transaction is told by `quire_peer`.

mod admin;
mod advice;
mod arguments;
mod backup;
mod chaincodes;
mod cli;
mod clock;
mod commands;
mod config;
mod data_directory;
mod endings;
mod exit;
mod invitations;
mod listen;
mod logging;
mod memory;
mod metrics;
mod migrations;
mod modes;
mod node;
mod participation;
mod random;
mod settings;
mod signer;
mod state;
mod terminal;
mod tls;
mod tokens;

use std::process::ExitCode;

use crate::cli::Cli;
use crate::commands::fabric::Call;
use crate::commands::verb::Verb as _;
use crate::settings::Settings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    if let Some(call) = Call::of(std::env::args_os()) {
        return call.run();
    }
    let (cli, settings) = match Settings::read::<Cli>() {
        Ok(read) => read,
        Err(code) => return code,
    };
    let verb = cli.verb();
    if let Err(error) = verb.needs().look() {
        return verb.refuse(&error);
    }
    if verb.writes_data() {
        modes::own_umask();
    }
    verb.run(&settings)
}
