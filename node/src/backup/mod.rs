//! Backups of a data directory, while a node runs on it or not, and the way back.
//!
//! Nobody waits for a backup. Block files are only appended to: their copy ends where the chain ended when
//! the backup began ([`ChainEnd`]), and commits go on. Everything else that is
//! [kept](crate::data_directory::Part::is_kept) is small, and is replaced whole or appended to. What is
//! derived from the blocks is not copied.
//!
//! * [`make`] makes a folder of one: of a [`source`], to a [`place`], sharing with the one [before](previous);
//!   [`archive`] makes a file
//! * [`keep`] keeps the newest of many, [`schedule`] says when a node makes one by itself
//! * [`manifest`] says what it holds
//! * [`restore()`] makes a data directory of one

mod archive;
mod copy;
mod error;
mod keep;
mod make;
mod manifest;
mod place;
mod previous;
mod pump;
mod restore;
mod schedule;
mod source;
mod time;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use quire_disk::{Disk, FileError, OsDisk};
use quire_identity::Organization;
use quire_ledger::{ChainEnd, Ledgers, OpenError, Progress, chain_of};

pub(crate) use error::BackupError;
pub(crate) use make::BackedUp;
pub(crate) use manifest::{MANIFEST, Manifest};
pub(crate) use restore::{UNFINISHED, restore};
pub(crate) use schedule::{Backups, Plan};
pub(crate) use source::Source;

impl Source {
    /// The data directory of a node. `open` are the channels that it has open; without them, `ledgers` keeps it
    /// stopped. A channel whose record is lost or damaged is copied as it is.
    pub(crate) fn of(
        ledgers: &Ledgers,
        data: &Path,
        identities: bool,
        open: BTreeMap<String, Result<ChainEnd, String>>,
    ) -> Self {
        let (records, damage) = ledgers.examine();
        let mut channels = open;
        for record in records.iter().filter(|record| !record.is_unfinished()) {
            let end = || ledgers.end(&record.name).map_err(|error| chain_of(&error));
            channels.entry(record.name.clone()).or_insert_with(end);
        }
        for error in &damage {
            if let Some(name) = without_record(error) {
                channels.entry(name).or_insert_with(|| Err(chain_of(error)));
            }
        }
        let mut trouble: Vec<String> = damage.iter().map(|error| chain_of(error)).collect();
        if identities {
            trouble.extend(missing(data));
        }
        Self {
            data: data.to_owned(),
            channels,
            trouble,
            identities,
        }
    }
}

/// What of the organisation and the node's identities is not there. Before a first start nothing has to be.
fn missing(data: &Path) -> Vec<String> {
    let has_begun = ["organization", "identities"]
        .iter()
        .any(|folder| data.join(folder).exists());
    if !has_begun {
        return Vec::new();
    }
    match Organization::missing(&OsDisk, data) {
        Ok(missing) => missing
            .iter()
            .map(|path| format!("{} is missing", path.display()))
            .collect(),
        Err(error) => vec![chain_of(&error)],
    }
}

/// The channel whose files are there and whose record is not, or cannot be read.
fn without_record(error: &OpenError) -> Option<String> {
    let name = match error {
        OpenError::Orphan(folder) => folder.file_name()?,
        OpenError::IdStore { file, .. } | OpenError::Newer { file, .. } => file.file_stem()?,
        _ => return None,
    };
    Some(name.to_string_lossy().into_owned())
}

/// Makes a backup: a file if it is named like one, else a folder. One that is there is replaced.
pub(crate) fn back_up(
    disk: &dyn Disk,
    source: &Source,
    target: &Path,
    now: SystemTime,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<BackedUp, BackupError> {
    let is_archive = target.to_string_lossy().ends_with(archive::SUFFIX);
    let target = place::real(target);
    place::refuse_mounted(&target)?;
    if is_archive {
        archive::archive(disk, source, &target, now, progress)
    } else {
        make::make(disk, source, &target, None, now, progress)
    }
}

/// What of a backup is not as its manifest says: each file, with what was expected and found. Nothing if the
/// folder is no backup, as a data directory that a node has run on.
pub(crate) fn differences(disk: &dyn Disk, folder: &Path) -> Vec<BackupError> {
    match Manifest::read(disk, folder) {
        Ok(None) => Vec::new(),
        Ok(Some(manifest)) => restore::compare_all(disk, folder, &manifest),
        Err(error) => vec![error],
    }
}

/// Makes a data directory out of a folder that a backup is: from now on a node may change what is in it.
pub(crate) fn begin(disk: &dyn Disk, data: &Path) -> Result<(), FileError> {
    let manifest = data.join(MANIFEST);
    let exists = disk.exists(&manifest);
    if exists.map_err(FileError::of("look for", &manifest))? {
        tracing::info!("the data directory was a backup, and is none any more");
        let removed = disk.remove_file(&manifest);
        removed.map_err(FileError::of("remove", &manifest))?;
    }
    let unfinished = data.join(UNFINISHED);
    let removed = disk.remove_dir_all(&unfinished);
    removed.map_err(FileError::of("remove", &unfinished))?;
    disk.sync_dir(data).map_err(FileError::of("sync", data))
}

#[cfg(test)]
mod tests;
