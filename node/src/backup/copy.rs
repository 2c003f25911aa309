//! Copies the files of a source into a target, whatever that is, and says how far it is.

use std::io;
use std::path::Path;

use quire_disk::{Disk, DiskFile, FileError};
use quire_ledger::Progress;

use super::error::BackupError;
use super::manifest::{FileRow, Manifest};
use super::previous::is_block_file;
use super::pump::Sha256;
use super::source::{Source, Wanted};

/// What files are copied into.
pub(super) trait Target {
    /// Takes a file from the backup before, where that has the same; `next` is the block file after it.
    fn share(
        &mut self,
        file: (&str, u64),
        next: Option<&str>,
    ) -> Result<Option<FileRow>, BackupError>;

    /// Takes the first `bytes` of a file, and tells how many it has taken as they go. Returns their hash.
    fn take(
        &mut self,
        path: &str,
        file: &dyn DiskFile,
        bytes: u64,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Sha256, BackupError>;
}

/// What was copied.
pub(super) struct Copied {
    pub(super) manifest: Manifest,
    /// Bytes that were copied, and not shared.
    pub(super) bytes: u64,
}

/// Copies all files. `made` is when, for the manifest, and `subject` is what the job is called.
pub(super) fn copy_all(
    disk: &dyn Disk,
    source: &Source,
    target: &mut dyn Target,
    made: String,
    subject: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Copied, BackupError> {
    let mut copy = Copying {
        disk,
        data: &source.data,
        target,
        rows: Vec::new(),
        done: 0,
        copied: 0,
        total: 0,
        subject,
        progress,
    };
    copy.all(&source.tokens(disk)?)?;
    copy.all(&source.others(disk)?)?;
    Ok(Copied {
        bytes: copy.copied,
        manifest: Manifest::new(
            made,
            (source.node(disk), source.identities),
            source.rows(),
            copy.rows,
        ),
    })
}

struct Copying<'a> {
    disk: &'a dyn Disk,
    data: &'a Path,
    target: &'a mut dyn Target,
    rows: Vec<FileRow>,
    /// Bytes of files that are there.
    done: u64,
    /// Of these, those that were copied.
    copied: u64,
    total: u64,
    subject: &'a str,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Copying<'_> {
    fn all(&mut self, wanted: &[Wanted]) -> Result<(), BackupError> {
        self.total += wanted.iter().filter_map(|file| file.bytes).sum::<u64>();
        for (index, file) in wanted.iter().enumerate() {
            let next = wanted.get(index + 1).map(|next| next.path.as_str());
            self.one(file, next.filter(|next| follows(&file.path, next)))?;
        }
        Ok(())
    }

    fn one(&mut self, wanted: &Wanted, next: Option<&str>) -> Result<(), BackupError> {
        let from = self.data.join(&wanted.path);
        let opened = self.disk.open(&from, false).and_then(|file| {
            let len = file.len()?;
            Ok((file, len))
        });
        let (file, len) = match opened {
            Ok(opened) => opened,
            // It was removed meanwhile; what has to be there is named with its size.
            Err(error) if error.kind() == io::ErrorKind::NotFound && wanted.bytes.is_none() => {
                return Ok(());
            }
            Err(error) => return Err(FileError::of("open", &from)(error).into()),
        };
        let bytes = wanted.bytes.unwrap_or(len);
        if bytes > len {
            return Err(BackupError::Shrunk(from));
        }
        if wanted.bytes.is_none() {
            self.total += bytes;
        }
        let path = wanted.path.as_str();
        if let Some(row) = self.target.share((path, bytes), next)? {
            self.rows.push(row);
            tell(
                self.progress,
                (self.subject, self.total),
                &mut self.done,
                bytes,
            );
            return Ok(());
        }
        let (done, progress, about) = (
            &mut self.done,
            &mut *self.progress,
            (self.subject, self.total),
        );
        let mut told = |more| tell(progress, about, done, more);
        let hash = self.target.take(path, file.as_ref(), bytes, &mut told)?;
        self.rows.push(FileRow {
            path: path.to_owned(),
            bytes,
            sha256: hex::encode(hash),
        });
        self.copied += bytes;
        Ok(())
    }
}

fn tell(
    progress: &mut dyn FnMut(Progress<'_>),
    (subject, total): (&str, u64),
    done: &mut u64,
    more: u64,
) {
    *done += more;
    progress(Progress {
        stage: "copying",
        subject,
        done: *done,
        total,
    });
}

/// Whether a block file is followed by another of its channel.
fn follows(path: &str, next: &str) -> bool {
    let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    is_block_file(path) && is_block_file(next) && folder(path) == folder(next)
}
