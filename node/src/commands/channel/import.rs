//! `quire channel import`: of a stopped node directly, of a running one through its socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_chaincode::name::check_channel;
use quire_disk::OsDisk;
use quire_ledger::check::Report;
use quire_ledger::{ImportError, Ledgers, OpenError, Progress, Purpose, stored_channels};

use super::made;
use crate::admin::client;
use crate::admin::{self, Message};
use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::check::print;
use crate::commands::verb::{Needs, Verb};
use crate::data_directory::path::{may_be_made, must_have_block_files, must_have_chains};
use crate::exit::{DAMAGED, failed, print_other_answer, refuse_path};
use crate::node::Imported;
use crate::settings::Settings;
use crate::terminal::ProgressDisplay;

/// Take over a channel from block files made by a Fabric peer, after checking them.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArguments {
    /// The folder of `blockfile_NNNNNN`.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "ledgers_data",
        requires = "channel"
    )]
    blockfiles: Option<PathBuf>,
    /// The name it gets here.
    #[arg(long, value_name = "NAME", requires = "blockfiles")]
    channel: Option<String>,
    /// The folder `ledgersData` of a peer that is stopped, to take over each of its channels under its own name, but for
    /// those that are here already.
    #[arg(long, value_name = "DIR", conflicts_with = "blockfiles")]
    ledgers_data: Option<PathBuf>,
    /// Let it take transactions of this node. Without this it is read-only: its orderers are
    /// elsewhere.
    #[arg(long)]
    writable: bool,
    #[command(flatten)]
    data: DataArguments,
}

/// A channel that is to be taken over.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// The name it gets here.
    channel: &'a str,
    blockfiles: &'a Path,
}

impl Verb for ImportArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::Place(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let mut display = ProgressDisplay::new();
        let mut progress = |progress: Progress<'_>| display.show(progress);
        match (&self.blockfiles, &self.channel, &self.ledgers_data) {
            (Some(blockfiles), Some(channel), _) => {
                let wanted = Wanted {
                    channel,
                    blockfiles,
                };
                self.take_over(wanted, &mut progress)
            }
            (_, _, Some(ledgers_data)) => self.take_over_all(ledgers_data, &mut progress),
            // clap has seen to it that one of them is there.
            _ => ExitCode::FAILURE,
        }
    }
}

impl ImportArguments {
    /// Takes over every channel of a peer, in the order of their names, but for those that are here. One that cannot be
    /// had does not keep the others from it; the answer is then that of the last such one.
    fn take_over_all(
        &self,
        ledgers_data: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> ExitCode {
        let chains = match must_have_chains(ledgers_data) {
            Ok(chains) => chains,
            Err(error) => return refuse_path(&error),
        };
        let mut code = ExitCode::SUCCESS;
        for blockfiles in chains {
            // What is no text is no channel's name either, and is told as such.
            let name = blockfiles.file_name().unwrap_or_default();
            let channel = &*name.to_string_lossy();
            let data = &self.data.data;
            let here = match may_be_made(data) {
                Ok(true) => Vec::new(),
                Ok(false) => match stored_channels(Arc::new(OsDisk), data) {
                    Ok(here) => here,
                    Err(error) => return failed(&error, advice::of_open(&error)),
                },
                Err(error) => return refuse_path(&error),
            };
            if here.iter().any(|record| record.name == channel) {
                println!("{channel}: is here already");
                continue;
            }
            print!("{channel}: ");
            let wanted = Wanted {
                channel,
                blockfiles: &blockfiles,
            };
            let taken = self.take_over(wanted, progress);
            if taken != ExitCode::SUCCESS {
                println!("{channel}: not imported");
                code = taken;
            }
        }
        code
    }

    fn take_over(&self, wanted: Wanted<'_>, progress: &mut dyn FnMut(Progress<'_>)) -> ExitCode {
        let data = &self.data.data;
        if let Err(error) = check_channel(wanted.channel) {
            return failed(&error, None);
        }
        if let Err(error) = must_have_block_files(wanted.blockfiles) {
            return refuse_path(&error);
        }
        let is_new = match may_be_made(data) {
            Ok(is_new) => is_new,
            Err(error) => return refuse_path(&error),
        };
        let imported = self.import(wanted, progress);
        made::tell(is_new, data);
        match imported {
            Ok(imported) => print_imported(&imported),
            Err(ImportError::Damaged(report)) => print_damaged(*report),
            Err(ImportError::Open(OpenError::InUse(_))) => self.ask(wanted, progress),
            Err(error) => {
                let advice = if let ImportError::Open(open) = &error {
                    advice::of_open(open)
                } else {
                    None
                };
                failed(&error, advice)
            }
        }
    }

    /// Takes the channel over into the data directory of a stopped node.
    fn import(
        &self,
        Wanted {
            channel,
            blockfiles,
        }: Wanted<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Imported, ImportError> {
        let engine = self.data.state.engine().map_err(OpenError::from)?;
        let disk = Arc::new(OsDisk);
        let ledgers = Ledgers::open_with(disk, &self.data.data, Purpose::Use, &engine)?;
        let imported = ledgers.import(channel, blockfiles, self.writable, progress)?;
        ledgers.settle();
        let (ledger, report) = imported;
        let (height, hash) = ledger.tip();
        Ok(Imported {
            height,
            transactions: report.transactions,
            newest_block: hex::encode(hash),
        })
    }

    /// Asks the running node to take it over, and prints what it says.
    fn ask(&self, wanted: Wanted<'_>, progress: &mut dyn FnMut(Progress<'_>)) -> ExitCode {
        // The node may have been started somewhere else.
        let blockfiles = match wanted.blockfiles.canonicalize() {
            Ok(blockfiles) => blockfiles,
            Err(error) => return failed(&error, None),
        };
        let request = admin::Import {
            blockfiles,
            channel: wanted.channel.to_owned(),
            writable: self.writable,
        };
        match client::ask(
            &self.data.data,
            "POST",
            "/channels/import",
            &request,
            progress,
        ) {
            Ok(Message::Imported(imported)) => print_imported(&imported),
            Ok(Message::Damaged(report)) => print_damaged(*report),
            other => print_other_answer(other),
        }
    }
}

fn print_imported(imported: &Imported) -> ExitCode {
    let Imported {
        height,
        transactions,
        newest_block,
    } = imported;
    println!("imported: {height} blocks, {transactions} transactions, newest block {newest_block}");
    ExitCode::SUCCESS
}

fn print_damaged(report: Report) -> ExitCode {
    print(&[report], false);
    eprintln!("quire: nothing was imported");
    ExitCode::from(DAMAGED)
}
