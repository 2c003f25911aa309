//! The `quire` binary as a child process on a data directory and a free port.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use std::sync::Arc;

use super::Client;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A child process. Dropped while it runs, it is killed.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    addresses: Receiver<String>,
    log: Arc<Mutex<String>>,
    address: Option<String>,
    /// They end with the pipes that they read.
    readers: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts the binary without waiting for anything.
    pub(crate) fn spawn(data: &Path) -> Self {
        Self::spawn_with(&[], data, &[])
    }

    /// The same as the last words of another command, such as strace's.
    pub(crate) fn spawn_under(command: &[&str], data: &Path) -> Self {
        Self::spawn_with(command, data, &[])
    }

    /// The same with further flags of `quire run`.
    pub(crate) fn spawn_with(command: &[&str], data: &Path, flags: &[&str]) -> Self {
        Self::spawn_as("run", command, data, flags)
    }

    fn spawn_as(verb: &str, command: &[&str], data: &Path, flags: &[&str]) -> Self {
        let mut child = quire(command)
            .args([verb, "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, addresses) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        let readers = vec![
            follow(stdout, Arc::clone(&log), move |line| {
                if let Some(address) = address_in(line) {
                    // Only the first one is waited for.
                    drop(sender.send(address));
                }
            }),
            follow(stderr, Arc::clone(&log), |_| ()),
        ];
        Self {
            child,
            addresses,
            log,
            address: None,
            readers,
        }
    }

    /// Starts the binary and waits until it has printed its address.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same as the last words of another command.
    pub(crate) fn start_under(command: &[&str], data: &Path) -> Self {
        Self::up(Self::spawn_under(command, data))
    }

    /// As [`Self::start`], with further flags of `quire run`.
    pub(crate) fn start_with(data: &Path, flags: &[&str]) -> Self {
        Self::up(Self::spawn_with(&[], data, flags))
    }

    /// The same of `quire orderer`.
    pub(crate) fn start_orderer(data: &Path, flags: &[&str]) -> Self {
        Self::up(Self::spawn_as("orderer", &[], data, flags))
    }

    fn up(mut node: Self) -> Self {
        if !node.comes_up() {
            let status = node.child.wait().unwrap();
            panic!("the node ended with {status}:\n{}", node.log());
        }
        node
    }

    /// Waits until it has printed its address; false where it ends before.
    pub(crate) fn comes_up(&mut self) -> bool {
        match self.addresses.recv_timeout(START_TIMEOUT) {
            Ok(address) => self.address = Some(address),
            Err(RecvTimeoutError::Timeout) => panic!("no address printed:\n{}", self.log()),
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    /// SIGKILL to what a command like strace runs, and waits until both are gone.
    pub(crate) fn kill_under(mut self) {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            // Fails when it is gone already, which is as well.
            drop(Command::new("kill").args(["-KILL", child]).output());
        }
        self.child.wait().unwrap();
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> &str {
        self.address.as_deref().expect("start() found the address")
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// The most memory that it ever had, and what it has now, in KiB.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.split_whitespace().next());
            value.unwrap().parse().unwrap()
        };
        (of("VmHWM:"), of("VmRSS:"))
    }

    /// Everything it printed so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Whether the process still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(mut self) {
        assert!(
            self.is_running(),
            "it ended before it was killed:\n{}",
            self.log()
        );
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the process, and gives everything it printed.
    pub(crate) fn log_after_stop(mut self) -> String {
        self.terminate();
        self.child.wait().unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        self.log()
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGTERM, and waits until the process has ended by itself.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.terminate();
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails when the process is gone already, which is as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `quire check --data DATA`.
pub(crate) fn check(data: &Path) -> Output {
    run(&["check"], data)
}

/// A command on a data directory, to its end.
pub(crate) fn run(arguments: &[&str], data: &Path) -> Output {
    quire(&[])
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The binary, perhaps under another command, deaf to settings in the environment of the test.
pub(crate) fn quire(under: &[&str]) -> Command {
    let binary = env!("CARGO_BIN_EXE_quire");
    let mut command = match under {
        [] => Command::new(binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QUIRE_") {
            command.env_remove(name);
        }
    }
    command
}

fn follow(
    stream: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    mut each: impl FnMut(&str) + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            each(&line);
            let mut log = log.lock();
            log.push_str(&line);
            log.push('\n');
        }
    })
}

fn address_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("://127.0.0.1:")?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!port.is_empty()).then(|| format!("127.0.0.1:{port}"))
}
