//! `peer`: Fabric's client of peers and orderers. What they serve as servers is no part of it.

mod caller;
mod chaincode;
mod channel;
mod endpoint;
mod error;
mod flags;
mod input;
mod lifecycle;
mod orderer;
mod prototext;
mod report;
mod settings;
mod transaction;

use std::ffi::OsString;
use std::time::SystemTime;

use crate::Environment;
use crate::arguments::parse;
use crate::streams::{DONE, FAILED, Streams};
use crate::version::version;

use chaincode::ChaincodeCommand;
use channel::ChannelCommand;
use error::PeerError;
use lifecycle::LifecycleCommand;
use orderer::OrdererOptions;
use report::Report;
use settings::Settings;

const NAME: &str = "peer";

/// Client of Hyperledger Fabric's peers and orderers
#[derive(Debug, clap::Parser)]
#[command(name = NAME, disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Query or invoke a chaincode: invoke|query.
    #[command(disable_version_flag = true)]
    Chaincode {
        #[command(flatten)]
        orderer: OrdererOptions,
        #[command(subcommand)]
        command: Box<ChaincodeCommand>,
    },
    /// Perform _lifecycle operations
    #[command(subcommand)]
    Lifecycle(Lifecycle),
    /// Operate a channel: create|fetch|join|list|update|signconfigtx|getinfo.
    #[command(disable_version_flag = true)]
    Channel {
        #[command(flatten)]
        orderer: OrdererOptions,
        #[command(subcommand)]
        command: Box<ChannelCommand>,
    },
    /// Print the version of this program.
    Version,
}

#[derive(Debug, clap::Subcommand)]
enum Lifecycle {
    /// Perform chaincode operations: package|install|queryinstalled|getinstalledpackage|calculatepackageid|
    /// approveformyorg|queryapproved|checkcommitreadiness|commit|querycommitted
    #[command(disable_version_flag = true)]
    Chaincode {
        #[command(flatten)]
        orderer: OrdererOptions,
        #[command(subcommand)]
        command: Box<LifecycleCommand>,
    },
}

/// Runs the tool. What is sent is dated `now`.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    streams: &mut Streams<'_>,
    environment: Environment<'_>,
    now: SystemTime,
) -> u8 {
    let arguments = match parse::<Arguments>(NAME, arguments, FAILED, streams) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    let mut report = Report::new(streams, now);
    match act(
        arguments.command,
        &mut report,
        Settings::new(environment),
        now,
    ) {
        Ok(()) => DONE,
        Err(error) => {
            streams.tell(&format!("Error: {error}"));
            FAILED
        }
    }
}

fn act(
    command: Command,
    report: &mut Report<'_, '_>,
    settings: Settings<'_>,
    now: SystemTime,
) -> Result<(), PeerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Chaincode { orderer, command } => {
                command.act(report, settings, now, &orderer).await
            }
            Command::Lifecycle(Lifecycle::Chaincode { orderer, command }) => {
                command.act(report, settings, now, &orderer).await
            }
            Command::Channel { orderer, command } => {
                command.act(report, settings, now, &orderer).await
            }
            Command::Version => report.print(format_args!("{}", version(NAME))),
        }
    })
}
