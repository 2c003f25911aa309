//! The command line: the settings of `run`, or a verb.

use clap::Parser;

use crate::arguments::RunArguments;
use crate::commands::Command;

/// A tamper-evident JSON ledger server.
#[derive(Debug, Parser)]
#[command(name = "quire", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

impl Cli {
    /// The verb that was typed, or `run`.
    pub(crate) fn verb(self) -> Command {
        self.command.unwrap_or(Command::Run(self.run))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_two_flags_of_a_command_have_one_name() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_handbook_has_every_flag_of_run_with_its_variable_and_default() {
        let handbook = include_str!("../../docs/operations.md");
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        let mut expected: Vec<String> = run
            .get_arguments()
            .filter_map(|argument| {
                let flag = argument.get_long()?;
                let variable = argument.get_env()?.to_string_lossy().into_owned();
                let defaults = argument.get_default_values();
                let default = match defaults.first() {
                    Some(value) => format!("`{}`", value.to_string_lossy()),
                    None if argument.get_action().takes_values() => "none".to_owned(),
                    None => "off".to_owned(),
                };
                Some(format!("| `--{flag}` | `{variable}` | {default}"))
            })
            .collect();
        for row in &expected {
            assert!(handbook.contains(row), "docs/operations.md lacks {row}");
        }
        expected.sort();
        let rows = handbook.lines().filter(|line| line.starts_with("| `--"));
        assert_eq!(rows.count(), expected.len(), "a row is of no flag");
    }
}
