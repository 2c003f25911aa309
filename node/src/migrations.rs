//! The folder with files of query indexes: `0001-orders-by-owner.json` and on.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use quire_chaincode::name::{NameError, check_channel, check_namespace};
use quire_ledger::{MAX_MIGRATION_BYTES, Migration, MigrationError};

use crate::advice;

/// The folder in the data directory that is looked into where no other is named.
pub(crate) const FOLDER: &str = "migrations";

/// Why the files cannot be used. Nothing was applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrationsError {
    #[error("--migrations: {} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("--migrations: {} is no file of query indexes", path.display())]
    File {
        path: PathBuf,
        source: MigrationError,
    },
    #[error("--migrations: {} names what cannot be there", path.display())]
    Name { path: PathBuf, source: NameError },
    #[error("--migrations: {} and {} have one number", one.display(), other.display())]
    Twice { one: PathBuf, other: PathBuf },
    #[error("--migrations: there is no file {expected:04} before {}", path.display())]
    Gap { expected: u32, path: PathBuf },
}

impl MigrationsError {
    /// The file or folder.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::File { path, .. }
            | Self::Name { path, .. }
            | Self::Twice { other: path, .. }
            | Self::Gap { path, .. } => path,
        }
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::File {
                source: MigrationError::Name,
                ..
            } => Some(
                "Beside such files, only those whose names end with .md or begin with a dot may be \
                 there.",
            ),
            Self::Twice { .. } | Self::Gap { .. } => Some(
                "Files are applied in the order of their numbers, 0001, 0002 and so on: none twice, \
                 none left out.",
            ),
            Self::Read { source, .. } if source.kind() == ErrorKind::NotFound => {
                Some("Make that folder, or do not name it.")
            }
            Self::Read { source, .. } => advice::of_io(source),
            Self::File { .. } | Self::Name { .. } => None,
        }
    }
}

/// The folder that was named, or the data directory's own.
pub(crate) fn folder(named: Option<&Path>, data: &Path) -> PathBuf {
    named.map_or_else(|| data.join(FOLDER), Path::to_owned)
}

/// The files of the folder that was named, which must be there, or of the data directory's own.
pub(crate) fn of(named: Option<&Path>, data: &Path) -> Result<Vec<Migration>, MigrationsError> {
    let dir = folder(named, data);
    if named.is_some() {
        return read(&dir);
    }
    of_folder(data)
}

/// The files of the data directory's own folder; none where there is no such folder.
pub(crate) fn of_folder(data: &Path) -> Result<Vec<Migration>, MigrationsError> {
    let dir = data.join(FOLDER);
    match read(&dir) {
        Err(MigrationsError::Read { path, source })
            if path == dir && source.kind() == ErrorKind::NotFound =>
        {
            Ok(Vec::new())
        }
        read => read,
    }
}

/// The files of a folder, in the order of their numbers.
pub(crate) fn read(dir: &Path) -> Result<Vec<Migration>, MigrationsError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| MigrationsError::Read { path, source }
    };
    let mut migrations = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(at(dir))? {
        let name = entry.map_err(at(dir))?.file_name();
        if !is_passed_over(&name) {
            migrations.push(read_file(&dir.join(name))?);
        }
    }
    migrations.sort_by(|one, other| {
        let by_number = one.number().cmp(&other.number());
        by_number.then_with(|| one.file().cmp(other.file()))
    });
    let mut before: Option<&Migration> = None;
    for migration in &migrations {
        let expected = before.map_or(0, Migration::number) + 1;
        let path = dir.join(migration.file());
        if let Some(before) = before.filter(|before| before.number() == migration.number()) {
            let one = dir.join(before.file());
            return Err(MigrationsError::Twice { one, other: path });
        }
        if migration.number() != expected {
            return Err(MigrationsError::Gap { expected, path });
        }
        before = Some(migration);
    }
    Ok(migrations)
}

/// What may lie beside the files: a page about them, and what editors and mounted volumes hide.
fn is_passed_over(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") || name.ends_with(b".md")
}

fn read_file(path: &Path) -> Result<Migration, MigrationsError> {
    let at = |source| MigrationsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(at)?;
    // One more than it may have tells that it has too many.
    let limit = u64::try_from(MAX_MIGRATION_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(at)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let migration = Migration::parse(&name, &bytes).map_err(|source| MigrationsError::File {
        path: path.to_owned(),
        source,
    })?;
    for (channel, namespace) in migration.names() {
        let channel = channel.map_or(Ok(()), check_channel);
        channel
            .and_then(|()| check_namespace(namespace))
            .map_err(|source| MigrationsError::Name {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(migration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = r#"{"namespace": "orders", "index": {"fields": ["total"]}}"#;

    fn folder(files: &[(&str, &str)]) -> Result<Vec<u32>, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let read = read(dir.path()).map_err(|error| error.to_string())?;
        Ok(read.iter().map(Migration::number).collect())
    }

    #[test]
    fn files_come_in_the_order_of_their_numbers_whatever_lies_beside_them() {
        let files = [
            ("0002-b.json", INDEX),
            ("0003-a.json", INDEX),
            ("0001-c.json", INDEX),
            ("README.md", "# Ours"),
            (".0001-c.json.swp", "x"),
        ];
        assert_eq!(folder(&files).unwrap(), [1, 2, 3]);
        assert_eq!(folder(&[]).unwrap(), [0; 0]);
    }

    #[test]
    fn a_folder_that_cannot_be_told_an_order_of_is_refused_by_the_name_of_a_file() {
        for (files, expected) in [
            (&["0001-a.json", "0001-b.json"][..], "0001-b.json"),
            (&["0001-a.json", "0003-b.json"], "no file 0002 before"),
            (&["0002-a.json"], "0002-a.json"),
            (&["0001-a.json", "orders.json"], "orders.json"),
            (&["0001-a.json", "0002-b.json~"], "0002-b.json~"),
        ] {
            let files: Vec<_> = files.iter().map(|name| (*name, INDEX)).collect();
            let error = folder(&files).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn names_that_nothing_can_have_are_refused() {
        for names in [
            r#""namespace": "or ders""#,
            r#""namespace": "orders", "channel": "Main""#,
        ] {
            let text = INDEX.replace(r#""namespace": "orders""#, names);
            let error = folder(&[("0001-a.json", &text)]).unwrap_err();
            assert!(error.contains("0001-a.json"), "{error}");
        }
    }
}
