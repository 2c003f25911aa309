//! `quire channel`: make, list and import channels, of a stopped node directly, of a running one
//! through its socket.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use quire_chaincode::Documents;
use quire_chaincode::name::check_channel;
use quire_disk::OsDisk;
use quire_ledger::check::Report;
use quire_ledger::{
    ChannelRecord, ImportError, Ledgers, OpenError, Progress, Purpose, stored_channels,
};
use serde::Serialize;

use crate::admin::client::{self, AskError};
use crate::admin::{self, Message};
use crate::cli::{ChannelArguments, ChannelCommand, DataArguments};
use crate::commands::check::print;
use crate::commands::{
    DAMAGED, FAILED, advice, fetch, print_failure, print_not_asked, refuse_path,
};
use crate::data_directory::{may_be_made, must_be, must_have_block_files};
use crate::logging::Logging;
use crate::memory::{default_budget, engine_cache};
use crate::node::{Imported, Node, NodeError};
use crate::terminal::{ProgressDisplay, print_error};

pub(crate) fn run(arguments: &ChannelArguments) -> ExitCode {
    let mut display = ProgressDisplay::new();
    let mut progress = |progress: Progress<'_>| display.show(progress);
    match &arguments.command {
        ChannelCommand::Create { name, data } => create(name, data, &mut progress),
        ChannelCommand::List { data } => list(data),
        ChannelCommand::Fetch {
            wanted,
            file,
            channel,
            data,
        } => fetch::run(wanted, file.as_deref(), channel, data),
        ChannelCommand::Import {
            blockfiles,
            channel,
            writable,
            data,
        } => import(channel, blockfiles, *writable, data, &mut progress),
    }
}

fn create(name: &str, data: &DataArguments, progress: &mut dyn FnMut(Progress<'_>)) -> ExitCode {
    if let Err(error) = check_channel(name) {
        return failed(&error, None);
    }
    let is_new = match may_be_made(&data.data) {
        Ok(is_new) => is_new,
        Err(error) => return refuse_path(&error),
    };
    let engine = data.state.engine().map_err(OpenError::from);
    let node = engine.map_err(NodeError::Open).and_then(|engine| {
        Node::open(
            &data.data,
            &data.msp_id,
            (&engine, engine_cache(default_budget())),
            Documents::default(),
            Logging::none(),
            false,
        )
    });
    let created = node.and_then(|node| {
        let has = |name| Ok::<_, NodeError>(node.list()?.iter().any(|one| one.name == name));
        let had = has(name)?;
        node.open_channels(progress)?;
        // What every new data directory gets may be what is asked for.
        let created = if !had && has(name)? {
            Ok(())
        } else {
            node.create(name)
        };
        node.stop();
        created
    });
    tell_new(is_new, data);
    match created {
        Ok(()) => created_channel(name),
        Err(NodeError::Open(OpenError::InUse(_))) => {
            let request = admin::Create {
                name: name.to_owned(),
            };
            ask(data, "POST", "/channels", &request, progress)
        }
        Err(error) => failed(&error, open_error(&error).and_then(advice)),
    }
}

/// Reading needs nobody's leave: records are whole at any time.
fn list(data: &DataArguments) -> ExitCode {
    match stored_channels(Arc::new(OsDisk), &data.data) {
        Ok(records) => print_channels(&records),
        Err(error) => failed(&error, advice(&error)),
    }
}

/// A data directory that nobody meant to make should not go unseen.
fn tell_new(is_new: bool, data: &DataArguments) {
    if is_new && must_be(&data.data).is_ok() {
        eprintln!("quire: made a data directory at {}", data.data.display());
    }
}

/// Asks the running node, and prints what it says.
fn ask(
    data: &DataArguments,
    method: &str,
    path: &str,
    body: &impl Serialize,
    progress: &mut dyn FnMut(Progress<'_>),
) -> ExitCode {
    match client::ask(&data.data, method, path, body, progress) {
        Ok(Message::Created { name }) => created_channel(&name),
        Ok(Message::Imported(imported)) => print_imported(&imported),
        Ok(Message::Damaged(report)) => print_damaged(*report),
        Ok(Message::Failed(failure)) => print_failure(&failure),
        Ok(other) => print_not_asked(&AskError::Refused(format!("{other:?}"))),
        Err(error) => print_not_asked(&error),
    }
}

fn print_channels(records: &[ChannelRecord]) -> ExitCode {
    for record in records {
        let access = if record.read_only {
            "read-only"
        } else {
            "writable"
        };
        println!("{}\t{:?}\t{access}", record.name, record.status);
    }
    if records.is_empty() {
        eprintln!("quire: there are no channels");
    }
    ExitCode::SUCCESS
}

fn created_channel(name: &str) -> ExitCode {
    println!("channel {name} created");
    ExitCode::SUCCESS
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

fn import(
    name: &str,
    blockfiles: &Path,
    writable: bool,
    data: &DataArguments,
    progress: &mut dyn FnMut(Progress<'_>),
) -> ExitCode {
    if let Err(error) = check_channel(name) {
        return failed(&error, None);
    }
    if let Err(error) = must_have_block_files(blockfiles) {
        return refuse_path(&error);
    }
    let is_new = match may_be_made(&data.data) {
        Ok(is_new) => is_new,
        Err(error) => return refuse_path(&error),
    };
    let engine = data.state.engine().map_err(OpenError::from);
    let imported = engine
        .and_then(|engine| Ledgers::open_with(Arc::new(OsDisk), &data.data, Purpose::Use, &engine))
        .map_err(ImportError::Open)
        .and_then(|ledgers| {
            let imported = ledgers.import(name, blockfiles, writable, progress)?;
            ledgers.settle();
            Ok(imported)
        });
    tell_new(is_new, data);
    match imported {
        Ok((ledger, report)) => {
            let (height, hash) = ledger.tip();
            print_imported(&Imported {
                height,
                transactions: report.transactions,
                newest_block: hex::encode(hash),
            })
        }
        Err(ImportError::Damaged(report)) => print_damaged(*report),
        Err(ImportError::Open(OpenError::InUse(_))) => {
            // The node may have been started somewhere else.
            let blockfiles = match blockfiles.canonicalize() {
                Ok(blockfiles) => blockfiles,
                Err(error) => return failed(&error, None),
            };
            let request = admin::Import {
                blockfiles,
                channel: name.to_owned(),
                writable,
            };
            ask(data, "POST", "/channels/import", &request, progress)
        }
        Err(error) => {
            let advice = if let ImportError::Open(open) = &error {
                advice(open)
            } else {
                None
            };
            failed(&error, advice)
        }
    }
}

fn failed(error: &(dyn std::error::Error + 'static), advice: Option<&str>) -> ExitCode {
    print_error(error, advice);
    ExitCode::from(FAILED)
}

/// The part of an error that an operator may have to act on.
pub(crate) fn open_error(error: &NodeError) -> Option<&OpenError> {
    if let NodeError::Open(open) = error {
        Some(open)
    } else {
        None
    }
}
