//! Where a backup is: what may be replaced there, and what a killed one left.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use quire_disk::{Disk, FileError, remove_leftover};

use super::error::BackupError;
use super::manifest::{MANIFEST, Manifest};

/// What makes a folder a data directory.
pub(super) const LAST: &str = "id-store";
/// Names that are told of a folder that is in the way.
pub(super) const TOLD: usize = 3;

/// A backup is not made in what it is a copy of.
pub(super) fn refuse_inside(data: &Path, target: &Path) -> Result<(), BackupError> {
    if resolved(target).starts_with(resolved(data)) {
        return Err(BackupError::InData {
            path: target.to_owned(),
            data: data.to_owned(),
        });
    }
    Ok(())
}

/// A path without links, as far as there is something at it.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find_map(|above| {
        let real = std::fs::canonicalize(above).ok()?;
        let rest = path.strip_prefix(above).ok()?;
        Some(if rest == Path::new("") {
            real
        } else {
            real.join(rest)
        })
    });
    found.unwrap_or(path)
}

/// Where a target really is: what a link points to is replaced, and not the link.
pub(super) fn real(target: &Path) -> PathBuf {
    std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned())
}

/// Something is renamed to its name, which nothing can be where a file system is mounted.
pub(super) fn refuse_mounted(target: &Path) -> Result<(), BackupError> {
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    let is_mounted = device(target).is_some_and(|own| {
        let above = target.parent().and_then(device);
        above.is_none_or(|above| above != own)
    });
    if is_mounted {
        return Err(BackupError::Mounted(target.to_owned()));
    }
    Ok(())
}

/// Whether two paths, or where they are to be made, are on one file system.
pub(super) fn are_together(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| {
        let found = resolved(path)
            .ancestors()
            .find_map(|above| std::fs::metadata(above).ok());
        found.map(|found| found.dev())
    };
    let device_of_one = device(one);
    device_of_one.is_some() && device_of_one == device(other)
}

/// The backup that is replaced; none if there is nothing, or an empty folder. Anything else is refused.
pub(super) fn replaceable(disk: &dyn Disk, target: &Path) -> Result<Option<Manifest>, BackupError> {
    let occupied = |found: String| BackupError::Occupied {
        path: target.to_owned(),
        found,
    };
    match disk.list(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(occupied("a file".to_owned()))
        }
        Err(error) => Err(FileError::of("list", target)(error).into()),
        Ok(names) if names.is_empty() => Ok(None),
        Ok(mut names) => {
            let manifest = Manifest::read(disk, target)?;
            if manifest.is_none() {
                names.sort_unstable();
                names.truncate(TOLD);
                return Err(occupied(names.join(", ")));
            }
            Ok(manifest)
        }
    }
}

/// The name of a backup while it is replaced, and while it is written.
pub(super) fn beside(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{suffix}"))
}

pub(super) fn parent(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

pub(super) fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), FileError> {
    disk.rename(from, to)
        .map_err(FileError::of("rename to", to))?;
    disk.sync_dir(parent(to))
        .map_err(FileError::of("sync", parent(to)))
}

pub(super) fn set_aside(disk: &dyn Disk, target: &Path) -> Result<(), FileError> {
    remove_old(disk, target)?;
    rename(disk, target, &beside(target, "old"))
}

/// Removes the backup that was replaced. Its manifest goes first, so that what is left of it is no backup.
pub(super) fn remove_old(disk: &dyn Disk, target: &Path) -> Result<(), FileError> {
    remove(disk, &beside(target, "old"))
}

/// Removes a backup.
pub(super) fn remove(disk: &dyn Disk, folder: &Path) -> Result<(), FileError> {
    match disk.remove_file(&folder.join(MANIFEST)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => {
            removed.map_err(FileError::of("remove", &folder.join(MANIFEST)))?;
            disk.sync_dir(folder)
                .map_err(FileError::of("sync", folder))?;
        }
    }
    let removed = disk.remove_dir_all(folder);
    removed.map_err(FileError::of("remove", folder))
}

/// Where the backup `target` is: under its name, or beside it where its making was killed between two renames.
/// Nothing is changed.
pub(super) fn whole_at(disk: &dyn Disk, target: &Path) -> Result<PathBuf, FileError> {
    let exists = disk.exists(target);
    if exists.map_err(FileError::of("look for", target))? {
        return Ok(target.to_owned());
    }
    let beside = ["new", "old"].map(|suffix| beside(target, suffix));
    let is_whole = |folder: &PathBuf| matches!(Manifest::read(disk, folder), Ok(Some(_)));
    let whole = beside.into_iter().find(is_whole);
    Ok(whole.unwrap_or_else(|| target.to_owned()))
}

/// Finishes what a killed backup left half done: one that was whole gets its name, whatever it was to replace;
/// one that was not is removed.
pub(super) fn settle(disk: &dyn Disk, target: &Path) -> Result<(), BackupError> {
    let exists = |path: &Path| disk.exists(path).map_err(FileError::of("look for", path));
    let (new, old) = (beside(target, "new"), beside(target, "old"));
    if !exists(target)? {
        if matches!(Manifest::read(disk, &new), Ok(Some(_))) {
            rename(disk, &new, target)?;
        } else if matches!(Manifest::read(disk, &old), Ok(Some(_))) {
            rename(disk, &old, target)?;
        }
    }
    if exists(target)? {
        remove_old(disk, target)?;
    }
    remove_leftover(disk, target)?;
    Ok(())
}
