//! `quire truncate-tail`: an operator accepts a loss by name.

use std::process::ExitCode;
use std::sync::Arc;

use quire_disk::OsDisk;
use quire_ledger::{Ledgers, Loss, Progress, Purpose, TruncateError};

use crate::cli::TruncateArguments;
use crate::commands::{FAILED, advice};
use crate::terminal::{ProgressDisplay, print_error};

pub(crate) fn run(arguments: &TruncateArguments) -> ExitCode {
    let mut display = ProgressDisplay::new();
    let mut progress = |progress: Progress<'_>| display.show(progress);
    let channel = &arguments.channel;
    match truncate(arguments, &mut progress) {
        Ok(loss) if arguments.dry_run => {
            println!("channel {channel} would lose {loss}");
            ExitCode::SUCCESS
        }
        Ok(loss) => {
            println!("channel {channel} lost {loss}");
            if let Some(kept) = &loss.kept {
                println!("what was cut is kept in {}", kept.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let advice = match &error {
                TruncateError::Sound { .. } => None,
                TruncateError::TooEarly { loss, .. } | TruncateError::TooLate { loss, .. } => {
                    println!("nothing was changed; channel {channel} would lose {loss}");
                    let from = loss.from_block;
                    let text = format!(
                        "Repair it from a copy with `quire repair`, or accept the loss with \
                         --from-block {from}."
                    );
                    Some(text)
                }
                TruncateError::Open(open) => advice(open).map(str::to_owned),
            };
            print_error(&error, advice.as_deref());
            ExitCode::from(FAILED)
        }
    }
}

fn truncate(
    arguments: &TruncateArguments,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Loss, TruncateError> {
    let data = &arguments.data.data;
    let ledgers = Ledgers::open(Arc::new(OsDisk), data, Purpose::Inspect)?;
    match arguments.from_block {
        Some(from) if !arguments.dry_run => {
            ledgers.truncate_tail(&arguments.channel, from, progress)
        }
        _ => ledgers.loss(&arguments.channel, progress),
    }
}
