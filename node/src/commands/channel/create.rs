//! `quire channel create`: of a stopped node directly, of a running one through its socket.

use std::process::ExitCode;

use clap::Args;
use quire_chaincode::name::check_channel;
use quire_ledger::{OpenError, Progress};

use super::{made, stopped};
use crate::admin::client;
use crate::admin::{self, Message};
use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::data_directory::path::may_be_made;
use crate::exit::{failed, print_other_answer, refuse_path};
use crate::node::NodeError;
use crate::settings::Settings;
use crate::terminal::ProgressDisplay;

/// Make a channel.
#[derive(Clone, Debug, Args)]
pub(crate) struct CreateArguments {
    /// Its name: `[a-z][a-z0-9.-]*`, at most 249 characters.
    name: String,
    #[command(flatten)]
    data: DataArguments,
}

impl Verb for CreateArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::Place(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let Self { name, data } = self;
        let mut display = ProgressDisplay::new();
        let mut progress = |progress: Progress<'_>| display.show(progress);
        if let Err(error) = check_channel(name) {
            return failed(&error, None);
        }
        let is_new = match may_be_made(&data.data) {
            Ok(is_new) => is_new,
            Err(error) => return refuse_path(&error),
        };
        let created = create(name, data, &mut progress);
        made::tell(is_new, &data.data);
        match created {
            Ok(()) => print_created(name),
            Err(NodeError::Open(OpenError::InUse(_))) => {
                let request = admin::CreateChannel { name: name.clone() };
                match client::ask(&data.data, "POST", "/channels", &request, &mut progress) {
                    Ok(Message::Created { name }) => print_created(&name),
                    other => print_other_answer(other),
                }
            }
            Err(error) => failed(&error, error.open().and_then(advice::of_open)),
        }
    }
}

fn create(
    name: &str,
    data: &DataArguments,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), NodeError> {
    let node = stopped::open(data)?;
    let has = |name| Ok::<_, NodeError>(node.list()?.iter().any(|one| one.name == name));
    let had = has(name)?;
    node.open_channels(progress)?;
    // What every new data directory gets may be what is asked for.
    let created = if !had && has(name)? {
        Ok(())
    } else {
        node.create(name)
    };
    node.stop();
    created
}

fn print_created(name: &str) -> ExitCode {
    println!("channel {name} created");
    ExitCode::SUCCESS
}
