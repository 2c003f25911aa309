//! Many backups in one folder, each named by its moment, the oldest removed.
//!
//! ```text
//! TO/20261129T180000Z/      a backup; it shares with the one before what has not changed
//! TO/20261129T215800Z/      the newest
//! TO/.NAME.new, .NAME.old   one that is being made, one that is being removed
//! ```

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use quire_disk::{Disk, FileError, make_dir};
use quire_ledger::Progress;

use super::error::BackupError;
use super::make::{BackedUp, make};
use super::manifest::Manifest;
use super::place::{beside, remove, rename};
use super::source::Source;
use super::time::{is_name, name, of_name};

/// Backups in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The folder.
    pub(crate) to: PathBuf,
    /// How many are kept.
    pub(crate) keep: usize,
}

impl Kept {
    /// The moments of the backups that are there and whole, oldest first, each with its folder. One whose manifest
    /// cannot be read is none: it stays, and is not removed for its age.
    pub(crate) fn list(&self, disk: &dyn Disk) -> Result<Vec<(SystemTime, PathBuf)>, FileError> {
        let names = match disk.list(&self.to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.map_err(FileError::of("list", &self.to))?,
        };
        let mut whole = Vec::new();
        for name in names.iter().filter(|name| is_name(name)) {
            let folder = self.to.join(name);
            match Manifest::read(disk, &folder) {
                Ok(Some(_)) => whole.extend(of_name(name).map(|moment| (moment, folder))),
                Ok(None) => {}
                Err(error) => tracing::warn!(
                    folder = %folder.display(),
                    error = &error as &dyn std::error::Error,
                    "a backup that cannot be read does not count"
                ),
            }
        }
        whole.sort_unstable();
        Ok(whole)
    }

    /// Makes one more, and removes the oldest.
    pub(crate) fn add(
        &self,
        disk: &dyn Disk,
        source: &Source,
        now: SystemTime,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<BackedUp, BackupError> {
        make_dir(disk, &self.to)?;
        self.refuse_others(disk, source)?;
        self.clean(disk)?;
        let before = self.list(disk)?.pop();
        // One that was made in this second keeps its name, also if the clock was set back.
        let after = before
            .as_ref()
            .map(|(moment, _)| *moment + Duration::from_secs(1));
        let moment = after.map_or(now, |after| after.max(now));
        let target = self.to.join(name(moment));
        let before = before.as_ref().map(|(_, folder)| folder.as_path());
        let made = make(disk, source, &target, before, now, progress)?;
        self.prune(disk)?;
        Ok(made)
    }

    /// Refuses a folder with the backups of another node: each would remove the other's.
    fn refuse_others(&self, disk: &dyn Disk, source: &Source) -> Result<(), BackupError> {
        let node = source.node(disk);
        for (_, folder) in self.list(disk)? {
            let manifest = Manifest::read(disk, &folder)?;
            if manifest.is_some_and(|manifest| manifest.is_of_another(node.as_deref())) {
                return Err(BackupError::OfAnother(folder));
            }
        }
        Ok(())
    }

    /// Removes all but the newest.
    fn prune(&self, disk: &dyn Disk) -> Result<(), FileError> {
        let whole = self.list(disk)?;
        let surplus = whole.len().saturating_sub(self.keep);
        for (_, folder) in whole.iter().take(surplus) {
            let old = beside(folder, "old");
            rename(disk, folder, &old)?;
            remove(disk, &old)?;
        }
        Ok(())
    }

    /// Removes what was killed while it was made or removed.
    fn clean(&self, disk: &dyn Disk) -> Result<(), FileError> {
        let names = disk
            .list(&self.to)
            .map_err(FileError::of("list", &self.to))?;
        for left in names {
            let stem = left.strip_suffix(".new").or(left.strip_suffix(".old"));
            let stem = stem.and_then(|stem| stem.strip_prefix('.'));
            if stem.is_some_and(is_name) {
                remove(disk, &self.to.join(&left))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use quire_disk::{OsDisk, replace_file};

    use super::*;

    /// The data directory of a node that has this certificate.
    fn node(data: &Path, certificate: &str) -> Source {
        let folder = data.join("identities/node/msp/signcerts");
        make_dir(&OsDisk, &folder).unwrap();
        replace_file(&OsDisk, &folder.join("cert.pem"), certificate.as_bytes()).unwrap();
        Source {
            data: data.to_owned(),
            channels: BTreeMap::new(),
            trouble: Vec::new(),
            identities: true,
        }
    }

    #[test]
    fn a_folder_with_the_backups_of_another_node_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let one = node(&root.path().join("one"), "one");
        let other = node(&root.path().join("other"), "other");
        let kept = Kept {
            to: root.path().join("backups"),
            keep: 1,
        };
        let at = |second: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_000 + second);
        let add = |source, second| kept.add(&OsDisk, source, at(second), &mut |_| ());
        let made = add(&one, 0).unwrap();
        let refused = add(&other, 60).unwrap_err();
        assert!(matches!(refused, BackupError::OfAnother(_)), "{refused}");
        let refused = make(&OsDisk, &other, &made.path, None, at(60), &mut |_| ());
        let refused = refused.unwrap_err();
        assert!(matches!(refused, BackupError::OfAnother(_)), "{refused}");
        add(&one, 120).unwrap();
        assert_eq!(kept.list(&OsDisk).unwrap().len(), 1);
    }
}
