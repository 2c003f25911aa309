//! `quire run`: the server, from opening the data directory to the last answer.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use quire_chaincode::Documents;
use quire_gateway::{Backend, Limits};
use quire_ledger::Progress;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::admin::server::Socket;
use crate::cli::RunArguments;
use crate::commands::channel::open_error;
use crate::commands::{FAILED, advice};
use crate::metrics;
use crate::node::{FIRST_CHANNEL, Node};
use crate::terminal::{ProgressDisplay, print_error};

/// How long requests in flight have to end once the node is asked to stop.
const DRAIN: Duration = Duration::from_secs(20);

pub(crate) fn run(arguments: &RunArguments) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    if !arguments.listen.ip().is_loopback() && !arguments.insecure_no_auth {
        eprintln!(
            "quire: {} can be reached from other machines, and nobody has to prove who they are",
            arguments.listen
        );
        eprintln!("  Listen on 127.0.0.1, or accept that with --insecure-no-auth.");
        return ExitCode::from(FAILED);
    }
    let mut display = ProgressDisplay::new();
    let mut progress = |progress: Progress<'_>| display.show(progress);
    let documents = Documents {
        max_value_bytes: arguments.max_value_bytes,
    };
    let data = &arguments.data;
    let node = match Node::open(&data.data, &data.msp_id, documents, &mut progress) {
        Ok(node) => {
            let node = Arc::new(node);
            metrics::watch(&node);
            node
        }
        Err(error) => {
            print_error(&error, open_error(&error).and_then(advice));
            return ExitCode::from(FAILED);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let served = runtime.and_then(|runtime| {
        let served = runtime.block_on(serve(Arc::clone(&node), arguments));
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

/// Answers requests until a signal comes, then lets those in flight end.
async fn serve(node: Arc<Node>, arguments: &RunArguments) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    let limits = Limits {
        local_only: !arguments.insecure_no_auth,
        ..Limits::default()
    };
    let backend = Arc::clone(&node) as Arc<dyn Backend>;
    let (stop, stopping) = watch::channel(false);
    let mut operations = None;
    let router = match arguments.operations_listen {
        None => quire_gateway::router(backend, limits),
        Some(listen) => {
            let listener = TcpListener::bind(listen).await?;
            let at = listener.local_addr()?;
            // Somebody who opened this door to other machines wants them to be let in.
            let at_operations = Limits {
                local_only: limits.local_only && at.ip().is_loopback(),
                ..limits
            };
            let routers = quire_gateway::routers(backend, limits, at_operations);
            tokio::spawn(answer(listener, routers.operations, stopping.clone()));
            operations = Some(at);
            routers.api
        }
    };
    // Without it commands have to wait until the node stops; requests need not know.
    let admin = match Socket::bind(&arguments.data.data) {
        Ok(socket) => Some(tokio::spawn(socket.serve(Arc::clone(&node)))),
        Err(error) => {
            tracing::warn!(%error, "no admin.sock: commands cannot act while the node runs");
            None
        }
    };
    greet(&node, address, operations, arguments);
    let mut server = tokio::spawn(answer(listener, router, stopping.clone()));
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
    drop(stopping);
    stop.send_replace(true);
    if let Ok(ended) = tokio::time::timeout(DRAIN, &mut server).await {
        return ended.map_err(std::io::Error::other)?;
    }
    tracing::warn!("requests in flight did not end in time");
    server.abort();
    Ok(())
}

/// Answers at one address until it is time to stop and all that came before is answered.
async fn answer(
    listener: TcpListener,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    // An answer is one small write: waiting to fill a packet would only delay it.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        // An error means that the sender is gone: time to stop too.
        drop(stopping.wait_for(|stop| *stop).await);
    });
    server.await
}

/// What somebody who just started the node wants to know.
fn greet(
    node: &Node,
    address: SocketAddr,
    operations: Option<SocketAddr>,
    arguments: &RunArguments,
) {
    let data = arguments
        .data
        .data
        .canonicalize()
        .unwrap_or_else(|_| arguments.data.data.clone());
    println!(
        "Quire {} is listening on http://{address}",
        env!("CARGO_PKG_VERSION")
    );
    println!("  data directory  {}", data.display());
    println!("  organisation    {}", node.organization().msp_id());
    println!(
        "  metrics         http://{}/metrics",
        operations.unwrap_or(address)
    );
    println!("  channels        {}", node.channels().join(", "));
    println!("Write a document, and read it back:");
    println!(
        "  curl -X PUT http://{address}/v1/channels/{FIRST_CHANNEL}/state/orders/1001 \
         -H 'Content-Type: application/json' -d '{{\"total\": 12.50}}'"
    );
    println!("  curl http://{address}/v1/channels/{FIRST_CHANNEL}/state/orders/1001");
}
