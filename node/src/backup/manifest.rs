//! What a backup holds: `backup.json`, which is written when everything else is durable. A folder without it
//! is no backup.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use quire_disk::{Disk, FileError, read_file};
use serde::{Deserialize, Serialize};

use super::error::BackupError;
use super::pump::sha256;

/// The name of the file.
pub(crate) const MANIFEST: &str = "backup.json";
/// The version of its form.
const VERSION: u32 = 1;
/// The most bytes that it may have: more than a million files.
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Manifest {
    version: u32,
    /// The release that made it.
    pub(crate) made_by: String,
    /// When, RFC 3339.
    pub(crate) made: String,
    /// SHA-256 of the certificate of the node whose it is, in hex; none if that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// Whether the organisation, identities, tokens and the CA's registry are in it.
    pub(crate) identities: bool,
    pub(crate) channels: Vec<ChannelRow>,
    pub(crate) files: Vec<FileRow>,
    /// SHA-256 of this file with this member empty, in hex.
    seal: String,
}

/// A channel of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ChannelRow {
    pub(crate) name: String,
    /// The number of its blocks; none if it was not open, and was copied as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) height: Option<u64>,
    /// The hash of the last of them, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<String>,
    /// Why its height is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FileRow {
    /// In the data directory, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// In hex.
    pub(crate) sha256: String,
}

impl Manifest {
    pub(super) fn new(
        made: String,
        (node, identities): (Option<String>, bool),
        channels: Vec<ChannelRow>,
        mut files: Vec<FileRow>,
    ) -> Self {
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        let mut manifest = Self {
            version: VERSION,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            made,
            node,
            identities,
            channels,
            files,
            seal: String::new(),
        };
        manifest.seal = manifest.sealed_by();
        manifest
    }

    /// Whether the backup is of another node. Of one that is not known it is not.
    pub(super) fn is_of_another(&self, node: Option<&str>) -> bool {
        let own = self.node.as_deref();
        own.is_some() && node.is_some() && own != node
    }

    /// The seal that it must have.
    fn sealed_by(&self) -> String {
        let unsealed = Self {
            seal: String::new(),
            ..self.clone()
        };
        hex::encode(sha256(&unsealed.json()))
    }

    fn json(&self) -> Vec<u8> {
        // Strings, numbers and lists can always be written.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// The file.
    pub(super) fn content(&self) -> Result<Vec<u8>, BackupError> {
        let content = self.json();
        if content.len() as u64 > MAX_BYTES {
            return Err(BackupError::TooManyFiles(self.files.len()));
        }
        Ok(content)
    }

    /// Reads the manifest of a folder; none if there is none.
    pub(crate) fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, BackupError> {
        let path = folder.join(MANIFEST);
        match read_file(disk, &path, MAX_BYTES) {
            Ok(content) => Self::parse(&path, &content).map(Some),
            Err(error) if is_none(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Self, BackupError> {
        let damaged = |reason: String| BackupError::Manifest {
            path: path.to_owned(),
            reason,
        };
        let manifest: Self =
            serde_json::from_slice(content).map_err(|error| damaged(error.to_string()))?;
        if manifest.version != VERSION {
            let version = manifest.version;
            return Err(damaged(format!("its form {version} is not known")));
        }
        if manifest.seal != manifest.sealed_by() {
            return Err(damaged("it is not what was written".to_owned()));
        }
        let mut known = HashSet::new();
        for file in &manifest.files {
            if !known.insert(file.path.as_str()) || !is_inside(&file.path) {
                return Err(damaged(format!("{:?} can be no file of it", file.path)));
            }
        }
        Ok(manifest)
    }

    /// The sum of the bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl FileRow {
    /// Where it is in a folder.
    pub(super) fn at(&self, folder: &Path) -> PathBuf {
        folder.join(&self.path)
    }
}

/// Whether a path stays in the folder that it is of, and is not the manifest's or one of a restore's.
pub(super) fn is_inside(path: &str) -> bool {
    let mut names = Path::new(path).components();
    let first = Path::new(path).components().next();
    let is_own = first.is_some_and(|first| {
        let name = first.as_os_str();
        name == MANIFEST || name.as_encoded_bytes().starts_with(b".")
    });
    !is_own && !path.is_empty() && names.all(|name| matches!(name, Component::Normal(_)))
}

fn is_none(error: &FileError) -> bool {
    use std::io::ErrorKind as E;
    matches!(error.source.kind(), E::NotFound | E::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(path: &str) -> Manifest {
        let file = FileRow {
            path: path.to_owned(),
            bytes: 7,
            sha256: hex::encode([7; 32]),
        };
        let channel = ChannelRow {
            name: "main".to_owned(),
            height: Some(3),
            hash: Some(hex::encode([1; 32])),
            trouble: None,
        };
        let made = "2026-11-29T12:00:00Z".to_owned();
        let node = Some(hex::encode([2; 32]));
        Manifest::new(made, (node, true), vec![channel], vec![file])
    }

    #[test]
    fn a_changed_manifest_is_refused_wherever_it_is_changed() {
        let path = Path::new(MANIFEST);
        let whole = manifest("tokens/tokens.json");
        let content = whole.content().unwrap();
        assert_eq!(Manifest::parse(path, &content).unwrap(), whole);
        for at in 0..content.len() {
            let mut flipped = content.clone();
            flipped[at] ^= 1;
            // Space between what it says is no part of it.
            if let Ok(read) = Manifest::parse(path, &flipped) {
                assert_eq!(read, whole, "byte {at}");
            }
            assert!(Manifest::parse(path, &content[..at]).is_err() || at + 1 == content.len());
        }
    }

    #[test]
    fn a_file_of_a_manifest_stays_in_its_folder() {
        for path in [
            "",
            "/etc/passwd",
            "../a",
            "a/../../b",
            "backup.json",
            ".restore.new/a",
            "a/./..",
        ] {
            let content = manifest(path).content().unwrap();
            let refused = Manifest::parse(Path::new(MANIFEST), &content);
            assert!(refused.is_err(), "{path}");
        }
    }
}
