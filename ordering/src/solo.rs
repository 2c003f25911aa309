//! The embedded order: transactions are ordered as they arrive at one thread.
//!
//! A batch ends when the first of these comes true:
//!
//! * the [`Cutter`] says so, by count or by bytes, or because a configuration arrives;
//! * the batch timeout has passed since something began to wait ([`Solo::deadline`],
//!   [`Solo::tick`]);
//! * the committer has nothing to do ([`Solo::committer_idle`]): waiting would gain nothing.
//!
//! Time comes in with every call, so that a test can hold it.
//!
//! There is no trait over this and a later Kafka order. Solo answers each call with batches and may
//! cut on a local hint; with Kafka an envelope leaves for a broker, batches come out of the log on
//! another thread, and every cut, that of an idle committer too, has to be a message in that log
//! so that all nodes make it alike. What the two share is [`Cutter`] and
//! [`BlockWriter`](crate::BlockWriter).

use std::time::{Duration, Instant};

use bytes::Bytes;
use quire_wire::config::BatchSize;

use crate::{Cutter, EnvelopeTooLarge};

/// The envelopes of one block to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// At least one serialized envelope, in order.
    pub envelopes: Vec<Bytes>,
    /// Whether the batch is a configuration, which stands alone.
    pub is_config: bool,
}

/// Decides where one thread's transactions are cut into blocks.
#[derive(Debug)]
pub struct Solo {
    cutter: Cutter,
    timeout: Duration,
    /// When something began to wait; none while nothing does.
    waiting_since: Option<Instant>,
}

impl Solo {
    /// An order with nothing in it yet. `timeout` is the longest that an envelope waits for others.
    #[must_use]
    pub fn new(limits: BatchSize, timeout: Duration) -> Self {
        Self {
            cutter: Cutter::new(limits),
            timeout,
            waiting_since: None,
        }
    }

    /// Changes limits and timeout, as a new channel configuration asks for. What is pending waits
    /// for the new timeout, counted from when it began to wait.
    pub fn set_limits(&mut self, limits: BatchSize, timeout: Duration) {
        self.cutter.set_limits(limits);
        self.timeout = timeout;
    }

    /// Orders an envelope after all before it. Returns the batches that this completes, at most
    /// two; the envelope may be in the last one or still wait.
    ///
    /// `size_bytes` is [`envelope_size_bytes`](crate::envelope_size_bytes) of what it holds.
    ///
    /// # Errors
    /// [`EnvelopeTooLarge`]: it was not ordered, and nothing else changed.
    pub fn order(
        &mut self,
        envelope: Bytes,
        size_bytes: usize,
        now: Instant,
    ) -> Result<Vec<Batch>, EnvelopeTooLarge> {
        self.cutter.admit(size_bytes)?;
        let (batches, pending) = self.cutter.ordered(envelope, size_bytes);
        // As in Fabric a cut that leaves something pending does not wind the clock back: what is
        // left waits less than the timeout, never more.
        self.waiting_since = pending.then(|| self.waiting_since.unwrap_or(now));
        Ok(batches.into_iter().map(normal).collect())
    }

    /// Orders an envelope that changes the channel's configuration: the last of the batches
    /// returned, alone in it. Its size is not judged.
    pub fn order_config(&mut self, envelope: Bytes) -> Vec<Batch> {
        let mut batches: Vec<Batch> = self
            .cutter
            .ordered_config(envelope)
            .into_iter()
            .map(normal)
            .collect();
        if let Some(last) = batches.last_mut() {
            last.is_config = true;
        }
        self.waiting_since = None;
        batches
    }

    /// When to call [`Self::tick`]; none while nothing waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting_since?.checked_add(self.timeout)
    }

    /// The pending batch, if its time has come.
    pub fn tick(&mut self, now: Instant) -> Option<Batch> {
        if self.deadline()? > now {
            return None;
        }
        self.cut()
    }

    /// To be called when the committer waits for work: gives it what is pending.
    pub fn committer_idle(&mut self) -> Option<Batch> {
        self.cut()
    }

    /// How many envelopes wait for their batch to be cut.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.cutter.pending_count()
    }

    fn cut(&mut self) -> Option<Batch> {
        self.waiting_since = None;
        let envelopes = self.cutter.cut();
        (!envelopes.is_empty()).then(|| normal(envelopes))
    }
}

