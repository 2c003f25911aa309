//! Fabric's tools: `quire cryptogen ...`, or the binary called by a link named `cryptogen`.

use std::ffi::{OsStr, OsString};
use std::io::{stderr, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use quire_tools::{Streams, configtxgen, configtxlator, cryptogen, osnadmin, peer};

use crate::clock;
use crate::commands::verb::{Needs, Verb};
use crate::settings::Settings;

/// A tool of Fabric's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Configtxgen,
    Configtxlator,
    Cryptogen,
    Osnadmin,
    Peer,
}

/// A tool with its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    tool: Tool,
    arguments: Vec<OsString>,
}

impl Tool {
    const ALL: [Self; 5] = [
        Self::Configtxgen,
        Self::Configtxlator,
        Self::Cryptogen,
        Self::Osnadmin,
        Self::Peer,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Configtxgen => "configtxgen",
            Self::Configtxlator => "configtxlator",
            Self::Cryptogen => "cryptogen",
            Self::Osnadmin => "osnadmin",
            Self::Peer => "peer",
        }
    }

    fn named(name: &OsStr) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| name == tool.name())
    }
}

impl Call {
    /// The tool that a command line means: by the name that the binary was called by, or by its first argument.
    /// A tool's flags are its own, so that `--config` is not the file with settings of the node.
    pub(crate) fn of(line: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut line = line.into_iter();
        let program = line.next()?;
        let by_link = Path::new(&program).file_name().and_then(Tool::named);
        let tool = by_link.or_else(|| Tool::named(&line.next()?))?;
        let arguments = line.collect();
        Some(Self { tool, arguments })
    }

    pub(crate) fn run(self) -> ExitCode {
        let (mut input, mut output, mut errors) = (stdin(), stdout(), stderr());
        let mut streams = Streams {
            input: &mut input,
            output: &mut output,
            errors: &mut errors,
        };
        let environment = |name: &str| std::env::var(name).ok();
        let arguments = self.arguments;
        let status = match self.tool {
            Tool::Configtxgen => {
                configtxgen::run(arguments, &mut streams, &environment, clock::now())
            }
            Tool::Configtxlator => configtxlator::run(arguments, &mut streams),
            Tool::Cryptogen => cryptogen::run(arguments, &mut streams, clock::now()),
            Tool::Osnadmin => osnadmin::run(arguments, &mut streams, clock::now()),
            Tool::Peer => peer::run(arguments, &mut streams, &environment, clock::now()),
        };
        ExitCode::from(status)
    }
}

/// The verbs of the table. A command line with one of them is taken as a [`Call`] before it is read as `quire`'s.
macro_rules! verbs_of_tools {
    ($($(#[$about:meta])* $name:ident,)*) => {
        $(
            $(#[$about])*
            #[derive(Clone, Debug, Args)]
            #[command(disable_help_flag = true)]
            pub(crate) struct $name {
                /// As Fabric's tool takes them.
                #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
                arguments: Vec<OsString>,
            }

            impl Verb for $name {
                fn needs(&self) -> Needs<'_> {
                    Needs::Nothing
                }

                fn writes_data(&self) -> bool {
                    false
                }

                fn run(&self, _settings: &Settings) -> ExitCode {
                    let arguments = self.arguments.clone();
                    let tool = Tool::$name;
                    Call { tool, arguments }.run()
                }
            }
        )*
    };
}

verbs_of_tools! {
    /// Fabric's configtxgen: the first block of a channel, from configtx.yaml.
    Configtxgen,
    /// Fabric's configtxlator: messages as JSON and back, and updates between two configurations.
    Configtxlator,
    /// Fabric's cryptogen: keys and certificates for the organisations of a test network.
    Cryptogen,
    /// Fabric's osnadmin: the channels of an orderer.
    Osnadmin,
    /// Fabric's peer as a client: calls of chaincodes, packages and definitions, channels.
    Peer,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &[&str]) -> Option<(Tool, Vec<OsString>)> {
        let call = Call::of(line.iter().map(OsString::from))?;
        Some((call.tool, call.arguments))
    }

    #[test]
    fn a_tool_is_meant_by_a_link_or_by_the_first_argument_and_by_nothing_else() {
        let rest = vec![OsString::from("generate"), OsString::from("--config=c")];
        let expected = Some((Tool::Cryptogen, rest));
        assert_eq!(
            call(&["/usr/bin/cryptogen", "generate", "--config=c"]),
            expected
        );
        assert_eq!(
            call(&["quire", "cryptogen", "generate", "--config=c"]),
            expected
        );
        assert_eq!(call(&["quire", "run", "cryptogen"]), None);
        assert_eq!(call(&["quire"]), None);
        assert_eq!(call(&[]), None);
    }
}
