//! `quire channel import`: of a stopped node directly, of a running one through its socket.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_chaincode::name::check_channel;
use quire_disk::OsDisk;
use quire_ledger::check::Report;
use quire_ledger::{ImportError, Ledgers, OpenError, Progress, Purpose};

use super::made;
use crate::admin::client;
use crate::admin::{self, Message};
use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::check::print;
use crate::commands::verb::{Needs, Verb};
use crate::data_directory::path::{may_be_made, must_have_block_files};
use crate::exit::{DAMAGED, failed, print_other_answer, refuse_path};
use crate::node::Imported;
use crate::settings::Settings;
use crate::terminal::ProgressDisplay;

/// Take over a channel from block files made by a Fabric peer, after checking them.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArguments {
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
}

impl Verb for ImportArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::Place(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let data = &self.data.data;
        let mut display = ProgressDisplay::new();
        let mut progress = |progress: Progress<'_>| display.show(progress);
        if let Err(error) = check_channel(&self.channel) {
            return failed(&error, None);
        }
        if let Err(error) = must_have_block_files(&self.blockfiles) {
            return refuse_path(&error);
        }
        let is_new = match may_be_made(data) {
            Ok(is_new) => is_new,
            Err(error) => return refuse_path(&error),
        };
        let imported = self.import(&mut progress);
        made::tell(is_new, data);
        match imported {
            Ok(imported) => print_imported(&imported),
            Err(ImportError::Damaged(report)) => print_damaged(*report),
            Err(ImportError::Open(OpenError::InUse(_))) => self.ask(&mut progress),
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
}

impl ImportArguments {
    /// Takes the channel over into the data directory of a stopped node.
    fn import(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Imported, ImportError> {
        let engine = self.data.state.engine().map_err(OpenError::from)?;
        let disk = Arc::new(OsDisk);
        let ledgers = Ledgers::open_with(disk, &self.data.data, Purpose::Use, &engine)?;
        let blockfiles = &self.blockfiles;
        let imported = ledgers.import(&self.channel, blockfiles, self.writable, progress)?;
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
    fn ask(&self, progress: &mut dyn FnMut(Progress<'_>)) -> ExitCode {
        // The node may have been started somewhere else.
        let blockfiles = match self.blockfiles.canonicalize() {
            Ok(blockfiles) => blockfiles,
            Err(error) => return failed(&error, None),
        };
        let request = admin::Import {
            blockfiles,
            channel: self.channel.clone(),
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
