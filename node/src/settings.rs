//! The configuration file, and where each setting came from.
//!
//! Every flag of `quire run` may stand in a TOML file under its own name: `listen = "..."`. What the
//! file says becomes the default of that flag, in every command that has it; so a `QUIRE_...` variable
//! and the command line win over it, and the same code judges all three.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::exit::failed;
use crate::state::PASSWORD;

const FLAG: &str = "config";
const VARIABLE: &str = "QUIRE_CONFIG";
/// What names of variables with settings begin with.
const PREFIX: &str = "QUIRE_";
/// Beginnings of such names that are Kubernetes' for a service of our name, or those of our own tests.
const OTHERS: [&str; 3] = ["QUIRE_SERVICE_", "QUIRE_PORT", "QUIRE_TEST_"];

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not TOML", path.display())]
    Parse {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("{}: there is no setting {name:?}", path.display())]
    Unknown {
        path: PathBuf,
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    #[error("{}: {name:?} is not a text, a number, true, false, or a list of them", path.display())]
    Kind { path: PathBuf, name: String },
}

impl FileError {
    /// What to do about it.
    fn advice(&self) -> String {
        match self {
            Self::Unknown { name, known, .. } => match nearest(name, known) {
                Some(near) => format!("Is {near} meant? `quire run --help` tells what there is."),
                None => format!("There are {}.", known.join(", ")),
            },
            Self::Kind { name, .. } => format!(
                "A line is NAME = VALUE, as {name} = \"text\", {name} = 12, {name} = true, or \
                 {name} = [\"one\", \"two\"]."
            ),
            Self::Parse { .. } => {
                "A line is NAME = VALUE, as listen = \"127.0.0.1:7080\".".to_owned()
            }
            Self::Read { .. } => "--config FILE or QUIRE_CONFIG names a TOML file.".to_owned(),
        }
    }
}

/// The command line, with the file behind it.
#[derive(Debug)]
pub(crate) struct Settings {
    command: clap::Command,
    matches: ArgMatches,
    file: Table,
}

impl Settings {
    /// Reads the command line and the file that it names. What is wrong with them is printed.
    pub(crate) fn read<C: CommandFactory + FromArgMatches>() -> Result<(C, Self), ExitCode> {
        let read = with_file(C::command(), std::env::args_os());
        let (command, file) = read.map_err(|error| failed(&error, Some(&error.advice())))?;
        tell_unknown_variables(&command);
        let matches = command.clone().get_matches();
        let cli = C::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let settings = Self {
            command,
            matches,
            file,
        };
        Ok((cli, settings))
    }

    /// What was typed after a verb.
    pub(crate) fn of_verb(&self, name: &str) -> Option<&ArgMatches> {
        self.matches.subcommand_matches(name)
    }

    /// What may stand in a file: the flags of `quire run`.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &Arg> {
        settings_of(&self.command)
    }

    /// Whether the file says something of a flag.
    pub(crate) fn is_in_file(&self, flag: &str) -> bool {
        self.file.contains_key(flag)
    }
}

/// The commands, with the file that the arguments name as defaults.
fn with_file(
    command: clap::Command,
    arguments: impl Iterator<Item = OsString>,
) -> Result<(clap::Command, Table), FileError> {
    let Some(path) = named(arguments).or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from))
    else {
        return Ok((command, Table::new()));
    };
    let file = read(&path)?;
    let mut defaults = Vec::new();
    for (name, value) in &file {
        let known = settings_of(&command).any(|argument| argument.get_long() == Some(name));
        if !known {
            let known = settings_of(&command).filter_map(Arg::get_long);
            return Err(FileError::Unknown {
                path,
                name: name.clone(),
                known: known.map(str::to_owned).collect(),
            });
        }
        let values = texts(value).ok_or_else(|| FileError::Kind {
            path: path.clone(),
            name: name.clone(),
        })?;
        defaults.push((name.clone(), values));
    }
    Ok((apply(command, &defaults), file))
}

/// The file that `--config` names.
fn named(mut arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let rest = text
            .strip_prefix("--")
            .and_then(|rest| rest.strip_prefix(FLAG));
        match rest {
            Some("") => return arguments.next().map(PathBuf::from),
            Some(rest) if rest.starts_with('=') => return Some(PathBuf::from(&rest[1..])),
            _ => {}
        }
    }
    None
}

