//! Makes a data directory of a backup, in a folder that is empty or not there yet; a folder that something is
//! mounted on will do.
//!
//! ```text
//! DATA/.restore.new/...              copied file by file, each compared with its hash and synced
//! DATA/.restore.new/backup.json      written when all else is durable
//! DATA/...                           moved out of it, id-store last: from here on it is a data directory
//! ```
//!
//! What is restored is only read: another backup may be made there at this moment.
//!
//! A restore that was killed is begun anew by the next one, or finished where everything had been copied.
//! Meanwhile no node starts there: a folder without `id-store` that has `.restore.new` is refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quire_disk::{Disk, DiskFile, FileError, make_dir, replace_file};
use quire_ledger::{DataLock, Progress};

use super::archive::read_archive;
use super::error::BackupError;
use super::make::{Reading, write};
use super::manifest::{FileRow, MANIFEST, Manifest};
use super::place::{LAST, TOLD, rename, whole_at};
use super::pump::{Sha256, pump};

/// The folder of a restore that is not finished.
pub(crate) const UNFINISHED: &str = ".restore.new";
/// What may be there already: what a command makes that looks, and a file system in its root.
const BEFOREHAND: [&str; 2] = ["lock", "lost+found"];
/// The same where the backup was made without them.
const IDENTITIES: [&str; 4] = ["organization", "identities", "tokens", "ca"];
/// Bytes that may wait in memory for the disk.
const SYNC_EVERY: u64 = 64 << 20;

/// Restores a backup to the data directory `data`. Returns what it holds.
pub(crate) fn restore(
    disk: &dyn Disk,
    backup: &Path,
    data: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Manifest, BackupError> {
    let origin = Origin::of(disk, backup)?;
    make_dir(disk, data)?;
    let _lock = DataLock::take(data)?;
    if let Some(before) = whole_before(disk, data)? {
        if before != origin.manifest()? {
            let (path, made) = (data.to_owned(), before.made);
            return Err(BackupError::OtherRestore { path, made });
        }
        move_out(disk, data)?;
        return Ok(before);
    }
    refuse_occupied(disk, data, true)?;
    let mut filling = Filling::begin(disk, data, progress)?;
    let filled = origin.fill(&mut filling).and_then(|manifest| {
        refuse_occupied(disk, data, !manifest.identities)?;
        filling.end(&manifest)?;
        Ok(manifest)
    });
    match filled {
        Ok(manifest) => {
            move_out(disk, data)?;
            Ok(manifest)
        }
        Err(error) => {
            // If this fails too, the next restore does it.
            drop(disk.remove_dir_all(&data.join(UNFINISHED)));
            Err(error)
        }
    }
}

/// A backup that is read.
enum Origin<'a> {
    Folder(&'a dyn Disk, PathBuf, Box<Manifest>),
    Archive(Arc<dyn DiskFile>, &'a Path),
}

impl<'a> Origin<'a> {
    fn of(disk: &'a dyn Disk, backup: &'a Path) -> Result<Self, BackupError> {
        let folder = whole_at(disk, backup)?;
        if let Some(manifest) = Manifest::read(disk, &folder)? {
            return Ok(Self::Folder(disk, folder, Box::new(manifest)));
        }
        match disk.open(backup, false) {
            Ok(file) => Ok(Self::Archive(file, backup)),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                Err(BackupError::NoBackup(backup.to_owned()))
            }
            Err(error) => Err(FileError::of("open", backup)(error).into()),
        }
    }

    fn manifest(&self) -> Result<Manifest, BackupError> {
        match self {
            Self::Folder(_, _, manifest) => Ok(Manifest::clone(manifest)),
            Self::Archive(file, path) => {
                read_archive(Arc::clone(file), path, &mut |name, bytes, content| {
                    let mut read = |buffer: &mut [u8], _| content.read_exact(buffer);
                    let hash = pump(&mut read, bytes, &mut |_| Ok(()));
                    Ok(hash.map_err(FileError::of("read", &path.join(name)))?)
                })
            }
        }
    }

    /// Copies everything, and makes sure that it is what was backed up.
    fn fill(&self, filling: &mut Filling<'_>) -> Result<Manifest, BackupError> {
        match self {
            Self::Folder(disk, folder, manifest) => {
                filling.total = Some(manifest.bytes());
                for row in &manifest.files {
                    read_row(*disk, folder, row, &mut |path, bytes, read| {
                        filling.take(path, bytes, read)
                    })?;
                }
                Ok(Manifest::clone(manifest))
            }
            Self::Archive(file, path) => {
                read_archive(Arc::clone(file), path, &mut |name, bytes, content| {
                    let mut read = |buffer: &mut [u8], _| content.read_exact(buffer);
                    filling.take(name, bytes, &mut read)
                })
            }
        }
    }
}

/// Compares every file of a backup with its manifest.
pub(super) fn compare_all(disk: &dyn Disk, folder: &Path, manifest: &Manifest) -> Vec<BackupError> {
    let compared = manifest.files.iter().map(|row| {
        read_row(disk, folder, row, &mut |_, bytes, read| {
            let hash = pump(read, bytes, &mut |_| Ok(()));
            Ok(hash.map_err(FileError::of("read", &row.at(folder)))?)
        })
    });
    compared.filter_map(Result::err).collect()
}

/// What is done with a file of a backup: its path, its size, and what reads it; the answer is its hash.
type TakeRow<'a> = dyn FnMut(&str, u64, &mut Reading<'_>) -> Result<Sha256, BackupError> + 'a;

