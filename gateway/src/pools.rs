//! Threads for work that blocks: the pools have known sizes, so that one kind of work never takes the threads
//! of another. Also bounds the time of a query.
//!
//! ```text
//! work       reads by key, pages, writes, signing
//! queries    whatever may scan: _find, _explain, calls that query or range
//! changes    channels and query indexes that are made or removed; a call may wait for seconds
//! health     health and metrics
//! ```
//!
//! The first two are those of [`Threads`], which other doors of the node share. The number of waiters is bounded by the requests that are taken on, and a query waits at most
//! [`QUERY_WAIT`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prometheus::{IntGauge, IntGaugeVec};
use quire_ledger::{Halt, MAX_STEPS, Meter, Reader, Room, Stop};
use quire_peer::{Pool, PoolObserver, Thread, Threads};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::limits::{Limits, PoolSizes};
use crate::memory::{Kind, Memory};
use crate::metrics::family::Family;
use crate::place::{on_the_spot, place};
use crate::problem::Problem;

/// How long a query waits for a thread.
const QUERY_WAIT: Duration = Duration::from_secs(5);

/// The message for a query whose time was over before its first step.
const NOT_BEGUN: &str = "The time of the query was over before it began";
/// When to try such a query again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The pools. Two doors share them.
#[derive(Debug)]
pub(crate) struct Pools {
    shared: Threads,
    changes: Pool,
    health: Pool,
    /// Queries that may still be taken on: waiting queries must leave places for other requests.
    askers: Arc<Semaphore>,
    /// The budget for the documents that queries read.
    memory: Arc<Memory>,
}

/// Shows how busy a pool is.
#[derive(Debug)]
struct Shown {
    busy: IntGauge,
    waiting: IntGauge,
}

impl PoolObserver for Shown {
    fn busy(&self, is_more: bool) {
        self.busy.add(if is_more { 1 } else { -1 });
    }

    fn waiting(&self, is_more: bool) {
        self.waiting.add(if is_more { 1 } else { -1 });
    }
}

/// The gauges of pools.
#[derive(Debug)]
struct Gauges {
    threads: IntGaugeVec,
    busy: IntGaugeVec,
    waiting: IntGaugeVec,
}

impl Gauges {
    fn new(family: &Family) -> Self {
        Self {
            threads: family.gauges(
                "quire_pool_threads",
                "Threads that a pool may have for work that blocks: work (reads by key, pages, writes), \
                 queries, changes (channels and indexes), health.",
                &["pool"],
            ),
            busy: family.gauges(
                "quire_pool_busy",
                "Threads of a pool that are at work now, also for callers who went away. All of \
                 quire_pool_threads for long: see quire_pool_waiting.",
                &["pool"],
            ),
            waiting: family.gauges(
                "quire_pool_waiting",
                "Pieces of work that wait for a thread of a pool. Queries that wait for 5 s are turned \
                 away: add indexes, or processors.",
                &["pool"],
            ),
        }
    }

    fn pool(&self, name: &str, threads: usize) -> Pool {
        let shown = i64::try_from(threads).unwrap_or(i64::MAX);
        self.threads.with_label_values(&[name]).set(shown);
        let observer = Shown {
            busy: self.busy.with_label_values(&[name]),
            waiting: self.waiting.with_label_values(&[name]),
        };
        Pool::new(threads, Arc::new(observer))
    }
}

impl Pools {
    pub(crate) fn new(limits: &Limits, memory: Arc<Memory>, family: &Family) -> Self {
        let gauges = Gauges::new(family);
        let PoolSizes {
            work,
            queries,
            changes,
            health,
        } = limits.pools;
        Self {
            shared: Threads {
                work: gauges.pool("work", work),
                queries: gauges.pool("queries", queries),
            },
            changes: gauges.pool("changes", changes),
            health: gauges.pool("health", health),
            askers: Arc::new(Semaphore::new((limits.requests / 2).max(queries))),
            memory,
        }
    }

    /// The pools that other doors share.
    pub(crate) fn shared(&self) -> Threads {
        self.shared.clone()
    }

