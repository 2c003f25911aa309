//! What can be typed, and what each word means. Every flag is also a `QUIRE_...` variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A tamper-evident JSON ledger server.
#[derive(Debug, Parser)]
#[command(name = "quire", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the node (what `quire` alone does).
    Run(RunArguments),
    /// Judge a data directory, or block files made by a Fabric peer. Changes nothing. Exits with 0
    /// when sound, 1 when damage is found, 2 when it could not look.
    Check(CheckArguments),
    /// Make, list and import channels of a stopped node.
    Channel(ChannelArguments),
}

/// Where everything is kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArguments {
    /// The data directory; made where there is none.
    #[arg(
        long,
        value_name = "DIR",
        env = "QUIRE_DATA",
        default_value = "./quire-data"
    )]
    pub(crate) data: PathBuf,
    /// The MSP id of the node's organisation; settled at the first start.
    #[arg(
        long,
        value_name = "ID",
        env = "QUIRE_MSP_ID",
        default_value = "QuireMSP"
    )]
    pub(crate) msp_id: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The address to listen on; port 0 picks a free one.
    #[arg(
        long,
        value_name = "ADDR",
        env = "QUIRE_LISTEN",
        default_value = "127.0.0.1:7080"
    )]
    pub(crate) listen: SocketAddr,
    /// Serve health, metrics and version at this address instead, to anybody who can reach it.
    #[arg(long, value_name = "ADDR", env = "QUIRE_OPERATIONS_LISTEN")]
    pub(crate) operations_listen: Option<SocketAddr>,
    /// Serve anybody who can reach an address that is not loopback.
    #[arg(long, env = "QUIRE_INSECURE_NO_AUTH")]
    pub(crate) insecure_no_auth: bool,
    /// The most bytes that a value may have.
    #[arg(long, value_name = "BYTES", env = "QUIRE_MAX_VALUE_BYTES", default_value_t = 1 << 20)]
    pub(crate) max_value_bytes: usize,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Check only this channel.
    #[arg(long, value_name = "NAME", conflicts_with = "blockfiles")]
    pub(crate) channel: Option<String>,
    /// Check this folder of `blockfile_NNNNNN` made by a Fabric peer instead of a data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) blockfiles: Option<PathBuf>,
    /// Print the reports as one JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ChannelArguments {
    #[command(subcommand)]
    pub(crate) command: ChannelCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ChannelCommand {
    /// Make a channel.
    Create {
        /// Its name: `[a-z][a-z0-9.-]*`, at most 249 characters.
        name: String,
        #[command(flatten)]
        data: DataArguments,
    },
    /// List the channels.
    List {
        #[command(flatten)]
        data: DataArguments,
    },
    /// Take over a channel from block files made by a Fabric peer, after checking them.
    Import {
        /// The folder of `blockfile_NNNNNN`.
        #[arg(long, value_name = "DIR")]
        blockfiles: PathBuf,
        /// The name it gets here.
        #[arg(long, value_name = "NAME")]
        channel: String,
        /// Let it take transactions of this node. Without this it is read-only: its orderers are
        /// elsewhere.
        #[arg(long)]
        writable: bool,
        #[command(flatten)]
        data: DataArguments,
    },
}
