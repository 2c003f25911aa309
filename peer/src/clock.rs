//! The clock that a channel is started with.

use std::fmt;
use std::time::{Duration, SystemTime};

/// A clock. Tests have their own.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> SystemTime;

    /// Returns when `time` has passed.
    fn sleep(&self, time: Duration);
}
