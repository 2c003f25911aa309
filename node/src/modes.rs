//! Who else may look into a data directory: nobody. Its folders have mode 0700 and its files 0600.
//!
//! What this process makes there has such modes whatever the umask it was started with: [`own_umask`].
//! What is there already, or was copied there by hand, is mended at a start: [`mend`].
//!
//! While a folder is open to others, they may exchange what is in it for a link to something else of the
//! same owner. So everything below the data directory is opened from the folder that it is in, never through
//! a link, and the mode of what was opened is changed. What the operator put behind a link is looked at, and
//! refused where it is open: nothing is changed there.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};

use crate::data_directory::Part;
use crate::data_directory::path::{PathError, may_be_made, whose};
use crate::migrations;

/// What everybody but the owner may do.
const OTHERS: u32 = 0o077;
/// What the owner may do, with a folder and with a file.
const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;
/// How far down a data directory goes, and more.
const DEPTH: usize = 12;
/// Files and folders that were mended and are told one by one.
const TOLD: usize = 20;

/// Who may do everything.
const ROOT: u32 = 0;

/// A file or folder that is open to others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Loose {
    path: PathBuf,
    /// Its permissions.
    mode: u32,
    wanted: u32,
    owner: u32,
}

/// Why a data directory is not closed to others.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModeError {
    #[error(
        "{} is open to other users of this machine (mode {mode:04o}), and belongs to the user with id \
         {owner}, so that it cannot be closed to them", path.display()
    )]
    Foreign {
        path: PathBuf,
        mode: u32,
        owner: u32,
    },
    #[error(
        "{} is open to other users of this machine (mode {mode:04o}), and is not a data directory's alone: \
         it holds {found}", path.display()
    )]
    Shared {
        path: PathBuf,
        mode: u32,
        found: String,
    },
    #[error(
        "{} is open to other users of this machine (mode {mode:04o}), and a link leads to it: nothing is \
         changed behind a link", path.display()
    )]
    BehindLink { path: PathBuf, mode: u32 },
    #[error("{} cannot be looked at", path.display())]
    Look { path: PathBuf, source: io::Error },
    #[error("the mode of {} cannot be changed", path.display())]
    Change { path: PathBuf, source: io::Error },
}

impl ModeError {
    /// What to do about it.
    pub(crate) fn advice(&self) -> String {
        match self {
            Self::Foreign { path, owner, .. } => format!(
                "Run Quire as the user with id {owner}, or give the data directory to the user that Quire \
                 runs as: `chown -R USER DIR`. Or close it as its owner: `chmod go= {}`. Where it is a \
                 volume that cannot be closed, give a folder inside: --data DIR/quire.",
                path.display()
            ),
            Self::Shared { path, .. } => format!(
                "Give a folder of its own: --data {0}/quire. Or close this one: `chmod go= {0}`.",
                path.display()
            ),
            Self::BehindLink { path, .. } => {
                let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                format!("Close it: `chmod -R go= {}`.", path.display())
            }
            Self::Look { path, source } | Self::Change { path, source } => match source.kind() {
                ErrorKind::PermissionDenied => whose(path),
                _ => "`dmesg` tells whether the disk failed.".to_owned(),
            },
        }
    }
}

/// Makes everything that this process makes from now on its user's alone, whatever umask it was given.
/// The embedded engine makes its files without saying for whom.
pub(crate) fn own_umask() {
    rustix::process::umask(Mode::from_raw_mode(OTHERS));
}

/// Makes sure that a data directory is closed to others, or can be closed by this process. Changes nothing.
pub(crate) fn check(data: &Path) -> Result<(), ModeError> {
    let user = rustix::process::geteuid().as_raw();
    walk(data, &mut |loose, _| may_mend(&loose, user))
}

/// Closes a data directory to others, and says so in the log.
pub(crate) fn mend(data: &Path) -> Result<(), ModeError> {
    let user = rustix::process::geteuid().as_raw();
    let mut count = 0;
    walk(data, &mut |loose, open| {
        if !close(&loose, user, open)? {
            return Ok(());
        }
        count += 1;
        if count <= TOLD {
            tracing::warn!(
                path = %loose.path.display(),
                before = format!("{:04o}", loose.mode),
                now = format!("{:04o}", loose.wanted),
                "was open to other users of this machine, and is not any more"
            );
        }
        Ok(())
    })?;
    if let Some(more) = count.checked_sub(TOLD).filter(|more| *more > 0) {
        tracing::warn!(more, "files and folders were open to other users, too");
    }
    Ok(())
}

/// Closes what is found to be open; whether it still was. What is opened is judged once more: it may be
/// something else by now.
fn close(loose: &Loose, user: u32, open: Open<'_>) -> Result<bool, ModeError> {
    let failed = |source| ModeError::Change {
        path: loose.path.clone(),
        source,
    };
    let file = match open() {
        // The embedded engine, or a command, has removed it meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        file => file.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    let Some(loose) = Loose::of(&loose.path, metadata.mode(), metadata.uid()) else {
        return Ok(false);
    };
    may_mend(&loose, user)?;
    let closed = fs::Permissions::from_mode(loose.wanted);
    file.set_permissions(closed).map_err(failed)?;
    Ok(true)
}

