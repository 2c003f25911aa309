//! Who waits for which transaction, and whether its outcome will be known.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use quire_chaincode::ChaincodeError;
use quire_ledger::{Committed, ReadError};
use quire_ordering::Taken;
use tokio::sync::oneshot;

use crate::submit::{Outcome, Promised, SubmitError};
use crate::update::update_in;
use crate::watch::{Watch, Watchers};

/// Transactions of a channel that were ordered here and have no outcome yet.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    transactions: Mutex<HashMap<String, Pending>>,
    /// Told when a transaction that somebody was about to order is in the order, or is not.
    settled: Condvar,
    /// Those who wait beside whoever ordered a transaction.
    watchers: Arc<Watchers>,
    trouble: Mutex<Option<Trouble>>,
    closed: AtomicBool,
}

/// A transaction without an outcome.
#[derive(Debug)]
struct Pending {
    /// There is no sender if nobody will be told any more, because the committing thread is gone.
    sender: Option<oneshot::Sender<Result<Outcome, SubmitError>>>,
    /// What was handed in.
    envelope: Bytes,
    /// Whether it is in the order. Until then the order may turn it away.
    is_ordered: bool,
    /// The room that it takes up as long as there is no outcome.
    room: Option<Taken>,
    /// When an orderer elsewhere took it.
    taken: Option<Instant>,
}

/// Why a channel takes no transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// State cannot be read to judge what is ordered, or cannot take in what is durable. Nothing is
    /// lost: the committing thread keeps the blocks and tries again until it can.
    StateAway {
        reason: String,
        /// The namespace whose database is somebody else's, and the database, if that is the cause.
        obstructed: Option<(String, String)>,
    },
    /// A write failed, so nothing is known about the files until they are opened again.
    Failed(String),
}

impl Outcomes {
    /// Promises the outcome of a transaction to the caller, who is about to order it, and says then whether the order
    /// took it: [`Self::ordered`] or [`Self::withdraw`]. Whoever comes with the same transaction in between waits for
    /// that: it is a duplicate only of what is in the order.
    ///
    /// # Errors
    /// The channel takes no transactions, or the id is promised to somebody already.
    pub(crate) fn promise(&self, tx_id: &str, envelope: Bytes) -> Result<Promised, SubmitError> {
        let (sender, outcome) = oneshot::channel();
        let mut transactions = self.transactions.lock();
        // This is checked under the lock: what is inserted before a failure is told of it.
        self.refuse_in_trouble()?;
        while let Some(pending) = transactions.get(tx_id) {
            if pending.is_ordered {
                return Err(SubmitError::Duplicate);
            }
            self.settled.wait(&mut transactions);
        }
        let pending = Pending {
            sender: Some(sender),
            envelope,
            is_ordered: false,
            room: None,
            taken: None,
        };
        transactions.insert(tx_id.to_owned(), pending);
        Ok(outcome)
    }

    /// The order took a transaction.
    pub(crate) fn ordered(&self, tx_id: &str) {
        // It may have its outcome already.
        if let Some(pending) = self.transactions.lock().get_mut(tx_id) {
            pending.is_ordered = true;
        }
        self.settled.notify_all();
    }

    /// A transaction takes up room until it has an outcome.
    pub(crate) fn hold(&self, tx_id: &str, room: Taken) {
        if let Some(pending) = self.transactions.lock().get_mut(tx_id) {
            pending.room = Some(room);
        }
    }

    /// An orderer elsewhere has a transaction.
    pub(crate) fn taken(&self, tx_id: &str, now: Instant) {
        if let Some(pending) = self.transactions.lock().get_mut(tx_id) {
            pending.taken = Some(now);
        }
    }

    /// Transactions that an orderer elsewhere has had for that time.
    pub(crate) fn taken_for(&self, time: Duration, now: Instant) -> Vec<String> {
        let is_old = |taken| now.saturating_duration_since(taken) >= time;
        let transactions = self.transactions.lock();
        let old = transactions.iter();
        let old = old.filter(|(_, pending)| pending.taken.is_some_and(is_old));
        old.map(|(tx_id, _)| tx_id.clone()).collect()
    }

    /// Takes back the promise of a transaction that was not ordered.
    pub(crate) fn withdraw(&self, tx_id: &str) {
        self.transactions.lock().remove(tx_id);
        self.settled.notify_all();
    }

    /// The order turned a transaction away that it had taken, and nobody else has it.
    pub(crate) fn refuse(&self, tx_id: &str, error: SubmitError) {
        let pending = self.transactions.lock().remove(tx_id);
        if let Some(sender) = pending.and_then(|pending| pending.sender)
            && sender.send(Err(error)).is_err()
        {
            tracing::trace!(tx_id, "nobody waits");
        }
        self.settled.notify_all();
    }

    /// How many transactions were ordered here and have no final outcome yet.
    pub(crate) fn count(&self) -> usize {
        self.transactions.lock().len()
    }

