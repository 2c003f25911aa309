//! What all handlers share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quire_chaincode::name::check_channel;
use quire_chaincode::{Invocation, Weight};
use quire_ledger::Reader;
use quire_peer::Channel;
use tokio::sync::Semaphore;

use crate::backend::Backend;
use crate::limits::Limits;
use crate::memory::{Full, Memory};
use crate::metrics::Metrics;
use crate::metrics::family::Family;
use crate::metrics::traffic::Bound;
use crate::pools::{Asking, Pools, QueryRefused};
use crate::problem::{Problem, ProblemKind};
use crate::rate::RateLimit;
use crate::resources::block_event::BlockEvents;
use crate::server::cors::Cors;
use crate::write::contention::Contention;
use crate::write::flights::Flights;

/// When to try again if all query threads are taken.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The address at which a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The address of the API, with or without the operations.
    Api,
    /// The operations' own address: anybody who reaches it may read metrics.
    Operations {
        /// Whether other machines may reach it.
        is_remote: bool,
    },
}

impl Door {
    /// Whether metrics need no credential.
    pub(crate) fn opens_metrics(self) -> bool {
        self != Self::Api
    }

    /// Whether everything that is not open needs a credential, even while no token exists.
    pub(crate) fn is_remote(self) -> bool {
        self == Self::Operations { is_remote: true }
    }
}

/// The node behind the routes, and the work on idempotency keys that is under way.
pub(crate) struct Gateway {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) limits: Limits,
    pub(crate) cors: Cors,
    pub(crate) flights: Arc<Flights>,
    pub(crate) contention: Arc<Contention>,
    /// Requests that may still be taken on.
    pub(crate) requests: Arc<Semaphore>,
    /// Batches that may still be taken on.
    pub(crate) batches: Arc<Semaphore>,
    /// Event streams that may still be opened.
    pub(crate) listeners: Arc<Semaphore>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) block_events: BlockEvents,
    pub(crate) rate: RateLimit,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) door: Door,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    pub(crate) fn new(backend: Arc<dyn Backend>, limits: Limits, cors: Cors) -> Self {
        let metrics = Arc::new(Metrics::new(backend.registry(), backend.block_streams()));
        let family = Family(metrics.registry.clone());
        let memory = Arc::new(Memory::new(limits.memory_bytes, &family));
        Self {
            pools: Arc::new(Pools::new(&limits, Arc::clone(&memory), &family)),
            memory,
            metrics,
            backend,
            limits,
            contention: Arc::default(),
            cors,
            flights: Arc::new(Flights::new(limits.keys_in_flight)),
            requests: Arc::new(Semaphore::new(limits.requests)),
            batches: Arc::new(Semaphore::new(limits.batches)),
            listeners: Arc::new(Semaphore::new(limits.listeners)),
            block_events: BlockEvents::new(),
            rate: RateLimit::new(limits.requests_per_second),
            door: Door::Api,
        }
    }

    /// The same gateway at the operations' own address.
    pub(crate) fn at_operations(&self, is_remote: bool) -> Self {
        let limits = self.limits;
        Self {
            backend: Arc::clone(&self.backend),
            limits,
            cors: self.cors.clone(),
            flights: Arc::clone(&self.flights),
            contention: Arc::clone(&self.contention),
            requests: Arc::new(Semaphore::new(limits.requests)),
            batches: Arc::clone(&self.batches),
            listeners: Arc::clone(&self.listeners),
            block_events: BlockEvents::new(),
            rate: RateLimit::new(limits.requests_per_second),
            pools: Arc::clone(&self.pools),
            memory: Arc::clone(&self.memory),
            metrics: Arc::clone(&self.metrics),
            door: Door::Operations { is_remote },
        }
    }

    /// The channel with that name.
    pub(crate) fn channel(&self, name: &str) -> Result<Channel, Problem> {
        if let Some(channel) = self.backend.channel(name) {
            return Ok(channel);
        }
        check_channel(name)?;
        let closed = self.backend.closed_channels();
        if closed.iter().any(|closed| closed.component == name) {
            return Err(Problem::channel_closed(name));
        }
        let detail = format!("There is no channel {name}.");
        Err(Problem::new(ProblemKind::ChannelNotFound, detail))
    }

    /// The answer when memory is used up. It is counted.
    pub(crate) fn full(&self, full: Full) -> Problem {
        self.metrics.traffic.shed(Bound::Memory);
        full.into()
    }

    /// Runs a query with [`Pools::query`], and counts a query that is turned away.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl FnOnce(&Asking) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let answered = self.pools.query(time, work).await;
        answered.map_err(|refused| match refused {
            QueryRefused::Crowded => {
                self.metrics.traffic.shed(Bound::Queries);
                Problem::busy("All threads for queries are taken", RETRY_AFTER)
            }
            QueryRefused::Full(problem) => {
                self.metrics.traffic.shed(Bound::Memory);
                problem
            }
            QueryRefused::Work(problem) => problem,
        })
    }

    /// Continues a call that was begun and may wait for a chaincode of another process. No thread waits with
    /// it; each piece of its work gets a thread of the right pool. A piece that scans has `time`.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        reader: &Reader,
        mut invocation: Invocation<T>,
        time: Duration,
    ) -> Result<T, Problem> {
        loop {
            let piece = match invocation {
                Invocation::Done(done) => return Ok(done),
                Invocation::Waiting(waiting) => waiting.await,
            };
            invocation = match piece.weight() {
                Weight::Scan => {
                    let scan = |asking: &Asking| Ok(piece.run(Some(asking.patience())));
                    self.query(time, scan).await?
                }
                weight => {
                    let brief = weight == Weight::Brief;
                    let work = || Ok(piece.run(None));
                    self.pools.in_brief(reader, brief, work).await?
                }
            };
        }
    }

    /// Returns when the node has been asked to stop.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.backend.stopping();
        // An error means that the node is gone.
        drop(stopping.wait_for(|stopping| *stopping).await);
    }

    /// Returns when the node has been asked to stop and the time of grace is over.
    pub(crate) async fn out_of_grace(&self) {
        self.stopped().await;
        tokio::time::sleep(self.limits.grace).await;
    }
}
