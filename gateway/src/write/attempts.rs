//! The attempts of a write, one after the other, until its outcome is final.
//!
//! ```text
//! attempt n --> in a block? ------------------------------> its outcome
//!           --> ordered here, not final yet? --- wait ----> its outcome
//!           --> otherwise simulate, sign, order --- wait -> its outcome
//! outcome   --> VALID, conditional, or last allowed? -----> final
//!           --> lost to MVCC or a phantom? ---------------> attempt n + 1
//! ```

use std::sync::Arc;
use std::time::Duration;

use quire_chaincode::{Call, Invocation, Reach, Weight};
use quire_identity::SigningIdentity;
use quire_ledger::Meter;
use quire_peer::{Channel, Proposal, SubmitError, Submitted};
use quire_wire::tx_id::{NONCE_BYTES, tx_id};
use tokio::sync::watch;
use tokio::time::sleep;

use super::contention::Turn;
use super::flights::key_reused;
use super::idempotency::{DEFAULT_ATTEMPTS, IdempotencyKey, Record, Recorded};
use super::outcome::{
    CommittedTransaction, Progress, Returned, Settled, TransactionStatus, is_final_loss,
    is_lost_race, look, poll_outcome,
};
use crate::backend::Backend;
use crate::gateway::Gateway;
use crate::pools::Pools;
use crate::problem::Problem;

/// The shortest and the longest pause before a transaction that lost is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));
/// The same for one to which other organisations came to another outcome.
const CATCH_UP: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));
/// How often such a one is tried again: for two seconds.
const CATCH_UPS: u32 = 8;

/// A write that a caller asks for.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) channel: Channel,
    pub(crate) identity: Arc<SigningIdentity>,
    /// The channels that it may have told of.
    pub(crate) reach: Reach,
    pub(crate) call: Call,
    /// Whether it is the initialisation of its chaincode.
    pub(crate) is_init: bool,
    /// The key and the request that it names; `None` for a write that nobody can ask for again.
    pub(crate) key: Option<(IdempotencyKey, Recorded)>,
    /// Attempts that the caller asked for.
    pub(crate) attempts: Option<u32>,
}

/// Repeats attempts until the outcome is final.
pub(super) async fn settle(
    gateway: &Gateway,
    write: &Arc<Write>,
    progress: &watch::Sender<Progress>,
) -> Settled {
    let mut allowed = write.attempts.unwrap_or(DEFAULT_ATTEMPTS);
    let mut last: Option<CommittedTransaction> = None;
    let mut attempt = 0;
    loop {
        let turn = turn(gateway, write).await;
        let (committed, returned) = match caught_up(gateway, write, attempt, allowed).await {
            Err(problem) => {
                let problem = problem.about_call(&write.channel.chaincodes, &write.call);
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
                tell_ordered(progress, &tx_id);
                let outcome = poll_outcome(&gateway.pools, &write.channel, &tx_id);
                if outcome.await.is_some() {
                    // The next step finds it, and can compare its record.
                    continue;
                }
                (None, None)
            }
            Ok(Step::Ordered(submitted)) => {
                let tx_id = submitted.tx_id;
                tell_ordered(progress, &tx_id);
                let outcome = match submitted.outcome.await.ok().transpose() {
                    Err(error) => return turned_away(error, tx_id),
                    Ok(outcome) => outcome,
                };
                if outcome.is_some_and(|outcome| !outcome.is_ours) {
                    // Another node ordered it too. The next step finds which one counts, and compares its record.
                    continue;
                }
                let committed = outcome.map(|outcome| CommittedTransaction::new(tx_id, outcome));
                let (result, event) = (submitted.result, submitted.event);
                (committed, Some(Returned { result, event }))
            }
        };
        let Some(committed) = committed else {
            return Settled::Unknown {
                tx_id: last_ordered(progress),
            };
        };
        let found = returned.is_none();
        attempt += 1;
        match is_final(&gateway.pools, write, &committed, attempt >= allowed).await {
            Ok(true) => {
                return Settled::Final {
                    committed,
                    returned,
                    replayed: found,
                };
            }
            Ok(false) => {}
            Err(problem) => return Settled::Refused(problem.with_transaction(committed.tx_id)),
        }
        drop(turn);
        let keys = keys_to_wait_for(write);
        gateway.contention.mark(&write.channel.name, &keys);
        if !found {
            gateway.metrics.retried(committed.code);
            sleep(jittered(gateway.backend.as_ref(), BACK_OFF, attempt)).await;
        }
        last = Some(committed);
    }
}

fn tell_ordered(progress: &watch::Sender<Progress>, tx_id: &str) {
    let tx_id = tx_id.to_owned();
    progress.send_replace(Progress::Ordered { tx_id });
}

/// The order did not keep what it took.
fn turned_away(error: SubmitError, tx_id: String) -> Settled {
    Settled::Refused(Problem::from(error).with_transaction(tx_id))
}

/// The state of one attempt.
#[derive(Debug)]
enum Step {
    /// It is in a block; the number is the attempts allowed.
    Found(CommittedTransaction, u32),
    /// It was ordered before.
    Pending { tx_id: String },
    /// It is ordered now.
    Ordered(Submitted),
}

/// The same as [`step`], again while other organisations come to another outcome, whose nodes may have a block more or
/// less. It is the same transaction each time: nothing was ordered.
async fn caught_up(
    gateway: &Gateway,
    write: &Arc<Write>,
    attempt: u32,
    allowed: u32,
) -> Result<Step, Problem> {
    for tries in 0..CATCH_UPS {
        match step(gateway, write, attempt, allowed).await {
            Err(problem) if problem.may_be_of_heights() => {
                sleep(jittered(gateway.backend.as_ref(), CATCH_UP, tries)).await;
            }
            done => return done,
        }
    }
    step(gateway, write, attempt, allowed).await
}

