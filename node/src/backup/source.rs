//! What of a data directory is copied: every part that is not made again, block files up to the end that
//! the chain had when it was asked.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use quire_disk::{Disk, FileError, read_file};
use quire_ledger::ChainEnd;

use super::manifest::ChannelRow;
use super::pump::sha256;
use crate::data_directory::Part;

/// How far down a data directory goes, and more.
const DEPTH: usize = 12;
/// The node's certificate.
const CERTIFICATE: &str = "identities/node/msp/signcerts/cert.pem";
/// The most bytes that it may have.
const MAX_CERTIFICATE_BYTES: u64 = 1 << 20;
/// What makes a node this organisation's, and callers known to it.
const IDENTITIES: [&str; 4] = ["organization", "identities", "tokens", "ca"];

/// A data directory that is copied.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) data: PathBuf,
    /// The channels, and where their chains end, or why that is not known.
    pub(crate) channels: BTreeMap<String, Result<ChainEnd, String>>,
    /// What is wrong with the records of channels, and which identities are missing.
    pub(crate) trouble: Vec<String>,
    /// Whether the organisation, identities, tokens and the CA's registry are copied too.
    pub(crate) identities: bool,
}

/// A file to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// In the data directory, with `/`.
    pub(super) path: String,
    /// How many of its bytes; all that it has if that is not known.
    pub(super) bytes: Option<u64>,
}

impl Source {
    /// SHA-256 of the node's certificate in hex, which tells nodes apart; none if it cannot be read.
    pub(super) fn node(&self, disk: &dyn Disk) -> Option<String> {
        let certificate = read_file(disk, &self.data.join(CERTIFICATE), MAX_CERTIFICATE_BYTES);
        certificate.ok().map(|bytes| hex::encode(sha256(&bytes)))
    }

    /// The channels, as the manifest has them.
    pub(super) fn rows(&self) -> Vec<ChannelRow> {
        let rows = self.channels.iter().map(|(name, end)| {
            let (known, trouble) = match end {
                Ok(end) => (Some(end), None),
                Err(trouble) => (None, Some(trouble.clone())),
            };
            ChannelRow {
                name: name.clone(),
                height: known.map(|end| end.height),
                hash: known.map(|end| hex::encode(end.hash)),
                trouble,
            }
        });
        rows.collect()
    }

    /// The files of the tokens. They are copied before identities are listed, so that no token is of an
    /// identity that is not copied.
    pub(super) fn tokens(&self, disk: &dyn Disk) -> Result<Vec<Wanted>, FileError> {
        let mut wanted = Vec::new();
        self.walk(disk, Path::new("tokens"), DEPTH, &mut wanted)?;
        Ok(wanted)
    }

    /// All other files, the block files of a channel one after the other.
    pub(super) fn others(&self, disk: &dyn Disk) -> Result<Vec<Wanted>, FileError> {
        let mut wanted = Vec::new();
        for (name, end) in &self.channels {
            for (file, bytes) in end.iter().flat_map(|end| &end.files) {
                wanted.push(Wanted {
                    path: format!("channels/{name}/{file}"),
                    bytes: Some(*bytes),
                });
            }
        }
        let names = disk.list(&self.data);
        for name in in_order(names.map_err(FileError::of("list", &self.data))?) {
            if name != "tokens" {
                self.walk(disk, Path::new(&name), DEPTH, &mut wanted)?;
            }
        }
        Ok(wanted)
    }

    fn walk(
        &self,
        disk: &dyn Disk,
        path: &Path,
        depth: usize,
        wanted: &mut Vec<Wanted>,
    ) -> Result<(), FileError> {
        if depth == 0 || !self.is_copied(path) {
            return Ok(());
        }
        let full = self.data.join(path);
        match disk.list(&full) {
            Ok(names) => {
                for name in in_order(names) {
                    self.walk(disk, &path.join(name), depth - 1, wanted)?;
                }
                Ok(())
            }
            // A file, or something that was removed meanwhile.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::NotFound) =>
            {
                if Part::of(path).is_some_and(Part::is_kept) {
                    wanted.push(Wanted {
                        path: path.to_string_lossy().into_owned(),
                        bytes: None,
                    });
                }
                Ok(())
            }
            Err(error) => Err(FileError::of("list", &full)(error)),
        }
    }

    /// Whether a file is copied, or there may be such a file in a folder.
    fn is_copied(&self, path: &Path) -> bool {
        let names = path
            .components()
            .map(|name| name.as_os_str().to_string_lossy());
        let names: Vec<_> = names.collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        // What is being written at this moment.
        if names.last().is_some_and(|name| name.starts_with('.')) {
            return false;
        }
        let is_here = match *names {
            [first, ..] if IDENTITIES.contains(&first) => self.identities,
            ["id-store", record] => {
                let name = record.strip_suffix(".json");
                name.is_some_and(|name| self.channels.contains_key(name))
            }
            ["channels", channel, file, ..] if file.starts_with("blockfile_") => {
                // Those of a known end are named by it.
                matches!(self.channels.get(channel), Some(Err(_)))
            }
            ["channels", channel, ..] => self.channels.contains_key(channel),
            _ => true,
        };
        is_here && Part::may_keep(&names)
    }
}

/// Names with the shorter first: a block file comes before those after it, also beyond six digits.
fn in_order(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    names
}
