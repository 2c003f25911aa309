//! `quire channel list`: the records of channels. To read them needs nobody's leave, because they are whole
//! at any time.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use quire_disk::OsDisk;
use quire_ledger::{ChannelRecord, stored_channels};

use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// List the channels.
#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    data: DataArguments,
}

impl Verb for ListArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        match stored_channels(Arc::new(OsDisk), &self.data.data) {
            Ok(records) => print_channels(&records),
            Err(error) => failed(&error, advice::of_open(&error)),
        }
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