/// Looks an attempt up, and submits it if it does not exist.
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
    let (channel, time) = (&write.channel, gateway.limits.query_timeout);
    let begun = match channel.chaincodes.weight(&write.call) {
        Weight::Scan => {
            if let Some(known) = look_up(gateway, write, attempt, allowed).await? {
                Invocation::Done(Ok(known))
            } else {
                let asked = gateway.query(time, move |asking| Ok(work(asking.meter())));
                asked.await?
            }
        }
        weight => {
            let work = move || Ok(work(Meter::default()));
            let brief = weight == Weight::Brief;
            gateway.pools.in_brief(&channel.reader, brief, work).await?
        }
    };
    let step = gateway.finish(&channel.reader, begun, time).await??;
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

/// What is known of an attempt, for a call that must wait for a query thread: a recorded attempt needs none.
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

/// Waits until nobody else works on the contended keys that the write wants.
async fn turn(gateway: &Gateway, write: &Write) -> Turn {
    // Usually no key is contended, and the write's keys need not be found out.
    if gateway.contention.is_none() {
        return Turn::default();
    }
    let keys = keys_to_wait_for(write);
    gateway.contention.turn(&write.channel.name, &keys).await
}

/// The keys at which a write waits for its turn; a write that is never tried again gains nothing if it waits.
fn keys_to_wait_for(write: &Write) -> Vec<(String, String)> {
    let hints = write.channel.chaincodes.hints(&write.call);
    if hints.is_conditional() {
        return Vec::new();
    }
    hints.keys.unwrap_or_default()
}

/// The last ordered attempt.
fn last_ordered(progress: &watch::Sender<Progress>) -> Option<String> {
    match &*progress.borrow() {
        Progress::Ordered { tx_id } => Some(tx_id.clone()),
        Progress::Starting | Progress::Settled(_) => None,
    }
}

/// Whether no attempt follows an attempt with this end.
async fn is_final(
    pools: &Pools,
    write: &Arc<Write>,
    committed: &CommittedTransaction,
    is_last: bool,
) -> Result<bool, Problem> {
    if is_last || !is_lost_race(committed.code) {
        return Ok(true);
    }
    let (write, committed) = (Arc::clone(write), committed.clone());
    let lost = pools.work(move || is_final_loss(&write.channel, &write.call, &committed));
    lost.await
}

/// Every try doubles the pause, of which one half is random, so that losers do not meet again.
fn jittered(
    backend: &dyn Backend,
    (shortest, longest): (Duration, Duration),
    tries: u32,
) -> Duration {
    let full = shortest.saturating_mul(1 << tries.min(10)).min(longest);
    let random = backend.random_nonce().first().copied().unwrap_or_default();
    full / 2 + full.mul_f64(f64::from(random) / 510.0)
}

impl Write {
    /// Looks an attempt up, and submits it if it does not exist. Blocks.
    fn step(
        &self,
        backend: &dyn Backend,
        (attempt, allowed): (u32, u32),
        meter: Meter,
    ) -> Invocation<Result<Step, Problem>> {
        let Some((key, request)) = &self.key else {
            let nonce = backend.random_nonce();
            let tx_id = tx_id(&nonce, self.identity.serialized());
            return self.submit(nonce, tx_id, None, meter);
        };
        let nonce = key.nonce(attempt);
        let tx_id = tx_id(&nonce, self.identity.serialized());
        match self.known(&tx_id, allowed) {
            Ok(None) => {}
            Ok(Some(known)) => return Invocation::Done(Ok(known)),
            Err(problem) => return Invocation::Done(Err(problem)),
        }
        let record = Record::new(request.digest(allowed), attempt, allowed);
        self.submit(nonce, tx_id, Some(record), meter)
    }

    /// What is known of an attempt; `None` if it was never made. Blocks.
    fn known(&self, tx_id: &str, allowed: u32) -> Result<Option<Step>, Problem> {
        Ok(match look(&self.channel, tx_id)? {
            // The caller must still check whether it belongs to this request, and the attempts that it
            // allows.
            TransactionStatus::Committed(committed) => Some(Step::Found(committed, allowed)),
            TransactionStatus::Pending => {
                let tx_id = tx_id.to_owned();
                Some(Step::Pending { tx_id })
            }
            TransactionStatus::Never => None,
        })
    }

    /// Makes sure that an attempt in a block belongs to this request; returns the attempts allowed. Blocks.
    fn check(&self, attempt: u32, committed: &CommittedTransaction) -> Result<u32, Problem> {
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
    ) -> Invocation<Result<Step, Problem>> {
        if self.channel.read_only {
            return Invocation::Done(Err(SubmitError::ReadOnly.into()));
        }
        let proposal = Proposal {
            identity: Arc::clone(&self.identity),
            nonce,
            tx_id: tx_id.clone(),
            call: self.call.clone(),
            is_init: self.is_init,
            decoration: record.map(|record| record.to_bytes()),
            meter,
            reach: self.reach.clone(),
        };
        let submitted = Arc::clone(&self.channel.submitter).submit(proposal);
        submitted.map(|submitted| match submitted {
            Ok(submitted) => Ok(Step::Ordered(submitted)),
            Err(SubmitError::Duplicate) => Ok(Step::Pending { tx_id }),
            Err(error) => Err(error.into()),
        })
    }
}
