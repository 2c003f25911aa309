//! `quire identity import`: of a stopped node directly, of a running one through its socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use quire_identity::{ImportIdentityError, Organization, OrganizationError};
use quire_ledger::{DataLock, OpenError};

use crate::admin::client;
use crate::admin::{self, Message};
use crate::advice;
use crate::arguments::DataArguments;
use crate::clock;
use crate::commands::verb::{Needs, Verb, verbs};
use crate::data_directory::path::{PathError, must_have_organization};
use crate::exit::{failed, print_other_answer};
use crate::settings::Settings;

verbs! {
    /// The verbs of `quire identity`.
    IdentityCommand {
        Import(ImportArguments),
    }
}

/// Bring in an identity that another tool made, with its key, for a node that was given its organisation.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArguments {
    /// What the node calls it: a name for `quire token create`, or org-admin, who signs changes of
    /// configurations.
    name: String,
    /// Its MSP folder.
    folder: PathBuf,
    #[command(flatten)]
    data: DataArguments,
}

/// Why a command could not do its work on the files.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Organization(#[from] OrganizationError),
    #[error(transparent)]
    Import(#[from] ImportIdentityError),
}

impl Verb for ImportArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        // The node may have been started somewhere else.
        let folder = match self.folder.canonicalize() {
            Ok(folder) => folder,
            Err(error) => return failed(&error, None),
        };
        let name = &self.name;
        match import(&self.data, name, &folder) {
            Ok(role) => print_imported(name, &role),
            Err(CommandError::Open(OpenError::InUse(_))) => {
                let request = admin::ImportIdentity {
                    name: name.clone(),
                    folder,
                };
                let path = "/identities/import";
                match client::ask(&self.data.data, "POST", path, &request, &mut |_| {}) {
                    Ok(Message::IdentityImported { name, role }) => print_imported(&name, &role),
                    other => print_other_answer(other),
                }
            }
            Err(error) => {
                let advice = match &error {
                    CommandError::Open(error) => advice::of_open(error).map(str::to_owned),
                    CommandError::Path(error) => Some(error.advice()),
                    CommandError::Organization(_) | CommandError::Import(_) => None,
                };
                failed(&error, advice.as_deref())
            }
        }
    }
}

/// Imports it; answers its role.
fn import(data: &DataArguments, name: &str, folder: &Path) -> Result<String, CommandError> {
    must_have_organization(&data.data)?;
    let _lock = DataLock::take(&data.data)?;
    let organization = Organization::open_existing(&quire_disk::os(), &data.data, &data.msp_id)?;
    let imported = organization.import_identity(name, folder, clock::now())?;
    Ok(imported.role().to_string())
}

fn print_imported(name: &str, role: &str) -> ExitCode {
    println!("identity {name} imported, with the role {role}");
    ExitCode::SUCCESS
}
