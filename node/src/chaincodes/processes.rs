//! The processes that chaincodes run in, by the id of their package.
//!
//! ```text
//! a package with a connection.json   dialled until it answers, and again when its stream ends
//! a package with code                unpacked, built, and kept running as a child, which dials the node
//! no package of that id              whoever dials and registers under it, as in development
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use quire_chaincode::lifecycle::CodeError;
use quire_chaincode::shim::{Limits, Process, ShimChaincode, ShimError, Stream};
use quire_rpc::chaincode::{Accept, Server, connect, serve};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;

use super::build::{build, folder_of, remove_unfinished};
use super::child::{Run, RunError, asked};
use super::kind::{Kind, KindError};

/// How long after a stream's end, or after it was dialled in vain, a chaincode is dialled again: at first, and at
/// most. Twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long after a package was not there, or could not be built, that is tried again: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// A stream that lasted as long is dialled again at once, nearly.
const SETTLED: Duration = Duration::from_secs(10);

/// What is in a package, as far as running it goes.
#[derive(Debug)]
pub(crate) enum Source {
    /// Somebody runs it, and it waits to be dialled.
    Service(Server),
    /// Its code, packed.
    Code(Vec<u8>),
}

/// Why a package is not run. Each is for an operator to mend; the node goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The package cannot be used.
    #[error("the package cannot be used: {0}")]
    Package(String),
    /// Its code cannot be unpacked.
    #[error("its code cannot be unpacked")]
    Code(#[from] CodeError),
    /// Its code is nothing that can be started.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// Its code cannot be built.
    #[error("its code cannot be built")]
    Build(#[from] RunError),
    /// Folders cannot be made or moved, or nothing can be listened on.
    #[error("the operating system refuses")]
    Io(#[from] std::io::Error),
}

/// Finds a package; none where there is none of that id.
pub(crate) type Find = Arc<dyn Fn(&str) -> Result<Option<Source>, String> + Send + Sync>;

/// The processes of a node's chaincodes. A cheap clone.
#[derive(Clone)]
pub(crate) struct Processes(Arc<Inner>);

struct Inner {
    /// For unpacked and built code.
    dir: PathBuf,
    limits: Limits,
    find: Find,
    runtime: Handle,
    known: Mutex<HashMap<String, Known>>,
    /// Where children dial, once there is one.
    for_children: OnceCell<SocketAddr>,
}

/// A package that some channel's definition names.
#[derive(Default)]
struct Known {
    /// Whose calls it serves.
    chaincodes: Vec<Arc<ShimChaincode>>,
    process: Option<Process>,
    runner: Option<Runner>,
}

/// What sees to it that there is a process. To drop it ends that, soon.
struct Runner {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Runner {
    /// Returns when it has ended.
    async fn stop(self) {
        self.stop.send_replace(true);
        // A task that panicked has ended too.
        self.task.await.ok();
    }
}

impl Processes {
    /// No processes yet. Code is unpacked and built in `dir`.
    pub(crate) fn new(dir: PathBuf, limits: Limits, find: Find, runtime: Handle) -> Self {
        remove_unfinished(&dir);
        Self(Arc::new(Inner {
            dir,
            limits,
            find,
            runtime,
            known: Mutex::default(),
            for_children: OnceCell::new(),
        }))
    }

    /// Ends every process that was started here, and hangs up on the others. Returns when they have ended.
    pub(crate) async fn stop(&self) {
        let known = std::mem::take(&mut *self.0.known.lock());
        let runners = known.into_values().filter_map(|package| package.runner);
        join_all(runners.map(Runner::stop)).await;
    }

    /// Whether a package's process serves calls.
    pub(crate) fn is_running(&self, package_id: &str) -> bool {
        let known = self.0.known.lock();
        let process = known
            .get(package_id)
            .and_then(|package| package.process.as_ref());
        process.is_some_and(Process::is_ready)
    }
}

impl quire_peer::Processes for Processes {
    fn attach(&self, package_id: &str, chaincode: Arc<ShimChaincode>) {
        let mut known = self.0.known.lock();
        let package = known.entry(package_id.to_owned()).or_default();
        if let Some(process) = &package.process {
            chaincode.connect(process.clone());
        }
        package.chaincodes.push(chaincode);
        if package.runner.is_none() {
            let (stop, stopped) = watch::channel(false);
            let running = run(Arc::downgrade(&self.0), package_id.to_owned(), stopped);
            let task = self.0.runtime.spawn(running);
            package.runner = Some(Runner { stop, task });
        }
    }

    fn detach(&self, package_id: &str, chaincode: &Arc<ShimChaincode>) {
        chaincode.disconnect();
        let mut known = self.0.known.lock();
        let Some(package) = known.get_mut(package_id) else {
            return;
        };
        package
            .chaincodes
            .retain(|one| !Arc::ptr_eq(one, chaincode));
        if package.chaincodes.is_empty() {
            known.remove(package_id);
        }
    }
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").finish_non_exhaustive()
    }
}

impl Accept for Processes {
    fn accept(&self) -> Stream {
        self.0.stream(None)
    }

    fn message_bytes(&self) -> usize {
        self.0.limits.message_bytes
    }
}

impl Inner {
    /// A stream for a process that registers as `expected`, or under the id of any package that some definition
    /// names.
    fn stream(self: &Arc<Self>, expected: Option<String>) -> Stream {
        let inner = Arc::downgrade(self);
        let stream = Stream::new(self.limits.clone(), move |name| match expected {
            Some(expected) if expected != name => Err(ShimError::OtherName {
                expected,
                found: name.to_owned(),
            }),
            _ => inner
                .upgrade()
                .map_or(Err(ShimError::NotConnected), |inner| inner.admit(name)),
        });
        let (inner, process) = (Arc::downgrade(self), stream.process());
        self.runtime.spawn(async move {
            // Otherwise it ended before it registered, which its transport tells.
            if let Ok(name) = process.registered().await
                && let Some(inner) = inner.upgrade()
            {
                inner.connected(&name, &process);
            }
        });
        stream
    }

    /// Whether a process may register under a name: of a package that is used, and has no process.
    fn admit(&self, name: &str) -> Result<(), ShimError> {
        let known = self.known.lock();
        let Some(package) = known.get(name) else {
            tracing::warn!(name, "a chaincode registers that no definition names");
            return Err(ShimError::OtherName {
                expected: "the id of a package that a definition names".to_owned(),
                found: name.to_owned(),
            });
        };
        if package.process.as_ref().is_some_and(Process::is_ready) {
            tracing::warn!(name, "a chaincode registers that is connected already");
            return Err(ShimError::OtherName {
                expected: "the id of a package that is not connected".to_owned(),
                found: name.to_owned(),
            });
        }
        Ok(())
    }

    fn connected(&self, name: &str, process: &Process) {
        let mut known = self.known.lock();
        // It may have gone meanwhile, and another have come.
        if !process.is_ready() {
            return;
        }
        if let Some(package) = known.get_mut(name) {
            package.process = Some(process.clone());
            for chaincode in &package.chaincodes {
                chaincode.connect(process.clone());
            }
            tracing::info!(chaincode = name, "the chaincode is connected");
        }
    }

    /// Where children dial: an address of this machine's own, listened on from the first time on.
    async fn for_children(self: &Arc<Self>) -> std::io::Result<SocketAddr> {
        let listen = || async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let accept = Arc::new(Processes(Arc::clone(self)));
            self.runtime.spawn(async move {
                let never = std::future::pending();
                if let Err(error) = serve(listener, None, accept, never).await {
                    tracing::error!(%error, "chaincodes cannot dial any more");
                }
            });
            Ok(address)
        };
        self.for_children.get_or_try_init(listen).await.copied()
    }
}

/// Sees to it that a package has a process until it is stopped.
async fn run(inner: Weak<Inner>, package_id: String, mut stopped: watch::Receiver<bool>) {
    let Some(inner) = inner.upgrade() else {
        return;
    };
    let mut pause = FIRST_RETRY;
    loop {
        let outcome = attempt(&inner, &package_id, &mut stopped).await;
        if *stopped.borrow() {
            return;
        }
        if let Err(error) = outcome {
            let error = &error as &dyn std::error::Error;
            tracing::error!(chaincode = package_id, error, "the chaincode does not run");
        }
        // The package may be installed, or a registry be reached, later.
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = asked(&mut stopped) => return,
        }
        pause = LONGEST_RETRY.min(pause * 2);
    }
}

