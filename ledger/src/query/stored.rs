//! Migrations of a channel that is not open: only the file of definitions is read and replaced. New indexes
//! are built when the channel is opened.

use std::path::Path;

use quire_disk::Disk;

use super::definitions::{Definitions, StoredIndex};
use super::index::IndexRequest;
use super::migration::{MigrateError, Migrated, Migration};
use super::query_index::{IndexError, MAX_INDEXES};
use crate::error::OpenError;

/// The first number in a new file. If an earlier file was lost, the engine still has entries of its indexes
/// under numbers from 0 on, which must not be taken for entries of the new indexes.
const BEHIND_ALL: u64 = 1 << 32;

/// What a channel's definitions lack, or lacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The form of the file and the form of this release, if they differ.
    pub form: Option<(u32, u32)>,
    /// Migrations that it has not had.
    pub migrated: Migrated,
}

/// Why a channel's definitions cannot be brought up to date. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoredMigrateError {
    /// The file cannot be read or replaced.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A migration cannot be applied.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

/// Gives the definitions in a channel's folder their present form, and applies the migrations that the
/// channel has not had, like [`Reader::migrate`](crate::Reader::migrate) for an open channel. With
/// `only_tell`, nothing is written. This is durable on return. Nobody may have the channel open.
///
/// # Errors
/// See [`StoredMigrateError`].
pub fn stored_migrate(
    disk: &dyn Disk,
    dir: &Path,
    channel: &str,
    migrations: &[Migration],
    only_tell: bool,
) -> Result<Due, StoredMigrateError> {
    let mut definitions = Definitions::read(disk, dir)?;
    if !Definitions::are_there(disk, dir) {
        definitions.next = BEHIND_ALL;
    }
    let mut due = Due {
        form: definitions.old_form(),
        migrated: Migrated::default(),
    };
    for applied in &definitions.migrations {
        match migrations.iter().find(|one| one.number() == applied.number) {
            Some(migration) => migration.check_unchanged(applied)?,
            None => due.migrated.gone.push(applied.file.clone()),
        }
    }
    for migration in migrations {
        let number = migration.number();
        if definitions
            .migrations
            .iter()
            .any(|one| one.number == number)
        {
            continue;
        }
        let added = definitions.add(&migration.of_channel(channel));
        let added = added.map_err(|source| MigrateError::Index {
            file: migration.file().to_owned(),
            source,
        })?;
        definitions.migrations.push(migration.applied());
        let file = migration.file().to_owned();
        due.migrated.applied.push((file, added));
    }
    let is_due = due.form.is_some() || !due.migrated.applied.is_empty();
    if is_due && !only_tell {
        let Definitions {
            next,
            indexes,
            migrations,
            ..
        } = definitions;
        Definitions::new(next, indexes, migrations).write(disk, dir)?;
    }
    Ok(due)
}

impl Definitions {
    /// Adds indexes. Returns how many are new; an index with the same name and another definition is replaced
    /// by one with a new number.
    fn add(&mut self, wanted: &[(&str, &IndexRequest)]) -> Result<usize, IndexError> {
        let mut added = 0;
        for (namespace, IndexRequest(definition)) in wanted {
            let record = &definition.record;
            let is_named = |stored: &&StoredIndex| {
                let other = &stored.record;
                stored.namespace == *namespace
                    && other.ddoc == record.ddoc
                    && other.name == record.name
            };
            if let Some(named) = self.indexes.iter().find(is_named) {
                if named.record == *record {
                    continue;
                }
                let replaced = named.number;
                self.indexes.retain(|stored| stored.number != replaced);
            }
            if self.indexes.len() >= MAX_INDEXES {
                return Err(IndexError::TooMany);
            }
            self.indexes.push(StoredIndex {
                number: self.next,
                namespace: (*namespace).to_owned(),
                record: record.clone(),
            });
            self.next += 1;
            added += 1;
        }
        Ok(added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quire_disk::OsDisk;

    const FILE: &str = "indexes.json";

    fn migration(file: &str, text: &str) -> Migration {
        Migration::parse(file, text.as_bytes()).unwrap()
    }

    #[test]
    fn an_old_form_is_told_and_then_written_anew() {
        let before =
            include_str!("../../../migrations/formats/0001-indexes-with-migrations/before.json");
        let after =
            include_str!("../../../migrations/formats/0001-indexes-with-migrations/after.json");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        std::fs::write(&file, before).unwrap();
        let migrate = |only_tell| stored_migrate(&OsDisk, dir.path(), "main", &[], only_tell);
        assert_eq!(migrate(true).unwrap().form, Some((1, 2)));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
        assert_eq!(migrate(false).unwrap().form, Some((1, 2)));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), after.trim_end());
        assert_eq!(migrate(false).unwrap(), Due::default());
    }

    #[test]
    fn what_cannot_be_applied_changes_nothing() {
        let one = |file, field: &str| {
            let text = format!(r#"{{"namespace": "a", "index": {{"fields": ["{field}"]}}}}"#);
            migration(file, &text)
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let migrate =
            |files: &[Migration]| stored_migrate(&OsDisk, dir.path(), "main", files, false);
        let first = one("0001-a.json", "x");
        let due = migrate(std::slice::from_ref(&first)).unwrap();
        assert_eq!(due.migrated.applied, [("0001-a.json".to_owned(), 1)]);
        let stored = std::fs::read_to_string(&file).unwrap();
        let many: Vec<_> = (0..MAX_INDEXES)
            .map(|n| format!(r#"{{"namespace": "b", "index": {{"fields": ["f{n}"]}}}}"#))
            .collect();
        let many = migration("0002-b.json", &format!("[{}]", many.join(",")));
        assert!(migrate(&[first, many]).is_err());
        assert!(migrate(&[one("0001-a.json", "y")]).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), stored);
        let due = migrate(&[]).unwrap();
        assert_eq!(due.migrated.gone, ["0001-a.json"]);
    }
}
