//! `quire channel config get`.

use std::process::ExitCode;

use clap::Args;
use quire_identity::config::edit;

use crate::commands::channel::reach::ChannelArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// Print one setting or policy of a channel.
#[derive(Clone, Debug, Args)]
pub(crate) struct GetArguments {
    /// A name as `show` has it, such as `batch-timeout`, or the path of a policy.
    name: String,
    #[command(flatten)]
    channel: ChannelArguments,
}

impl Verb for GetArguments {
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
        match edit::get(&config, &self.name) {
            Ok(value) => {
                println!("{value}");
                ExitCode::SUCCESS
            }
            Err(error) => failed(
                &error,
                Some("`quire channel config show` lists what there is."),
            ),
        }
    }
}