/// Runs what is in a package until it is stopped; returns at once if there is no such package.
async fn attempt(
    inner: &Arc<Inner>,
    package_id: &str,
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), LaunchError> {
    let (find, id) = (Arc::clone(&inner.find), package_id.to_owned());
    let found = tokio::task::spawn_blocking(move || find(&id)).await;
    let found = found.map_err(|error| LaunchError::Package(error.to_string()))?;
    match found.map_err(LaunchError::Package)? {
        None => Ok(()),
        Some(Source::Service(server)) => {
            tokio::select! {
                () = dial(inner, package_id, &server) => {}
                () = asked(stopped) => {}
            }
            Ok(())
        }
        Some(Source::Code(code)) => launch(inner, package_id, code, stopped.clone()).await,
    }
}

/// Dials a service again and again.
async fn dial(inner: &Arc<Inner>, package_id: &str, server: &Server) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let stream = inner.stream(Some(package_id.to_owned()));
        let address = &server.target.address;
        match connect(server, stream).await {
            Ok(()) => tracing::warn!(chaincode = package_id, address, "the chaincode hung up"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    chaincode = package_id,
                    address,
                    error,
                    "the chaincode is not reached"
                );
            }
        }
        if began.elapsed() >= SETTLED {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Unpacks and builds code where that was not done before, and keeps it running.
async fn launch(
    inner: &Arc<Inner>,
    package_id: &str,
    code: Vec<u8>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), LaunchError> {
    let dir = inner.dir.join(folder_of(package_id));
    let name: Arc<str> = package_id.into();
    if !dir.is_dir() {
        tokio::select! {
            built = build(&dir, &name, code) => built?,
            () = asked(&mut stopped) => return Ok(()),
        }
    }
    let kind = Kind::of(&dir)?;
    let peer = inner.for_children().await?.to_string();
    let run = Run {
        program: kind.start(&dir, package_id, &peer),
        env: vec![
            ("CORE_CHAINCODE_ID_NAME", package_id.to_owned()),
            ("CORE_PEER_ADDRESS", peer),
            ("CORE_PEER_TLS_ENABLED", "false".to_owned()),
        ],
        dir,
        name,
    };
    let kept = run.keep();
    asked(&mut stopped).await;
    kept.stop().await;
    Ok(())
}
