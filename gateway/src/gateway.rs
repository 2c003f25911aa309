//! What all handlers share.

use std::fmt;
use std::sync::Arc;

use quire_chaincode::name::check_channel;
use quire_identity::SigningIdentity;

use crate::backend::{Backend, Channel};
use crate::flights::Flights;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::problem::{Problem, ProblemKind};

/// The node behind the routes, and the work on idempotency keys that is under way.
pub(crate) struct Gateway {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) limits: Limits,
    pub(crate) flights: Arc<Flights>,
    pub(crate) metrics: Arc<Metrics>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    pub(crate) fn new(backend: Arc<dyn Backend>, limits: Limits) -> Self {
        Self {
            metrics: Arc::new(Metrics::new(backend.registry())),
            backend,
            limits,
            flights: Arc::new(Flights::new(limits.keys_in_flight)),
        }
    }

    /// The same gateway at a door with limits of its own.
    pub(crate) fn with_limits(&self, limits: Limits) -> Self {
        Self {
            backend: Arc::clone(&self.backend),
            limits,
            flights: Arc::clone(&self.flights),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// The channel of that name.
    pub(crate) fn channel(&self, name: &str) -> Result<Channel, Problem> {
        if let Some(channel) = self.backend.channel(name) {
            return Ok(channel);
        }
        check_channel(name)?;
        let detail = format!("There is no channel {name}.");
        Err(Problem::new(ProblemKind::ChannelNotFound, detail))
    }

    /// Who asks. Credentials come with authentication; until then it is the default identity.
    pub(crate) fn caller(&self) -> Arc<SigningIdentity> {
        self.backend.default_identity()
    }
}

/// Runs work that blocks: reads of the ledger, simulation, signing.
///
/// `spawn_blocking`, not `block_in_place`: the latter would stop whatever else the task waits for
/// (time-outs, the client's disconnect), gives the worker's queue to another thread each time, and
/// cannot run on a single-threaded runtime. A step of work is one call, so a write costs two.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Problem::internal(error)),
    }
}
