//! How long a caller waits for its write, and what it is told then: the outcome, or that there is none yet.
//! If the write can be asked for again, the work goes on without the caller.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use quire_identity::SigningIdentity;
use quire_peer::Channel;
use quire_wire::tx_id::tx_id;
use tokio::sync::watch;
use tokio::time::timeout;

use super::attempts::{Write, settle};
use super::flights::{Boarded, FlightKey, FlightRequest};
use super::idempotency::IdempotencyKey;
use super::outcome::{Progress, Settled, Told};
use super::unattended::Unattended;
use crate::gateway::Gateway;
use crate::metrics::KeyMet;
use crate::problem::Problem;
use crate::request::prefer::Prefer;

/// Carries a write out, and waits for it as long as the caller wants to.
pub(crate) async fn carry_out(
    gateway: &Arc<Gateway>,
    write: Write,
    prefer: Prefer,
) -> Result<Told, Problem> {
    let write = Arc::new(write);
    let Some((key, request)) = &write.key else {
        let (sender, progress) = watch::channel(Progress::Starting);
        // Nobody can ask for it again: if it is not ordered yet, it ends with the request.
        let work = pin!(run(gateway, &write, &sender));
        return Ok(work_on(gateway, work, &progress, prefer, None).await);
    };
    let flight_key = flight_key(&write.channel, key, &write.identity);
    let first_tx_id = Some(flight_key.first_tx_id.clone());
    let request = FlightRequest {
        digest: request.digest(0),
        attempts: write.attempts,
    };
    let boarding = gateway.flights.board(flight_key, request);
    // The work must be taken on even for a caller who wants an answer before the outcome.
    let patience = if prefer.respond_async {
        prefer.wait.max(gateway.limits.default_wait)
    } else {
        prefer.wait
    };
    let Ok(boarded) = timeout(patience, boarding).await else {
        let tx_id = first_tx_id;
        return Ok(Told::Settled(Settled::Unknown { tx_id }));
    };
    let boarded = boarded.map_err(|problem| {
        gateway.metrics.key_turned_away(&problem);
        problem.about_call(&write.channel.chaincodes, &write.call)
    });
    match boarded? {
        Boarded::Joined(progress) => {
            gateway.metrics.key_met(KeyMet::Joined);
            let told = watch_progress(gateway, progress, prefer, first_tx_id).await;
            Ok(match told {
                Told::Settled(Settled::Final {
                    committed,
                    returned,
                    ..
                }) => Told::Settled(Settled::Final {
                    committed,
                    returned,
                    replayed: true,
                }),
                told => told,
            })
        }
        Boarded::Started {
            guard,
            sender,
            progress,
        } => {
            let (shared, write) = (Arc::clone(gateway), Arc::clone(&write));
            let flight = Unattended::new(async move {
                run(&shared, &write, &sender).await;
                // The flight must be over before those who wait for its end look again.
                drop(guard);
                drop(sender);
            });
            Ok(work_on(gateway, flight, &progress, prefer, first_tx_id).await)
        }
    }
}

/// Does the work, and reports when it is over.
async fn run(gateway: &Gateway, write: &Arc<Write>, progress: &watch::Sender<Progress>) {
    let settled = settle(gateway, write, progress).await;
    if write.key.is_some() {
        gateway.metrics.key_settled(&settled);
    }
    progress.send_replace(Progress::Settled(settled));
}

/// The single flight of a key.
pub(crate) fn flight_key(
    channel: &Channel,
    key: &IdempotencyKey,
    identity: &SigningIdentity,
) -> FlightKey {
    FlightKey {
        channel: Arc::clone(&channel.name),
        first_tx_id: tx_id(&key.nonce(0), identity.serialized()),
    }
}

/// Works until the end, or until the caller's time is over. That time begins when something is ordered, which
/// takes no longer than simulation, so that even a caller without time learns what was ordered.
async fn work_on(
    gateway: &Gateway,
    mut work: impl Future<Output = ()> + Unpin,
    progress: &watch::Receiver<Progress>,
    prefer: Prefer,
    first_tx_id: Option<String>,
) -> Told {
    let begun = || !matches!(*progress.borrow(), Progress::Starting);
    let ordered = poll_fn(|context| match Pin::new(&mut work).poll(context) {
        Poll::Pending if begun() => Poll::Ready(Poll::Pending),
        Poll::Pending => Poll::Pending,
        over @ Poll::Ready(()) => Poll::Ready(over),
    });
    let is_over = match timeout(gateway.limits.default_wait, ordered).await {
        Err(_) => return Told::Settled(Settled::Unknown { tx_id: first_tx_id }),
        Ok(Poll::Ready(())) => true,
        Ok(Poll::Pending) => tokio::select! {
            biased;
            over = timeout(prefer.wait, work) => over.is_ok(),
            () = gateway.out_of_grace() => false,
        },
    };
    told(&progress.borrow(), is_over, first_tx_id)
}

/// Waits until another request's work ends, or until the caller's time is over, like [`work_on`].
async fn watch_progress(
    gateway: &Gateway,
    mut progress: watch::Receiver<Progress>,
    prefer: Prefer,
    first_tx_id: Option<String>,
) -> Told {
    let ordered = progress.wait_for(|progress| !matches!(progress, Progress::Starting));
    // It is too late, or the work ended without a report: it panicked, or the runtime stops.
    if !matches!(
        timeout(gateway.limits.default_wait, ordered).await,
        Ok(Ok(_))
    ) {
        return Told::Settled(Settled::Unknown { tx_id: first_tx_id });
    }
    let settled = progress.wait_for(|progress| matches!(progress, Progress::Settled(_)));
    let is_over = tokio::select! {
        settled = timeout(prefer.wait, settled) => settled.is_ok(),
        () = gateway.out_of_grace() => false,
    };
    told(&progress.borrow(), is_over, first_tx_id)
}

/// What the caller is told when the work or its time is over.
fn told(progress: &Progress, is_over: bool, first_tx_id: Option<String>) -> Told {
    let tx_id = match progress {
        Progress::Starting => first_tx_id,
        Progress::Ordered { tx_id } => Some(tx_id.clone()),
        Progress::Settled(settled) => return Told::Settled(settled.clone()),
    };
    if is_over {
        // The work ended without a report: it panicked, or the runtime stops.
        Told::Settled(Settled::Unknown { tx_id })
    } else {
        Told::Pending { tx_id }
    }
}
