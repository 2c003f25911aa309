//! `quire identity import`: a folder that another tool made, or a file that another node sealed; of a stopped node
//! directly, of a running one through its socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use quire_disk::{FileError, OsDisk, read_file};
use quire_identity::organization::OWN_IDENTITIES;
use quire_identity::sealed::{MAX_SEALED_BYTES, UnsealError};
use quire_identity::{
    Arrived, ImportIdentityError, MoveIdentityError, MovedIdentities, Organization,
    OrganizationError,
};
use quire_ledger::{DataLock, OpenError};

use super::{PassphraseArguments, PassphraseError};
use crate::admin::client;
use crate::admin::{self, Message};
use crate::advice;
use crate::arguments::DataArguments;
use crate::clock;
use crate::commands::verb::{Needs, Verb};
use crate::data_directory::path::{PathError, must_have_organization};
use crate::exit::{failed, print_other_answer};
use crate::settings::Settings;

/// Bring in what `quire identity export` sealed at another node of the organisation; or, with a name and a folder,
/// an identity that another tool made, for a node that was given its organisation.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArguments {
    /// The sealed file; or, before a folder, what the node calls the identity: a name for `quire token create`, or
    /// org-admin, who signs changes of configurations.
    #[arg(value_name = "FILE|NAME")]
    file_or_name: String,
    /// The MSP folder of that one identity.
    folder: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
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
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error("{} was not opened", path.display())]
    Sealed { path: PathBuf, source: UnsealError },
    #[error("nothing was imported")]
    Moved(#[from] MoveIdentityError),
}

impl Verb for ImportArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        match &self.folder {
            Some(folder) => import_folder(&self.data, &self.file_or_name, folder),
            None => self.import_sealed(),
        }
    }
}

fn refuse(error: &CommandError) -> ExitCode {
    let advice = match error {
        CommandError::Open(error) => advice::of_open(error).map(str::to_owned),
        CommandError::Path(error) => Some(error.advice()),
        CommandError::Sealed {
            source: UnsealError::NotSealed,
            ..
        } => Some(
            "`quire identity export FILE` makes one; what another tool made is `quire identity import NAME DIR`."
                .to_owned(),
        ),
        CommandError::Organization(OrganizationError::OtherOrganization { found, .. }) => {
            Some(format!("Say --msp-id {found}, or QUIRE_MSP_ID."))
        }
        _ => None,
    };
    failed(error, advice.as_deref())
}

impl ImportArguments {
    fn import_sealed(&self) -> ExitCode {
        let moved = match unseal(Path::new(&self.file_or_name), &self.passphrase) {
            Ok(moved) => moved,
            Err(error) => return refuse(&error),
        };
        match take(&self.data, &moved) {
            Ok(arrived) => print_arrived(&arrived),
            Err(CommandError::Open(OpenError::InUse(_))) => {
                let path = "/identities/take";
                match client::ask(&self.data.data, "POST", path, &moved, &mut |_| {}) {
                    Ok(Message::IdentitiesArrived(arrived)) => print_arrived(&arrived),
                    other => print_other_answer(other),
                }
            }
            Err(error) => refuse(&error),
        }
    }
}

/// What is sealed in a file.
fn unseal(path: &Path, passphrase: &PassphraseArguments) -> Result<MovedIdentities, CommandError> {
    // Before anybody is asked for a passphrase.
    let sealed = read_file(&OsDisk, path, MAX_SEALED_BYTES)?;
    let unsealed = MovedIdentities::unseal(&sealed, &passphrase.tell()?);
    unsealed.map_err(|source| CommandError::Sealed {
        path: path.to_owned(),
        source,
    })
}

fn take(data: &DataArguments, moved: &MovedIdentities) -> Result<Arrived, CommandError> {
    must_have_organization(&data.data)?;
    let _lock = DataLock::take(&data.data)?;
    let organization = Organization::open_existing(&quire_disk::os(), &data.data, &data.msp_id)?;
    Ok(organization.take_identities(moved)?)
}

fn print_arrived(arrived: &Arrived) -> ExitCode {
    let Arrived { new, known } = arrived;
    let named = |names: &[String]| match names {
        [] => String::new(),
        names => format!(": {}", names.join(", ")),
    };
    println!("{} imported{}", new.len(), named(new));
    if !known.is_empty() {
        println!("{} were there already{}", known.len(), named(known));
    }
    let is_own = |name: &&String| OWN_IDENTITIES.iter().any(|(own, _)| own == name);
    if let Some(caller) = new.iter().find(|name| !is_own(name)) {
        eprintln!(
            "A caller shows a token of this node: `quire token create --identity {caller} --role writer`."
        );
    }
    ExitCode::SUCCESS
}

fn import_folder(data: &DataArguments, name: &str, folder: &Path) -> ExitCode {
    // The node may have been started somewhere else.
    let folder = match folder.canonicalize() {
        Ok(folder) => folder,
        Err(error) => return failed(&error, None),
    };
    match import(data, name, &folder) {
        Ok(role) => print_imported(name, &role),
        Err(CommandError::Open(OpenError::InUse(_))) => {
            let request = admin::ImportIdentity {
                name: name.to_owned(),
                folder,
            };
            let path = "/identities/import";
            match client::ask(&data.data, "POST", path, &request, &mut |_| {}) {
                Ok(Message::IdentityImported { name, role }) => print_imported(&name, &role),
                other => print_other_answer(other),
            }
        }
        Err(error) => refuse(&error),
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
