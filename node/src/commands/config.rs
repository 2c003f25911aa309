//! `quire config`: every setting of `run`, and where it came from.

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Args};
use toml::Value;

use crate::arguments::RunArguments;
use crate::commands::run;
use crate::commands::verb::{Needs, Verb};
use crate::exit::FAILED;
use crate::settings::Settings;

/// The setting that holds a secret after a colon.
const HOLDS_SECRET: &str = "ca_admin";

/// Print the effective settings of `run`, and where each came from.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

impl Verb for ConfigArguments {
    /// It tells what a start would refuse.
    fn needs(&self) -> Needs<'_> {
        Needs::Nothing
    }

    fn writes_data(&self) -> bool {
        false
    }

    /// Prints every setting as a line of a configuration file, without the secret that one may hold.
    fn run(&self, settings: &Settings) -> ExitCode {
        let Some(matches) = settings.of_verb("config") else {
            return ExitCode::from(FAILED);
        };
        for argument in settings.flags() {
            let name = argument.get_long().unwrap_or_default();
            let id = argument.get_id().as_str();
            let source = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => "command line".to_owned(),
                Some(ValueSource::EnvVariable) => "environment".to_owned(),
                Some(_) if settings.is_in_file(name) => "file".to_owned(),
                Some(_) => "default".to_owned(),
                None => {
                    println!("# {name} is not set");
                    continue;
                }
            };
            let values = matches.get_raw(id).unwrap_or_default();
            println!("{name} = {}  # {source}", render(argument, values));
        }
        match run::prepare(&self.run) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => run::refuse(&error),
        }
    }
}

/// Values as a file has them.
fn render<'a>(argument: &Arg, values: impl Iterator<Item = &'a OsStr>) -> String {
    let values = values.map(|value| value.to_string_lossy().into_owned());
    let values = values.map(|value| match value.split_once(':') {
        Some((name, _)) if argument.get_id() == HOLDS_SECRET => format!("{name}:..."),
        _ => value,
    });
    let mut values: Vec<_> = match argument.get_action() {
        ArgAction::SetTrue => return values.collect(),
        _ => values.map(Value::String).collect(),
    };
    match (argument.get_action(), values.len()) {
        (ArgAction::Append, _) | (_, 2..) => Value::Array(values).to_string(),
        _ => values.pop().unwrap_or(Value::Boolean(false)).to_string(),
    }
}
