//! `quire repair`: bad records replaced by good ones of another copy, then everything checked.

use std::process::ExitCode;
use std::sync::Arc;

use quire_disk::OsDisk;
use quire_ledger::check::{CheckError, Depth, check_channel};
use quire_ledger::{Ledgers, NotReplaced, Progress, Purpose, Replaced};

use crate::cli::RepairArguments;
use crate::commands::check::print;
use crate::commands::{DAMAGED, FAILED, advice, refuse_path};
use crate::data_directory::{PathError, must_have_block_files};
use crate::terminal::{ProgressDisplay, print_error};

pub(crate) fn run(arguments: &RepairArguments) -> ExitCode {
    let mut display = ProgressDisplay::new();
    let mut progress = |progress: Progress<'_>| display.show(progress);
    match repair(arguments, &mut progress) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DAMAGED),
        Err(RepairError::From(error)) => refuse_path(&error),
        Err(RepairError::Check(error)) => {
            let advice = if let CheckError::Open(open) = &error {
                advice(open)
            } else {
                None
            };
            print_error(&error, advice);
            ExitCode::from(FAILED)
        }
    }
}

/// Why nothing was replaced.
#[derive(Debug)]
enum RepairError {
    /// There is nothing to take records from.
    From(PathError),
    Check(CheckError),
}

impl<E: Into<CheckError>> From<E> for RepairError {
    fn from(error: E) -> Self {
        Self::Check(error.into())
    }
}

/// Whether the channel is sound now.
fn repair(
    arguments: &RepairArguments,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<bool, RepairError> {
    let channel = &arguments.channel;
    let ledgers = Ledgers::open(Arc::new(OsDisk), &arguments.data.data, Purpose::Inspect)?;
    must_have_block_files(&arguments.from).map_err(RepairError::From)?;
    let report = ledgers.repair(channel, &arguments.from, progress)?;
    for Replaced {
        block,
        file,
        offset,
        bytes,
        found,
    } in &report.replaced
    {
        let file = file.display();
        println!("block {block}: replaced {bytes} bytes of {file} at byte {offset} ({found})");
    }
    for NotReplaced { corruption, reason } in &report.not_replaced {
        println!("NOT replaced: {corruption}; {reason}");
    }
    let (replaced, left) = (report.replaced.len(), report.not_replaced.len());
    println!("channel {channel}: {replaced} records replaced, {left} not");
    if report.gave_up {
        println!("it is not known where the blocks after the last of these lie");
    }
    let checked = check_channel(&ledgers, channel, Depth::default(), progress)?;
    let sound = checked.is_sound();
    print(&[checked], false);
    Ok(sound)
}
