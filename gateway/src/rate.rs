//! How many requests a token may make: each has a leaky bucket, which is full after the requests of one
//! second.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::problem::Problem;

/// When there are this many buckets, empty ones are dropped before another is added.
const SWEEP_AT: usize = 1024;

const SECOND: Duration = Duration::from_secs(1);

/// The buckets, by token id; callers without a token share one.
#[derive(Debug)]
pub(crate) struct RateLimit {
    /// What one request adds to a bucket; `None` if nothing is limited.
    per_request: Option<Duration>,
    /// The time when each bucket will be empty.
    empty_at: Mutex<HashMap<Option<Arc<str>>, Instant>>,
}

impl RateLimit {
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self {
            per_request: per_second.map(|per_second| SECOND / per_second.get()),
            empty_at: Mutex::default(),
        }
    }

    /// Counts a request, or says when the next one may come.
    pub(crate) fn admit(&self, token: Option<&Arc<str>>) -> Result<(), Problem> {
        let Some(per_request) = self.per_request else {
            return Ok(());
        };
        let now = Instant::now();
        let mut buckets = self.empty_at.lock();
        if buckets.len() >= SWEEP_AT {
            buckets.retain(|_, empty_at| *empty_at > now);
        }
        let empty_at = buckets.entry(token.cloned()).or_insert(now);
        let after = (*empty_at).max(now) + per_request;
        let over = after.saturating_duration_since(now + SECOND);
        if over.is_zero() {
            *empty_at = after;
            return Ok(());
        }
        Err(Problem::rate_limited(over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_s_worth_may_come_at_once_and_then_one_at_a_time() {
        let limit = RateLimit::new(NonZeroU32::new(4));
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        for _ in 0..4 {
            limit.admit(Some(&a)).unwrap();
        }
        assert!(limit.admit(Some(&a)).is_err());
        limit.admit(Some(&b)).unwrap();
        limit.admit(None).unwrap();
        tokio::time::advance(Duration::from_millis(249)).await;
        assert!(limit.admit(Some(&a)).is_err());
        tokio::time::advance(Duration::from_millis(1)).await;
        limit.admit(Some(&a)).unwrap();
        assert!(limit.admit(Some(&a)).is_err());
        tokio::time::advance(Duration::from_secs(60)).await;
        let burst = (0..100).filter(|_| limit.admit(Some(&a)).is_ok()).count();
        assert_eq!(burst, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn buckets_that_ran_empty_are_forgotten() {
        let limit = RateLimit::new(NonZeroU32::new(1));
        for name in 0..10 * SWEEP_AT {
            tokio::time::advance(Duration::from_millis(100)).await;
            limit.admit(Some(&name.to_string().into())).unwrap();
        }
        assert!(limit.empty_at.lock().len() <= SWEEP_AT);
        assert!(RateLimit::new(None).admit(None).is_ok());
    }
}
