//! Time, as whoever starts a channel has it.

use std::fmt;
use std::time::{Duration, SystemTime};

/// A clock. Tests have their own.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> SystemTime;

    /// Returns when so much time has passed.
    fn sleep(&self, time: Duration);
}
