//! Who else may look into a data directory: nobody. Its folders have mode 0700 and its files 0600.
//!
//! What this process makes there has such modes whatever the umask it was started with: [`own_umask`].
//! What is there already, or was copied there by hand, is mended at a start: [`mend`].

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use crate::data_directory::{self, PathError, whose};
use crate::directory::Part;
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
    for loose in look(data)? {
        may_mend(&loose, rustix::process::geteuid().as_raw())?;
    }
    Ok(())
}

/// Closes a data directory to others, and says so in the log.
pub(crate) fn mend(data: &Path) -> Result<(), ModeError> {
    let all = look(data)?;
    for (count, loose) in all.iter().enumerate() {
        may_mend(loose, rustix::process::geteuid().as_raw())?;
        let Loose {
            path, mode, wanted, ..
        } = loose;
        match fs::set_permissions(path, fs::Permissions::from_mode(*wanted)) {
            // The embedded engine, or a command, has removed it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            done => done.map_err(|source| ModeError::Change {
                path: path.clone(),
                source,
            })?,
        }
        if count < TOLD {
            tracing::warn!(
                path = %path.display(),
                before = format!("{mode:04o}"),
                now = format!("{wanted:04o}"),
                "was open to other users of this machine, and is not any more"
            );
        }
    }
    if let Some(more) = all.len().checked_sub(TOLD).filter(|more| *more > 0) {
        tracing::warn!(more, "files and folders were open to other users, too");
    }
    Ok(())
}

/// Whether a user may change the mode of what is loose.
fn may_mend(loose: &Loose, user: u32) -> Result<(), ModeError> {
    const ROOT: u32 = 0;
    if user == ROOT || user == loose.owner {
        return Ok(());
    }
    Err(ModeError::Foreign {
        path: loose.path.clone(),
        mode: loose.mode,
        owner: loose.owner,
    })
}

/// What of a data directory is open to others; nothing where there is none yet.
fn look(data: &Path) -> Result<Vec<Loose>, ModeError> {
    let mut found = Vec::new();
    let Some(metadata) = existing(data, fs::metadata(data))? else {
        return Ok(found);
    };
    if let Some(loose) = loose(data, &metadata) {
        // Its mode is not ours to change where others keep their things in it.
        if let Err(PathError::Other { path, found }) = data_directory::may_be_made(data) {
            let mode = loose.mode;
            return Err(ModeError::Shared { path, mode, found });
        }
        found.push(loose);
    }
    for path in children(data)? {
        let name = path.strip_prefix(data).unwrap_or(&path);
        // What else lies there is somebody else's, as files of query indexes are the operator's.
        if name != Path::new(migrations::FOLDER) && Part::of(name).is_some() {
            look_at(&path, DEPTH, &mut found)?;
        }
    }
    Ok(found)
}

/// Looks at a file or folder and all that is in it. A link is followed where its owner is the one of what
/// it leads to: others may have put it there.
fn look_at(path: &Path, depth: usize, found: &mut Vec<Loose>) -> Result<(), ModeError> {
    let Some(own) = existing(path, fs::symlink_metadata(path))? else {
        return Ok(());
    };
    let metadata = if own.is_symlink() {
        match existing(path, fs::metadata(path))? {
            Some(target) if target.uid() == own.uid() => target,
            _ => return Ok(()),
        }
    } else {
        own
    };
    found.extend(loose(path, &metadata));
    if metadata.is_dir() && depth > 0 {
        for child in children(path)? {
            look_at(&child, depth - 1, found)?;
        }
    }
    Ok(())
}

fn loose(path: &Path, metadata: &Metadata) -> Option<Loose> {
    let mode = metadata.permissions().mode() & 0o7777;
    let most = if metadata.is_dir() { FOLDER } else { FILE };
    (mode & OTHERS != 0).then(|| Loose {
        path: path.to_owned(),
        mode,
        wanted: mode & most,
        owner: metadata.uid(),
    })
}

/// What is known of a path; none where there is nothing.
fn existing(path: &Path, looked: io::Result<Metadata>) -> Result<Option<Metadata>, ModeError> {
    match looked {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ModeError::Look {
            path: path.to_owned(),
            source,
        }),
    }
}

