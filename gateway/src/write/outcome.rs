//! The progress of a write, its end, and what its caller is told.

use std::time::Duration;

use bytes::Bytes;
use quire_chaincode::{Call, Condition};
use quire_ledger::{Height, ReadError};
use quire_peer::{Channel, Outcome};
use quire_wire::Code;
use quire_wire::peer::ChaincodeEvent;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::pools::Pools;
use crate::problem::Problem;

/// The longest pause between two checks of a transaction that another task ordered. Each commit ends the
/// pause; its length matters only if a transaction vanishes without a commit.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommittedTransaction {
    pub(crate) tx_id: String,
    pub(crate) height: Height,
    pub(crate) code: Code,
}

impl CommittedTransaction {
    pub(super) fn new(tx_id: String, outcome: Outcome) -> Self {
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

/// The progress of a write.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// Nothing is ordered.
    Starting,
    /// An attempt is ordered.
    Ordered { tx_id: String },
    /// The write is over.
    Settled(Settled),
}

/// What a chaincode answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Returned {
    pub(crate) result: Bytes,
    /// What it tells those who listen.
    pub(crate) event: Option<ChaincodeEvent>,
}

/// How a write ended.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// It is in a block for good.
    Final {
        committed: CommittedTransaction,
        /// What the chaincode answered, if it ran here just now; the block holds the same.
        returned: Option<Returned>,
        /// Whether an earlier request led to this outcome.
        replayed: bool,
    },
    /// The last attempt was refused before it was ordered; nothing took effect.
    Refused(Problem),
    /// It was ordered, but its outcome is not known here.
    Unknown { tx_id: Option<String> },
}

/// What a caller is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// The outcome.
    Settled(Settled),
    /// It was ordered, but was not final when the caller's time was over.
    Pending { tx_id: Option<String> },
}

impl Told {
    /// The same without the chaincode's answer, which can be large: the reply takes it from the block.
    pub(crate) fn without_answer(mut self) -> Self {
        if let Self::Settled(Settled::Final { returned, .. }) = &mut self {
            *returned = None;
        }
        self
    }
}

/// What is known of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TransactionStatus {
    Committed(CommittedTransaction),
    Pending,
    Never,
}

/// Looks a transaction up. Blocks.
pub(crate) fn look(channel: &Channel, tx_id: &str) -> Result<TransactionStatus, Problem> {
    // The order matters: what is no longer pending by now is in a block.
    let otherwise = if channel.submitter.is_pending(tx_id) {
        TransactionStatus::Pending
    } else {
        TransactionStatus::Never
    };
    Ok(committed(channel, tx_id)?.map_or(otherwise, TransactionStatus::Committed))
}

fn committed(channel: &Channel, tx_id: &str) -> Result<Option<CommittedTransaction>, ReadError> {
    let location = channel.reader.transaction(tx_id)?;
    Ok(location.map(|location| CommittedTransaction {
        tx_id: tx_id.to_owned(),
        height: location.height,
        code: location.code,
    }))
}

/// Looks for the outcome of a transaction that another task ordered; `None` if the transaction vanished.
pub(crate) async fn poll_outcome(
    pools: &Pools,
    channel: &Channel,
    tx_id: &str,
) -> Option<CommittedTransaction> {
    let mut heights = channel.heights.clone();
    loop {
        // A commit after this line is noticed below.
        heights.mark_unchanged();
        let (channel, id) = (channel.clone(), tx_id.to_owned());
        match pools.work(move || look(&channel, &id)).await {
            Ok(TransactionStatus::Committed(committed)) => return Some(committed),
            Ok(TransactionStatus::Pending) => {}
            Ok(TransactionStatus::Never) | Err(_) => return None,
        }
        next_commit(&mut heights, LOOK_AGAIN).await;
    }
}

/// Returns after a commit that `heights` has not seen, or after `at_most`.
pub(crate) async fn next_commit(heights: &mut watch::Receiver<u64>, at_most: Duration) {
    match timeout(at_most, heights.changed()).await {
        Ok(Ok(())) | Err(_) => {}
        // No commit will follow, so nothing will change soon.
        Ok(Err(_)) => sleep(at_most).await,
    }
}

/// Whether another try could end better.
pub(crate) fn is_lost_race(code: Code) -> bool {
    code == Code::MVCC_READ_CONFLICT || code == Code::PHANTOM_READ_CONFLICT
}

/// Whether a transaction that lost a race stays lost: its caller gave a version, or the key that it creates
/// existed. Blocks.
pub(crate) fn is_final_loss(
    channel: &Channel,
    call: &Call,
    committed: &CommittedTransaction,
) -> Result<bool, Problem> {
    let hints = channel.chaincodes.hints(call);
    let broken = || first_broken(channel, &hints.conditions, committed.height);
    Ok(hints.is_conditional() || broken()?.is_some())
}

/// The first condition that did not hold just before the transaction, and the version that its key had
/// then.
pub(super) fn first_broken<'a>(
    channel: &Channel,
    conditions: &'a [Condition],
    at: Height,
) -> Result<Option<(&'a Condition, Option<Height>)>, Problem> {
    if conditions.is_empty() {
        return Ok(None);
    }
    let snapshot = channel.reader.snapshot();
    for condition in conditions {
        let version = snapshot.version_before(&condition.namespace, &condition.key, at)?;
        if !condition.expect.holds(version) {
            return Ok(Some((condition, version)));
        }
    }
    Ok(None)
}
