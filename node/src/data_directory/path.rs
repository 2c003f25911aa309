//! Is there what a path names? Asked before anything is opened, because what opens a data directory
//! makes one.
//!
//! ```text
//! must be there     check, blocks, channel list|fetch, token, rebuild, repair, truncate-tail, migrate
//! made if need be   run, channel create, channel import
//! ```

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::backup::UNFINISHED;

/// What every data directory has, from its first moment on.
const ID_STORE: &str = "id-store";
/// What else tells one, should that be lost.
const OTHERS: [&str; 4] = ["channels", "organization", "identities", "derived"];
/// What may lie in a folder before there is a data directory in it: files of query indexes, and what
/// a file system puts into its root.
const BEFOREHAND: [&str; 2] = ["migrations", "lost+found"];
/// What is there of a data directory whose node is about to join an organisation.
const JOINING: [&str; 6] = [
    "joining",
    ".joining.new",
    "lock",
    "organization",
    ".organization.new",
    "identities",
];
/// How many names of a folder are looked at, and told, when something near is sought.
const NAMES: usize = 1_000;
const TOLD: usize = 3;

/// Why a path is not what a command needs. Nothing was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathError {
    #[error("there is no data directory at {}", .0.display())]
    Missing(PathBuf),
    #[error("{} is an empty folder, and not a data directory", .0.display())]
    Empty(PathBuf),
    #[error("{} is a file, and not a data directory", .0.display())]
    File(PathBuf),
    #[error("{} is not a data directory: it has no {ID_STORE}, and holds {found}", path.display())]
    Other { path: PathBuf, found: String },
    #[error("{} has lost its {ID_STORE}, which says which channels there are", .0.display())]
    Lost(PathBuf),
    #[error("a restore to {} was begun, and is not finished", .0.display())]
    Unrestored(PathBuf),
    #[error("{} cannot be looked into", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} has no organisation: no node has run there", .0.display())]
    NoOrganization(PathBuf),
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("{} holds no block files", .0.display())]
    NoBlockFiles(PathBuf),
    #[error("the block files in {} hold no block", .0.display())]
    NoBlock(PathBuf),
}

impl PathError {
    /// What would be right.
    pub(crate) fn advice(&self) -> String {
        match self {
            Self::Missing(path) | Self::Empty(path) => near(path).unwrap_or_else(|| {
                format!(
                    "--data DIR or QUIRE_DATA names it. `quire run --data {0}` makes one and starts a \
                     node, `quire channel create main --data {0}` only makes one.",
                    path.display()
                )
            }),
            Self::File(path) | Self::Other { path, .. } => near(path).unwrap_or_else(|| {
                "--data DIR or QUIRE_DATA names a folder of its own, which `quire run --data DIR` makes."
                    .to_owned()
            }),
            Self::Lost(path) => format!(
                "Restore it from a copy. `quire check --data {}` tells what else is wrong.",
                path.display()
            ),
            Self::Unrestored(path) => format!(
                "`quire restore BACKUP --data {}` begins it again, or finishes it.",
                path.display()
            ),
            Self::NoOrganization(path) => format!(
                "`quire run --data {0}` makes one and starts a node, `quire channel create main \
                 --data {0}` only makes one.",
                path.display()
            ),
            Self::Unreadable { path, source } => match source.kind() {
                ErrorKind::PermissionDenied => whose(path),
                _ => "Is the path right? --data DIR or QUIRE_DATA names the data directory."
                    .to_owned(),
            },
            Self::NoFolder(path)
            | Self::NotAFolder(path)
            | Self::NoBlockFiles(path)
            | Self::NoBlock(path) => {
                let near = with_block_files(path);
                if near.is_empty() {
                    "Give the folder with blockfile_000000 and on: channels/NAME of a data directory, \
                     or ledgersData/chains/chains/NAME of a Fabric peer."
                        .to_owned()
                } else {
                    format!("There are some in {}.", near.join(", "))
                }
            }
        }
    }
}

/// Makes sure that there is a data directory.
pub(crate) fn must_be(path: &Path) -> Result<(), PathError> {
    let names = match names_in(path) {
        Ok(names) => names,
        Err(error) => return Err(not_listed(path, error)),
    };
    let has = |name: &&str| path.join(name).symlink_metadata().is_ok();
    if has(&ID_STORE) {
        return Ok(());
    }
    Err(if has(&UNFINISHED) {
        PathError::Unrestored(path.to_owned())
    } else if OTHERS.iter().any(has) {
        PathError::Lost(path.to_owned())
    } else if names.is_empty() {
        PathError::Empty(path.to_owned())
    } else {
        let found = told(names);
        let path = path.to_owned();
        PathError::Other { path, found }
    })
}

/// The same for who tells what is wrong with one: much may be missing of it.
pub(crate) fn must_be_whole_or_not(path: &Path) -> Result<(), PathError> {
    match must_be(path) {
        Err(PathError::Lost(_) | PathError::Other { .. }) if has_remains(path) => Ok(()),
        other => other,
    }
}

/// Makes sure that there is a data directory, or that one can be made; whether one is to be made.
pub(crate) fn may_be_made(path: &Path) -> Result<bool, PathError> {
    match must_be(path) {
        Ok(()) => Ok(false),
        Err(PathError::Missing(_) | PathError::Empty(_)) => Ok(true),
        Err(PathError::Other { path, found }) => {
            let names = names_in(&path).unwrap_or_default();
            let beforehand = |name: &String| BEFOREHAND.contains(&name.as_str());
            if names.iter().all(beforehand) {
                Ok(true)
            } else {
                Err(PathError::Other { path, found })
            }
        }
        Err(other) => Err(other),
    }
}