    /// Runs blocking work: reads of the ledger, simulation, signing. The work and the request's place remain
    /// when the request is gone.
    ///
    /// `spawn_blocking`, not `block_in_place`: the latter would stop whatever else the task waits for
    /// (time-outs, the client's disconnect), gives the worker's queue to another thread each time, and cannot
    /// run on a single-threaded runtime. A step of work is one call, so a write costs two calls.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        run(&self.shared.work, work).await
    }

    /// Runs work that makes or removes something, and may wait for that.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        run(&self.changes, work).await
    }

    /// Runs work for health and metrics.
    pub(crate) async fn health<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        run(&self.health, work).await
    }

    /// Runs work that takes microseconds, such as reading a key or signing, on the current thread, because
    /// the two changes of thread in [`Pools::work`] would take longer. If state is on another server, or the
    /// work is not `brief`, it runs like any other work.
    ///
    /// A read that goes to the disk holds up the other requests on this thread of the runtime; therefore the
    /// runtime has more threads than there are processors.
    pub(crate) async fn in_brief<T: Send + 'static>(
        &self,
        reader: &Reader,
        brief: bool,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if !brief || reader.is_remote() {
            return self.work(work).await;
        }
        on_the_spot(work)
    }

    /// Runs a query for at most `time`, which begins when it has a thread. If this is dropped early,
    /// [`Asking`] tells the query, which checks it while it runs; nothing else ends the query.
    ///
    /// # Errors
    /// See [`QueryRefused`].
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl FnOnce(&Asking) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, QueryRefused> {
        let asker = Arc::clone(&self.askers).try_acquire_owned();
        let asker = asker.map_err(|_| QueryRefused::Crowded)?;
        let thread = timeout(QUERY_WAIT.min(time), self.shared.queries.thread());
        let thread = thread.await.map_err(|_| QueryRefused::Crowded)?;
        let thread = thread.map_err(|error| QueryRefused::Work(Problem::internal(error)))?;
        let (listening, asking) = Asking::new(time, &self.memory);
        let lacked = Arc::clone(&asking.lacked);
        let answered = run_on(thread, move || {
            let _asker = asker;
            if asking.stop().is_some() {
                return Err(Problem::busy(NOT_BEGUN, RETRY_AFTER));
            }
            work(&asking)
        });
        let answered = answered.await;
        drop(listening);
        answered.map_err(|problem| {
            if lacked.load(Ordering::Relaxed) {
                QueryRefused::Full(problem)
            } else {
                QueryRefused::Work(problem)
            }
        })
    }
}

/// Why there is no answer to a query.
#[derive(Debug)]
pub(crate) enum QueryRefused {
    /// There are more queries than the node can begin; this one was not begun.
    Crowded,
    /// There is no memory for the documents that it reads.
    Full(Problem),
    /// The query itself failed.
    Work(Problem),
}

async fn run<T: Send + 'static>(
    pool: &Pool,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let thread = pool.thread().await.map_err(Problem::internal)?;
    run_on(thread, work).await
}

/// Runs work on a thread. The request's place is taken until it has ended.
async fn run_on<T: Send + 'static>(
    thread: Thread,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let place = place();
    let done = thread.run(move || {
        let _place = place;
        work()
    });
    done.await
        .unwrap_or_else(|error| Err(Problem::internal(error)))
}

/// Somebody who waits for a query, until a deadline.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    gone: Arc<AtomicBool>,
    deadline: Instant,
    memory: Arc<Memory>,
    /// Whether there was too little memory.
    lacked: Arc<AtomicBool>,
}

impl Asking {
    /// The second value is notified when the first is dropped.
    fn new(time: Duration, memory: &Arc<Memory>) -> (Waiter, Self) {
        let gone = Arc::new(AtomicBool::new(false));
        let asking = Self {
            gone: Arc::clone(&gone),
            deadline: Instant::now() + time,
            memory: Arc::clone(memory),
            lacked: Arc::default(),
        };
        (Waiter(gone), asking)
    }

    /// Counts the work of a query, and ends the query when nobody waits for it any more.
    pub(crate) fn meter(&self) -> Meter {
        Meter::new(MAX_STEPS, Some(self.patience()))
    }

    /// Ends a query whose work is counted already.
    pub(crate) fn patience(&self) -> Arc<dyn Halt> {
        Arc::new(self.clone())
    }
}

impl Halt for Asking {
    /// This only reads a flag and the clock.
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
        let share = self.memory.take(Kind::Documents, bytes);
        if share.is_err() {
            self.lacked.store(true, Ordering::Relaxed);
        }
        share.ok().map(|share| Box::new(share) as Room)
    }
}

