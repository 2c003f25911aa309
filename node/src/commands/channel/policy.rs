//! `quire channel policy set`.

use std::process::ExitCode;

use clap::Args;
use quire_identity::config::edit;

use crate::commands::channel::proposal::{ProposalArguments, propose};
use crate::commands::verb::{Needs, Verb, verbs};
use crate::settings::Settings;

verbs! {
    /// The verbs of `quire channel policy`.
    PolicyCommand {
        Set(SetArguments),
    }
}

/// Change a policy of a channel, or make one.
#[derive(Clone, Debug, Args)]
pub(crate) struct SetArguments {
    /// Its path, such as /Channel/Application/Endorsement.
    path: String,
    /// The policy: "MAJORITY Endorsement", or "OutOf(2, 'Org1MSP.peer', 'Org2MSP.peer')".
    text: String,
    #[command(flatten)]
    proposal: ProposalArguments,
}

impl Verb for SetArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.proposal.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        propose(&self.proposal, |config| {
            edit::set_policy(config, &self.path, &self.text)
        })
    }
}
