//! The processes that chaincodes run in, by the id of their package.
//!
//! ```text
//! a package with a connection.json   dialled until it answers, and again when its stream ends
//! a package with code                unpacked, built, and kept running as a child, which dials the node, and
//!                                    registers by its certificate
//! no package of that id              whoever dials and registers under it, as in development
//! ```

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use quire_chaincode::lifecycle::{CodeError, IndexFile};
use quire_chaincode::shim::{Limits, Process, ShimChaincode, ShimError, Stream};
use quire_peer::Attached;
use quire_rpc::chaincode::{Accept, DoorLimits, Server, serve};
use quire_wire::lifecycle::ReferencedChaincode;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch};

use super::build::remove_unfinished;
use super::child::RunError;
use super::credentials::{Authority, CredentialError, remove};
use super::kind::KindError;
use super::runner::{Runner, run};

/// Connections of each door on which no chaincode has registered, and how long one may be open.
const UNREGISTERED: usize = 64;
const REGISTRATION: Duration = Duration::from_secs(10);

/// Where processes run, and for whom.
#[derive(Debug)]
pub(crate) struct Home {
    /// For unpacked and built code.
    pub(crate) code: PathBuf,
    /// For the keys of children.
    pub(crate) keys: PathBuf,
    /// The node's organisation.
    pub(crate) msp_id: String,
}

