//! What kind of chaincode a folder holds, how it is built, and how it is started: as Fabric's builders do.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Most names of a folder that are looked at for what to start.
const MAX_NAMES: usize = 10_000;

/// What kind of chaincode a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `package.json`: npm installs what it needs, and `npm start` starts it.
    Node,
    /// `go.mod`: the toolchain builds it.
    Go,
    /// One `*.jar` that can be started.
    Java(PathBuf),
    /// One executable file, and nothing of the above.
    Binary(PathBuf),
}

/// Why a folder is no chaincode that can be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KindError {
    /// The folder cannot be read.
    #[error("cannot read {}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Nothing in it can be started.
    #[error(
        "{} holds no chaincode: no package.json, no go.mod, no jar and no executable file",
        .0.display()
    )]
    Nothing(PathBuf),
    /// Which file of several is the chaincode cannot be told.
    #[error("{} holds {count} {what}: which of them is the chaincode cannot be told", dir.display())]
    Several {
        /// The folder.
        dir: PathBuf,
        /// How many.
        count: usize,
        /// Of what.
        what: &'static str,
    },
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
}

impl Program {
    fn new(program: impl Into<OsString>, args: &[&str]) -> Self {
        Self {
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
        }
    }
}

impl Kind {
    /// Looks at a folder.
    pub(crate) fn of(dir: &Path) -> Result<Self, KindError> {
        let failed = |source| KindError::Io {
            dir: dir.to_owned(),
            source,
        };
        if dir.join("package.json").is_file() {
            return Ok(Self::Node);
        }
        if dir.join("go.mod").is_file() {
            return Ok(Self::Go);
        }
        let mut jars = Vec::new();
        let mut executables = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)?.take(MAX_NAMES) {
            let path = entry.map_err(failed)?.path();
            let metadata = fs::metadata(&path).map_err(failed)?;
            if !metadata.is_file() {
                continue;
            }
            if path.extension().is_some_and(|extension| extension == "jar") {
                jars.push(path);
            } else if metadata.permissions().mode() & 0o111 != 0 {
                executables.push(path);
            }
        }
        let several = |count, what| KindError::Several {
            dir: dir.to_owned(),
            count,
            what,
        };
        match (jars.pop(), executables.pop()) {
            (Some(_), _) if !jars.is_empty() => Err(several(jars.len() + 1, "jars")),
            (Some(jar), _) => Ok(Self::Java(jar)),
            (None, Some(_)) if !executables.is_empty() => {
                Err(several(executables.len() + 1, "executable files"))
            }
            (None, Some(executable)) => Ok(Self::Binary(executable)),
            (None, None) => Err(KindError::Nothing(dir.to_owned())),
        }
    }

    /// What has to run in the folder before the chaincode can be started there, in this order.
    pub(crate) fn builds(&self, dir: &Path) -> Vec<Program> {
        match self {
            Self::Node if dir.join("node_modules").is_dir() => Vec::new(),
            Self::Node if LOCKED.iter().any(|file| dir.join(file).is_file()) => {
                vec![Program::new(
                    "npm",
                    &["ci", "--omit=dev", "--no-audit", "--no-fund"],
                )]
            }
            Self::Node => vec![Program::new(
                "npm",
                &["install", "--omit=dev", "--no-audit", "--no-fund"],
            )],
            Self::Go if dir.join("vendor").is_dir() => vec![Program::new(
                "go",
                &["build", "-mod=vendor", "-o", GO_BINARY, "."],
            )],
            Self::Go => vec![Program::new(
                "go",
                &["build", "-mod=mod", "-o", GO_BINARY, "."],
            )],
            Self::Java(_) | Self::Binary(_) => Vec::new(),
        }
    }

    /// What starts the chaincode in the folder. The shims read where the peer is, and under which name to
    /// register, from the environment, and from these arguments where one of them wants them there.
    pub(crate) fn start(&self, dir: &Path, id: &str, peer: &str) -> Program {
        match self {
            Self::Node => Program::new("npm", &["start", "--", "--peer.address", peer]),
            Self::Go => {
                let address = format!("-peer.address={peer}");
                Program::new(dir.join(GO_BINARY), &[&address])
            }
            Self::Java(jar) => {
                let mut java = Program::new("java", &["-jar"]);
                java.args.push(jar.into());
                let more = ["--peerAddress", peer, "--id", id];
                java.args.extend(more.map(OsString::from));
                java
            }
            Self::Binary(binary) => {
                let address = format!("-peer.address={peer}");
                Program::new(binary, &[&address])
            }
        }
    }
}

/// Where npm has the exact versions of what a package needs.
const LOCKED: [&str; 2] = ["package-lock.json", "npm-shrinkwrap.json"];
/// The file that Go's toolchain makes, in the folder of the chaincode.
const GO_BINARY: &str = "chaincode.bin";

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, u32)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in files {
            let path = dir.path().join(name);
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        dir
    }

    #[test]
    fn a_folder_tells_what_kind_of_chaincode_it_holds() {
        let kind = |files: &[(&str, u32)]| {
            let dir = folder(files);
            let kind = Kind::of(dir.path());
            kind.map(|kind| match kind {
                Kind::Node => "node".to_owned(),
                Kind::Go => "go".to_owned(),
                Kind::Java(path) | Kind::Binary(path) => {
                    path.file_name().unwrap().to_string_lossy().into_owned()
                }
            })
        };
        let plain = 0o644;
        assert_eq!(
            kind(&[("package.json", plain), ("run", 0o755)]).unwrap(),
            "node"
        );
        assert_eq!(
            kind(&[("go.mod", plain), ("main.go", plain)]).unwrap(),
            "go"
        );
        assert_eq!(
            kind(&[("a.jar", plain), ("README", plain)]).unwrap(),
            "a.jar"
        );
        assert_eq!(kind(&[("run", 0o755), ("README", plain)]).unwrap(), "run");
        assert!(matches!(
            kind(&[("README", plain)]),
            Err(KindError::Nothing(_))
        ));
        let two = [("a", 0o755), ("b", 0o755)];
        assert!(matches!(
            kind(&two),
            Err(KindError::Several { count: 2, .. })
        ));
        let two = [("a.jar", plain), ("b.jar", plain)];
        assert!(matches!(
            kind(&two),
            Err(KindError::Several { count: 2, .. })
        ));
    }

    #[test]
    fn what_npm_installed_is_not_installed_again() {
        let dir = folder(&[("package.json", 0o644)]);
        assert_eq!(Kind::Node.builds(dir.path())[0].args[0], "install");
        for locked in LOCKED {
            let dir = folder(&[("package.json", 0o644), (locked, 0o644)]);
            assert_eq!(Kind::Node.builds(dir.path())[0].args[0], "ci", "{locked}");
        }
        fs::create_dir(dir.path().join("node_modules")).unwrap();
        assert_eq!(Kind::Node.builds(dir.path()), []);
    }
}
