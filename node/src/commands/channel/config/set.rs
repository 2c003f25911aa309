//! `quire channel config set`.

use std::process::ExitCode;

use clap::Args;
use quire_identity::config::edit;

use crate::commands::channel::proposal::{ProposalArguments, propose};
use crate::commands::verb::{Needs, Verb};
use crate::settings::Settings;

/// Change a setting of a channel.
#[derive(Clone, Debug, Args)]
pub(crate) struct SetArguments {
    /// batch-size.max-messages, batch-size.absolute-max-bytes, batch-size.preferred-max-bytes,
    /// batch-timeout, acl.FUNCTION, or anchor-peers.ORGANISATION.
    name: String,
    /// What it is set to.
    value: String,
    #[command(flatten)]
    proposal: ProposalArguments,
}

impl Verb for SetArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.proposal.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        propose(&self.proposal, |config| {
            edit::set(config, &self.name, &self.value)
        })
    }
}
