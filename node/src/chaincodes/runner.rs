//! Sees to it that a package has a process: dialled, or built and started, and that again when it ends.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use quire_rpc::chaincode::{Server, connect};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::build::{build, folder_of};
use super::child::{Run, asked};
use super::kind::Kind;
use super::processes::{Caller, Found, Inner, LaunchError, Source};

/// How long after a stream's end, or after it was dialled in vain, a chaincode is dialled again: at first, and at
/// most. Twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long after a package was not there, or could not be built, that is tried again: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// A stream that lasted as long is dialled again at once, nearly.
const SETTLED: Duration = Duration::from_secs(10);

/// What sees to it that there is a process. To drop it ends that, soon.
pub(super) struct Runner {
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: JoinHandle<()>,
}

impl Runner {
    /// Returns when it has ended.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        // A task that panicked has ended too.
        self.task.await.ok();
    }
}

/// Sees to it that a package has a process until it is stopped.
pub(super) async fn run(
    inner: Weak<Inner>,
    package_id: String,
    mut stopped: watch::Receiver<bool>,
) {
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
    let found = found.map_err(LaunchError::Package)?;
    let source = found.map(|Found { source, indexes }| {
        inner.found_indexes(package_id, indexes);
        source
    });
    inner.set_open(package_id, !matches!(source, Some(Source::Code(_))));
    match source {
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
        let stream = inner.stream(Caller::Of(package_id.to_owned()));
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
    let dir = inner.home.code.join(folder_of(package_id));
    let name: Arc<str> = package_id.into();
    if !dir.is_dir() {
        tokio::select! {
            built = build(&dir, &name, code) => built?,
            () = asked(&mut stopped) => return Ok(()),
        }
    }
    let kind = Kind::of(&dir)?;
    let door = inner.for_children().await?;
    let peer = door.address.to_string();
    let folder = inner.started.fetch_add(1, Ordering::Relaxed).to_string();
    let keys = std::path::absolute(inner.home.keys.join(folder))?;
    let credential = door.authority.issue(package_id, keys)?;
    let mut env = credential.env();
    env.push(("CORE_CHAINCODE_ID_NAME", package_id.to_owned()));
    env.push(("CORE_PEER_ADDRESS", peer.clone()));
    env.push(("CORE_PEER_LOCALMSPID", inner.home.msp_id.clone()));
    let run = Run {
        program: kind.start(&dir, package_id, &peer),
        env,
        dir,
        name,
    };
    let kept = run.keep();
    asked(&mut stopped).await;
    kept.stop().await;
    drop(credential);
    Ok(())
}
