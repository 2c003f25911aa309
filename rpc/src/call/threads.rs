//! Where the work of a call is done: short work where it is, what blocks on the threads for it, and what may scan on
//! others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quire_chaincode::{Invocation, Weight};
use quire_ledger::{Meter, Reader};
use tokio::time::timeout;
use tonic::Status;

use super::patience::{Patience, Waiter};
use crate::backend::Backend;
use crate::workers::{Workers, run_on};

/// How long work that scans waits for a thread.
const SCAN_WAIT: Duration = Duration::from_secs(5);

/// The node's threads, which other doors share.
#[derive(Debug)]
pub(crate) struct Threads {
    work: Workers,
    queries: Workers,
    /// How long the queries of one call may take.
    query_timeout: Duration,
}

impl Threads {
    pub(crate) fn new(shared: quire_peer::Threads, query_timeout: Duration) -> Self {
        let quire_peer::Threads { work, queries } = shared;
        Self {
            work: Workers::new(work),
            queries: Workers::new(queries),
            query_timeout,
        }
    }

    /// Runs work that blocks, on a thread for it.
    ///
    /// # Errors
    /// The work panicked: `INTERNAL`.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        self.work.run(work).await
    }

    /// Runs work where its weight belongs.
    ///
    /// # Errors
    /// There was no thread for it, or it panicked.
    pub(crate) async fn weighed<T: Send + 'static>(
        &self,
        weight: Weight,
        reader: &Reader,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        match weight {
            // The two changes of thread would take longer than the work.
            Weight::Brief if !reader.is_remote() => Ok(work()),
            Weight::Brief | Weight::Keys => self.work(work).await,
            Weight::Scan => {
                let crowded =
                    |_| Status::resource_exhausted("all threads for queries are taken: try again");
                let thread = timeout(SCAN_WAIT, self.queries.thread());
                run_on(thread.await.map_err(crowded)??, work).await
            }
        }
    }

    fn patience(&self, backend: &Arc<dyn Backend>) -> (Patience, Waiter) {
        Patience::until(Instant::now() + self.query_timeout, backend)
    }
}

/// A message that is larger is not hashed and verified on the threads of connections.
const BRIEF_BYTES: usize = 64 << 10;

/// What work of so much weight weighs with a message of so many bytes.
pub(crate) fn by_size(weight: Weight, bytes: usize) -> Weight {
    match weight {
        Weight::Brief if bytes > BRIEF_BYTES => Weight::Keys,
        weight => weight,
    }
}

/// Begins a call of a chaincode, and drives it to its end. No thread waits with a call that waits for somebody else;
/// a caller who goes away ends it.
///
/// # Errors
/// There was no thread for it, or its work panicked.
pub(crate) async fn drive<T: Send + 'static, E: Send + 'static>(
    threads: &Threads,
    backend: &Arc<dyn Backend>,
    (reader, weight): (&Reader, Weight),
    begin: impl FnOnce(Meter) -> Result<Invocation<T>, E> + Send + 'static,
) -> Result<Result<T, E>, Status> {
    let (patience, _waiter) = threads.patience(backend);
    let meter = patience.meter();
    let first = threads
        .weighed(weight, reader, move || begin(meter))
        .await?;
    let mut invocation = match first {
        Ok(invocation) => invocation,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        let piece = match invocation {
            Invocation::Done(done) => return Ok(Ok(done)),
            Invocation::Waiting(waiting) => waiting.await,
        };
        let weight = piece.weight();
        let (patience, waiter) = threads.patience(backend);
        let run = move || piece.run(Some(patience.halt()));
        invocation = threads.weighed(weight, reader, run).await?;
        drop(waiter);
    }
}
