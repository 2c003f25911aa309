//! Installs, starts and stops `pouchdb-server`, which speaks CouchDB's protocol.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);

/// A free port of the loopback.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Installs the server's packages, once for all tests of this build.
fn packages() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ledger/tests/pouchdb");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pouchdb");
    std::fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = std::fs::read(source.join("package-lock.json")).unwrap();
    let stamp = dir.join("installed");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return dir;
    }
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(source.join(file), dir.join(file)).unwrap();
    }
    let npm = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&dir)
        .output()
        .expect("these tests need npm: they run a server that is written for Node");
    let said = String::from_utf8_lossy(&npm.stderr);
    assert!(npm.status.success(), "npm ci failed: {said}");
    std::fs::write(stamp, wanted).unwrap();
    dir
}

/// A running `pouchdb-server` with a folder of its own.
pub(crate) struct PouchDb {
    dir: TempDir,
    port: u16,
    process: Option<Child>,
}

impl PouchDb {
    pub(crate) fn start() -> Self {
        let mut server = Self {
            dir: tempfile::tempdir().unwrap(),
            port: free_port(),
            process: None,
        };
        server.start_again();
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again at the same port, with the data that it kept.
    pub(crate) fn start_again(&mut self) {
        let server = packages().join("node_modules/pouchdb-server/bin/pouchdb-server");
        let process = Command::new("node")
            .arg(server)
            .args(["--host", "127.0.0.1", "--no-stdout-logs"])
            .args(["--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.dir.path())
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.expect("these tests need node"));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < START, "pouchdb-server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for PouchDb {
    fn drop(&mut self) {
        self.stop();
    }
}
