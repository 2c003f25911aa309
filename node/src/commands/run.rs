//! `quire run`: the server, from opening the data directory to the last answer.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use quire_ca::Authority;
use quire_gateway::backend::InvalidLogSpec;
use quire_gateway::{Backend, Server};
use quire_identity::Tokens;
use quire_identity::token::OpenTokensError;
use quire_ledger::{Progress, chain_of};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};

use crate::admin::server::Socket;
use crate::advice;
use crate::arguments::RunArguments;
use crate::chaincodes::Chaincodes;
use crate::commands::greeting::{greet, greet_ca, grpc_scheme};
use crate::commands::verb::{Needs, Verb};
use crate::config::{Config, ConfigError, Grpc};
use crate::data_directory::{self, Part};
use crate::exit::failed;
use crate::listen::Listen;
use crate::logging::{self, Logging};
use crate::metrics;
use crate::modes::{self, ModeError};
use crate::node::{Node, NodeError, back_up_when_due, rpc};
use crate::participation;
use crate::settings::Settings;
use crate::terminal::{ProgressDisplay, say};
use crate::tls::Security;

/// Threads that serve requests, a processor. More than one: short reads are done on them, and one that
/// waits for the disk must leave a processor something to do.
const WORKERS_A_PROCESSOR: usize = 2;

/// Threads for work that blocks beside the pools', which the API and gRPC share: names are looked up, commands act through
/// the socket.
const OTHER_THREADS: usize = 16;

impl Verb for RunArguments {
    /// A start has reasons of its own to refuse a place.
    fn needs(&self) -> Needs<'_> {
        Needs::Nothing
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        start(prepare(self), &self.log_spec)
    }
}

/// Serves by settings that were checked, to the end.
pub(crate) fn start(prepared: Result<Config, PrepareError>, log_spec: &str) -> ExitCode {
    let started = prepared.and_then(|config| Ok((config, Logging::start(log_spec)?)));
    let (config, logging) = match started {
        Ok(started) => started,
        Err(error) => return refuse(&error),
    };
    match open_and_serve(&config, logging) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, error.advice().as_deref()),
    }
}

/// Opens the operations' door, if they have their own, then the channels, then the API: whoever
/// watches sees a long start.
fn open_and_serve(config: &Config, logging: Logging) -> Result<(), RunError> {
    modes::mend(&config.data)?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors * WORKERS_A_PROCESSOR)
        .max_blocking_threads(config.limits.pools.sum() + OTHER_THREADS)
        .enable_all()
        .build()
        .map_err(RunError::Serve)?;
    let documents = config.documents.clone();
    let node = Node::open(
        &config.data,
        (&config.msp_id, config.given.given()?),
        (&config.engine, config.engine_cache),
        documents,
        logging,
        config.counts,
    )?;
    let node = node.with_authority(&config.ca_name, config.ca_listen.is_some())?;
    let node = if config.orders_only {
        node.with_role(true)
    } else {
        node.with_chaincodes(config.chaincode_timeout, runtime.handle())?
    };
    let node = node.with_ordering(config.ordering.clone())?;
    let node = node.with_endorsers(config.peers.clone());
    let node = node.with_backups(config.backups.clone());
    let node = Arc::new(node.migrated_by(config.migrations.clone()));
    let ca_secret = begin_ca(&node, config)?;
    metrics::watch(&node, config.tls_files.clone());
    let doors = runtime.block_on(Doors::open(&node, config))?;
    let mut display = ProgressDisplay::new();
    node.open_channels(&mut |progress: Progress<'_>| display.show(progress))?;
    let served = runtime.block_on(serve(Arc::clone(&node), doors, config, ca_secret));
    runtime.block_on(node.stop_chaincodes());
    // A long check or import of a command ends with the node, and leaves nothing half done.
    runtime.shutdown_background();
    node.stop();
    served
}

/// Registers whoever the CA begins with, where it is served; answers a secret that was made up.
fn begin_ca(node: &Node, config: &Config) -> Result<Option<String>, NodeError> {
    let authority = node.authority().filter(|_| config.ca_listen.is_some());
    let begun = authority.map(|authority| authority.begin(&config.ca_admin));
    let secret = begun.transpose().map_err(quire_ca::OpenError::Admin)?;
    Ok(secret.flatten())
}

/// Why the server does not start, or ended.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Modes(#[from] ModeError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("{} {listen} cannot be listened on", listen.flag)]
    Listen {
        listen: Listen,
        source: std::io::Error,
    },
    #[error("the server cannot go on")]
    Serve(#[source] std::io::Error),
}

impl RunError {
    /// What to do about it.
    fn advice(&self) -> Option<Cow<'static, str>> {
        let advice = match self {
            Self::Modes(error) => return Some(error.advice().into()),
            Self::Node(error) => {
                let open = error.open().and_then(advice::of_open);
                open.or_else(|| advice::of_node_part(error))
            }
            Self::Listen { listen, source } => match source.kind() {
                ErrorKind::AddrInUse => Some(
                    "Another program has this port, perhaps another node: give a port of its own, or \
                     0 for a free one.",
                ),
                ErrorKind::AddrNotAvailable => {
                    Some("This machine has no such address: `ip address` lists those it has.")
                }
                ErrorKind::PermissionDenied if (1..1024).contains(&listen.port()) => {
                    Some("Ports below 1024 are for root: take a higher one.")
                }
                _ => None,
            },
            Self::Serve(_) => None,
        };
        advice.map(Cow::from)
    }
}

