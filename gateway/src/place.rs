//! A request's place among the requests that are worked on, and work that is done on the request's own
//! thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::metrics::gauge_guard::GaugeGuard;
use crate::problem::Problem;

tokio::task_local! {
    /// The place of the current request.
    pub(crate) static PLACE: Arc<Place>;
}

/// A place among the requests that are worked on. Its request keeps it until the answer is made, and blocking
/// work on the request keeps it until that has ended.
#[derive(Debug)]
pub(crate) struct Place {
    // The order matters: when another request gets the place, this one is no longer counted.
    pub(crate) _counted: Option<GaugeGuard>,
    /// `None` for requests that always get in.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

/// The place of the current request; `None` if nobody waits for an answer.
pub(crate) fn place() -> Option<Arc<Place>> {
    PLACE.try_with(Arc::clone).ok()
}

/// Runs work here. A panic ends only the work, as on a thread of its own.
pub(crate) fn on_the_spot<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Problem::internal("the work on a request panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::ProblemKind;

    #[test]
    fn a_panic_in_work_on_the_spot_is_an_internal_error() {
        let problem = on_the_spot::<()>(|| panic!("as a bug would")).unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Internal);
    }
}
