//! `quire identity export`: identities of callers, sealed, for another node of the organisation. Reading needs
//! nobody's leave: an identity is there whole, and never changes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use quire_disk::{FileError, OsDisk, replace_file};
use quire_identity::sealed::SealError;
use quire_identity::{ExportIdentityError, Organization, OrganizationError};

use super::{PassphraseArguments, PassphraseError};
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// Seal identities with their keys into a file, for `quire identity import` at another node of the organisation: a
/// request that is repeated there with its key is the same transaction then.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExportArguments {
    /// The file.
    file: PathBuf,
    /// Which; without any, all but node, orderer and org-admin. The first two never leave a node.
    names: Vec<String>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
    #[command(flatten)]
    data: DataArguments,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Organization(#[from] OrganizationError),
    #[error(transparent)]
    Export(#[from] ExportIdentityError),
    #[error("there is no identity to export")]
    Nobody,
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error("the identities were not sealed")]
    Seal(#[from] SealError),
    #[error("{} cannot be written", path.display())]
    File { path: PathBuf, source: FileError },
}

impl Verb for ExportArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        match self.export() {
            Ok(names) => {
                let (count, names, file) = (names.len(), names.join(", "), self.file.display());
                println!("{count} sealed in {file}: {names}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                let advice = match &error {
                    CommandError::Organization(OrganizationError::OtherOrganization {
                        found,
                        ..
                    }) => Some(format!("Say --msp-id {found}, or QUIRE_MSP_ID.")),
                    _ => None,
                };
                failed(&error, advice.as_deref())
            }
        }
    }
}

impl ExportArguments {
    /// Writes the file; answers who is in it.
    fn export(&self) -> Result<Vec<String>, CommandError> {
        let DataArguments { data, msp_id, .. } = &self.data;
        let organization = Organization::open_what_is_there(&quire_disk::os(), data, msp_id)?;
        let moved = organization.export_identities(&self.names)?;
        if moved.identities.is_empty() {
            return Err(CommandError::Nobody);
        }
        let sealed = moved.seal(&self.passphrase.choose()?)?;
        write(&self.file, &sealed)?;
        let names = moved.identities.into_iter().map(|one| one.name);
        Ok(names.collect())
    }
}

/// For the owner's eyes only, whole or not at all.
fn write(file: &Path, sealed: &str) -> Result<(), CommandError> {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let written = replace_file(&OsDisk, &path, sealed.as_bytes());
    written.map_err(|source| CommandError::File { path, source })
}
