//! Who does what blocks: hashes of secrets take memory and a processor, changes wait for the disk.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

use crate::error::{Code, Refusal};

/// Requests of a queue that are worked on at one time: each may take the 19 MiB of a hash.
const AT_ONE_TIME: usize = 2;
/// Requests of a queue that are worked on or wait for it. Any further one is turned away.
const PLACES: usize = 64;

/// Requests of a queue whose body is here or comes: 64 KiB each.
const REQUESTS: usize = 512;

/// A bounded number of threads with a bounded queue. Whoever shows a secret, or nothing, stands in another one than
/// whoever signs: a wrong secret costs as much as a right one, and a flood of them keeps nobody out who signs.
#[derive(Debug)]
pub(super) struct Workers {
    requests: Semaphore,
    places: Semaphore,
    working: Arc<Semaphore>,
}

impl Workers {
    pub(super) fn new() -> Self {
        Self {
            requests: Semaphore::new(REQUESTS),
            places: Semaphore::new(PLACES),
            working: Arc::new(Semaphore::new(AT_ONE_TIME)),
        }
    }

    /// Room for a request, from before its body is read until it is answered.
    pub(super) fn room(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.requests.try_acquire().map_err(|_| busy())
    }

    /// Does it when it is its turn. What has begun goes on when nobody waits for it any longer.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let turn = Arc::clone(&self.working).acquire_owned().await;
        let turn = turn.map_err(|_| busy())?;
        let done = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        let failed = |error| Refusal::new(500, Code::Unknown, format!("a request failed: {error}"));
        done.await.map_err(failed)
    }
}

fn busy() -> Refusal {
    Refusal::new(503, Code::Unknown, "The CA is busy: try again")
}
