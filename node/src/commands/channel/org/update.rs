//! `quire channel org update`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use quire_identity::config::edit::{self, msp_of};

use super::file::read_organization;
use crate::commands::channel::proposal::{ProposalArguments, propose};
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// Put another MSP in the place of an organisation's: other CAs, units or administrators.
#[derive(Clone, Debug, Args)]
pub(crate) struct UpdateArguments {
    /// What `quire org export` or `configtxgen -printOrg` wrote there, with the same MSP id. Its policies do
    /// not matter.
    file: PathBuf,
    #[command(flatten)]
    proposal: ProposalArguments,
}

impl Verb for UpdateArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.proposal.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let organization = match read_organization(&self.file) {
            Ok(organization) => organization,
            Err(error) => return failed(&error, None),
        };
        let msp = msp_of(&organization).unwrap_or_default();
        propose(&self.proposal, |config| edit::set_msp(config, &msp))
    }
}
