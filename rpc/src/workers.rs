//! Work that blocks, such as reading a block or checking a signature, away from the threads that serve connections.

use quire_peer::{NotDone, Pool, Thread};
use tonic::Status;

/// Runs work on the threads of a pool that other doors may share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workers(Pool);

impl Workers {
    /// Those of a pool.
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self(pool)
    }

    /// A thread, as soon as there is one.
    ///
    /// # Errors
    /// There are none any more: `INTERNAL`.
    pub(crate) async fn thread(&self) -> Result<Thread, Status> {
        self.0.thread().await.map_err(|error| broken(&error))
    }

    /// Runs `work`. Work that has begun ends, even if nobody waits for it any more.
    ///
    /// # Errors
    /// The work panicked; its message is in the log.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        run_on(self.thread().await?, work).await
    }
}

/// Runs `work` on a thread.
///
/// # Errors
/// As [`Workers::run`].
pub(crate) async fn run_on<T: Send + 'static>(
    thread: Thread,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    thread.run(work).await.map_err(|error| broken(&error))
}

fn broken(error: &NotDone) -> Status {
    Status::internal(format!("the node met an error of its own: {error}"))
}