fn read(path: &Path) -> Result<Table, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    text.parse().map_err(|source| FileError::Parse {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// What may stand in a file: the flags of `quire run`.
fn settings_of(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    let run = command.find_subcommand("run").into_iter();
    let arguments = run.flat_map(clap::Command::get_arguments);
    arguments.filter(|argument| !matches!(argument.get_long(), None | Some(FLAG | "help")))
}

/// Gives the flags these defaults, here and in all subcommands.
fn apply(command: clap::Command, defaults: &[(String, Vec<String>)]) -> clap::Command {
    let mut command = command.mut_args(|argument| {
        // By its variable: `rebuild --engine` is the `--state` of `run`.
        let variable = |name: &str| format!("QUIRE_{}", name.to_uppercase().replace('-', "_"));
        let default = defaults.iter().find(|(name, _)| {
            argument
                .get_env()
                .is_some_and(|known| known == variable(name).as_str())
        });
        match default {
            Some((_, values)) => argument.default_values(values.clone()),
            None => argument,
        }
    });
    let names = command
        .get_subcommands()
        .map(|one| one.get_name().to_owned());
    for name in names.collect::<Vec<_>>() {
        command = command.mut_subcommand(name, |subcommand| apply(subcommand, defaults));
    }
    command
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Integer(number) => Some(vec![number.to_string()]),
        Value::Boolean(boolean) => Some(vec![boolean.to_string()]),
        Value::Array(values) if values.iter().all(|value| !value.is_array()) => {
            values.iter().map(|value| texts(value)?.pop()).collect()
        }
        Value::Array(_) | Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// Variables that look like settings and are none, or may be somebody else's: told, not refused. Whoever
/// calls a service `quire` gets such variables from Kubernetes.
fn tell_unknown_variables(command: &clap::Command) {
    let mut known = vec![PASSWORD.to_owned()];
    collect_variables(command, &mut known);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_ours = name.starts_with(PREFIX) && !known.contains(&name);
        let is_others = OTHERS.iter().any(|others| name.starts_with(others));
        if !is_ours || is_others {
            continue;
        }
        match nearest(&name, &known) {
            Some(near) => eprintln!("quire: there is no setting {name}; is {near} meant?"),
            None => eprintln!("quire: there is no setting {name}: it changes nothing"),
        }
    }
}

/// The variables of a command's flags, and those of its subcommands.
fn collect_variables(command: &clap::Command, known: &mut Vec<String>) {
    let variables = command.get_arguments().filter_map(Arg::get_env);
    known.extend(variables.map(|name| name.to_string_lossy().into_owned()));
    for subcommand in command.get_subcommands() {
        collect_variables(subcommand, known);
    }
}

/// The name that somebody who typed `name` most likely meant, if one is near enough.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let near = known.iter().map(|other| (distance(name, other), other));
    let (distance, nearest) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2.max(name.len() / 5)).then_some(nearest.as_str())
}

/// How many letters must be added, removed or exchanged to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(other.chars()) {
            let exchanged = diagonal + usize::from(letter != other);
            diagonal = *cell;
            left = exchanged.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::RunArguments;
    use crate::cli::Cli;
    use crate::commands::Command;

    fn run_with(file: &str, arguments: &[&str]) -> Result<RunArguments, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("quire.toml");
        std::fs::write(&path, file).unwrap();
        let path = path.to_str().unwrap();
        let head = ["quire", "run", "--config", path];
        let all = head.iter().chain(arguments);
        let all: Vec<_> = all.map(OsString::from).collect();
        let (command, _) = with_file(Cli::command(), all.clone().into_iter())
            .map_err(|error| error.to_string())?;
        let matches = command
            .try_get_matches_from(all)
            .map_err(|error| error.to_string())?;
        match Cli::from_arg_matches(&matches).unwrap().command {
            Some(Command::Run(run)) => Ok(run),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_defaults() {
        let file = "
            data = \"/srv/quire\"
            listen = \"127.0.0.1:1\"
            max-value-bytes = 77
            insecure-no-auth = true
            cors-origin = [\"https://a.example\", \"https://b.example\"]";
        let run = run_with(file, &["--listen", "127.0.0.1:2"]).unwrap();
        assert_eq!(run.data.data, Path::new("/srv/quire"));
        assert_eq!(run.listen.to_string(), "127.0.0.1:2");
        assert_eq!(run.max_value_bytes, 77);
        assert!(run.insecure_no_auth);
        assert_eq!(run.cors_origin, ["https://a.example", "https://b.example"]);
        assert_eq!(run.data.msp_id, "QuireMSP");
        assert!(!run_with("", &[]).unwrap().insecure_no_auth);
        assert!(
            !run_with("insecure-no-auth = false", &[])
                .unwrap()
                .insecure_no_auth
        );
    }

    #[test]
    fn what_was_most_likely_meant_is_named() {
        let known = ["listen", "log-spec", "grace"].map(str::to_owned);
        for (name, expected) in [
            ("lisen", Some("listen")),
            ("listen", Some("listen")),
            ("log_spec", Some("log-spec")),
            ("gracee", Some("grace")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
        assert_eq!(nearest("a", &[]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_typo_in_the_file_is_told() {
        for file in [
            "lisen = \"127.0.0.1:1\"",
            "config = \"other.toml\"",
            "listen = \"here\"",
            "listen = 1.5",
            "max-value-bytes = \"many\"",
            "rate-limit = 0",
            "insecure-no-auth = \"perhaps\"",
            "[listen]",
            "listen =",
        ] {
            assert!(run_with(file, &[]).is_err(), "{file}");
        }
    }
}
