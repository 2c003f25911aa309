//! `quire repair`: bad records replaced by good ones of another copy, then everything checked.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_disk::OsDisk;
use quire_ledger::check::{CheckError, Depth, check_channel};
use quire_ledger::{Ledgers, NotReplaced, Progress, Purpose, Replaced};

use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::check::print;
use crate::commands::verb::{Needs, Verb};
use crate::data_directory::path::{PathError, must_have_block_files};
use crate::exit::{DAMAGED, failed, refuse_path};
use crate::settings::Settings;
use crate::terminal::ProgressDisplay;

/// Replace records of a stopped node's block files that are proven bad by records of another copy
/// that are proven good. Exits with 0 when the channel is sound then, 1 when it is not.
#[derive(Clone, Debug, Args)]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The channel.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: String,
    /// The folder of `blockfile_NNNNNN` to take records from: a backup's `channels/NAME`.
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
}

impl Verb for RepairArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let mut display = ProgressDisplay::new();
        let mut progress = |progress: Progress<'_>| display.show(progress);
        match repair(self, &mut progress) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(DAMAGED),
            Err(RepairError::From(error)) => refuse_path(&error),
            Err(RepairError::Check(error)) => {
                let advice = if let CheckError::Open(open) = &error {
                    advice::of_open(open)
                } else {
                    None
                };
                failed(&error, advice)
            }
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
