//! A write on its way: attempts are looked up, submitted, awaited and repeated until the outcome
//! is final.
//!
//! ```text
//! attempt n --> in a block? ------------------------------> its outcome
//!           --> ordered here, not final yet? --- wait ----> its outcome
//!           --> otherwise simulate, sign, order --- wait -> its outcome
//! outcome   --> VALID, conditional, or last allowed? -----> final
//!           --> lost to MVCC or a phantom? ---------------> attempt n + 1
//! ```

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use quire_chaincode::{Call, is_conditional, touched};
use quire_identity::SigningIdentity;
use quire_ledger::{Height, Meter, ReadError};
use quire_peer::{Channel, Outcome, Proposal, SubmitError, Submitted};
use quire_wire::Code;
use quire_wire::tx_id::{NONCE_BYTES, tx_id};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::answer::is_final_loss;
use super::contention::Turn;
use super::flights::{Boarded, FlightKey, FlightRequest, key_reused};
use super::idempotency::{DEFAULT_ATTEMPTS, IdempotencyKey, Record, Recorded};
use super::unattended::Unattended;
use crate::backend::Backend;
use crate::gateway::Gateway;
use crate::metrics::KeyMet;
use crate::pools::Pools;
use crate::problem::Problem;
use crate::request::call::{is_brief, may_scan};
use crate::request::prefer::Prefer;

/// Shortest and longest pause before a transaction that lost is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));
/// Longest pause between two looks at a transaction that another task ordered. Each commit ends
/// it; it counts only for a transaction that vanishes without one.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A write that a caller asks for.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) channel: Channel,
    pub(crate) identity: Arc<SigningIdentity>,
    pub(crate) call: Call,
    /// The key and the request that it names; none for a write nobody can ask for again.
    pub(crate) key: Option<(IdempotencyKey, Recorded)>,
    /// Attempts that the caller asked for.
    pub(crate) attempts: Option<u32>,
}

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) tx_id: String,
    pub(crate) height: Height,
    pub(crate) code: Code,
}

/// How far a write is.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// Nothing is ordered.
    Starting,
    /// An attempt is ordered.
    Ordered { tx_id: String },
    /// Over.
    Settled(Settled),
}

/// How a write ended.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// In a block, for good.
    Final {
        committed: Committed,
        /// What the chaincode answered, where that was here and now; the block holds the same.
        result: Option<Bytes>,
        /// Whether an earlier request led there.
        replayed: bool,
    },
    /// The last attempt was refused before it was ordered; nothing took effect.
    Refused(Problem),
    /// Ordered, and nobody here knows what came of it.
    Unknown { tx_id: Option<String> },
}

/// What a caller is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// The outcome.
    Settled(Settled),
    /// Ordered, not final when the caller's time was over.
    Pending { tx_id: Option<String> },
}

impl Told {
    /// The same without what the chaincode answered, which can be large: the answer takes it from the
    /// block.
    pub(crate) fn without_result(mut self) -> Self {
        if let Self::Settled(Settled::Final { result, .. }) = &mut self {
            *result = None;
        }
        self
    }
}

