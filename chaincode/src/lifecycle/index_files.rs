//! The query indexes that a package brings along: where Fabric's peers look for those of CouchDB.

use super::archive;
use super::package::{Package, PackageError};

/// The folder of a package's code in which definitions of indexes stand, a file each.
const FOLDER: &str = "META-INF/statedb/couchdb/indexes/";
/// The end of a file's name.
const SUFFIX: &str = ".json";
/// Most files of a package.
const MAX_FILES: usize = 100;
/// Most bytes of a file: those of a definition that is made by REST.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// Most bytes of all files of a package: a node keeps them for as long as the package is in use.
const MAX_BYTES: usize = 1 << 20;

/// A definition of an index in a package, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Its name in the folder.
    pub name: String,
    /// The body of `POST _index`, if its author has made no mistake.
    pub content: Vec<u8>,
}

impl Package {
    /// The indexes that the package wants for its chaincode's namespace. Nothing says yet that they are definitions.
    /// Those of collections are left out: private values are not queried by indexes.
    ///
    /// # Errors
    /// If its code is no archive, a file of an index is larger than any definition, all of them are larger than useful ones,
    /// or there are more of them than a channel may have.
    pub fn index_files(&self) -> Result<Vec<IndexFile>, PackageError> {
        let mut found = Vec::new();
        let mut bytes: usize = 0;
        archive::visit(&self.code, |entry| {
            let name = entry.name.strip_prefix("./").unwrap_or(&entry.name);
            let name = name.strip_prefix(FOLDER).map(str::to_owned);
            let name = name.filter(|name| name.ends_with(SUFFIX) && !name.contains('/'));
            let Some(name) = name.filter(|_| entry.is_file()) else {
                return Ok(false);
            };
            if found.len() >= MAX_FILES {
                return Err(PackageError::TooManyIndexes(MAX_FILES));
            }
            let content = entry.read(MAX_FILE_BYTES).map_err(PackageError::Code)?;
            let content = content.ok_or(PackageError::TooLarge {
                name: "a file of an index",
                limit: MAX_FILE_BYTES,
            })?;
            bytes = bytes.saturating_add(content.len());
            if bytes > MAX_BYTES {
                return Err(PackageError::TooLarge {
                    name: "the files of indexes together",
                    limit: MAX_BYTES as u64,
                });
            }
            found.push(IndexFile { name, content });
            Ok::<_, PackageError>(false)
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Metadata;

    fn package(files: &[(&str, &[u8])]) -> Package {
        Package {
            metadata: Metadata::default(),
            code: archive::pack(files).unwrap().into(),
        }
    }

    #[test]
    fn the_indexes_of_the_chaincodes_own_state_are_found_and_nothing_else() {
        let files: [(&str, &[u8]); 5] = [
            ("META-INF/statedb/couchdb/indexes/owner.json", b"{}"),
            ("META-INF/statedb/couchdb/indexes/readme.md", b"no index"),
            ("META-INF/statedb/couchdb/indexes/deeper/x.json", b"{}"),
            (
                "META-INF/statedb/couchdb/collections/secret/indexes/x.json",
                b"{}",
            ),
            ("src/META-INF/statedb/couchdb/indexes/x.json", b"{}"),
        ];
        let found = package(&files).index_files().unwrap();
        let expected = IndexFile {
            name: "owner.json".to_owned(),
            content: b"{}".to_vec(),
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn more_or_larger_files_than_a_channel_takes_are_refused() {
        let place = |number: usize| format!("{FOLDER}{number}.json");
        let names: Vec<_> = (0..=MAX_FILES).map(place).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b"{}"[..])).collect();
        assert!(package(&files[..MAX_FILES]).index_files().is_ok());
        let many = package(&files).index_files();
        assert!(
            matches!(many, Err(PackageError::TooManyIndexes(_))),
            "{many:?}"
        );
        let content = vec![b' '; usize::try_from(MAX_FILE_BYTES).unwrap() + 1];
        let large = package(&[(&names[0], &content)]).index_files();
        assert!(
            matches!(large, Err(PackageError::TooLarge { .. })),
            "{large:?}"
        );
        let content = &content[1..];
        let files = |count| -> Vec<(&str, &[u8])> {
            names[..count]
                .iter()
                .map(|name| (&**name, content))
                .collect()
        };
        assert!(package(&files(16)).index_files().is_ok());
        let together = package(&files(17)).index_files();
        assert!(
            matches!(together, Err(PackageError::TooLarge { .. })),
            "{together:?}"
        );
    }
}
