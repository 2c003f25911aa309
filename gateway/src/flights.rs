//! Single flight: at any time at most one task of this process works on an idempotency key.
//!
//! The task belongs to nobody: it goes on when the client that started it is gone, and whoever
//! asks for the same key meanwhile watches it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use quire_wire::hash::Hash;
use tokio::sync::watch;

use crate::problem::{Problem, ProblemKind};
use crate::submission::Progress;

/// What is being worked on: channel, and the id of the key's first attempt, which stands for
/// identity and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    pub(crate) channel: Arc<str>,
    pub(crate) first_tx_id: String,
}

#[derive(Debug)]
struct Flight {
    digest: Hash,
    progress: watch::Receiver<Progress>,
}

/// The keys under way.
#[derive(Debug)]
pub(crate) struct Flights {
    // Held for a lookup or an insertion, never across an await.
    under_way: Mutex<HashMap<FlightKey, Flight>>,
    capacity: usize,
}

/// Whether a caller found work under way.
#[derive(Debug)]
pub(crate) enum Boarded {
    /// Another request works on the same.
    Joined(watch::Receiver<Progress>),
    /// The caller must do the work, and keep `guard` until it is done.
    Started {
        guard: FlightGuard,
        sender: watch::Sender<Progress>,
        progress: watch::Receiver<Progress>,
    },
}

impl Flights {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            under_way: Mutex::default(),
            capacity,
        }
    }

    /// Joins the work on `key`, or takes it on.
    pub(crate) fn board(
        self: &Arc<Self>,
        key: FlightKey,
        digest: Hash,
    ) -> Result<Boarded, Problem> {
        let mut under_way = self.under_way.lock();
        let is_full = under_way.len() >= self.capacity;
        match under_way.entry(key) {
            Entry::Occupied(flight) if flight.get().digest == digest => {
                Ok(Boarded::Joined(flight.get().progress.clone()))
            }
            Entry::Occupied(_) => Err(key_reused()),
            Entry::Vacant(_) if is_full => {
                Err(Problem::overloaded(std::time::Duration::from_secs(1)))
            }
            Entry::Vacant(vacant) => {
                let key = vacant.key().clone();
                let (sender, progress) = watch::channel(Progress::Starting);
                vacant.insert(Flight {
                    digest,
                    progress: progress.clone(),
                });
                let guard = FlightGuard {
                    flights: Arc::clone(self),
                    key,
                };
                Ok(Boarded::Started {
                    guard,
                    sender,
                    progress,
                })
            }
        }
    }

    /// How many keys are worked on.
    pub(crate) fn count(&self) -> usize {
        self.under_way.lock().len()
    }

    /// Whether somebody works on `key`.
    pub(crate) fn is_under_way(&self, key: &FlightKey) -> bool {
        self.under_way.lock().contains_key(key)
    }
}

/// Ends a flight when it goes, also by a panic.
#[derive(Debug)]
pub(crate) struct FlightGuard {
    flights: Arc<Flights>,
    key: FlightKey,
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        self.flights.under_way.lock().remove(&self.key);
    }
}

/// The same key for another request.
pub(crate) fn key_reused() -> Problem {
    Problem::new(
        ProblemKind::IdempotencyKeyReused,
        "This idempotency key belongs to another request.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_worked_on_once_and_only_for_one_request() {
        let flights = Arc::new(Flights::new(1));
        let key = |id: &str| FlightKey {
            channel: "main".into(),
            first_tx_id: id.into(),
        };
        let started = flights.board(key("a"), [1; 32]).unwrap();
        assert!(matches!(started, Boarded::Started { .. }));
        assert!(matches!(
            flights.board(key("a"), [1; 32]).unwrap(),
            Boarded::Joined(_)
        ));
        let reused = flights.board(key("a"), [2; 32]).unwrap_err();
        assert_eq!(reused.kind(), ProblemKind::IdempotencyKeyReused);
        let full = flights.board(key("b"), [2; 32]).unwrap_err();
        assert_eq!(full.kind(), ProblemKind::Overloaded);

        drop(started);
        assert!(!flights.is_under_way(&key("a")));
        assert!(flights.board(key("b"), [2; 32]).is_ok());
    }
}
