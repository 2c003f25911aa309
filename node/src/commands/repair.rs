//! `quire repair`: bad records replaced by good ones of another copy, then everything checked.

use std::process::ExitCode;
use std::sync::Arc;

use quire_ledger::check::{CheckError, Depth, check_channel};
use quire_ledger::disk::OsDisk;
use quire_ledger::{Ledgers, NotReplaced, Progress, Purpose, Replaced};

use crate::cli::RepairArguments;
use crate::commands::check::print;
use crate::commands::{DAMAGED, FAILED, advice, refuse_to_make};
use crate::terminal::{ProgressDisplay, print_error};

pub(crate) fn run(arguments: &RepairArguments) -> ExitCode {
    let mut display = ProgressDisplay::new();
    let mut progress = |progress: Progress<'_>| display.show(progress);
    match repair(arguments, &mut progress) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DAMAGED),
        Err(error) => {
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

/// Whether the channel is sound now.
fn repair(
    arguments: &RepairArguments,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<bool, CheckError> {
    let channel = &arguments.channel;
    refuse_to_make(&arguments.data.data)?;
    let ledgers = Ledgers::open(Arc::new(OsDisk), &arguments.data.data, Purpose::Inspect)?;
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
