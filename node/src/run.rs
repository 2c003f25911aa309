//! `quire run`: the server, from opening the data directory to the last answer.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use quire_gateway::{Backend, Server};
use quire_identity::Tokens;
use quire_identity::token::OpenTokensError;
use quire_ledger::Progress;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};

use crate::admin::server::Socket;
use crate::cli::RunArguments;
use crate::commands::channel::open_error;
use crate::commands::{FAILED, advice, advice_of_io};
use crate::config::{Config, ConfigError};
use crate::directory::{self, Part};
use crate::logging::Logging;
use crate::metrics;
use crate::node::{FIRST_CHANNEL, Node, NodeError};
use crate::terminal::{ProgressDisplay, print_error};
use crate::tls::Security;

/// Threads that serve requests, a processor. More than one: short reads are done on them, and one that
/// waits for the disk must leave a processor something to do.
const WORKERS_A_PROCESSOR: usize = 2;

pub(crate) fn run(arguments: &RunArguments) -> ExitCode {
    let logging = match Logging::start(&arguments.log_spec) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("quire: --log-spec: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let config = match prepare(arguments) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    match open_and_serve(&config, logging) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error, error.advice(&config));
            ExitCode::from(FAILED)
        }
    }
}

/// Opens the operations' door, if they have their own, then the channels, then the API: whoever
/// watches sees a long start.
fn open_and_serve(config: &Config, logging: Logging) -> Result<(), RunError> {
    let documents = config.documents.clone();
    let node = Node::open(
        &config.data,
        &config.msp_id,
        &config.engine,
        documents,
        logging,
        config.counts,
    )?;
    let node = Arc::new(node.migrated_by(config.migrations.clone()));
    metrics::watch(&node);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors * WORKERS_A_PROCESSOR)
        .enable_all()
        .build()
        .map_err(RunError::Serve)?;
    let doors = runtime.block_on(Doors::open(&node, config))?;
    let mut display = ProgressDisplay::new();
    node.open_channels(&mut |progress: Progress<'_>| display.show(progress))?;
    let served = runtime.block_on(serve(Arc::clone(&node), doors, config));
    // A long check or import of a command ends with the node, and leaves nothing half done.
    runtime.shutdown_background();
    node.stop();
    served
}

/// Why the server does not start, or ended.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("{flag} {address} cannot be listened on")]
    Listen {
        flag: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("the server cannot go on")]
    Serve(#[source] std::io::Error),
}

impl RunError {
    /// What to do about it.
    fn advice(&self, config: &Config) -> Option<&'static str> {
        match self {
            Self::Node(error) => {
                let open = open_error(error).and_then(advice);
                open.or_else(|| directory::advice(error))
            }
            Self::Listen { source, .. } => match source.kind() {
                ErrorKind::AddrInUse => Some(
                    "Another program has this port, perhaps another node: give a port of its own, or \
                     0 for a free one.",
                ),
                ErrorKind::AddrNotAvailable => {
                    Some("This machine has no such address: `ip address` lists those it has.")
                }
                ErrorKind::PermissionDenied if config.listen.port() < 1024 => {
                    Some("Ports below 1024 are for root: take a higher one.")
                }
                _ => None,
            },
            Self::Serve(_) => None,
        }
    }
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| RunError::Listen {
        flag,
        address,
        source,
    })
}

/// The server of the API, which does not listen yet, and that of the operations, which does.
struct Doors {
    api: Server,
    operations: Option<(SocketAddr, JoinHandle<std::io::Result<()>>)>,
}

impl Doors {
    async fn open(node: &Arc<Node>, config: &Config) -> Result<Self, RunError> {
        let backend = Arc::clone(node) as Arc<dyn Backend>;
        let (limits, cors) = (config.limits, config.cors.clone());
        let Some(address) = config.operations_listen else {
            return Ok(Self {
                api: Server::new(backend, limits, cors),
                operations: None,
            });
        };
        let listener = listen("--operations-listen", address).await?;
        let at = listener.local_addr().map_err(RunError::Serve)?;
        let is_remote = !at.ip().is_loopback();
        let (api, door) = Server::pair(backend, limits, cors, is_remote);
        let security = Security(config.tls.clone());
        Ok(Self {
            api,
            operations: Some((at, tokio::spawn(door.run(listener, security)))),
        })
    }
}

