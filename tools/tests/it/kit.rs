//! Runs of tools.

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use quire_tools::{Streams, configtxgen, configtxlator, cryptogen, osnadmin, peer};

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: u8,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
}

impl Run {
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.output).unwrap()
    }

    /// The same, if it did what it was told.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.status, 0, "{}", self.errors);
        self
    }
}

pub(crate) fn configtxlator(arguments: &[&str], input: &[u8]) -> Run {
    run(arguments, input, |arguments, streams| {
        configtxlator::run(arguments, streams)
    })
}

pub(crate) fn cryptogen(arguments: &[&str]) -> Run {
    run(arguments, b"", |arguments, streams| {
        cryptogen::run(arguments, streams, now())
    })
}

pub(crate) fn configtxgen(arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let lookup = lookup(environment);
    run(arguments, b"", |arguments, streams| {
        configtxgen::run(arguments, streams, &lookup, now())
    })
}

pub(crate) fn osnadmin(arguments: &[&str], now: SystemTime) -> Run {
    run(arguments, b"", |arguments, streams| {
        osnadmin::run(arguments, streams, now)
    })
}

pub(crate) fn peer(arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let lookup = lookup(environment);
    run(arguments, b"", |arguments, streams| {
        peer::run(arguments, streams, &lookup, now())
    })
}

fn lookup<'a>(environment: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
    |name| {
        let mut variables = environment.iter();
        let found = variables.find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    }
}

/// A day in 2026.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn run(
    arguments: &[&str],
    mut input: &[u8],
    tool: impl FnOnce(Vec<OsString>, &mut Streams<'_>) -> u8,
) -> Run {
    let arguments = arguments.iter().map(OsString::from).collect();
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
    };
    let status = tool(arguments, &mut streams);
    let errors = String::from_utf8(errors).unwrap();
    Run {
        status,
        output,
        errors,
    }
}
