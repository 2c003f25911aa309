//! `quire channel config get`.

use std::process::ExitCode;

use clap::Args;
use quire_identity::config::edit;

use crate::arguments::DataArguments;
use crate::commands::channel::reach::Reach;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::node::FIRST_CHANNEL;
use crate::settings::Settings;

/// Print one setting or policy of a channel.
#[derive(Clone, Debug, Args)]
pub(crate) struct GetArguments {
    /// A name as `show` has it, such as `batch-timeout`, or the path of a policy.
    name: String,
    /// The channel.
    #[arg(long, value_name = "NAME", default_value = FIRST_CHANNEL)]
    channel: String,
    #[command(flatten)]
    data: DataArguments,
}

impl Verb for GetArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let shown = Reach::open(&self.data).and_then(|reach| {
            let shown = reach.configuration(&self.channel);
            reach.close();
            shown
        });
        let config = match shown {
            Ok(shown) => shown.config,
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
