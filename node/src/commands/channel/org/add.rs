//! `quire channel org add`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use quire_identity::config::edit::{self, msp_of};

use super::Part;
use super::file::read_organization;
use crate::commands::channel::proposal::{ProposalArguments, propose};
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// Add an organisation to a channel.
#[derive(Clone, Debug, Args)]
pub(crate) struct AddArguments {
    /// What `quire org export` or `configtxgen -printOrg` wrote there.
    file: PathBuf,
    /// The name of its group; without this, its MSP id.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What it does in the channel.
    #[arg(long, value_enum, default_value_t = Part::Application)]
    part: Part,
    #[command(flatten)]
    proposal: ProposalArguments,
}

impl Verb for AddArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.proposal.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let organization = match read_organization(&self.file) {
            Ok(organization) => organization,
            Err(error) => return failed(&error, None),
        };
        let msp_id = msp_of(&organization).map(|msp| msp.name);
        let name = self.name.clone().or(msp_id).unwrap_or_default();
        propose(&self.proposal, |config| {
            edit::add_organization(config, self.part.into(), &name, organization)
        })
    }
}
