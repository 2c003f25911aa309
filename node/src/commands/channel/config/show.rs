//! `quire channel config show`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use quire_identity::config::words;
use quire_wire::Message as _;
use quire_wire::json;

use crate::commands::channel::output::put_out;
use crate::commands::channel::reach::ChannelArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// How a configuration is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a setting, in words.
    Words,
    /// `common.Config` as configtxlator prints it.
    Json,
    /// `common.Config` as bytes.
    Protobuf,
}

/// Show a channel's configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShowArguments {
    /// How it is shown.
    #[arg(long, value_enum, default_value_t = Format::Words)]
    format: Format,
    /// The file that it is written to; without this, standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    channel: ChannelArguments,
}

impl Verb for ShowArguments {
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
        let bytes = match self.format {
            Format::Words => {
                let lines = words(&config).into_iter();
                let lines = lines.map(|(name, value)| format!("{name}: {value}\n"));
                lines.collect::<String>().into_bytes()
            }
            Format::Json => {
                let bytes = config.encode_to_vec().into();
                let printed =
                    json::message_type("common.Config").map(|kind| json::print(kind, bytes));
                match printed {
                    Some(Ok(text)) => text.into_bytes(),
                    Some(Err(error)) => return failed(&error, None),
                    None => Vec::new(),
                }
            }
            Format::Protobuf => config.encode_to_vec(),
        };
        put_out(self.output.as_deref(), &bytes)
    }
}
