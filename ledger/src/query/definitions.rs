//! `indexes.json`: the definitions of a channel's indexes, and the migrations that it has had.
//!
//! Neither can be rebuilt from blocks. Both are in one file that is replaced atomically, so that a migration
//! is remembered together with its effect, or not at all.

use std::io;
use std::path::Path;

use quire_disk::{Disk, read_file, replace_file};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::index::Record;
use super::version::Version;
use crate::error::OpenError;
use crate::form::check_version;
use crate::json::{self, MAX_TREE_DEPTH, Repeats};

/// The file's name.
const FILE: &str = "indexes.json";
/// The most bytes of the file: many times what a channel's indexes can need, but still readable at once.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Version of the file's form.
const VERSION: u32 = 2;
/// The form before migrations, which is still read.
const WITHOUT_MIGRATIONS: u32 = 1;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Definitions {
    version: u32,
    /// The number of the next index.
    pub(super) next: u64,
    pub(super) indexes: Vec<StoredIndex>,
    /// In the order of their numbers, without gaps.
    #[serde(default)]
    pub(super) migrations: Vec<Applied>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub(super) struct StoredIndex {
    pub(super) number: u64,
    pub(super) namespace: String,
    pub(super) record: Record,
}

/// An index as it is in the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    number: u64,
    namespace: String,
    ddoc: String,
    name: String,
    fields: Vec<String>,
    descending: bool,
    #[serde(deserialize_with = "members")]
    partial_filter_selector: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Version::is_first")]
    selector_version: Version,
}

/// A user's object, whose members' names have no special meaning.
fn members<'de, D: Deserializer<'de>>(file: D) -> Result<Map<String, Value>, D::Error> {
    let text = Box::<RawValue>::deserialize(file)?;
    // The limit is deeper than for new definitions: an earlier release kept what it could not read again.
    match json::parse_to(
        text.get().as_bytes(),
        Repeats::LastCounts,
        4 * MAX_TREE_DEPTH,
    ) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(D::Error::custom("partialFilterSelector is not an object")),
        Err(error) => Err(D::Error::custom(error)),
    }
}

impl From<Written> for StoredIndex {
    fn from(written: Written) -> Self {
        Self {
            number: written.number,
            namespace: written.namespace,
            record: Record {
                ddoc: written.ddoc,
                name: written.name,
                fields: written.fields,
                descending: written.descending,
                partial_filter_selector: written.partial_filter_selector,
                selector_version: written.selector_version,
            },
        }
    }
}

impl From<StoredIndex> for Written {
    fn from(stored: StoredIndex) -> Self {
        let record = stored.record;
        Self {
            number: stored.number,
            namespace: stored.namespace,
            ddoc: record.ddoc,
            name: record.name,
            fields: record.fields,
            descending: record.descending,
            partial_filter_selector: record.partial_filter_selector,
            selector_version: record.selector_version,
        }
    }
}

/// A migration that the channel has had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Applied {
    pub(super) number: u32,
    pub(super) file: String,
    /// SHA-256 of the file's bytes, in hex.
    pub(super) sha256: String,
}

impl Definitions {
    pub(super) fn new(next: u64, indexes: Vec<StoredIndex>, migrations: Vec<Applied>) -> Self {
        Self {
            version: VERSION,
            next,
            indexes,
            migrations,
        }
    }

    /// Reads the definitions in a channel's folder; they are empty if there is no file.
    pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, OpenError> {
        let file = dir.join(FILE);
        let bytes = match read_file(disk, &file, MAX_FILE_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => {
                return Ok(Self::new(0, Vec::new(), Vec::new()));
            }
            Err(error) => return Err(error.into()),
        };
        check_version(&file, &bytes, VERSION)?;
        let read: Self =
            serde_json::from_slice(&bytes).map_err(|error| damaged(dir, error.to_string()))?;
        match read.version {
            VERSION | WITHOUT_MIGRATIONS => Ok(read),
            other => Err(damaged(dir, format!("version {other} is not known"))),
        }
    }

    /// Whether a channel has a file.
    pub(super) fn are_there(disk: &dyn Disk, dir: &Path) -> bool {
        let opened = disk.open(&dir.join(FILE), false);
        opened
            .err()
            .is_none_or(|error| error.kind() != io::ErrorKind::NotFound)
    }

    /// The form of the file and the present form, if they differ.
    pub(super) fn old_form(&self) -> Option<(u32, u32)> {
        (self.version != VERSION).then_some((self.version, VERSION))
    }

    /// Replaces a channel's file durably.
    pub(super) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
        let file = dir.join(FILE);
        let bytes =
            serde_json::to_vec_pretty(self).map_err(|error| damaged(dir, error.to_string()))?;
        Ok(replace_file(disk, &file, &bytes)?)
    }
}

/// The error of a channel's file that does not say what it must.
pub(super) fn damaged(dir: &Path, reason: String) -> OpenError {
    OpenError::IdStore {
        file: dir.join(FILE),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quire_disk::OsDisk;

    fn read(text: &str) -> Result<Definitions, OpenError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        Definitions::read(&OsDisk, dir.path())
    }

    #[test]
    fn the_form_without_migrations_is_read_and_written_in_the_present_one() {
        let before =
            include_str!("../../../migrations/formats/0001-indexes-with-migrations/before.json");
        let after =
            include_str!("../../../migrations/formats/0001-indexes-with-migrations/after.json");
        let old = read(before).unwrap();
        assert_eq!(old.indexes.len(), 2);
        let now = Definitions::new(old.next, old.indexes, old.migrations);
        let dir = tempfile::tempdir().unwrap();
        now.write(&OsDisk, dir.path()).unwrap();
        let written = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert_eq!(written, after.trim_end());
        assert_eq!(read(after).unwrap(), now);
    }

    #[test]
    fn a_file_of_a_newer_release_is_told_from_a_damaged_one() {
        for text in [
            r#"{"version": 3, "next": 0, "indexes": []}"#,
            r#"{"version": 4, "more": 1}"#,
        ] {
            let found = read(text);
            assert!(
                matches!(found, Err(OpenError::Newer { newest: 2, .. })),
                "{text}: {found:?}"
            );
        }
        for text in [
            r#"{"version": 0, "next": 0, "indexes": []}"#,
            r#"{"version": 2, "next": 0}"#,
            r#"{"version": 2, "next": 0, "indexes": [], "more": 1}"#,
            "{",
        ] {
            assert!(
                matches!(read(text), Err(OpenError::IdStore { .. })),
                "{text}"
            );
        }
    }
}
