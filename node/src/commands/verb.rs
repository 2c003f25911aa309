//! A verb of the command line: what it needs, and what it does.

use std::path::Path;
use std::process::ExitCode;

use crate::data_directory::path::{self, PathError};
use crate::exit::refuse_path;
use crate::settings::Settings;

/// A verb with its arguments.
pub(crate) trait Verb {
    /// What has to be there before it begins.
    fn needs(&self) -> Needs<'_>;

    /// Whether it makes anything in a data directory.
    fn writes_data(&self) -> bool {
        true
    }

    /// Prints that what it needs is not there.
    fn refuse(&self, error: &PathError) -> ExitCode {
        refuse_path(error)
    }

    /// Does it; what is wrong is printed.
    fn run(&self, settings: &Settings) -> ExitCode;
}

/// What there has to be at `--data` for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs<'a> {
    /// Nothing is looked at there.
    Nothing,
    /// A data directory; nothing makes one.
    DataDirectory(&'a Path),
    /// The same, of which much may be missing.
    Remains(&'a Path),
    /// A data directory, or a place where one is made.
    Place(&'a Path),
}

impl Needs<'_> {
    /// Makes sure that it is there: nothing is made by a command that does not find what it needs.
    pub(crate) fn look(self) -> Result<(), PathError> {
        match self {
            Self::Nothing => Ok(()),
            Self::DataDirectory(path) => path::must_be(path),
            Self::Remains(path) => path::must_be_whole_or_not(path),
            Self::Place(path) => path::may_be_made(path).map(|_| ()),
        }
    }
}

/// A table of verbs: the name of each, and the type of its arguments. What is said of a verb in the help
/// stands at that type.
macro_rules! verbs {
    (
        $(#[$of_table:meta])*
        $table:ident {
            $($(#[$of_verb:meta])* $name:ident($arguments:ty),)*
        }
    ) => {
        $(#[$of_table])*
        #[derive(Clone, Debug, clap::Subcommand)]
        pub(crate) enum $table {
            $($(#[$of_verb])* $name($arguments),)*
        }

        impl $table {
            fn verb(&self) -> &dyn $crate::commands::verb::Verb {
                match self {
                    $(Self::$name(arguments) => arguments,)*
                }
            }
        }

        impl $crate::commands::verb::Verb for $table {
            fn needs(&self) -> $crate::commands::verb::Needs<'_> {
                self.verb().needs()
            }

            fn writes_data(&self) -> bool {
                self.verb().writes_data()
            }

            fn refuse(&self, error: &$crate::data_directory::path::PathError) -> std::process::ExitCode {
                self.verb().refuse(error)
            }

            fn run(&self, settings: &$crate::settings::Settings) -> std::process::ExitCode {
                self.verb().run(settings)
            }
        }
    };
}

pub(crate) use verbs;
