//! `quire org export`: what others need to add this node's organisation to a channel.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use quire_identity::Organization;
use quire_identity::config::organization_group;
use quire_wire::Message as _;
use quire_wire::json;

use crate::arguments::DataArguments;
use crate::commands::channel::output::put_out;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// Write what others need to add this node's organisation to a channel: its CAs and policies, no key.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExportArguments {
    /// The file; without this, standard output.
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArguments,
}

impl Verb for ExportArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let DataArguments { data, msp_id, .. } = &self.data;
        let opened = Organization::open_what_is_there(&quire_disk::os(), data, msp_id);
        let group = match opened {
            Ok(organization) => organization_group(&organization.msp_config()),
            Err(error) => return failed(&error, None),
        };
        let printed = json::print(
            json::application_organization(),
            group.encode_to_vec().into(),
        );
        match printed {
            Ok(text) => put_out(self.file.as_deref(), text.as_bytes()),
            Err(error) => failed(&error, None),
        }
    }
}
