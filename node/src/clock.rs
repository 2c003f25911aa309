//! The one place that asks the operating system for the time.

use std::time::SystemTime;

/// The time now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that everything else is given"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
