//! Threads for work that blocks, so many of one kind at a time, for all doors of a node: REST and gRPC take theirs from
//! the same pools.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};

/// The pools from which every door takes threads. A cheap clone.
#[derive(Clone, Debug)]
pub struct Threads {
    /// For reads by key, pages, writes, blocks, signatures.
    pub work: Pool,
    /// For whatever may scan.
    pub queries: Pool,
}

/// A pool of threads, which are the runtime's own: it bounds how many are at work at a time. Whoever finds none waits in
/// turn, and costs nothing but a place. A cheap clone.
#[derive(Clone)]
pub struct Pool {
    free: Arc<Semaphore>,
    all: usize,
    observer: Arc<dyn PoolObserver>,
}

/// Counts the threads of a pool. Called often; must not block.
pub trait PoolObserver: fmt::Debug + Send + Sync {
    /// One more thread is at work, or one less.
    fn busy(&self, is_more: bool);

    /// One more piece of work waits for a thread, or one less.
    fn waiting(&self, is_more: bool);
}

/// Work that was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// There are no threads any more.
    #[error("the pool is closed")]
    Closed(#[from] AcquireError),
    /// It panicked; its message is in the log.
    #[error("the work panicked")]
    Panicked(#[from] JoinError),
}

impl Pool {
    /// So many threads, and one at least.
    #[must_use]
    pub fn new(threads: usize, observer: Arc<dyn PoolObserver>) -> Self {
        let all = threads.max(1);
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
            observer,
        }
    }

    /// A thread, as soon as there is one.
    ///
    /// # Errors
    /// [`NotDone::Closed`].
    pub async fn thread(&self) -> Result<Thread, NotDone> {
        let free = Arc::clone(&self.free);
        let permit = if let Ok(permit) = Arc::clone(&free).try_acquire_owned() {
            permit
        } else {
            let _waiting = Waiting::new(&self.observer);
            free.acquire_owned().await?
        };
        self.observer.busy(true);
        Ok(Thread {
            _busy: Busy(Arc::clone(&self.observer)),
            _permit: permit,
        })
    }

    /// Runs work on a thread, as soon as there is one. Work that has begun ends, even if nobody waits for it any more.
    ///
    /// # Errors
    /// See [`NotDone`].
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        self.thread().await?.run(work).await
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} free", self.free.available_permits(), self.all)
    }
}

/// A thread of a pool, which it has back when this is dropped.
#[derive(Debug)]
pub struct Thread {
    // The order matters: when somebody else gets the thread, this one is no longer counted.
    _busy: Busy,
    _permit: OwnedSemaphorePermit,
}

impl Thread {
    /// Runs work on it.
    ///
    /// # Errors
    /// [`NotDone::Panicked`].
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let done = spawn_blocking(move || {
            let _thread = self;
            work()
        });
        Ok(done.await?)
    }
}

#[derive(Debug)]
struct Busy(Arc<dyn PoolObserver>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy(false);
    }
}

struct Waiting<'a>(&'a dyn PoolObserver);

impl<'a> Waiting<'a> {
    fn new(observer: &'a Arc<dyn PoolObserver>) -> Self {
        observer.waiting(true);
        Self(&**observer)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting(false);
    }
}
