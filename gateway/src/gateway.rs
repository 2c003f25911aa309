//! What all handlers share.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use quire_chaincode::name::check_channel;
use quire_ledger::Reader;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::backend::{Backend, Channel};
use crate::block_event::BlockEvents;
use crate::contention::Contention;
use crate::cors::Cors;
use crate::flights::Flights;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::problem::{Problem, ProblemKind};
use crate::rate::RateLimit;

/// The address at which a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The API's, with or without the operations.
    Api,
    /// The operations' own: metrics are for whoever reaches it.
    Operations {
        /// Whether other machines may reach it.
        is_remote: bool,
    },
}

impl Door {
    /// Whether metrics ask for no credential.
    pub(crate) fn opens_metrics(self) -> bool {
        self != Self::Api
    }

    /// Whether what is not open is for those with a credential only, even while there is none.
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
        Self {
            metrics: Arc::new(Metrics::new(backend.registry())),
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
            metrics: Arc::clone(&self.metrics),
            door: Door::Operations { is_remote },
        }
    }

    /// The channel of that name.
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

tokio::task_local! {
    /// The place among the requests that are worked on which the current request has.
    pub(crate) static PLACE: Option<Arc<OwnedSemaphorePermit>>;
}

/// Runs work that blocks: reads of the ledger, simulation, signing. It goes on when its request is
/// gone, and so does the request's place.
///
/// `spawn_blocking`, not `block_in_place`: the latter would stop whatever else the task waits for
/// (time-outs, the client's disconnect), gives the worker's queue to another thread each time, and
/// cannot run on a single-threaded runtime. A step of work is one call, so a write costs two.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let place = place();
    let work = move || {
        let _place = place;
        work()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Problem::internal(error)),
    }
}

/// Runs work that is over in microseconds, as a look at a key or a signature is: on the spot, where the
/// two changes of thread that [`blocking`] costs would take longer. Where state is another server's, or
/// the work is not so `brief`, it is no different from any other.
///
/// A read that memory does not answer holds up the other requests of this one thread of the runtime
/// for as long as the disk takes; there are more of them than processors for that reason.
pub(crate) async fn in_brief<T: Send + 'static>(
    reader: &Reader,
    brief: bool,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if !brief || reader.is_remote() {
        return blocking(work).await;
    }
    on_the_spot(work)
}

/// Like a thread of its own, a panic of the work ends the work only.
fn on_the_spot<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Problem::internal("the work on a request panicked")))
}

fn place() -> Option<Arc<OwnedSemaphorePermit>> {
    PLACE.try_with(Clone::clone).ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_panic_in_work_on_the_spot_is_an_internal_error() {
        let problem = on_the_spot::<()>(|| panic!("as a bug would")).unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Internal);
    }

    #[tokio::test]
    async fn a_place_is_taken_until_the_work_is_done_though_its_request_is_gone() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go_on, waits) = mpsc::channel::<()>();
        let work = async {
            blocking(move || {
                begun.send(()).unwrap();
                assert!(waits.recv().is_err());
                Ok(())
            })
            .await
        };
        let request = PLACE.scope(Some(Arc::new(place)), work);
        tokio::select! {
            _ = request => panic!("the work was not told to end"),
            begun = has_begun => begun.unwrap(),
        }
        assert_eq!(places.available_permits(), 0);
        drop(go_on);
        drop(places.acquire().await.unwrap());
    }
}
