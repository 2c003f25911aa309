//! `quire run`: the server, from opening the data directory to the last answer.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use quire_chaincode::Documents;
use quire_gateway::{Backend, Limits, Server};
use quire_ledger::Progress;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::server::Socket;
use crate::cli::RunArguments;
use crate::commands::channel::open_error;
use crate::commands::{FAILED, advice};
use crate::logging::Logging;
use crate::node::{FIRST_CHANNEL, Node};
use crate::terminal::{ProgressDisplay, print_error};

pub(crate) fn run(arguments: &RunArguments) -> ExitCode {
    let logging = match Logging::start(&arguments.log_spec) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("quire: --log-spec: {error}");
            return ExitCode::from(FAILED);
        }
    };
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
    let node = match Node::open(&data.data, &data.msp_id, documents, logging, &mut progress) {
        Ok(node) => Arc::new(node),
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
        head_timeout: Duration::from_secs(arguments.head_timeout),
        body_timeout: Duration::from_secs(arguments.body_timeout),
        stall_timeout: Duration::from_secs(arguments.stall_timeout),
        grace: Duration::from_secs(arguments.grace),
        connections: arguments.max_connections,
        requests: arguments.max_requests,
        ..Limits::default()
    };
    let server = Server::new(Arc::clone(&node) as Arc<dyn Backend>, limits);

    // Without it commands have to wait until the node stops; requests need not know.
    let admin = match Socket::bind(&arguments.data.data) {
        Ok(socket) => Some(tokio::spawn(socket.serve(Arc::clone(&node)))),
        Err(error) => {
            tracing::warn!(%error, "no admin.sock: commands cannot act while the node runs");
            None
        }
    };
    greet(&node, address, arguments);
    let mut server = tokio::spawn(server.run(listener));
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
    server.await.map_err(std::io::Error::other)?
}

/// What somebody who just started the node wants to know.
fn greet(node: &Node, address: std::net::SocketAddr, arguments: &RunArguments) {
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
    println!("  channels        {}", node.channels().join(", "));
    println!("Write a document, and read it back:");
    println!(
        "  curl -X PUT http://{address}/v1/channels/{FIRST_CHANNEL}/state/orders/1001 \
         -H 'Content-Type: application/json' -d '{{\"total\": 12.50}}'"
    );
    println!("  curl http://{address}/v1/channels/{FIRST_CHANNEL}/state/orders/1001");
}
