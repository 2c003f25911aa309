//! How long the queries of a call may take, and the memory for what they read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quire_ledger::{Halt, MAX_STEPS, Meter, Room, Stop};

use crate::backend::Backend;

/// Somebody who waits for a call.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    gone: Arc<AtomicBool>,
    deadline: Instant,
    backend: Arc<dyn Backend>,
}

/// Tells a call's queries that nobody waits for them any more, when it is dropped.
#[derive(Debug)]
pub(super) struct Waiter(Arc<AtomicBool>);

impl Patience {
    pub(super) fn until(deadline: Instant, backend: &Arc<dyn Backend>) -> (Self, Waiter) {
        let gone = Arc::new(AtomicBool::new(false));
        let patience = Self {
            gone: Arc::clone(&gone),
            deadline,
            backend: Arc::clone(backend),
        };
        (patience, Waiter(gone))
    }

    /// Counts the work of queries, and ends them when nobody waits any more.
    pub(super) fn meter(&self) -> Meter {
        Meter::new(MAX_STEPS, Some(self.halt()))
    }

    pub(super) fn halt(&self) -> Arc<dyn Halt> {
        Arc::new(self.clone())
    }
}

impl Halt for Patience {
    fn stop(&self) -> Option<Stop> {
        if self.gone.load(Ordering::Relaxed) {
            Some(Stop::Gone)
        } else if Instant::now() >= self.deadline {
            Some(Stop::Deadline)
        } else {
            None
        }
    }

    fn room(&self, bytes: usize) -> Option<Room> {
        self.backend.room(bytes)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
