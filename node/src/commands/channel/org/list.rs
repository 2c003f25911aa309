//! `quire channel org list`.

use std::process::ExitCode;

use clap::Args;
use quire_identity::config::Bundle;

use crate::commands::channel::reach::ChannelArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// List the organisations of a channel.
#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    channel: ChannelArguments,
}

impl Verb for ListArguments {
    fn needs(&self) -> Needs<'_> {
        self.channel.needs()
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let config = match self.channel.configuration() {
            Ok(config) => config,
            Err(error) => return error.print(),
        };
        match Bundle::new(self.channel.name(), config) {
            Ok(bundle) => {
                for (part, name, msp_id) in bundle.organizations() {
                    println!("{part}\t{name}\t{msp_id}");
                }
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error, None),
        }
    }
}