async fn bind(listen: &Listen) -> Result<Door, RunError> {
    let listeners = listen.bind().await.map_err(|source| RunError::Listen {
        listen: listen.clone(),
        source,
    })?;
    let addresses = listeners.iter().map(TcpListener::local_addr);
    let addresses: Result<Vec<_>, _> = addresses.collect();
    let addresses = addresses.map_err(RunError::Serve)?;
    Ok(Door {
        name: listen.named(&addresses),
        listeners,
        addresses,
    })
}

/// What is listened on, of one name.
struct Door {
    /// Where clients find it.
    name: String,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Door {
    /// Answers there until the node is asked to stop.
    fn open(self, server: &Server, security: &Security) -> JoinSet<std::io::Result<()>> {
        let mut open = JoinSet::new();
        self.open_among(&mut open, server, security);
        open
    }

    /// The same, beside others.
    fn open_among(
        self,
        open: &mut JoinSet<std::io::Result<()>>,
        server: &Server,
        security: &Security,
    ) {
        for listener in self.listeners {
            open.spawn(server.clone().run(listener, security.clone()));
        }
    }
}

/// The server of the API, which does not listen yet, and that of the operations, which does.
struct Doors {
    api: Server,
    /// What is served at the address of the API: it, or an orderer's operations.
    first: Server,
    operations: Option<(Vec<SocketAddr>, JoinSet<std::io::Result<()>>)>,
}

impl Doors {
    async fn open(node: &Arc<Node>, config: &Config) -> Result<Self, RunError> {
        let backend = Arc::clone(node) as Arc<dyn Backend>;
        let (limits, cors) = (config.limits, config.cors.clone());
        if config.orders_only {
            let (api, first) = Server::pair(backend, limits, cors, config.listen.is_remote());
            return Ok(Self {
                api,
                first,
                operations: None,
            });
        }
        let Some(listen) = &config.operations_listen else {
            let api = Server::new(backend, limits, cors);
            return Ok(Self {
                first: api.clone(),
                api,
                operations: None,
            });
        };
        let door = bind(listen).await?;
        let (api, operations) = Server::pair(backend, limits, cors, listen.is_remote());
        let security = Security(config.tls.clone());
        let at = door.addresses.clone();
        Ok(Self {
            first: api.clone(),
            api,
            operations: Some((at, door.open(&operations, &security))),
        })
    }
}

/// Checks the settings against what they name and against the data directory, and that nobody gets in
/// whom the operator does not know of. Changes nothing.
pub(crate) fn prepare(arguments: &RunArguments) -> Result<Config, PrepareError> {
    logging::check(&arguments.log_spec)?;
    prepared(Config::check(arguments)?)
}

/// The same of an orderer alone.
pub(crate) fn prepare_orderer(arguments: &RunArguments) -> Result<Config, PrepareError> {
    logging::check(&arguments.log_spec)?;
    prepared(Config::check_orderer(arguments)?)
}

fn prepared(config: Config) -> Result<Config, PrepareError> {
    modes::check(&config.data)?;
    data_directory::check_organization(&config.data, &config.msp_id, config.given.given()?)?;
    config.check_exposure(Tokens::open(&quire_disk::os(), &config.data)?.are_required())?;
    Ok(config)
}

/// Why the server does not even start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("--log-spec: {0}")]
    LogSpec(#[from] InvalidLogSpec),
    #[error(transparent)]
    Modes(#[from] ModeError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Tokens(#[from] OpenTokensError),
}

pub(crate) fn refuse(error: &PrepareError) -> ExitCode {
    let advice = match error {
        PrepareError::Config(error) => error.advice(),
        PrepareError::LogSpec(_) => None,
        PrepareError::Modes(error) => Some(error.advice().into()),
        PrepareError::Node(error) => advice::of_node_part(error).map(Cow::from),
        PrepareError::Tokens(error) => {
            let cause = std::error::Error::source(error);
            let cause = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
            let advice = Part::of(Path::new("tokens")).map(|part| part.advice);
            cause.and_then(advice::of_io).or(advice).map(Cow::from)
        }
    };
    failed(error, advice.as_deref())
}

/// Answers requests until a signal comes, then lets those in flight end.
async fn serve(
    node: Arc<Node>,
    doors: Doors,
    config: &Config,
    ca_secret: Option<String>,
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Serve)?;
    let door = bind(&config.listen).await?;
    let addresses = door.addresses.clone();
    let side_doors = SideDoors::bind(&node, config).await?;
    let Doors {
        api,
        first,
        operations,
    } = doors;
    // Without it commands have to wait until the node stops; requests need not know.
    let admin = match Socket::bind(&config.data) {
        Ok(socket) => Some(tokio::spawn(socket.serve(Arc::clone(&node)))),
        Err(error) => {
            tracing::warn!(%error, "no admin.sock: commands cannot act while the node runs");
            None
        }
    };
    let at = operations.as_ref().map_or(&addresses, |(at, _)| at);
    greet(&node, &addresses, at, config);
    // One that is under way ends with the node, and leaves nothing that looks whole.
    drop(tokio::spawn(back_up_when_due(Arc::clone(&node))));
    let security = Security(config.tls.clone());
    let mut served = door.open(&first, &security);
    let ca_secret = ca_secret.as_deref();
    side_doors.open(&mut served, &api, &node, config, ca_secret);
    tokio::select! {
        _ = terminate.recv() => tracing::info!("asked to stop"),
        _ = interrupt.recv() => tracing::info!("interrupted"),
        Some(ended) = served.join_next() => return flat(ended),
    }
    if let Some(admin) = admin {
        // The socket goes with it.
        admin.abort();
        drop(admin.await);
    }
    node.ask_to_stop();
    while let Some(ended) = served.join_next().await {
        flat(ended)?;
    }
    if let Some((_, mut door)) = operations {
        while door.join_next().await.is_some() {}
    }
    Ok(())
}

/// What is listened on beside the API, each where it is wanted.
struct SideDoors {
    ca: Option<(Door, Arc<Authority>)>,
    /// osnadmin's.
    participation: Option<(Door, Security)>,
    /// Where chaincodes dial.
    chaincodes: Option<Door>,
    /// Where Fabric's clients are.
    grpc: Option<Door>,
}

impl SideDoors {
    async fn bind(node: &Node, config: &Config) -> Result<Self, RunError> {
        let ca = match (&config.ca_listen, node.authority()) {
            (Some(listen), Some(authority)) => Some((bind(listen).await?, Arc::clone(authority))),
            _ => None,
        };
        let participation = match &config.participation {
            Some((listen, tls)) => Some((bind(listen).await?, Security(Some(tls.clone())))),
            None => None,
        };
        let chaincodes = match &config.chaincode_listen {
            Some(listen) => Some(bind(listen).await?),
            None => None,
        };
        Ok(Self {
            ca,
            participation,
            chaincodes,
            grpc: bind_grpc(&config.grpc).await?,
        })
    }