/// Makes sure that a node can join an organisation there: that there is a data directory, or one can be made, or somebody
/// was interrupted.
pub(crate) fn may_be_joined(path: &Path) -> Result<(), PathError> {
    match may_be_made(path) {
        Err(error @ (PathError::Lost(_) | PathError::Other { .. })) => {
            let names = names_in(path).unwrap_or_default();
            let has_begun = names
                .iter()
                .any(|name| JOINING.iter().take(3).any(|one| name == one));
            let is_alone = names.iter().all(|name| {
                let known = JOINING.iter().chain(&BEFOREHAND).chain(&OTHERS);
                known.into_iter().any(|known| name == known)
            });
            if has_begun && is_alone {
                Ok(())
            } else {
                Err(error)
            }
        }
        other => other.map(|_| ()),
    }
}

/// Makes sure that a node could have its data there, whatever else is in the folder.
pub(crate) fn may_be_run_on(path: &Path) -> Result<(), PathError> {
    match must_be(path) {
        Err(
            error @ (PathError::File(_) | PathError::Unreadable { .. } | PathError::Unrestored(_)),
        ) => Err(error),
        _ => Ok(()),
    }
}

/// Makes sure that a data directory has an organisation to make an identity in.
pub(crate) fn must_have_organization(path: &Path) -> Result<(), PathError> {
    let has = |name: &str| path.join(name).symlink_metadata().is_ok();
    if !has("organization") && !has("identities") {
        return Err(PathError::NoOrganization(path.to_owned()));
    }
    Ok(())
}

/// Makes sure that a folder has block files.
pub(crate) fn must_have_block_files(path: &Path) -> Result<(), PathError> {
    match names_in(path) {
        Ok(names) if names.iter().any(|name| is_block_file(name)) => Ok(()),
        Ok(_) => Err(PathError::NoBlockFiles(path.to_owned())),
        Err(error) => Err(no_folder(path, error)),
    }
}

fn no_folder(path: &Path, source: io::Error) -> PathError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound => PathError::NoFolder(path),
        ErrorKind::NotADirectory => PathError::NotAFolder(path),
        _ => PathError::Unreadable { path, source },
    }
}

/// The folders of block files in the folder `ledgersData` of a peer, by their names.
pub(crate) fn must_have_chains(ledgers_data: &Path) -> Result<Vec<PathBuf>, PathError> {
    let chains = ledgers_data.join("chains/chains");
    // All of them, however many.
    let entries = std::fs::read_dir(&chains).map_err(|error| no_folder(&chains, error))?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut found = entries
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| no_folder(&chains, error))?;
    found.retain(|folder| must_have_block_files(folder).is_ok());
    found.sort_unstable();
    if found.is_empty() {
        return Err(PathError::NoBlockFiles(chains));
    }
    Ok(found)
}

fn not_listed(path: &Path, source: io::Error) -> PathError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound => PathError::Missing(path),
        ErrorKind::NotADirectory if path.is_file() => PathError::File(path),
        _ => PathError::Unreadable { path, source },
    }
}

/// The names in a folder, in order; a great many are not all looked at.
fn names_in(path: &Path) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(path)?.take(NAMES);
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn told(names: Vec<String>) -> String {
    let more = names.len().saturating_sub(TOLD);
    let mut names: Vec<_> = names.into_iter().take(TOLD).collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// Says which data directories are near: the one that a path is in, those in it, or those beside it.
fn near(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let above = path.ancestors().skip(1).find(|above| is_one(above));
    let mut near: Vec<PathBuf> = above.map(Path::to_owned).into_iter().collect();
    for folder in [Some(path.as_path()), path.parent()].into_iter().flatten() {
        if near.is_empty() {
            near = children(folder);
            near.retain(|child| is_one(child));
        }
    }
    let named = near.iter().take(TOLD).map(|one| one.display().to_string());
    let named: Vec<_> = named.collect();
    let is = if named.len() == 1 {
        "is one"
    } else {
        "are some"
    };
    let text = format!(
        "--data DIR or QUIRE_DATA names it: {} {is}.",
        named.join(", ")
    );
    (!named.is_empty()).then_some(text)
}

/// Whether there is anything that only a data directory has.
fn has_remains(data: &Path) -> bool {
    let of_ours = [
        "id-store",
        "channels",
        "organization",
        "identities",
        "tokens",
        "ca",
        "derived",
    ];
    of_ours.iter().any(|name| data.join(name).exists())
}

/// Whether a folder is a data directory.
fn is_one(path: &Path) -> bool {
    path.join(ID_STORE).is_dir() && path.join("channels").is_dir()
}

/// Folders with block files in a folder, or one further down.
fn with_block_files(path: &Path) -> Vec<String> {
    let below = children(path);
    let further = below.iter().flat_map(|child| children(child));
    let mut found: Vec<_> = below
        .iter()
        .cloned()
        .chain(further)
        .filter(|folder| must_have_block_files(folder).is_ok())
        .map(|folder| folder.display().to_string())
        .take(TOLD)
        .collect();
    found.sort_unstable();
    found
}

fn children(path: &Path) -> Vec<PathBuf> {
    let names = names_in(path).unwrap_or_default().into_iter();
    names.map(|name| path.join(name)).collect()
}

fn is_block_file(name: &str) -> bool {
    let number = name.strip_prefix("blockfile_");
    number
        .is_some_and(|number| number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Who may look into a folder.
pub(crate) fn whose(path: &Path) -> String {
    let owner = path
        .ancestors()
        .filter(|path| *path != OsStr::new(""))
        .find_map(|path| Some(std::fs::metadata(path).ok()?.uid()));
    match owner {
        Some(owner) => format!("It belongs to the user with id {owner}: run this as that user."),
        None => "Run this as the user that it belongs to.".to_owned(),
    }
}