/// Reads a file of a backup, which has to be as the manifest says.
fn read_row(
    disk: &dyn Disk,
    folder: &Path,
    row: &FileRow,
    take: &mut TakeRow<'_>,
) -> Result<(), BackupError> {
    let from = row.at(folder);
    let file = disk.open(&from, false);
    let file = file.map_err(|error| unreadable(&from, row, error))?;
    compare(
        &from,
        &bytes(row.bytes),
        &bytes(length(&from, file.as_ref())?),
    )?;
    let mut read = |buffer: &mut [u8], at| file.read_exact_at(buffer, at);
    let hash = hex::encode(take(&row.path, row.bytes, &mut read)?);
    compare(&from, &hashed(&row.sha256), &hashed(&hash))
}

fn length(path: &Path, file: &dyn DiskFile) -> Result<u64, FileError> {
    file.len().map_err(FileError::of("read", path))
}

fn bytes(len: u64) -> String {
    format!("{len} bytes")
}

fn hashed(hash: &str) -> String {
    format!("bytes with SHA-256 {hash}")
}

fn compare(path: &Path, expected: &str, found: &str) -> Result<(), BackupError> {
    if expected == found {
        return Ok(());
    }
    Err(BackupError::Damaged {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    })
}

/// A file of a backup that is not there is damage.
fn unreadable(path: &Path, row: &FileRow, error: io::Error) -> BackupError {
    if error.kind() != io::ErrorKind::NotFound {
        return FileError::of("open", path)(error).into();
    }
    BackupError::Damaged {
        path: path.to_owned(),
        expected: bytes(row.bytes),
        found: "no file".to_owned(),
    }
}

/// What an earlier restore had copied as a whole, and only has to be moved.
fn whole_before(disk: &dyn Disk, data: &Path) -> Result<Option<Manifest>, BackupError> {
    let exists = disk.exists(&data.join(LAST));
    if exists.map_err(FileError::of("look for", data))? {
        return Ok(None);
    }
    Manifest::read(disk, &data.join(UNFINISHED))
}

/// Refuses a folder that holds anything else than what a restore leaves.
fn refuse_occupied(
    disk: &dyn Disk,
    data: &Path,
    keeps_identities: bool,
) -> Result<(), BackupError> {
    let names = disk.list(data).map_err(FileError::of("list", data))?;
    let is_in_the_way = |name: &String| {
        let name = name.as_str();
        let is_left = keeps_identities && IDENTITIES.contains(&name);
        !(BEFOREHAND.contains(&name) || is_left || name == UNFINISHED)
    };
    let mut found: Vec<String> = names.into_iter().filter(is_in_the_way).collect();
    if found.is_empty() {
        return Ok(());
    }
    found.sort_unstable();
    found.truncate(TOLD);
    Err(BackupError::NotEmpty {
        path: data.to_owned(),
        found: found.join(", "),
    })
}

