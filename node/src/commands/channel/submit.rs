//! `quire channel submit`: hands in an update that is in a file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::proposal;
use super::reach::Reach;
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// Hand in an update of a channel's configuration that is in a file.
#[derive(Clone, Debug, Args)]
pub(crate) struct SubmitArguments {
    /// The file: a `common.Envelope` of type `CONFIG_UPDATE` with the signatures of those who must agree.
    file: PathBuf,
    #[command(flatten)]
    data: DataArguments,
}

impl Verb for SubmitArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let (channel, update) = match proposal::read(&self.file) {
            Ok(read) => read,
            Err(error) => return failed(&error, None),
        };
        match Reach::open(&self.data) {
            Ok(reach) => {
                let code = proposal::submit(&reach, &channel, &update);
                reach.close();
                code
            }
            Err(error) => error.print(),
        }
    }
}
