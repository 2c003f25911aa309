//! `quire channel`: make, list and import channels of a stopped node.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use quire_chaincode::Documents;
use quire_chaincode::name::check_channel;
use quire_ledger::disk::OsDisk;
use quire_ledger::{ImportError, Ledgers, OpenError, Progress, Purpose};

use crate::cli::{ChannelArguments, ChannelCommand, DataArguments};
use crate::commands::check::print;
use crate::commands::{DAMAGED, FAILED, advice};
use crate::logging::Logging;
use crate::node::{Node, NodeError};
use crate::terminal::{ProgressDisplay, print_error};

pub(crate) fn run(arguments: &ChannelArguments) -> ExitCode {
    let mut display = ProgressDisplay::new();
    let mut progress = |progress: Progress<'_>| display.show(progress);
    match &arguments.command {
        ChannelCommand::Create { name, data } => create(name, data, &mut progress),
        ChannelCommand::List { data } => list(data),
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
    let node = Node::open(
        &data.data,
        &data.msp_id,
        Documents::default(),
        Logging::none(),
        progress,
    );
    let created = node.and_then(|node| {
        let created = node.create(name);
        node.stop();
        created
    });
    match created {
        Ok(()) => {
            println!("channel {name} created");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, open_error(&error).and_then(advice)),
    }
}

fn list(data: &DataArguments) -> ExitCode {
    let ledgers = Ledgers::open(Arc::new(OsDisk), &data.data, Purpose::Inspect);
    match ledgers.and_then(|ledgers| ledgers.list()) {
        Ok(records) => {
            for record in records {
                let access = if record.read_only {
                    "read-only"
                } else {
                    "writable"
                };
                println!("{}\t{:?}\t{access}", record.name, record.status);
            }
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, advice(&error)),
    }
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
    let imported = Ledgers::open(Arc::new(OsDisk), &data.data, Purpose::Use)
        .map_err(ImportError::Open)
        .and_then(|ledgers| ledgers.import(name, blockfiles, writable, progress));
    match imported {
        Ok((ledger, report)) => {
            let (height, hash) = ledger.tip();
            println!(
                "channel {name} imported: {height} blocks, {} transactions, newest block {}",
                report.transactions,
                hex::encode(hash)
            );
            ExitCode::SUCCESS
        }
        Err(ImportError::Damaged(report)) => {
            print(&[*report], false);
            eprintln!("quire: nothing was imported");
            ExitCode::from(DAMAGED)
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