    /// Whether a transaction was ordered here and has no final outcome yet.
    pub(crate) fn is_pending(&self, tx_id: &str) -> bool {
        self.transactions.lock().contains_key(tx_id)
    }

    /// Waits for a transaction from now on, whoever orders it.
    pub(crate) fn watch(&self, tx_id: &str) -> Watch {
        self.watchers.watch(tx_id)
    }

    /// Tells those who wait for a transaction of the block.
    pub(crate) fn answer(&self, committed: &Committed) {
        let block = committed.block.number;
        let told = committed.transactions.iter().enumerate();
        self.watchers.tell(told.filter_map(|(tx, (tx_id, code))| {
            let outcome = Outcome {
                block,
                tx: tx as u64,
                code: *code,
                is_ours: false,
            };
            Some((tx_id.as_deref()?, outcome))
        }));
        let mut transactions = self.transactions.lock();
        if transactions.is_empty() {
            return;
        }
        for (tx, (tx_id, code)) in committed.transactions.iter().enumerate() {
            let mut pending = tx_id.as_ref().and_then(|tx_id| transactions.remove(tx_id));
            let mut envelope = committed.block.envelopes.get(tx).cloned();
            if pending.is_none() {
                // Orderers elsewhere make a configuration of what was handed in.
                let update = update_in(&committed.block);
                pending = update.and_then(|update| transactions.remove(&update));
                envelope = pending.as_ref().map(|pending| pending.envelope.clone());
            }
            let Some(Pending {
                sender,
                envelope: handed_in,
                room,
                ..
            }) = pending
            else {
                continue;
            };
            if let Some(room) = room {
                room.waited();
            }
            if let Some(sender) = sender {
                let outcome = Outcome {
                    block: committed.block.number,
                    tx: tx as u64,
                    code: *code,
                    is_ours: envelope == Some(handed_in),
                };
                // If nobody waits any more, nothing is lost: the outcome is in the block.
                if sender.send(Ok(outcome)).is_err() {
                    tracing::trace!(block = outcome.block, tx = outcome.tx, "nobody waits");
                }
            }
        }
    }

    /// Why the channel takes no transactions, if something broke.
    pub(crate) fn failure(&self) -> Option<String> {
        let trouble = self.trouble.lock().clone()?;
        Some(match trouble {
            Trouble::StateAway { reason, .. } => format!("{reason}; trying again"),
            Trouble::Failed(reason) => {
                format!("{reason}; it takes no more transactions until the node is restarted")
            }
        })
    }

    pub(crate) fn refuse_in_trouble(&self) -> Result<(), SubmitError> {
        match &*self.trouble.lock() {
            None => Ok(()),
            Some(Trouble::StateAway {
                obstructed: Some((namespace, database)),
                ..
            }) => {
                let (namespace, database) = (namespace.clone(), database.clone());
                let obstructed = ReadError::StateObstructed {
                    namespace,
                    database,
                };
                Err(SubmitError::Chaincode(ChaincodeError::Read(obstructed)))
            }
            Some(Trouble::StateAway { .. }) => Err(SubmitError::StateUnavailable),
            Some(Trouble::Failed(_)) => Err(SubmitError::StorageFailed),
        }
    }

    /// Turns transactions away from now on. Returns whether they were accepted before.
    pub(crate) fn begin_trouble(&self, trouble: Trouble) -> bool {
        self.trouble.lock().replace(trouble).is_none()
    }

    /// Takes transactions again. Returns whether they were turned away before.
    pub(crate) fn end_trouble(&self) -> bool {
        self.trouble.lock().take().is_some()
    }

    /// Nobody who waits will be told any more. The transactions stay known, so that nobody is told that they
    /// were never seen: the next start finds out whether they are durable.
    pub(crate) fn give_up(&self) {
        self.watchers.give_up();
        for pending in self.transactions.lock().values_mut() {
            pending.sender.take();
        }
    }

    /// The channel is being closed.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Somebody who comes with a transaction of which it is not said yet whether the order took it.
    fn second(outcomes: &Arc<Outcomes>) -> thread::JoinHandle<Result<(), SubmitError>> {
        let shared = Arc::clone(outcomes);
        let second = thread::spawn(move || shared.promise("a", Bytes::new()).map(drop));
        while !outcomes.settled.notify_one() {
            assert!(!second.is_finished(), "it did not wait");
            thread::yield_now();
        }
        second
    }

    #[test]
    fn a_duplicate_has_the_fate_of_the_first_copy() {
        let outcomes = Arc::new(Outcomes::default());
        let first = outcomes.promise("a", Bytes::new()).unwrap();
        let waits = second(&outcomes);
        outcomes.withdraw("a");
        drop(first);
        // The order turned the first away, so the second is one of its own.
        waits.join().unwrap().unwrap();
        let waits = second(&outcomes);
        outcomes.ordered("a");
        let refused = waits.join().unwrap();
        assert!(matches!(refused, Err(SubmitError::Duplicate)));
    }
}