fn normal(envelopes: Vec<Bytes>) -> Batch {
    Batch {
        envelopes,
        is_config: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchSize = BatchSize {
        max_message_count: 3,
        absolute_max_bytes: 200,
        preferred_max_bytes: 100,
    };
    const TIMEOUT: Duration = Duration::from_secs(1);

    /// An order and the clock it is shown.
    struct Bench {
        solo: Solo,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                solo: Solo::new(LIMITS, TIMEOUT),
                start: Instant::now(),
            }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// Orders at `ms` and returns the names in the batches.
        fn order(&mut self, name: &'static str, size_bytes: usize, ms: u64) -> Vec<Vec<Bytes>> {
            let batches = self
                .solo
                .order(name.into(), size_bytes, self.at(ms))
                .unwrap();
            assert!(batches.iter().all(|batch| !batch.is_config));
            batches.into_iter().map(|batch| batch.envelopes).collect()
        }

        fn tick(&mut self, ms: u64) -> Option<Vec<Bytes>> {
            self.solo.tick(self.at(ms)).map(|batch| batch.envelopes)
        }

        fn deadline_ms(&self) -> Option<u128> {
            let deadline = self.solo.deadline()?;
            Some(deadline.duration_since(self.start).as_millis())
        }
    }

    #[test]
    fn the_timeout_runs_from_the_first_that_waits() {
        let mut bench = Bench::new();
        assert_eq!(bench.deadline_ms(), None);
        assert!(bench.order("a", 1, 100).is_empty());
        assert!(bench.order("b", 1, 900).is_empty());
        assert_eq!(bench.deadline_ms(), Some(1100));
        assert_eq!(bench.tick(1099), None);
        assert_eq!(bench.solo.pending_count(), 2);
        assert_eq!(bench.tick(1100).unwrap(), ["a", "b"]);
        assert_eq!(bench.deadline_ms(), None);
        assert_eq!(bench.tick(9999), None);
    }

    #[test]
    fn a_full_batch_stops_the_clock() {
        let mut bench = Bench::new();
        bench.order("a", 1, 0);
        bench.order("b", 1, 0);
        assert_eq!(bench.order("c", 1, 10), [["a", "b", "c"]]);
        assert_eq!(bench.deadline_ms(), None);
        bench.order("d", 1, 500);
        assert_eq!(bench.deadline_ms(), Some(1500));
    }

    #[test]
    fn an_overflow_leaves_the_clock_running_as_in_fabric() {
        let mut bench = Bench::new();
        bench.order("a", 60, 0);
        assert_eq!(bench.order("b", 60, 400), [["a"]]);
        assert_eq!(bench.deadline_ms(), Some(1000));
        assert_eq!(bench.tick(1000).unwrap(), ["b"]);
    }

    #[test]
    fn a_large_one_takes_the_pending_ones_with_it() {
        let mut bench = Bench::new();
        bench.order("a", 1, 0);
        assert_eq!(bench.order("b", 150, 1), [["a"], ["b"]]);
        assert_eq!(bench.deadline_ms(), None);
    }

    #[test]
    fn an_idle_committer_gets_what_is_pending_at_once() {
        let mut bench = Bench::new();
        assert_eq!(bench.solo.committer_idle(), None);
        bench.order("a", 1, 0);
        assert_eq!(bench.solo.committer_idle(), Some(normal(vec!["a".into()])));
        assert_eq!(bench.deadline_ms(), None);
        assert_eq!(bench.solo.committer_idle(), None);
    }

    #[test]
    fn a_configuration_comes_last_and_alone() {
        let mut bench = Bench::new();
        bench.order("a", 1, 0);
        let config = Batch {
            envelopes: vec!["config".into()],
            is_config: true,
        };
        let batches = bench.solo.order_config("config".into());
        assert_eq!(batches, [normal(vec!["a".into()]), config.clone()]);
        assert_eq!(bench.deadline_ms(), None);
        assert_eq!(bench.solo.order_config("config".into()), [config]);
    }

    #[test]
    fn what_is_too_large_is_refused_and_changes_nothing() {
        let mut bench = Bench::new();
        bench.order("a", 1, 0);
        let refused = bench.solo.order("b".into(), 201, bench.at(1)).unwrap_err();
        assert_eq!(refused.limit_bytes, 200);
        assert_eq!(bench.deadline_ms(), Some(1000));
        assert_eq!(bench.solo.committer_idle(), Some(normal(vec!["a".into()])));
    }

    #[test]
    fn a_new_timeout_counts_from_when_the_wait_began() {
        let mut bench = Bench::new();
        bench.order("a", 1, 100);
        bench.solo.set_limits(LIMITS, Duration::from_millis(50));
        assert_eq!(bench.deadline_ms(), Some(150));
    }
}
