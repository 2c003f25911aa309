//! Work that blocks, such as reading a block or checking a signature, away from the threads that serve connections.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tonic::Status;

/// Runs a few pieces of work at a time; the others wait in the order in which they came, and cost nothing but their
/// place. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Semaphore>);

impl Workers {
    /// At most `threads` at a time.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads.max(1))))
    }

    /// Runs `work`. Work that has begun ends, even if nobody waits for it any more.
    ///
    /// # Errors
    /// The work panicked; its message is in the log.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let broken = || Status::internal("the node met an error of its own");
        let permit = Arc::clone(&self.0).acquire_owned().await;
        let permit = permit.map_err(|_| broken())?;
        let work = spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        work.await.map_err(|_| broken())
    }
}
