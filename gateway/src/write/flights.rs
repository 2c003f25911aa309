//! Single flight: at any time at most one request to this process works on an idempotency key.
//!
//! The work belongs to no request: it [goes on](super::unattended) when the client that started it is gone,
//! and other requests with the same key watch it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use quire_wire::hash::Hash;
use tokio::sync::watch;

use super::outcome::Progress;
use crate::problem::{Problem, ProblemKind};

/// The key of work under way: channel, and the id of the key's first attempt, which stands for identity and
/// key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    pub(crate) channel: Arc<str>,
    pub(crate) first_tx_id: String,
}

/// Two requests are the same if these are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlightRequest {
    /// The digest of everything but the attempts.
    pub(crate) digest: Hash,
    /// The attempts that the caller asked for; `None` for a caller who accepts any number.
    pub(crate) attempts: Option<u32>,
}

#[derive(Debug)]
struct Flight {
    request: FlightRequest,
    progress: watch::Receiver<Progress>,
}

/// The keys under way.
#[derive(Debug)]
pub(crate) struct Flights {
    // The lock is held for a lookup or an insertion, never across an await.
    under_way: Mutex<HashMap<FlightKey, Flight>>,
    capacity: usize,
}

/// Whether a caller found work under way.
#[derive(Debug)]
pub(crate) enum Boarded {
    /// Another request works on the same key.
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

    /// Joins the work on `key`, or takes it on. If the work was begun with another number of attempts than
    /// the caller's, this waits for its end: only the blocks can tell which number counts.
    pub(crate) async fn board(
        self: &Arc<Self>,
        key: FlightKey,
        request: FlightRequest,
    ) -> Result<Boarded, Problem> {
        loop {
            match self.try_board(key.clone(), request)? {
                Ok(boarded) => return Ok(boarded),
                // The channel closes when the work is over.
                Err(mut progress) => while progress.changed().await.is_ok() {},
            }
        }
    }

    /// Does the same without waiting; the error is the progress of the work to wait for.
    fn try_board(
        self: &Arc<Self>,
        key: FlightKey,
        request: FlightRequest,
    ) -> Result<Result<Boarded, watch::Receiver<Progress>>, Problem> {
        let mut under_way = self.under_way.lock();
        let is_full = under_way.len() >= self.capacity;
        match under_way.entry(key) {
            Entry::Occupied(flight) => {
                let flight = flight.get();
                let progress = flight.progress.clone();
                if flight.request.digest != request.digest {
                    Err(key_reused())
                } else if request.attempts.is_none() || request == flight.request {
                    Ok(Ok(Boarded::Joined(progress)))
                } else {
                    Ok(Err(progress))
                }
            }
            Entry::Vacant(_) if is_full => {
                Err(Problem::overloaded(std::time::Duration::from_secs(1)))
            }
            Entry::Vacant(vacant) => {
                let key = vacant.key().clone();
                let (sender, progress) = watch::channel(Progress::Starting);
                vacant.insert(Flight {
                    request,
                    progress: progress.clone(),
                });
                let guard = FlightGuard {
                    flights: Arc::clone(self),
                    key,
                };
                Ok(Ok(Boarded::Started {
                    guard,
                    sender,
                    progress,
                }))
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

/// Ends a flight when it is dropped, also by a panic.
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

/// The problem of a key that is used for another request.
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
        let request = |digest: u8, attempts| FlightRequest {
            digest: [digest; 32],
            attempts,
        };
        let board = |id: &str, request| flights.try_board(key(id), request);
        let started = board("a", request(1, Some(2))).unwrap().unwrap();
        assert!(matches!(started, Boarded::Started { .. }));
        for attempts in [None, Some(2)] {
            let joined = board("a", request(1, attempts)).unwrap().unwrap();
            assert!(matches!(joined, Boarded::Joined(_)));
        }
        assert!(board("a", request(1, Some(3))).unwrap().is_err());
        let reused = board("a", request(2, Some(2))).unwrap_err();
        assert_eq!(reused.kind(), ProblemKind::IdempotencyKeyReused);
        let full = board("b", request(2, None)).unwrap_err();
        assert_eq!(full.kind(), ProblemKind::Overloaded);

        drop(started);
        assert!(!flights.is_under_way(&key("a")));
        assert!(board("b", request(2, None)).is_ok());
    }
}
