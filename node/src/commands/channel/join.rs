//! `quire channel join`: of a stopped node directly, of a running one through its socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use quire_ledger::OpenError;
use quire_peer::join::{Joined, MAX_BLOCK_BYTES};

use super::{made, stopped};
use crate::admin::client;
use crate::admin::{self, Message};
use crate::advice;
use crate::arguments::{DataArguments, OrderingKind};
use crate::commands::verb::{Needs, Verb};
use crate::data_directory::path::may_be_made;
use crate::exit::{failed, print_other_answer, refuse_path};
use crate::node::{JoinError, NodeError};
use crate::settings::Settings;

/// Begin a channel with a block 0 that others made, as configtxgen does. This node orders it then, or with `--ordering
/// remote` follows the orderers that the block names.
#[derive(Clone, Debug, Args)]
pub(crate) struct JoinArguments {
    /// The file: a `common.Block` with the channel's first configuration.
    #[arg(long, value_name = "FILE")]
    block: PathBuf,
    /// Who orders the channels of a stopped node, as `run` is going to be told; a running one knows.
    #[arg(
        long,
        value_name = "KIND",
        env = "QUIRE_ORDERING",
        default_value = "embedded"
    )]
    ordering: OrderingKind,
    /// A stopped node is an orderer alone, to be started with `quire orderer`: the channel gets blocks and no state. A
    /// running one knows.
    #[arg(long, conflicts_with = "ordering")]
    as_orderer: bool,
    #[command(flatten)]
    data: DataArguments,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("the file {} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("the file {} has more than {MAX_BLOCK_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
}

impl Verb for JoinArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::Place(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let data = &self.data.data;
        let block = match read(&self.block) {
            Ok(block) => block,
            Err(error) => return failed(&error, None),
        };
        let is_new = match may_be_made(data) {
            Ok(is_new) => is_new,
            Err(error) => return refuse_path(&error),
        };
        let elsewhere = self.ordering == OrderingKind::Remote;
        let joined = join(block.clone(), &self.data, (elsewhere, self.as_orderer));
        made::tell(is_new, data);
        match joined {
            Ok(joined) => print_joined(&joined),
            Err(JoinError::Node(NodeError::Open(OpenError::InUse(_)))) => {
                let block = STANDARD.encode(&block);
                let request = admin::Join { block };
                match client::ask(data, "POST", "/channels/join", &request, &mut |_| {}) {
                    Ok(Message::Joined(joined)) => print_joined(&joined),
                    other => print_other_answer(other),
                }
            }
            Err(error) => {
                let advice = match &error {
                    JoinError::Node(error) => error.open().and_then(advice::of_open),
                    _ => None,
                };
                failed(&error, advice)
            }
        }
    }
}

fn read(file: &Path) -> Result<Bytes, FileError> {
    let unreadable = |source| FileError::Read(file.to_owned(), source);
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > MAX_BLOCK_BYTES as u64 {
        return Err(FileError::TooLarge(file.to_owned()));
    }
    std::fs::read(file).map(Bytes::from).map_err(unreadable)
}

fn join(block: Bytes, data: &DataArguments, role: (bool, bool)) -> Result<Joined, JoinError> {
    let node = stopped::open(data)?;
    let joined = node.join_while_stopped(block, role);
    node.stop();
    joined
}

/// Tells who is in the channel, and what this node is there.
pub(crate) fn print_joined(joined: &Joined) -> ExitCode {
    let Joined {
        channel,
        genesis,
        msp_id,
        ..
    } = joined;
    if joined.was_there {
        println!("channel {channel} was joined already, by the same block {genesis}");
    } else {
        println!("channel {channel} joined: its block 0 is {genesis}");
    }
    println!("  submit and endorse  {}", joined.application.join(", "));
    println!("  order               {}", joined.orderers.join(", "));
    let does = if joined.orders {
        "orders"
    } else {
        "follows the orderers"
    };
    match &joined.not_endorsing {
        None => println!("  this node           {msp_id}: {does}, endorses"),
        Some(reason) => println!(
            "  this node           {msp_id}: {does}; its endorsements count for nothing: {reason}"
        ),
    }
    ExitCode::SUCCESS
}