/// What is in a folder; nothing where it has gone, or is none.
fn children(path: &Path) -> Result<Vec<PathBuf>, ModeError> {
    let listed = fs::read_dir(path).and_then(|entries| {
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        paths.collect::<io::Result<Vec<_>>>()
    });
    match listed {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        other => other.map_err(|source| ModeError::Look {
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn only_its_owner_and_root_may_close_what_is_open_to_others() {
        let loose = Loose {
            path: "data/lock".into(),
            mode: 0o644,
            wanted: 0o600,
            owner: 1000,
        };
        assert!(may_mend(&loose, 1000).is_ok());
        assert!(may_mend(&loose, 0).is_ok());
        let refused = may_mend(&loose, 1001).unwrap_err();
        let told = refused.to_string();
        assert!(
            told.contains("mode 0644") && told.contains("id 1000"),
            "{told}"
        );
        assert!(refused.advice().contains("chmod go= data/lock"));
    }

    #[test]
    fn what_is_quires_is_closed_and_nothing_else_is_touched() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        for folder in [
            "id-store",
            "channels/main/cut-1",
            "identities/node/msp",
            "migrations",
            "notes",
        ] {
            fs::create_dir_all(data.join(folder)).unwrap();
        }
        let files = [
            ("channels/main/blockfile_000000", 0o644, 0o600),
            ("channels/main/cut-1/blockfile_000003", 0o640, 0o600),
            ("id-store/main.json", 0o444, 0o400),
            ("identities/node/msp/priv_sk", 0o777, 0o600),
            ("lock", 0o600, 0o600),
            ("migrations/0001-a.json", 0o644, 0o644),
            ("notes/letter", 0o644, 0o644),
        ];
        for (path, before, _) in files {
            fs::write(data.join(path), "x").unwrap();
            set(&data.join(path), before);
        }
        let folders = [
            "",
            "channels",
            "channels/main",
            "channels/main/cut-1",
            "id-store",
        ];
        for folder in folders {
            set(&data.join(folder), 0o2755);
        }
        check(&data).unwrap();
        assert_eq!(mode(&data), 0o2755, "a check changes nothing");
        mend(&data).unwrap();
        for (path, _, after) in files {
            assert_eq!(mode(&data.join(path)), after, "{path}");
        }
        for folder in folders {
            assert_eq!(mode(&data.join(folder)), 0o700, "{folder}");
        }
        assert_eq!(look(&data).unwrap(), []);
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_not_closed() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        fs::create_dir(&home).unwrap();
        set(&home, 0o755);
        mend(&home).unwrap();
        assert_eq!(mode(&home), 0o700, "an empty one is");
        fs::write(home.join("letter"), "x").unwrap();
        check(&home).unwrap();
        set(&home, 0o755);
        let refused = check(&home).unwrap_err();
        assert!(refused.to_string().contains("holds letter"), "{refused}");
        assert!(mend(&home).is_err());
        assert_eq!(mode(&home), 0o755);
        check(&root.path().join("nothing")).unwrap();
    }

    #[test]
    fn a_link_of_somebody_else_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (data, elsewhere) = (root.path().join("data"), root.path().join("elsewhere"));
        fs::create_dir_all(data.join("id-store")).unwrap();
        fs::create_dir_all(elsewhere.join("main")).unwrap();
        set(&elsewhere, 0o755);
        std::os::unix::fs::symlink(&elsewhere, data.join("channels")).unwrap();
        std::os::unix::fs::symlink("nowhere", data.join("derived")).unwrap();
        let nobody = 65_534;
        if std::os::unix::fs::lchown(data.join("channels"), Some(nobody), None).is_ok() {
            mend(&data).unwrap();
            assert_eq!(mode(&elsewhere), 0o755);
            let own = rustix::process::geteuid().as_raw();
            std::os::unix::fs::lchown(data.join("channels"), Some(own), None).unwrap();
        }
        mend(&data).unwrap();
        assert_eq!(mode(&elsewhere), 0o700);
        assert_eq!(mode(&elsewhere.join("main")), 0o700);
    }
}
