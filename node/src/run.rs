//! `quire run`: the server, from opening the data directory to the last answer.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use quire_gateway::{Backend, Server};
use quire_identity::Tokens;
use quire_identity::token::OpenTokensError;
use quire_ledger::Progress;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::server::Socket;
use crate::cli::RunArguments;
use crate::commands::channel::open_error;
use crate::commands::{FAILED, advice};
use crate::config::{Config, ConfigError};
use crate::logging::Logging;
use crate::metrics;
use crate::node::{FIRST_CHANNEL, Node};
use crate::terminal::{ProgressDisplay, print_error};
use crate::tls::Security;

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
    let mut display = ProgressDisplay::new();
    let mut progress = |progress: Progress<'_>| display.show(progress);
    let documents = config.documents.clone();
    let node = match Node::open(
        &config.data,
        &config.msp_id,
        documents,
        logging,
        &mut progress,
    ) {
        Ok(node) => Arc::new(node),
        Err(error) => {
            print_error(&error, open_error(&error).and_then(advice));
            return ExitCode::from(FAILED);
        }
    };
    metrics::watch(&node);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let served = runtime.and_then(|runtime| {
        let served = runtime.block_on(serve(Arc::clone(&node), &config));
        // A long check or import of a command ends with the node, and leaves nothing half done.
        runtime.shutdown_background();
        served
    });
    node.stop();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error, None);
            ExitCode::from(FAILED)
        }
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
        PrepareError::Tokens(_) => None,
    };
    print_error(error, advice);
    ExitCode::from(FAILED)
}

/// Answers requests until a signal comes, then lets those in flight end.
async fn serve(node: Arc<Node>, config: &Config) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(config.listen).await?;
    let address = listener.local_addr()?;
    let backend = Arc::clone(&node) as Arc<dyn Backend>;
    let security = Security(config.tls.clone());
    let mut operations = None;
    let server = match config.operations_listen {
        None => Server::new(backend, config.limits, config.cors.clone()),
        Some(listen) => {
            let listener = TcpListener::bind(listen).await?;
            let at = listener.local_addr()?;
            let is_remote = !at.ip().is_loopback();
            let cors = config.cors.clone();
            let (server, door) = Server::pair(backend, config.limits, cors, is_remote);
            let door = tokio::spawn(door.run(listener, security.clone()));
            operations = Some((at, door));
            server
        }
    };
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
    let mut server = tokio::spawn(server.run(listener, security));
    tokio::select! {
        _ = terminate.recv() => tracing::info!("asked to stop"),
        _ = interrupt.recv() => tracing::info!("interrupted"),
        ended = &mut server => return ended.map_err(std::io::Error::other)?,
    }
    if let Some(admin) = admin {
        // The socket goes with it.
        admin.abort();
        drop(admin.await);
    }
    node.ask_to_stop();
    let ended = server.await.map_err(std::io::Error::other)?;
    if let Some((_, door)) = operations {
        drop(door.await);
    }
    ended
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
    println!("  metrics         {scheme}://{operations}/metrics");
    println!("  channels        {}", node.channels().join(", "));
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