/// Carries a write out, and waits for it as long as the caller wants to.
pub(crate) async fn carry_out(
    gateway: &Arc<Gateway>,
    write: Write,
    prefer: Prefer,
) -> Result<Told, Problem> {
    let write = Arc::new(write);
    let Some((key, request)) = &write.key else {
        let (sender, progress) = watch::channel(Progress::Starting);
        // Nobody can ask for it again: what is not ordered yet ends with the request.
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
    // Who asks for an answer before the outcome still has to be taken on first.
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
        problem.about_call(&write.call)
    });
    match boarded? {
        Boarded::Joined(progress) => {
            gateway.metrics.key_met(KeyMet::Joined);
            let told = watch_progress(gateway, progress, prefer, first_tx_id).await;
            Ok(match told {
                Told::Settled(Settled::Final {
                    committed, result, ..
                }) => Told::Settled(Settled::Final {
                    committed,
                    result,
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
                // The flight is over before those who wait for its end look again.
                drop(guard);
                drop(sender);
            });
            Ok(work_on(gateway, flight, &progress, prefer, first_tx_id).await)
        }
    }
}

/// Does the work and says so.
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

/// Works until the end, or the end of the caller's time. That begins when something is ordered, which
/// takes no longer than simulation, so that even a caller in a hurry learns what was.
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

/// Waits for the end of work that another request does, or for the end of the caller's time, as
/// [`work_on`] does.
async fn watch_progress(
    gateway: &Gateway,
    mut progress: watch::Receiver<Progress>,
    prefer: Prefer,
    first_tx_id: Option<String>,
) -> Told {
    let ordered = progress.wait_for(|progress| !matches!(progress, Progress::Starting));
    // Too late, or the work is gone without a word: it panicked, or the runtime stops.
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

/// What the caller is told of work that is over, or that no more time is left for.
fn told(progress: &Progress, is_over: bool, first_tx_id: Option<String>) -> Told {
    let tx_id = match progress {
        Progress::Starting => first_tx_id,
        Progress::Ordered { tx_id } => Some(tx_id.clone()),
        Progress::Settled(settled) => return Told::Settled(settled.clone()),
    };
    if is_over {
        // Over without a word: it panicked, or the runtime stops.
        Told::Settled(Settled::Unknown { tx_id })
    } else {
        Told::Pending { tx_id }
    }
}

/// Repeats attempts until the outcome is final.
async fn settle(
    gateway: &Gateway,
    write: &Arc<Write>,
    progress: &watch::Sender<Progress>,
) -> Settled {
    let mut allowed = write.attempts.unwrap_or(DEFAULT_ATTEMPTS);
    let mut last: Option<Committed> = None;
    let mut attempt = 0;
    loop {
        let turn = turn(gateway, write).await;
        let (committed, result) = match step(gateway, write, attempt, allowed).await {
            Err(problem) => {
                let problem = problem.about_call(&write.call);
                return Settled::Refused(match last {
                    Some(last) => problem.with_transaction(last.tx_id),
                    None => problem,
                });
            }
            Ok(Step::Found(committed, recorded)) => {
                allowed = recorded;
                (Some(committed), None)
            }
            Ok(Step::Pending { tx_id }) => {
                progress.send_replace(Progress::Ordered {
                    tx_id: tx_id.clone(),
                });
                let outcome = poll_outcome(gateway, &write.channel, &tx_id);
                if outcome.await.is_some() {
                    // Now it is found, and its record can be compared.
                    continue;
                }
                (None, None)
            }
            Ok(Step::Ordered(submitted)) => {
                let Submitted {
                    tx_id,
                    result,
                    outcome,
                } = submitted;
                progress.send_replace(Progress::Ordered {
                    tx_id: tx_id.clone(),
                });
                let outcome = outcome.await.ok();
                let committed = outcome.map(|outcome| Committed::new(tx_id, outcome));
                (committed, Some(result))
            }
        };
        let Some(committed) = committed else {
            return Settled::Unknown {
                tx_id: last_ordered(progress),
            };
        };
        let found = result.is_none();
        attempt += 1;
        match is_final(&gateway.pools, write, &committed, attempt >= allowed).await {
            Ok(true) => {
                return Settled::Final {
                    committed,
                    result,
                    replayed: found,
                };
            }
            Ok(false) => {}
            Err(problem) => return Settled::Refused(problem.with_transaction(committed.tx_id)),
        }
        drop(turn);
        let keys = keys_to_wait_for(&write.call);
        gateway.contention.mark(&write.channel.name, &keys);
        if !found {
            gateway.metrics.retried(committed.code);
            sleep(jittered(gateway.backend.as_ref(), BACK_OFF, attempt)).await;
        }
        last = Some(committed);
    }
}

/// Looks an attempt up, and submits it where there is none.
async fn step(
    gateway: &Gateway,
    write: &Arc<Write>,
    attempt: u32,
    allowed: u32,
) -> Result<Step, Problem> {
    let work = {
        let (backend, write) = (Arc::clone(&gateway.backend), Arc::clone(write));
        move |meter| write.step(backend.as_ref(), (attempt, allowed), meter)
    };
    let step = if may_scan(&write.call) {
        match look_up(gateway, write, attempt, allowed).await? {
            Some(known) => known,
            None => {
                let time = gateway.limits.query_timeout;
                gateway
                    .query(time, move |asking| work(asking.meter()))
                    .await?
            }
        }
    } else {
        let (reader, brief) = (&write.channel.reader, is_brief(&write.call));
        let work = move || work(Meter::default());
        gateway.pools.in_brief(reader, brief, work).await?
    };
    let committed = match step {
        Step::Found(committed, _) => committed,
        step => return Ok(step),
    };
    // Its block may have to be read from the disk.
    let write = Arc::clone(write);
    let checked = gateway.pools.work(move || {
        let recorded = write.check(attempt, &committed)?;
        Ok(Step::Found(committed, recorded))
    });
    checked.await
}

/// What is known of an attempt, for a call that has to wait for a thread of the queries: what is recorded
/// already needs none.
async fn look_up(
    gateway: &Gateway,
    write: &Arc<Write>,
    attempt: u32,
    allowed: u32,
) -> Result<Option<Step>, Problem> {
    let Some((key, _)) = &write.key else {
        return Ok(None);
    };
    let tx_id = tx_id(&key.nonce(attempt), write.identity.serialized());
    let write = Arc::clone(write);
    let known = gateway.pools.work(move || write.known(&tx_id, allowed));
    known.await
}

/// Waits until nobody else is at the contended keys among those that the write wants.
async fn turn(gateway: &Gateway, write: &Write) -> Turn {
    // As a rule: then it need not be found out what the write wants.
    if gateway.contention.is_none() {
        return Turn::default();
    }
    let keys = keys_to_wait_for(&write.call);
    gateway.contention.turn(&write.channel.name, &keys).await
}

/// The keys at which a write waits for its turn; a write that is never tried again has nothing to gain
/// from waiting.
fn keys_to_wait_for(call: &Call) -> Vec<(String, String)> {
    let conditions = is_conditional(call);
    if conditions.iter().any(|condition| !condition.is_implied) {
        return Vec::new();
    }
    touched(call).unwrap_or_default()
}

/// The attempt that was ordered last.
fn last_ordered(progress: &watch::Sender<Progress>) -> Option<String> {
    match &*progress.borrow() {
        Progress::Ordered { tx_id } => Some(tx_id.clone()),
        Progress::Starting | Progress::Settled(_) => None,
    }
}

/// Whether no attempt follows one that ended so.
async fn is_final(
    pools: &Pools,
    write: &Arc<Write>,
    committed: &Committed,
    is_last: bool,
) -> Result<bool, Problem> {
    if is_last || !is_lost_race(committed.code) {
        return Ok(true);
    }
    let (write, committed) = (Arc::clone(write), committed.clone());
    let lost = pools.work(move || is_final_loss(&write.channel, &write.call, &committed));
    lost.await
}

/// Whether another try could end better.
pub(crate) fn is_lost_race(code: Code) -> bool {
    code == Code::MVCC_READ_CONFLICT || code == Code::PHANTOM_READ_CONFLICT
}

/// Twice the pause with every try, and a random half of it, so that losers do not meet again.
fn jittered(
    backend: &dyn Backend,
    (shortest, longest): (Duration, Duration),
    tries: u32,
) -> Duration {
    let full = shortest.saturating_mul(1 << tries.min(10)).min(longest);
    let random = backend.random_nonce().first().copied().unwrap_or_default();
    full / 2 + full.mul_f64(f64::from(random) / 510.0)
}

/// Looks for the outcome of a transaction that another task ordered; none when it vanished.
pub(crate) async fn poll_outcome(
    gateway: &Gateway,
    channel: &Channel,
    tx_id: &str,
) -> Option<Committed> {
    let mut heights = channel.heights.clone();
    loop {
        // A commit after this line is noticed below.
        heights.mark_unchanged();
        let (channel, id) = (channel.clone(), tx_id.to_owned());
        match gateway.pools.work(move || look(&channel, &id)).await {
            Ok(Seen::Committed(committed)) => return Some(committed),
            Ok(Seen::Pending) => {}
            Ok(Seen::Never) | Err(_) => return None,
        }
        next_commit(&mut heights, LOOK_AGAIN).await;
    }
}

/// Returns after a commit that `heights` has not seen, or after that time.
pub(crate) async fn next_commit(heights: &mut watch::Receiver<u64>, at_most: Duration) {
    match timeout(at_most, heights.changed()).await {
        Ok(Ok(())) | Err(_) => {}
        // No commit will follow; what there is to see will not change soon.
        Ok(Err(_)) => sleep(at_most).await,
    }
}

/// What is known of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Committed(Committed),
    Pending,
    Never,
}

/// Looks a transaction up. Blocks.
pub(crate) fn look(channel: &Channel, tx_id: &str) -> Result<Seen, Problem> {
    // In this order: what is no longer pending by now is in a block.
    let otherwise = if channel.submitter.is_pending(tx_id) {
        Seen::Pending
    } else {
        Seen::Never
    };
    Ok(committed(channel, tx_id)?.map_or(otherwise, Seen::Committed))
}

fn committed(channel: &Channel, tx_id: &str) -> Result<Option<Committed>, ReadError> {
    let location = channel.reader.transaction(tx_id)?;
    Ok(location.map(|location| Committed {
        tx_id: tx_id.to_owned(),
        height: location.height,
        code: location.code,
    }))
}

impl Committed {
    fn new(tx_id: String, outcome: Outcome) -> Self {
        Self {
            tx_id,
            height: Height {
                block: outcome.block,
                tx: outcome.tx,
            },
            code: outcome.code,
        }
    }
}

/// What became of one attempt.
#[derive(Debug)]
enum Step {
    /// It stands in a block, with the attempts allowed.
    Found(Committed, u32),
    /// It was ordered before.
    Pending { tx_id: String },
    /// It is ordered now.
    Ordered(Submitted),
}

impl Write {
    /// Looks an attempt up, and submits it where there is none. Blocks.
    fn step(
        &self,
        backend: &dyn Backend,
        (attempt, allowed): (u32, u32),
        meter: Meter,
    ) -> Result<Step, Problem> {
        let Some((key, request)) = &self.key else {
            let nonce = backend.random_nonce();
            let tx_id = tx_id(&nonce, self.identity.serialized());
            return self.submit(nonce, tx_id, None, meter);
        };
        let nonce = key.nonce(attempt);
        let tx_id = tx_id(&nonce, self.identity.serialized());
        if let Some(known) = self.known(&tx_id, allowed)? {
            return Ok(known);
        }
        let record = Record::new(request.digest(allowed), attempt, allowed);
        self.submit(nonce, tx_id, Some(record), meter)
    }

    /// What is known of an attempt; none where it was never made. Blocks.
    fn known(&self, tx_id: &str, allowed: u32) -> Result<Option<Step>, Problem> {
        Ok(match look(&self.channel, tx_id)? {
            // Whether it is this request's, and the attempts it allows, is still to be checked.
            Seen::Committed(committed) => Some(Step::Found(committed, allowed)),
            Seen::Pending => {
                let tx_id = tx_id.to_owned();
                Some(Step::Pending { tx_id })
            }
            Seen::Never => None,
        })
    }

    /// Makes sure that an attempt in a block is one of this request; gives the attempts allowed.
    /// Blocks.
    fn check(&self, attempt: u32, committed: &Committed) -> Result<u32, Problem> {
        let envelope = self.channel.reader.envelope(committed.height)?;
        let record = envelope.and_then(|envelope| Record::of_envelope(&envelope));
        let reused = || key_reused().with_transaction(committed.tx_id.as_str());
        let record = record.ok_or_else(reused)?;
        let (_, request) = self.key.as_ref().ok_or_else(reused)?;
        let allowed = self.attempts.unwrap_or(record.allowed);
        if !request.has_digest(&record.digest, allowed) || record.attempt != attempt {
            return Err(reused());
        }
        Ok(record.allowed)
    }

    fn submit(
        &self,
        nonce: [u8; NONCE_BYTES],
        tx_id: String,
        record: Option<Record>,
        meter: Meter,
    ) -> Result<Step, Problem> {
        if self.channel.read_only {
            return Err(SubmitError::ReadOnly.into());
        }
        let proposal = Proposal {
            identity: Arc::clone(&self.identity),
            nonce,
            tx_id: tx_id.clone(),
            call: self.call.clone(),
            decoration: record.map(|record| record.to_bytes()),
            meter,
        };
        match self.channel.submitter.submit(proposal) {
            Ok(submitted) => Ok(Step::Ordered(submitted)),
            Err(SubmitError::Duplicate) => Ok(Step::Pending { tx_id }),
            Err(error) => Err(error.into()),
        }
    }
}