/// Whether a user may change the mode of what is loose.
fn may_mend(loose: &Loose, user: u32) -> Result<(), ModeError> {
    if user == ROOT || user == loose.owner {
        return Ok(());
    }
    Err(ModeError::Foreign {
        path: loose.path.clone(),
        mode: loose.mode,
        owner: loose.owner,
    })
}

/// Opens what was found, if it is no link.
type Open<'a> = &'a dyn Fn() -> io::Result<File>;
/// Told of everything that is open to others.
type Visit<'a> = &'a mut dyn FnMut(Loose, Open<'_>) -> Result<(), ModeError>;

/// Tells what of a data directory is open to others; nothing where there is none yet.
fn walk(data: &Path, visit: Visit<'_>) -> Result<(), ModeError> {
    let Some(metadata) = existing(data, fs::metadata(data))? else {
        return Ok(());
    };
    // The operator named it, and may have named a link.
    let open = || File::open(data);
    if let Some(loose) = Loose::of(data, metadata.mode(), metadata.uid()) {
        // Its mode is not ours to change where others keep their things in it.
        if let Err(PathError::Other { path, found }) = may_be_made(data) {
            let mode = loose.mode;
            return Err(ModeError::Shared { path, mode, found });
        }
        visit(loose, &open)?;
    }
    let Some(folder) = existing(data, open())? else {
        return Ok(());
    };
    for name in names(&folder, data)? {
        // What else lies there is somebody else's, as files of query indexes are the operator's.
        if name != migrations::FOLDER && Part::of(Path::new(&name)).is_some() {
            look_at(&folder, &name, &data.join(&name), DEPTH, visit)?;
        }
    }
    Ok(())
}

/// Looks at a file or folder, and at all that is in it.
fn look_at(
    folder: &File,
    name: &OsStr,
    path: &Path,
    depth: usize,
    visit: Visit<'_>,
) -> Result<(), ModeError> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    let Some(stat) = existing(path, stat.map_err(io::Error::from))? else {
        return Ok(());
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind.is_symlink() {
        return look_behind(path, stat.st_uid, depth);
    }
    // Nobody listens behind it yet, and it is made anew. It cannot be opened.
    if kind == FileType::Socket {
        return Ok(());
    }
    let open = || {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(folder, name, flags, Mode::empty())?;
        Ok(File::from(file))
    };
    if let Some(loose) = Loose::of(path, stat.st_mode, stat.st_uid) {
        visit(loose, &open)?;
    }
    if kind.is_dir()
        && depth > 0
        && let Some(folder) = existing(path, open())?
    {
        for name in names(&folder, path)? {
            look_at(&folder, &name, &path.join(&name), depth - 1, visit)?;
        }
    }
    Ok(())
}

/// Looks at what a link of this `owner` leads to. A link that is neither root's nor of the owner of what it
/// leads to may have been put there by anybody, and is passed over.
fn look_behind(link: &Path, owner: u32, depth: usize) -> Result<(), ModeError> {
    let Some(target) = existing(link, fs::metadata(link))? else {
        return Ok(());
    };
    if owner != ROOT && owner != target.uid() {
        return Ok(());
    }
    let refuse: Visit<'_> = &mut |loose, _| {
        let Loose { path, mode, .. } = loose;
        Err(ModeError::BehindLink { path, mode })
    };
    let open = || File::open(link);
    if let Some(loose) = Loose::of(link, target.mode(), target.uid()) {
        refuse(loose, &open)?;
    }
    if target.is_dir()
        && depth > 0
        && let Some(folder) = existing(link, open())?
    {
        for name in names(&folder, link)? {
            look_at(&folder, &name, &link.join(&name), depth - 1, refuse)?;
        }
    }
    Ok(())
}

impl Loose {
    /// What is loose of a file or folder of this mode, with its kind, and owner.
    fn of(path: &Path, mode: u32, owner: u32) -> Option<Self> {
        let most = match FileType::from_raw_mode(mode) {
            FileType::Directory => FOLDER,
            _ => FILE,
        };
        let mode = mode & 0o7777;
        (mode & OTHERS != 0).then(|| Self {
            path: path.to_owned(),
            mode,
            wanted: mode & most,
            owner,
        })
    }
}

/// What was found at a path; none where there is nothing.
fn existing<T>(path: &Path, found: io::Result<T>) -> Result<Option<T>, ModeError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ModeError::Look {
            path: path.to_owned(),
            source,
        }),
    }
}

/// What is in a folder.
fn names(folder: &File, path: &Path) -> Result<Vec<OsString>, ModeError> {
    let listed = Dir::read_from(folder).and_then(|entries| {
        let names = entries.map(|entry| {
            let entry = entry?;
            Ok(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        });
        names.collect::<rustix::io::Result<Vec<_>>>()
    });
    let mut names = listed.map_err(|error| ModeError::Look {
        path: path.to_owned(),
        source: error.into(),
    })?;
    names.retain(|name| name != "." && name != "..");
    Ok(names)
}

#[cfg(test)]
mod tests;
