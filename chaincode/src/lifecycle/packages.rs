//! The packages that a node keeps.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use quire_disk::{Disk, FileError, make_dir, read_file, remove_leftovers, replace_file};
use quire_wire::hash::sha256;

use super::package::{MAX_PACKAGE_BYTES, Package, PackageError, package_id};

/// Most packages of a node.
pub const MAX_PACKAGES: usize = 1000;
/// Most bytes of all packages of a node together.
pub const MAX_PACKAGES_BYTES: u64 = 4 << 30;
/// The end of a file's name, as Fabric's peers have it.
const SUFFIX: &str = ".tar.gz";

/// The packages of a node: what `_lifecycle` installs.
pub trait Packages: Send + Sync + Debug {
    /// Keeps a package; durable on return.
    ///
    /// # Errors
    /// If the bytes are no package, it is kept already, or it cannot be kept.
    fn install(&self, source: &[u8]) -> Result<Installed, PackagesError>;

    /// What is kept, in the order of the ids.
    fn installed(&self) -> Vec<Installed>;

    /// The bytes of a package; none where it is not kept.
    ///
    /// # Errors
    /// If they cannot be read, or are no longer what they were.
    fn get(&self, package_id: &str) -> Result<Option<Bytes>, PackagesError>;

    /// Has it told, as long as it lives, whenever another package is kept.
    fn tell(&self, who: Weak<dyn OnInstall>);
}

/// Who wants to know of packages that are installed.
pub trait OnInstall: Send + Sync + Debug {
    /// Another package is kept. Called on the thread that installed it, before it answers.
    fn installed(&self);
}

/// A package that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its id, `label:hash`.
    pub package_id: String,
    /// Its label.
    pub label: String,
}

/// Why a package cannot be kept, or not be read.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// The bytes are no package.
    #[error("could not parse as a chaincode install package: {0}")]
    Package(#[from] PackageError),
    /// It is kept already.
    #[error("chaincode already successfully installed (package ID '{0}')")]
    Already(String),
    /// The node keeps as many as it may.
    #[error(
        "could not save cc install package: a node keeps at most {MAX_PACKAGES} packages, and \
         {0} bytes of them"
    )]
    Full(u64),
    /// The disk failed.
    #[error("could not access cc install package: {0}")]
    File(#[from] FileError),
    /// A file is not what was written.
    #[error("cc install package {0} is damaged on this node's disk; install it again")]
    Damaged(String),
}

/// Packages as files of a folder, named as Fabric's peers name them: `<label>.<hash>.tar.gz`.
#[derive(Debug)]
pub struct PackageFiles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    max_bytes: u64,
    kept: Mutex<BTreeMap<String, Kept>>,
    told: Mutex<Vec<Weak<dyn OnInstall>>>,
}

#[derive(Debug)]
struct Kept {
    label: String,
    bytes: u64,
}

/// A file that is no package, or not the one that its name says.
#[derive(Debug)]
pub struct DamagedPackage {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl PackageFiles {
    /// The packages of a folder, which is made where it is missing. What is damaged is told and passed over.
    ///
    /// # Errors
    /// As the file system says.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        max_bytes: u64,
    ) -> Result<(Self, Vec<DamagedPackage>), FileError> {
        make_dir(&*disk, folder)?;
        remove_leftovers(&*disk, folder)?;
        let names = disk.list(folder).map_err(FileError::of("list", folder))?;
        let (mut kept, mut damaged) = (BTreeMap::new(), Vec::new());
        for name in names.iter().filter(|name| name.ends_with(SUFFIX)) {
            let file = folder.join(name);
            match examine(&*disk, &file, name) {
                Ok((package_id, found)) => drop(kept.insert(package_id, found)),
                Err(reason) => damaged.push(DamagedPackage { file, reason }),
            }
        }
        let files = Self {
            disk,
            folder: folder.to_path_buf(),
            max_bytes,
            kept: Mutex::new(kept),
            told: Mutex::default(),
        };
        Ok((files, damaged))
    }

    fn file(&self, package_id: &str) -> PathBuf {
        self.folder.join(file_name(package_id))
    }
}

impl Packages for PackageFiles {
    fn install(&self, source: &[u8]) -> Result<Installed, PackagesError> {
        let package = Package::read(source)?;
        package.check_code()?;
        let label = package.metadata.label;
        let package_id = package_id(&label, source);
        let bytes = u64::try_from(source.len()).unwrap_or(u64::MAX);
        // Held while the file is written: two that came at once would both be counted as new.
        let mut kept = self.kept.lock();
        if kept.contains_key(&package_id) {
            return Err(PackagesError::Already(package_id));
        }
        let sum: u64 = kept.values().map(|kept| kept.bytes).sum();
        if kept.len() >= MAX_PACKAGES || sum.saturating_add(bytes) > self.max_bytes {
            return Err(PackagesError::Full(self.max_bytes));
        }
        replace_file(&*self.disk, &self.file(&package_id), source)?;
        let found = Kept {
            label: label.clone(),
            bytes,
        };
        kept.insert(package_id.clone(), found);
        // They ask what is installed.
        drop(kept);
        let told: Vec<_> = self.told.lock().iter().filter_map(Weak::upgrade).collect();
        for one in told {
            one.installed();
        }
        Ok(Installed { package_id, label })
    }

    fn installed(&self) -> Vec<Installed> {
        let kept = self.kept.lock();
        let kept = kept.iter().map(|(package_id, kept)| Installed {
            package_id: package_id.clone(),
            label: kept.label.clone(),
        });
        kept.collect()
    }

    fn get(&self, package_id: &str) -> Result<Option<Bytes>, PackagesError> {
        if !self.kept.lock().contains_key(package_id) {
            return Ok(None);
        }
        let source = read(&*self.disk, &self.file(package_id))?;
        if !package_id.ends_with(&hash(&source)) {
            return Err(PackagesError::Damaged(package_id.to_owned()));
        }
        Ok(Some(source.into()))
    }

    fn tell(&self, who: Weak<dyn OnInstall>) {
        let mut told = self.told.lock();
        told.retain(|one| one.strong_count() > 0);
        told.push(who);
    }
}

/// A package of a folder, by the name of its file; or what is wrong with it.
fn examine(disk: &dyn Disk, file: &Path, name: &str) -> Result<(String, Kept), String> {
    let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
    let parts = stem.rsplit_once('.');
    let (label, named) = parts.ok_or("its name is not <label>.<hash>.tar.gz")?;
    let source = read(disk, file).map_err(|error| error.to_string())?;
    if hash(&source) != named {
        return Err("its content is not what its name says".to_owned());
    }
    let bytes = u64::try_from(source.len()).unwrap_or(u64::MAX);
    let package = Package::read(&source).map_err(|error| error.to_string())?;
    if package.metadata.label != label {
        return Err(format!("its label is {:?}", package.metadata.label));
    }
    let label = label.to_owned();
    Ok((format!("{label}:{named}"), Kept { label, bytes }))
}

fn read(disk: &dyn Disk, file: &Path) -> Result<Vec<u8>, FileError> {
    read_file(
        disk,
        file,
        u64::try_from(MAX_PACKAGE_BYTES).unwrap_or(u64::MAX),
    )
}

fn hash(source: &[u8]) -> String {
    hex::encode(sha256([source]))
}

/// The name of a package's file.
fn file_name(package_id: &str) -> String {
    format!("{}{SUFFIX}", package_id.replace(':', "."))
}

#[cfg(test)]
#[path = "packages/tests.rs"]
mod tests;