/// A restore that takes file after file.
struct Filling<'a> {
    disk: &'a dyn Disk,
    data: &'a Path,
    /// Every folder that was made, the outer before the inner.
    folders: Vec<PathBuf>,
    done: u64,
    /// How many bytes there are, where it is known beforehand.
    total: Option<u64>,
    subject: String,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl<'a> Filling<'a> {
    fn begin(
        disk: &'a dyn Disk,
        data: &'a Path,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Result<Self, BackupError> {
        let unfinished = data.join(UNFINISHED);
        let removed = disk.remove_dir_all(&unfinished);
        removed.map_err(FileError::of("remove", &unfinished))?;
        let made = disk.create_dir_all(&unfinished);
        made.map_err(FileError::of("create", &unfinished))?;
        disk.sync_dir(data).map_err(FileError::of("sync", data))?;
        Ok(Self {
            disk,
            data,
            folders: vec![unfinished],
            done: 0,
            total: None,
            subject: data.display().to_string(),
            progress,
        })
    }

    /// Copies a file. Returns its hash.
    fn take(
        &mut self,
        path: &str,
        bytes: u64,
        read: &mut Reading<'_>,
    ) -> Result<Sha256, BackupError> {
        let to = self.data.join(UNFINISHED).join(path);
        self.make_folders(&to)?;
        let (subject, progress) = (self.subject.as_str(), &mut *self.progress);
        let (done, total) = (&mut self.done, self.total);
        let hash = write(self.disk, read, bytes, &to, SYNC_EVERY, &mut |more| {
            *done += more;
            progress(Progress {
                stage: "restoring",
                subject,
                done: *done,
                // One more, as long as nobody knows when it ends.
                total: total.unwrap_or(*done + 1),
            });
        });
        Ok(hash?)
    }

    fn make_folders(&mut self, file: &Path) -> Result<(), FileError> {
        let within = file.ancestors().skip(1);
        let missing: Vec<_> = within
            .take_while(|folder| !self.folders.iter().any(|made| made == folder))
            .map(Path::to_path_buf)
            .collect();
        for folder in missing.into_iter().rev() {
            let made = self.disk.create_dir_all(&folder);
            made.map_err(FileError::of("create", &folder))?;
            self.folders.push(folder);
        }
        Ok(())
    }

    /// Notes that everything is there.
    fn end(&mut self, manifest: &Manifest) -> Result<(), BackupError> {
        // A node without channels has no record in it.
        let last = self.data.join(UNFINISHED).join(LAST);
        self.make_folders(&last.join("record"))?;
        for folder in self.folders.iter().rev() {
            let synced = self.disk.sync_dir(folder);
            synced.map_err(FileError::of("sync", folder))?;
        }
        let place = self.data.join(UNFINISHED).join(MANIFEST);
        replace_file(self.disk, &place, &manifest.content()?)?;
        Ok(())
    }
}

/// Moves everything to its place, and removes the rest. What was moved before is not there any more.
fn move_out(disk: &dyn Disk, data: &Path) -> Result<(), FileError> {
    let unfinished = data.join(UNFINISHED);
    let names = disk.list(&unfinished);
    let mut names = names.map_err(FileError::of("list", &unfinished))?;
    names.sort_unstable();
    for name in names
        .iter()
        .filter(|name| *name != MANIFEST && *name != LAST)
    {
        rename(disk, &unfinished.join(name), &data.join(name))?;
    }
    if names.iter().any(|name| name == LAST) {
        rename(disk, &unfinished.join(LAST), &data.join(LAST))?;
    }
    let removed = disk.remove_dir_all(&unfinished);
    removed.map_err(FileError::of("remove", &unfinished))?;
    disk.sync_dir(data).map_err(FileError::of("sync", data))
}
