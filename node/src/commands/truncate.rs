//! `quire truncate-tail`: an operator accepts a loss by name.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_disk::OsDisk;
use quire_ledger::{Ledgers, Loss, Progress, Purpose, TruncateError};

use crate::advice;
use crate::arguments::DataArguments;
use crate::arguments::values::block_number;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;
use crate::terminal::ProgressDisplay;

/// Accept the loss of a stopped node's blocks from the first damaged or missing one on. What is
/// cut is kept beside the data.
#[derive(Clone, Debug, Args)]
pub(crate) struct TruncateArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The channel.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: String,
    /// The first block to lose: it must be the first that is damaged or missing.
    #[arg(long, value_name = "N", value_parser = block_number, required_unless_present = "dry_run")]
    pub(crate) from_block: Option<u64>,
    /// Only say what would be lost.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Verb for TruncateArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let mut display = ProgressDisplay::new();
        let mut progress = |progress: Progress<'_>| display.show(progress);
        let channel = &self.channel;
        match truncate(self, &mut progress) {
            Ok(loss) if self.dry_run => {
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
                    TruncateError::Open(open) => advice::of_open(open).map(str::to_owned),
                };
                failed(&error, advice.as_deref())
            }
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
