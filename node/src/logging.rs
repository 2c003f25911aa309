//! What is logged, in the notation of Fabric's `FABRIC_LOGGING_SPEC`, and changed while the node runs.
//!
//! ```text
//! LEVEL                                the level of everything
//! LOGGER[,LOGGER...]=LEVEL[:...]       the level of some; one part may be a bare LEVEL
//! ```
//!
//! `debug` and above are Fabric's levels, `trace` and `off` are ours. A logger is `request`, a crate
//! of Quire (`gateway`), or a Rust module with dots for colons (`quire_ledger.recovery`).

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use parking_lot::Mutex;
use quire_gateway::backend::InvalidLogSpec;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// Where the log's level is kept.
#[derive(Clone)]
pub(crate) struct Logging {
    spec: Arc<Mutex<String>>,
    /// None in commands, which print and do not log.
    filter: Option<reload::Handle<EnvFilter, Registry>>,
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &*self.spec.lock();
        f.debug_struct("Logging")
            .field("spec", spec)
            .finish_non_exhaustive()
    }
}

impl Logging {
    /// Starts to log to standard error. To be called once in a process.
    pub(crate) fn start(spec: &str) -> Result<Self, InvalidLogSpec> {
        let (filter, handle) = reload::Layer::new(filter_of(spec)?);
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr);
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .init();
        Ok(Self {
            spec: Arc::new(Mutex::new(spec.to_owned())),
            filter: Some(handle),
        })
    }

    /// For commands that do not log.
    pub(crate) fn none() -> Self {
        Self {
            spec: Arc::new(Mutex::new("off".to_owned())),
            filter: None,
        }
    }

    /// What is logged now.
    pub(crate) fn spec(&self) -> String {
        self.spec.lock().clone()
    }

    /// Logs something else from now on.
    pub(crate) fn set(&self, spec: &str) -> Result<(), InvalidLogSpec> {
        let filter = filter_of(spec)?;
        let mut current = self.spec.lock();
        if let Some(handle) = &self.filter {
            let reloaded = handle.reload(filter);
            reloaded.map_err(|error| InvalidLogSpec(error.to_string()))?;
        }
        tracing::info!(spec, before = %current, "log specification changed");
        spec.clone_into(&mut current);
        Ok(())
    }
}

/// Makes sure that a specification is one.
pub(crate) fn check(spec: &str) -> Result<(), InvalidLogSpec> {
    filter_of(spec).map(|_| ())
}

fn filter_of(spec: &str) -> Result<EnvFilter, InvalidLogSpec> {
    let directives = directives(spec)?;
    EnvFilter::builder()
        .parse(&directives)
        .map_err(|error| InvalidLogSpec(format!("{spec:?}: {error}")))
}

/// The specification as `tracing` writes it.
fn directives(spec: &str) -> Result<String, InvalidLogSpec> {
    let mut default = None;
    let mut directives = Vec::new();
    for part in spec.split(':').filter(|part| !part.is_empty()) {
        let Some((loggers, level)) = part.split_once('=') else {
            if default.replace(level_of(part)?).is_some() {
                let detail = format!("{spec:?} has two levels for everything");
                return Err(InvalidLogSpec(detail));
            }
            continue;
        };
        let level = level_of(level)?;
        for logger in loggers.split(',') {
            directives.push(format!("{}={level}", target_of(logger)?));
        }
    }
    directives.insert(0, default.unwrap_or("info").to_owned());
    Ok(directives.join(","))
}

fn level_of(text: &str) -> Result<&'static str, InvalidLogSpec> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Ok("trace"),
        "debug" => Ok("debug"),
        "info" => Ok("info"),
        "warn" | "warning" => Ok("warn"),
        // Fabric's levels above error; nothing here is worse than an error.
        "error" | "dpanic" | "panic" | "fatal" => Ok("error"),
        "off" => Ok("off"),
        _ => Err(InvalidLogSpec(format!(
            "{text:?} is no level; there are error, warn, info, debug, trace, off"
        ))),
    }
}

fn target_of(logger: &str) -> Result<String, InvalidLogSpec> {
    let sound = |part: &str| {
        let mut letters = part.bytes();
        !part.is_empty() && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !logger.split('.').all(sound) {
        return Err(InvalidLogSpec(format!(
            "{logger:?} is no logger; there are request, gateway, peer, ordering, ledger, chaincode, \
             identity, wire, and Rust modules with dots, as quire_gateway.batch"
        )));
    }
    let target = logger.replace('.', "::");
    Ok(match target.as_str() {
        "request" => "quire::request".to_owned(),
        "wire" | "identity" | "ledger" | "chaincode" | "ordering" | "peer" | "gateway" => {
            format!("quire_{target}")
        }
        _ => target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fabrics_notation_is_understood() {
        for (spec, expected) in [
            ("", Some("info")),
            ("debug", Some("debug")),
            ("WARNING", Some("warn")),
            (
                "gateway,ledger=debug:warn",
                Some("warn,quire_gateway=debug,quire_ledger=debug"),
            ),
            ("peer=trace", Some("info,quire_peer=trace")),
            ("request=off", Some("info,quire::request=off")),
            (
                "quire_ledger.recovery=trace:fatal",
                Some("error,quire_ledger::recovery=trace"),
            ),
            ("loud", None),
            ("gateway=loud", None),
            ("info:debug", None),
            ("=debug", None),
            ("a b=debug", None),
            ("a[x]=debug", None),
        ] {
            let found = directives(spec).ok();
            assert_eq!(found.as_deref(), expected, "{spec}");
            assert_eq!(filter_of(spec).is_ok(), expected.is_some(), "{spec}");
        }
    }
}
