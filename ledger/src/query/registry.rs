//! The query indexes of a channel. Their definitions cannot be rebuilt from blocks; [`Builder`] maintains
//! what follows from them.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use fjall::{Database, Keyspace};
use parking_lot::Mutex;
use quire_disk::Disk;

use super::builder::Builder;
use super::definitions::{Applied, Definitions, StoredIndex, damaged};
use super::entries;
use super::index::{Definition, IndexRequest};
use super::migration::{MigrateError, Migrated, Migration};
use super::query_index::{IndexError, MAX_INDEXES, QueryIndex};
use crate::error::OpenError;

/// What is stored beside the definitions.
#[derive(Clone, Debug)]
struct Numbering {
    /// Number of the next index.
    next: u64,
    /// Migrations that the channel has had.
    migrations: Vec<Applied>,
}

/// The indexes of one channel.
pub(crate) struct Registry {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The lock is held while definitions change.
    numbering: Mutex<Numbering>,
    builder: Arc<Builder>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("builder", &self.builder)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Reads the definitions. Nothing is built before [`Builder::start`].
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        database: Database,
        entries: Keyspace,
    ) -> Result<Self, OpenError> {
        let stored = Definitions::read(disk.as_ref(), &dir)?;
        let damaged = |reason: String| damaged(&dir, reason);
        let view = database.snapshot();
        let mut indexes = Vec::with_capacity(stored.indexes.len());
        for StoredIndex {
            number,
            namespace,
            record,
        } in stored.indexes
        {
            let definition = Definition::new(record.with_names());
            let definition = definition.map_err(|error| damaged(error.to_string()))?;
            let index = QueryIndex::new(number, namespace, definition);
            let built = entries::is_built(&view, &entries, number);
            if built.map_err(|error| damaged(error.to_string()))? {
                index.settle(Ok(()));
            }
            indexes.push(Arc::new(index));
        }
        Ok(Self {
            disk,
            dir,
            numbering: Mutex::new(Numbering {
                next: stored.next,
                migrations: stored.migrations,
            }),
            builder: Arc::new(Builder::new(database, entries, indexes)),
        })
    }

    /// Like [`Registry::open`], but also fails if entries of an index exist without a file of definitions:
    /// the file was lost, and the next start removes the traces of it.
    pub(crate) fn examine(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        database: Database,
        entries: &Keyspace,
    ) -> Result<Self, OpenError> {
        let view = database.snapshot();
        let registry = Self::open(disk, dir, database, entries.clone())?;
        let found = entries::next_index(&view, entries, 0);
        if matches!(found, Ok(Some(_)))
            && !Definitions::are_there(registry.disk.as_ref(), &registry.dir)
        {
            let reason = "it is missing, but entries of its indexes exist".to_owned();
            return Err(damaged(&registry.dir, reason));
        }
        Ok(registry)
    }

    /// Finds the errors of [`Registry::migrate`] that can be found without it: a file was changed, or would
    /// make too many indexes.
    pub(crate) fn would_migrate(
        &self,
        channel: &str,
        migrations: &[Migration],
    ) -> Result<(), MigrateError> {
        let applied = self.numbering.lock().migrations.clone();
        let numbered = |number| applied.iter().find(|one| one.number == number);
        let indexes = self.builder.indexes();
        let names = indexes.iter().map(|index| {
            let record = &index.definition.record;
            (
                index.namespace.clone(),
                record.ddoc.clone(),
                record.name.clone(),
            )
        });
        let mut names: HashSet<_> = names.collect();
        for migration in migrations {
            if let Some(applied) = numbered(migration.number()) {
                migration.check_unchanged(applied)?;
                continue;
            }
            names.extend(migration.of_channel(channel).into_iter().map(
                |(namespace, IndexRequest(definition))| {
                    let record = &definition.record;
                    (
                        namespace.to_owned(),
                        record.ddoc.clone(),
                        record.name.clone(),
                    )
                },
            ));
            if names.len() > MAX_INDEXES {
                return Err(MigrateError::Index {
                    file: migration.file().to_owned(),
                    source: IndexError::TooMany,
                });
            }
        }
        Ok(())
    }

    /// What maintains the indexes.
    pub(crate) fn builder(&self) -> &Arc<Builder> {
        &self.builder
    }

    /// Adds an index, and begins to build it. Returns whether there was none like it; an index with the same
    /// name and another definition is replaced. The definition is durable on return.
    pub(crate) fn create(
        &self,
        namespace: &str,
        request: &IndexRequest,
    ) -> Result<bool, IndexError> {
        let mut numbering = self.numbering.lock();
        let migrations = numbering.migrations.clone();
        let added = self.add(&mut numbering, migrations, &[(namespace, request)])?;
        Ok(added > 0)
    }

    /// Adds the indexes of every migration that the channel has not had. Each is durable, and is remembered
    /// together with the indexes that it adds.
    pub(crate) fn migrate(
        &self,
        channel: &str,
        migrations: &[Migration],
    ) -> Result<Migrated, MigrateError> {
        let mut numbering = self.numbering.lock();
        let mut migrated = Migrated::default();
        for applied in &numbering.migrations {
            match migrations.iter().find(|one| one.number() == applied.number) {
                Some(migration) => migration.check_unchanged(applied)?,
                None => migrated.gone.push(applied.file.clone()),
            }
        }
        for migration in migrations {
            let mut applied = numbering.migrations.clone();
            if applied.iter().any(|one| one.number == migration.number()) {
                continue;
            }
            applied.push(migration.applied());
            let added = self.add(&mut numbering, applied, &migration.of_channel(channel));
            let added = added.map_err(|source| MigrateError::Index {
                file: migration.file().to_owned(),
                source,
            })?;
            migrated.applied.push((migration.file().to_owned(), added));
        }
        Ok(migrated)
    }

    /// Adds indexes, and begins to build them. Returns how many are new; an index with the same name and
    /// another definition is replaced. All of them are durable on return, or none.
    fn add(
        &self,
        numbering: &mut Numbering,
        migrations: Vec<Applied>,
        wanted: &[(&str, &IndexRequest)],
    ) -> Result<usize, IndexError> {
        self.builder.refuse_if_closed()?;
        let mut indexes = self.builder.indexes();
        let mut next = numbering.next;
        let (mut new, mut replaced) = (Vec::new(), Vec::new());
        for (namespace, IndexRequest(definition)) in wanted {
            let record = &definition.record;
            let is_named =
                |index: &Arc<QueryIndex>| index.is_named(namespace, &record.ddoc, &record.name);
            if let Some(named) = indexes.iter().position(is_named) {
                let old = indexes.get(named);
                if old.is_some_and(|old| old.definition.record == *record) {
                    continue;
                }
                replaced.push(indexes.remove(named));
            }
            if indexes.len() >= MAX_INDEXES {
                return Err(IndexError::TooMany);
            }
            let index = QueryIndex::new(next, (*namespace).to_owned(), definition.clone());
            next += 1;
            let index = Arc::new(index);
            indexes.push(Arc::clone(&index));
            new.push(index);
        }
        if new.is_empty() && migrations == numbering.migrations {
            return Ok(0);
        }
        let numbered = Numbering { next, migrations };
        self.store(&numbered, &indexes)?;
        *numbering = numbered;
        self.builder.replace(indexes);
        for old in replaced {
            self.builder.give_up(old);
        }
        let added = new.len();
        for index in new {
            self.builder.build(index);
        }
        Ok(added)
    }

    /// Removes an index durably.
    pub(crate) fn delete(&self, namespace: &str, ddoc: &str, name: &str) -> Result<(), IndexError> {
        let numbering = self.numbering.lock();
        self.builder.refuse_if_closed()?;
        let old = self
            .builder
            .find(namespace, ddoc, name)
            .ok_or(IndexError::NotFound)?;
        let mut indexes = self.builder.indexes();
        indexes.retain(|index| index.id != old.id);
        self.store(&numbering, &indexes)?;
        self.builder.replace(indexes);
        self.builder.give_up(old);
        Ok(())
    }

    fn store(&self, numbering: &Numbering, indexes: &[Arc<QueryIndex>]) -> Result<(), OpenError> {
        let indexes = indexes.iter().map(|index| StoredIndex {
            number: index.id,
            namespace: index.namespace.clone(),
            record: index.definition.record.clone(),
        });
        let Numbering { next, migrations } = numbering.clone();
        let definitions = Definitions::new(next, indexes.collect(), migrations);
        definitions.write(self.disk.as_ref(), &self.dir)
    }
}