/// What is in a package.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) source: Source,
    /// The indexes that it brings along.
    pub(crate) indexes: Vec<IndexFile>,
}

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
    /// Its process would have no certificate.
    #[error("its process gets no certificate")]
    Credential(#[from] CredentialError),
    /// Folders cannot be made or moved, or nothing can be listened on.
    #[error("the operating system refuses")]
    Io(#[from] std::io::Error),
}

/// Finds a package; none where there is none of that id.
pub(crate) type Find = Arc<dyn Fn(&str) -> Result<Option<Found>, String> + Send + Sync>;

/// The processes of a node's chaincodes. A cheap clone.
#[derive(Clone)]
pub(crate) struct Processes(Arc<Inner>);

pub(super) struct Inner {
    pub(super) home: Home,
    /// Children that got keys.
    pub(super) started: AtomicU64,
    limits: Limits,
    pub(super) find: Find,
    runtime: Handle,
    known: Mutex<HashMap<String, Known>>,
    /// Where children dial, once there is one.
    for_children: OnceCell<ForChildren>,
}

/// Where children dial, and by what they are known.
pub(super) struct ForChildren {
    pub(super) address: SocketAddr,
    pub(super) authority: Arc<Authority>,
}

/// Who is at the other end of a stream.
pub(super) enum Caller {
    /// The process of a package: it was dialled, or has shown a certificate.
    Of(String),
    /// A process that nobody knows, at a door for those.
    Stranger,
    /// A process whose certificate opens nothing any more.
    Nobody,
}

/// A package that some channel's definition names.
#[derive(Default)]
struct Known {
    /// Whose calls it serves.
    attached: Vec<Attached>,
    /// The indexes that it brings along, once it is found.
    indexes: Option<Arc<[IndexFile]>>,
    /// Whether a stranger may be its process: it is known that nothing here runs its code.
    is_open: bool,
    process: Option<Process>,
    runner: Option<Runner>,
}

impl Processes {
    /// No processes yet.
    pub(crate) fn new(home: Home, limits: Limits, find: Find, runtime: Handle) -> Self {
        remove_unfinished(&home.code);
        remove(&home.keys);
        Self(Arc::new(Inner {
            home,
            started: AtomicU64::new(0),
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
        remove(&self.0.home.keys);
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
    fn attach(&self, package_id: &str, attached: Attached) {
        let mut known = self.0.known.lock();
        let package = known.entry(package_id.to_owned()).or_default();
        if let Some(files) = &package.indexes {
            self.0.make_indexes(std::slice::from_ref(&attached), files);
        }
        if let Some(process) = &package.process {
            attached.chaincode.connect(process.clone());
        }
        package.attached.push(attached);
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
            .attached
            .retain(|one| !Arc::ptr_eq(&one.chaincode, chaincode));
        if package.attached.is_empty() {
            known.remove(package_id);
        }
    }

    fn references(&self, package_id: &str) -> BTreeMap<String, Vec<ReferencedChaincode>> {
        let mut references: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let known = self.0.known.lock();
        for one in known
            .get(package_id)
            .into_iter()
            .flat_map(|it| &it.attached)
        {
            let channel = references.entry(one.channel.to_string()).or_default();
            channel.push(one.reference.clone());
        }
        references
    }
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").finish_non_exhaustive()
    }
}

/// The door for processes that the node did not start.
impl Accept for Processes {
    fn accept(&self, _: Option<&[u8]>) -> Stream {
        self.0.stream(Caller::Stranger)
    }

    fn limits(&self) -> DoorLimits {
        self.0.door_limits()
    }
}

/// The door for those that it did start.
#[derive(Debug)]
pub(super) struct Children(pub(super) Processes, pub(super) Arc<Authority>);

impl Accept for Children {
    fn accept(&self, certificate: Option<&[u8]>) -> Stream {
        let package = certificate.and_then(|shown| self.1.package_of(shown));
        let caller = package.map_or(Caller::Nobody, Caller::Of);
        self.0.0.stream(caller)
    }

    fn limits(&self) -> DoorLimits {
        self.0.0.door_limits()
    }
}

impl Inner {
    fn door_limits(&self) -> DoorLimits {
        DoorLimits {
            message_bytes: self.limits.message_bytes,
            unregistered: UNREGISTERED,
            registration: REGISTRATION,
        }
    }

    /// A stream for a process, which registers as the package that it is of; a stranger registers under the id of any
    /// package that some definition names, and that nothing here runs.
    pub(super) fn stream(self: &Arc<Self>, caller: Caller) -> Stream {
        let inner = Arc::downgrade(self);
        let stream = Stream::new(self.limits.clone(), move |name| {
            let inner = inner.upgrade().ok_or(ShimError::NotConnected)?;
            let other = |expected: &str| {
                tracing::warn!(name, expected, "a chaincode registers that is another");
                Err(ShimError::OtherName {
                    expected: expected.to_owned(),
                    found: name.to_owned(),
                })
            };
            match &caller {
                Caller::Of(package) if package != name => other(package),
                Caller::Nobody => other("the package of a process that runs"),
                Caller::Of(_) => inner.admit(name, true),
                Caller::Stranger => inner.admit(name, false),
            }
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

    /// Whether a process may register under a name: of a package that is used, and has no process. A stranger may not
    /// where the package has a process of its own here, connected or not.
    fn admit(&self, name: &str, is_its_own: bool) -> Result<(), ShimError> {
        let known = self.known.lock();
        let expected = match known.get(name) {
            None => "the id of a package that a definition names",
            Some(package) if !is_its_own && !package.is_open => {
                "the id of a package that this node does not run itself"
            }
            Some(package) if package.process.as_ref().is_some_and(Process::is_ready) => {
                "the id of a package that is not connected"
            }
            Some(_) => return Ok(()),
        };
        tracing::warn!(name, expected, "a chaincode may not register");
        Err(ShimError::OtherName {
            expected: expected.to_owned(),
            found: name.to_owned(),
        })
    }

    /// Says whether a stranger may be the process of a package.
    pub(super) fn set_open(&self, name: &str, is_open: bool) {
        if let Some(package) = self.known.lock().get_mut(name) {
            package.is_open = is_open;
        }
    }

    /// Makes the indexes of a package that was found wherever it is attached, if that was not done before.
    pub(super) fn found_indexes(&self, name: &str, files: Vec<IndexFile>) {
        if let Some(package) = self.known.lock().get_mut(name)
            && package.indexes.is_none()
        {
            let files = package.indexes.insert(files.into());
            self.make_indexes(&package.attached, files);
        }
    }

    fn make_indexes(&self, attached: &[Attached], files: &Arc<[IndexFile]>) {
        if files.is_empty() {
            return;
        }
        let channels: Vec<_> = attached
            .iter()
            .map(|one| Arc::clone(&one.indexes))
            .collect();
        let files = Arc::clone(files);
        self.runtime.spawn_blocking(move || {
            for indexes in channels {
                indexes.make(&files);
            }
        });
    }

    fn connected(&self, name: &str, process: &Process) {
        let mut known = self.known.lock();
        // It may have gone meanwhile, and another have come.
        if !process.is_ready() {
            return;
        }
        if let Some(package) = known.get_mut(name) {
            package.process = Some(process.clone());
            for attached in &package.attached {
                attached.chaincode.connect(process.clone());
            }
            tracing::info!(chaincode = name, "the chaincode is connected");
        }
    }

    /// Where children dial: an address of this machine's own, listened on from the first time on.
    pub(super) async fn for_children(self: &Arc<Self>) -> Result<&ForChildren, LaunchError> {
        let listen = || async {
            let authority = Arc::new(Authority::new()?);
            let tls = authority.server()?;
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let processes = Processes(Arc::clone(self));
            let accept = Arc::new(Children(processes, Arc::clone(&authority)));
            self.runtime.spawn(async move {
                let never = std::future::pending();
                if let Err(error) = serve(listener, Some(tls), accept, never).await {
                    tracing::error!(%error, "chaincodes cannot dial any more");
                }
            });
            Ok(ForChildren { address, authority })
        };
        self.for_children.get_or_try_init(listen).await
    }
}