    /// Answers there until the node is asked to stop.
    fn open(
        self,
        served: &mut JoinSet<std::io::Result<()>>,
        api: &Server,
        node: &Arc<Node>,
        config: &Config,
        ca_secret: Option<&str>,
    ) {
        if let Some((door, authority)) = self.ca {
            greet_ca(&authority, &door.addresses, config, ca_secret);
            let beside = api.beside(quire_ca::router(authority));
            let security = Security(config.tls.clone());
            door.open_among(served, &beside, &security);
        }
        if let Some((door, security)) = self.participation {
            for address in &door.addresses {
                say(format_args!("osnadmin is served on https://{address}"));
            }
            let routes = participation::router(Arc::clone(node), config.limits.body_timeout);
            door.open_among(served, &api.beside(routes), &security);
        }
        if let Some(door) = self.grpc {
            for address in &door.addresses {
                say(format_args!(
                    "Fabric's clients are served on {}://{address}",
                    grpc_scheme(config)
                ));
            }
            let beside = rpc::server(node, api, config.limits, door.name.clone());
            door.open_among(served, &beside, &Security(config.tls.clone()));
        }
        if let (Some(door), Some(chaincodes)) = (self.chaincodes, node.chaincodes()) {
            take_chaincodes(served, door, chaincodes, node);
        }
    }
}

async fn bind_grpc(grpc: &Grpc) -> Result<Option<Door>, RunError> {
    match grpc {
        Grpc::Nowhere => Ok(None),
        Grpc::At(listen) => bind(listen).await.map(Some),
        Grpc::WhereFree(listen) => match bind(listen).await {
            Ok(door) => Ok(Some(door)),
            Err(error) => {
                tracing::warn!(
                    error = chain_of(&error),
                    "Fabric's clients are not served: give --grpc-listen an address, or `none`"
                );
                Ok(None)
            }
        },
    }
}

/// Lets chaincodes dial until the node is asked to stop.
fn take_chaincodes(
    served: &mut JoinSet<std::io::Result<()>>,
    door: Door,
    chaincodes: &Chaincodes,
    node: &Node,
) {
    for (listener, address) in door.listeners.into_iter().zip(door.addresses) {
        say(format_args!("chaincodes may dial {address}"));
        let accept = Arc::new(chaincodes.processes.clone());
        let mut stopping = node.stopping();
        served.spawn(async move {
            let stop = async {
                stopping.wait_for(|stopping| *stopping).await.ok();
            };
            quire_rpc::chaincode::serve(listener, None, accept, stop).await
        });
    }
}

fn flat(ended: Result<std::io::Result<()>, JoinError>) -> Result<(), RunError> {
    let ended = ended.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    ended.map_err(RunError::Serve)
}
