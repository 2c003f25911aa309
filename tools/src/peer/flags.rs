//! Flags that several verbs have.

use std::time::Duration;

use quire_identity::config::parse_duration;

/// What Fabric's tool passes over behind a verb, such as the `true` of `--tls true`.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct PassedOver {
    #[arg(hide = true)]
    passed_over: Vec<String>,
}

/// A duration in Go's form.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "not a duration such as 30s".to_owned())
}
