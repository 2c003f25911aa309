//! A request's place among those that are worked on, and work that is done where the request is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::metrics::gauge_guard::GaugeGuard;
use crate::problem::Problem;

tokio::task_local! {
    /// The place of the current request.
    pub(crate) static PLACE: Arc<Place>;
}

/// A place among the requests that are worked on. Its request has it until the answer is made, and so has
/// all work on the request that blocks, until that has ended.
#[derive(Debug)]
pub(crate) struct Place {
    // In this order: whoever gets the place finds it no longer counted.
    pub(crate) _counted: Option<GaugeGuard>,
    /// None for those who get in always.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

/// The place of the current request; none where nobody waits for an answer.
pub(crate) fn place() -> Option<Arc<Place>> {
    PLACE.try_with(Arc::clone).ok()
}

/// Like a thread of its own, a panic of the work ends the work only.
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
