//! `quire channel org list`.

use std::process::ExitCode;

use clap::Args;
use quire_identity::config::Bundle;

use crate::arguments::DataArguments;
use crate::commands::channel::reach::Reach;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::node::FIRST_CHANNEL;
use crate::settings::Settings;

/// List the organisations of a channel.
#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    /// The channel.
    #[arg(long, value_name = "NAME", default_value = FIRST_CHANNEL)]
    channel: String,
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
        let shown = Reach::open(&self.data).and_then(|reach| {
            let shown = reach.configuration(&self.channel);
            reach.close();
            shown
        });
        let config = match shown {
            Ok(shown) => shown.config,
            Err(error) => return error.print(),
        };
        match Bundle::new(&self.channel, config) {
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
