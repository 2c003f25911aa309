//! Findings about the parts of a data directory, from the errors of those who read them.

use std::path::{Path, PathBuf};

use quire_ca::error::OpenRegistryError;
use quire_disk::FileError;
use quire_identity::msp::folder::FolderError;
use quire_identity::token::OpenTokensError;
use quire_identity::{CreateIdentityError, LoadIdentityError, OrganizationError};
use quire_ledger::chain_of;
use quire_ledger::check::{Finding, Kind};

use super::parts::Part;
use crate::backup::BackupError;
use crate::migrations::MigrationsError;

/// What is found where a part should be.
pub(super) fn finding(path: &Path, text: String) -> Finding {
    // The part is known by the end of the path; the directory's own name may be anything.
    let count = path.components().count();
    let mut ends = (0..count)
        .rev()
        .map(|skipped| path.components().skip(skipped));
    let part = ends.find_map(|end| Part::of(&end.collect::<PathBuf>()));
    let what = part.map_or("what Quire wrote there", |part| part.what);
    Finding {
        file: Some(path.to_owned()),
        ..Finding::new(Kind::File, what.to_owned(), text)
    }
}

pub(super) fn of_backup(error: &BackupError) -> Finding {
    match error {
        BackupError::Damaged {
            path,
            expected,
            found,
        } => Finding {
            expected: expected.clone(),
            ..finding(path, found.clone())
        },
        BackupError::Manifest { path, reason } => finding(path, reason.clone()),
        BackupError::File(error) => of_file(error),
        other => Finding::new(Kind::File, "a backup".to_owned(), chain_of(other)),
    }
}

pub(super) fn of_file(error: &FileError) -> Finding {
    finding(&error.path, error.source.to_string())
}

pub(super) fn of_organization(error: &OrganizationError) -> Finding {
    use OrganizationError as E;
    match error {
        E::File(error) | E::Folder(FolderError::File(error)) => of_file(error),
        E::Load(error) | E::Create(CreateIdentityError::Load(error)) => of_identity(error),
        E::OtherOrganization { path, .. }
        | E::Missing { path }
        | E::Folder(
            FolderError::NoCertificate { path }
            | FolderError::TooMany { path }
            | FolderError::Yaml { path, .. },
        ) => finding(path, chain_of(error)),
        E::Certificate { path, source } => finding(path, chain_of(source)),
        E::Key { path, source } => finding(path, chain_of(source)),
        E::Msp { path, source } => finding(path, chain_of(source)),
        E::MspId(_)
        | E::Issue(_)
        | E::Create(_)
        | E::Signer(_)
        | E::Write(_)
        | E::MadeHere { .. }
        | E::OtherGiven { .. }
        | E::OtherMember { .. }
        | E::Joining { .. } => {
            Finding::new(Kind::File, "an organisation".to_owned(), chain_of(error))
        }
    }
}

pub(super) fn of_identity(error: &LoadIdentityError) -> Finding {
    use LoadIdentityError as E;
    match error {
        E::File(error) => of_file(error),
        E::Certificate { path, source } => finding(path, chain_of(source)),
        E::Key { path, source } => finding(path, chain_of(source)),
        E::Invalid { path, source } => finding(path, chain_of(source)),
        E::OtherName { path, .. } => finding(path, chain_of(error)),
    }
}

pub(super) fn of_tokens(error: &OpenTokensError) -> Finding {
    use OpenTokensError as E;
    match error {
        E::File(error) => of_file(error),
        E::Damaged { path, source } => finding(path, chain_of(source)),
        E::Missing { path, reason } => finding(path, format!("none, though {reason}")),
    }
}

pub(super) fn of_registry(error: &OpenRegistryError) -> Finding {
    use OpenRegistryError as E;
    match error {
        E::File(error) => of_file(error),
        E::Missing(path) => finding(path, "none, though its folder is there".to_owned()),
        E::Version { path, .. } | E::Damaged { path, .. } | E::NotARegistry(path) => {
            finding(path, chain_of(error))
        }
    }
}

pub(super) fn of_migrations(error: &MigrationsError) -> Finding {
    finding(error.path(), chain_of(error))
}
