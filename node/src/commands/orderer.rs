//! `quire orderer`: an orderer alone. It keeps blocks for others to judge, and has no state.

use std::process::ExitCode;

use clap::Args;

use crate::arguments::RunArguments;
use crate::commands::run;
use crate::commands::verb::{Needs, Verb};
use crate::settings::Settings;

/// Start an orderer alone: it orders, keeps blocks and serves Broadcast and Deliver at --grpc-listen, and at --listen health
/// and metrics. It judges nothing, and has no state, no REST API and no chaincodes. Flags as those of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct OrderingAlone {
    #[command(flatten)]
    run: RunArguments,
}

impl Verb for OrderingAlone {
    fn needs(&self) -> Needs<'_> {
        Needs::Nothing
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        run::start(run::prepare_orderer(&self.run), &self.run.log_spec)
    }
}