/// Checks the settings, and that nobody gets in whom the operator does not know of.
fn prepare(arguments: &RunArguments) -> Result<Config, PrepareError> {
    let config = Config::check(arguments)?;
    config.check_exposure(Tokens::open(&config.data)?.are_required())?;
    Ok(config)
}

/// Why the server does not even start.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tokens(#[from] OpenTokensError),
}

fn refuse(error: &PrepareError) -> ExitCode {
    let advice = match error {
        PrepareError::Config(error) => error.advice(),
        PrepareError::Tokens(error) => {
            let cause = std::error::Error::source(error);
            let cause = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
            let advice = Part::of(Path::new("tokens")).map(|part| part.advice);
            cause.and_then(advice_of_io).or(advice)
        }
    };
    print_error(error, advice);
    ExitCode::from(FAILED)
}

/// Answers requests until a signal comes, then lets those in flight end.
async fn serve(node: Arc<Node>, doors: Doors, config: &Config) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Serve)?;
    let listener = listen("--listen", config.listen).await?;
    let address = listener.local_addr().map_err(RunError::Serve)?;
    let Doors { api, operations } = doors;
    // Without it commands have to wait until the node stops; requests need not know.
    let admin = match Socket::bind(&config.data) {
        Ok(socket) => Some(tokio::spawn(socket.serve(Arc::clone(&node)))),
        Err(error) => {
            tracing::warn!(%error, "no admin.sock: commands cannot act while the node runs");
            None
        }
    };
    let at = operations.as_ref().map_or(address, |(at, _)| *at);
    greet(&node, address, at, config);
    let security = Security(config.tls.clone());
    let mut server = tokio::spawn(api.run(listener, security));
    tokio::select! {
        _ = terminate.recv() => tracing::info!("asked to stop"),
        _ = interrupt.recv() => tracing::info!("interrupted"),
        ended = &mut server => return flat(ended),
    }
    if let Some(admin) = admin {
        // The socket goes with it.
        admin.abort();
        drop(admin.await);
    }
    node.ask_to_stop();
    let ended = server.await;
    if let Some((_, door)) = operations {
        drop(door.await);
    }
    flat(ended)
}

fn flat(ended: Result<std::io::Result<()>, JoinError>) -> Result<(), RunError> {
    let ended = ended.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    ended.map_err(RunError::Serve)
}

/// What somebody who just started the node wants to know.
fn greet(node: &Node, address: SocketAddr, operations: SocketAddr, config: &Config) {
    let data = config.data.canonicalize();
    let data = data.unwrap_or_else(|_| config.data.clone());
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let version = env!("CARGO_PKG_VERSION");
    println!("Quire {version} is listening on {scheme}://{address}");
    println!("  data directory  {}", data.display());
    println!("  organisation    {}", node.organization().msp_id());
    if config.counts {
        println!("  metrics         {scheme}://{operations}/metrics");
    }
    println!("  channels        {}", node.channels().join(", "));
    for closed in node.closed_channels() {
        println!("  NOT OPEN        {}: {}", closed.component, closed.reason);
    }
    let callers = match (config.limits.local_only, node.tokens().are_required()) {
        (false, _) => "anybody who reaches this address, without a token",
        (true, true) => "those who show a token",
        (true, false) => "programs of this machine, until `quire token create` makes a token",
    };
    println!("  callers         {callers}");
    if config.limits.local_only && node.tokens().are_required() {
        return;
    }
    println!("Write a document, and read it back:");
    println!(
        "  curl -X PUT {scheme}://{address}/v1/channels/{FIRST_CHANNEL}/state/orders/1001 \
         -H 'Content-Type: application/json' -d '{{\"total\": 12.50}}'"
    );
    println!("  curl {scheme}://{address}/v1/channels/{FIRST_CHANNEL}/state/orders/1001");
}
