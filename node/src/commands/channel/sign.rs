//! `quire channel sign`: adds the signature of this node's organisation to an update in a file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::proposal::{self, missing};
use super::reach::Reach;
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// Sign an update of a channel's configuration in a file.
#[derive(Clone, Debug, Args)]
pub(crate) struct SignArguments {
    /// The file: a `common.Envelope` of type `CONFIG_UPDATE`.
    file: PathBuf,
    #[command(flatten)]
    data: DataArguments,
}

impl Verb for SignArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let (channel, mut update) = match proposal::read(&self.file) {
            Ok(read) => read,
            Err(error) => return failed(&error, None),
        };
        // Nobody signs what they have not seen.
        match proposal::sets(&update) {
            Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
            Err(error) => return failed(&error, None),
        }
        let signed = Reach::open(&self.data).and_then(|reach| {
            let signed = reach.sign(&mut update);
            // What is still missing is told where the channel is here too.
            let current = reach.configuration(&channel).ok();
            reach.close();
            signed.map(|()| current)
        });
        let current = match signed {
            Ok(current) => current,
            Err(error) => return error.print(),
        };
        if let Err(error) = proposal::write(&self.file, &channel, &update) {
            return failed(&error, None);
        }
        println!("signed {}", self.file.display());
        if let Some(current) = current {
            // One of the same name that is another channel says nothing of this update.
            match missing(&channel, &current.config, &update) {
                Ok(Some(missing)) => println!("{missing}"),
                Ok(None) => println!("the signatures suffice"),
                Err(_) => {}
            }
        }
        ExitCode::SUCCESS
    }
}