/// The waiting request keeps it.
#[derive(Debug)]
struct Waiter(Arc<AtomicBool>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::metrics::gauge_guard::GaugeGuard;
    use crate::place::{PLACE, Place};

    /// This is longer than anything here takes.
    const LONG: Duration = Duration::from_secs(60);

    fn pools() -> Arc<Pools> {
        shown_pools().0
    }

    /// The pools, and what they show.
    fn shown_pools() -> (Arc<Pools>, prometheus::Registry) {
        let pools = PoolSizes {
            work: 1,
            queries: 1,
            changes: 1,
            health: 1,
        };
        let limits = Limits {
            pools,
            ..Limits::default()
        };
        let registry = prometheus::Registry::new();
        let family = Family(registry.clone());
        let memory = Arc::new(Memory::new(1_000, &family));
        (Arc::new(Pools::new(&limits, memory, &family)), registry)
    }

    /// How many threads for queries are busy, and how many queries wait for one.
    fn queries(registry: &prometheus::Registry) -> [String; 2] {
        ["quire_pool_busy", "quire_pool_waiting"].map(|name| {
            let families = registry.gather();
            let family = families.iter().find(|family| family.name() == name);
            let mut metrics = family.unwrap().get_metric().iter();
            let of_queries = metrics.find(|one| one.get_label()[0].value() == "queries");
            of_queries.unwrap().get_gauge().get_value().to_string()
        })
    }

    /// A query that has begun, and ends when it is told to; the last value says how it ended.
    struct Begun {
        query: tokio::task::JoinHandle<Result<(), QueryRefused>>,
        ended: tokio::sync::oneshot::Receiver<Stop>,
    }

    async fn begin(pools: &Arc<Pools>, time: Duration) -> Begun {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (told, ended) = tokio::sync::oneshot::channel();
        let pools = Arc::clone(pools);
        let query = tokio::spawn(async move {
            let work = move |asking: &Asking| {
                begun.send(()).unwrap();
                let stop = loop {
                    if let Some(stop) = asking.stop() {
                        break stop;
                    }
                    std::thread::yield_now();
                };
                told.send(stop).unwrap();
                Ok(())
            };
            pools.query(time, work).await
        });
        has_begun.await.unwrap();
        Begun { query, ended }
    }

    #[tokio::test]
    async fn a_place_is_taken_until_the_work_is_done_though_its_request_is_gone() {
        let places = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&places).try_acquire_owned().unwrap();
        let in_flight = IntGauge::new("in_flight", "-").unwrap();
        let place = Place {
            _permit: Some(permit),
            _counted: Some(GaugeGuard::new(&in_flight)),
        };
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go_on, waits) = mpsc::channel::<()>();
        let pools = pools();
        let work = pools.work(move || {
            begun.send(()).unwrap();
            assert!(waits.recv().is_err());
            Ok(())
        });
        let request = PLACE.scope(Arc::new(place), work);
        tokio::select! {
            _ = request => panic!("the work was not told to end"),
            begun = has_begun => begun.unwrap(),
        }
        assert_eq!((places.available_permits(), in_flight.get()), (0, 1));
        drop(go_on);
        drop(places.acquire().await.unwrap());
        assert_eq!(in_flight.get(), 0);
    }

    #[tokio::test]
    async fn a_query_is_told_that_nobody_waits_for_it() {
        let begun = begin(&pools(), LONG).await;
        begun.query.abort();
        assert_eq!(begun.ended.await, Ok(Stop::Gone));
    }

    #[tokio::test]
    async fn a_document_that_a_query_looks_at_has_a_share_of_the_memory() {
        let pools = pools();
        let query = pools.query(LONG, |asking| {
            let room = asking.room(600).unwrap();
            assert!(asking.room(500).is_none());
            drop(room);
            assert!(asking.room(500).is_some());
            Err::<(), _>(Problem::busy("no room", RETRY_AFTER))
        });
        let refused = query.await;
        assert!(matches!(refused, Err(QueryRefused::Full(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_query_is_told_that_its_time_is_over() {
        let begun = begin(&pools(), Duration::from_millis(20)).await;
        assert_eq!(begun.ended.await, Ok(Stop::Deadline));
        begun.query.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn queries_leave_the_threads_of_other_work_alone_and_wait_for_so_long_only() {
        let (pools, registry) = shown_pools();
        let begun = begin(&pools, LONG).await;
        let refused = pools.query(Duration::from_millis(20), |_| Ok(())).await;
        assert!(matches!(refused, Err(QueryRefused::Crowded)), "{refused:?}");
        assert_eq!(queries(&registry), ["1", "0"]);
        pools.work(|| Ok(())).await.unwrap();
        pools.change(|| Ok(())).await.unwrap();
        pools.health(|| Ok(())).await.unwrap();
        begun.query.abort();
        begun.ended.await.unwrap();
        pools.query(LONG, |_| Ok(())).await.unwrap();
        assert_eq!(queries(&registry), ["0", "0"]);
    }

    #[tokio::test]
    async fn a_query_that_waits_for_a_thread_and_is_dropped_is_never_begun() {
        let (pools, registry) = shown_pools();
        let begun = begin(&pools, LONG).await;
        let waits = pools.query(LONG, |_| -> Result<(), Problem> { panic!("begun") });
        tokio::select! {
            biased;
            _ = waits => panic!("an answer"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(queries(&registry)[1], "0");
        begun.query.abort();
        begun.ended.await.unwrap();
        pools.query(LONG, |_| Ok(())).await.unwrap();
    }
}
