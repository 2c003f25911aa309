//! Makes a backup: a folder that is a data directory.
//!
//! ```text
//! TO/.NAME.new/...              copied file by file, each synced, hashed on the way
//! TO/.NAME.new/backup.json      written when all else is durable: from here on it is a backup
//! TO/NAME                       renamed; an earlier backup of that name is TO/.NAME.old meanwhile
//! ```
//!
//! A backup that fails removes what it made. One that was killed leaves `.NAME.new` without a manifest, which
//! the next one removes. One that was killed between the two renames is finished by [`settle`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use quire_disk::{Disk, DiskFile, FileError, GrowingFolder, replace_file};
use quire_ledger::Progress;
use serde::{Deserialize, Serialize};

use super::copy::{Copied, Target, copy_all};
use super::error::BackupError;
use super::manifest::{ChannelRow, FileRow, MANIFEST, Manifest};
use super::place::{LAST, refuse_inside, remove, remove_old, replaceable, set_aside, settle};
use super::previous::Previous;
use super::pump::{Sha256, pump};
use super::source::Source;
use super::time::rfc3339;

/// Bytes that may wait in memory for the disk: a sync of the ledger would wait for them too.
pub(super) const SYNC_EVERY: u64 = 16 << 20;

/// What came of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackedUp {
    pub(crate) path: PathBuf,
    pub(crate) made: String,
    pub(crate) channels: Vec<ChannelRow>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Of these, those that were copied: the others are of the backup before.
    pub(crate) copied_bytes: u64,
    /// What was wrong with the records of channels, or missing of the identities: what is there is copied.
    #[serde(default)]
    pub(crate) trouble: Vec<String>,
}

impl BackedUp {
    pub(super) fn of(path: &Path, source: &Source, copied: Copied) -> Self {
        let Copied { manifest, bytes } = copied;
        Self {
            path: path.to_owned(),
            files: manifest.files.len() as u64,
            bytes: manifest.bytes(),
            copied_bytes: bytes,
            made: manifest.made,
            channels: manifest.channels,
            trouble: source.trouble.clone(),
        }
    }
}

/// Makes a backup at `target`. `before` is a backup whose unchanged files it may share; without it, that is the
/// backup which it replaces.
pub(crate) fn make(
    disk: &dyn Disk,
    source: &Source,
    target: &Path,
    before: Option<&Path>,
    now: SystemTime,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<BackedUp, BackupError> {
    refuse_inside(&source.data, target)?;
    settle(disk, target)?;
    let replaced = replaceable(disk, target)?;
    let is_replacing = replaced.is_some();
    let node = source.node(disk);
    if replaced
        .as_ref()
        .is_some_and(|replaced| replaced.is_of_another(node.as_deref()))
    {
        return Err(BackupError::OfAnother(target.to_owned()));
    }
    let previous = match before {
        Some(before) => shared(disk, before),
        None => replaced.map(|manifest| Previous::of(target, manifest)),
    };
    let mut folder = InFolder {
        disk,
        data: &source.data,
        previous,
        folder: GrowingFolder::begin(disk, target)?,
    };
    let subject = target.display().to_string();
    let filled = copy_all(disk, source, &mut folder, rfc3339(now), &subject, progress);
    let mut folder = folder.folder;
    let filled = filled.and_then(|copied| {
        // A node without channels has no record in it.
        folder.place(&Path::new(LAST).join("record"))?;
        folder.sync()?;
        let content = copied.manifest.content()?;
        replace_file(disk, &folder.path().join(MANIFEST), &content)?;
        Ok(copied)
    });
    let copied = filled.inspect_err(|_| {
        // A full disk is left as it was found. If this fails too, the next backup does it.
        drop(remove(disk, folder.path()));
    })?;
    if is_replacing {
        set_aside(disk, target)?;
    }
    folder.finish()?;
    remove_old(disk, target)?;
    Ok(BackedUp::of(target, source, copied))
}

/// A backup whose files may be shared. With one that cannot be read nothing is.
fn shared(disk: &dyn Disk, before: &Path) -> Option<Previous> {
    match Manifest::read(disk, before) {
        Ok(manifest) => manifest.map(|manifest| Previous::of(before, manifest)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the backup before cannot be read: all is copied");
            None
        }
    }
}

struct InFolder<'a> {
    disk: &'a dyn Disk,
    data: &'a Path,
    previous: Option<Previous>,
    folder: GrowingFolder<'a>,
}

impl Target for InFolder<'_> {
    fn share(
        &mut self,
        file: (&str, u64),
        next: Option<&str>,
    ) -> Result<Option<FileRow>, BackupError> {
        let Some(previous) = &self.previous else {
            return Ok(None);
        };
        let Some((row, here)) = previous.same(self.disk, self.data, file, next) else {
            return Ok(None);
        };
        let to = self.folder.place(Path::new(file.0))?;
        // Where the file system has no second names, it is copied.
        let is_linked = self.disk.hard_link(&here, &to).is_ok();
        Ok(is_linked.then(|| row.clone()))
    }

    fn take(
        &mut self,
        path: &str,
        file: &dyn DiskFile,
        bytes: u64,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Sha256, BackupError> {
        let to = self.folder.place(Path::new(path))?;
        let mut read = |buffer: &mut [u8], at| file.read_exact_at(buffer, at);
        Ok(write(self.disk, &mut read, bytes, &to, SYNC_EVERY, tell)?)
    }
}

/// What fills a buffer with the bytes from a place on.
pub(super) type Reading<'a> = dyn FnMut(&mut [u8], u64) -> io::Result<()> + 'a;

/// Writes `bytes` bytes to a file, durably but for its name. Returns their hash.
pub(super) fn write(
    disk: &dyn Disk,
    read: &mut Reading<'_>,
    bytes: u64,
    to: &Path,
    sync_every: u64,
    tell: &mut dyn FnMut(u64),
) -> Result<Sha256, FileError> {
    let target = disk.create_new(to);
    let target = target.map_err(FileError::of("create", to))?;
    let (mut at, mut synced) = (0, 0);
    let copied = pump(read, bytes, &mut |chunk| {
        target.write_all_at(chunk, at)?;
        at += chunk.len() as u64;
        if at - synced >= sync_every {
            target.sync_data()?;
            synced = at;
        }
        tell(chunk.len() as u64);
        Ok(())
    });
    let hash = copied.and_then(|hash| target.sync_data().map(|()| hash));
    hash.map_err(FileError::of("copy to", to))
}
