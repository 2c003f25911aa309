//! `quire channel org remove`.

use std::process::ExitCode;

use clap::Args;
use quire_identity::config::edit;

use super::Part;
use crate::commands::channel::proposal::{ProposalArguments, propose};
use crate::commands::verb::{Needs, Verb};
use crate::settings::Settings;

/// Remove an organisation from a channel.
#[derive(Clone, Debug, Args)]
pub(crate) struct RemoveArguments {
    /// The name of its group, as `list` has it.
    name: String,
    /// What it does no more.
    #[arg(long, value_enum, default_value_t = Part::Application)]
    part: Part,
    #[command(flatten)]
    proposal: ProposalArguments,
}

impl Verb for RemoveArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.proposal.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        propose(&self.proposal, |config| {
            edit::remove_organization(config, self.part.into(), &self.name)
        })
    }
}
