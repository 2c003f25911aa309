//! The time that a client has to take an answer.
//!
//! It may let the answer wait for a total time, and gets some of that time back with everything that it
//! takes. A client that takes nothing is cut off after that time, and so is a client that always takes less
//! than [`LEAST_RATE`], however often it takes something. So an answer's resources, above all the snapshot of
//! a page, are held only for a time that its size bounds.

use std::time::Duration;

use tokio::time::Instant;

/// The bytes per second that keep an answer going, however long it is.
const LEAST_RATE: u64 = 8 << 10;
/// The time that one byte gives back.
const A_BYTE: Duration = Duration::from_nanos(1_000_000_000 / LEAST_RATE);

/// The time that a client has left.
#[derive(Debug)]
pub(super) struct Pace {
    most: Duration,
    left: Duration,
    /// Since when something has waited for the client; `None` while it is not the client's turn.
    since: Option<Instant>,
}

impl Pace {
    /// All of the time is left.
    pub(super) fn new(most: Duration) -> Self {
        Self {
            most,
            left: most,
            since: None,
        }
    }

    /// Something waits for the client. Returns the end of its time if it takes nothing.
    pub(super) fn wait(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now) + self.left
    }

    /// The client took, or sent, this many bytes.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.spend();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let back = A_BYTE.saturating_mul(bytes);
        self.left = self.left.saturating_add(back).min(self.most);
    }

    /// Nothing waits for the client any more.
    pub(super) fn stop(&mut self) {
        self.spend();
        self.since = None;
    }

    /// The client took a whole answer: the next one has its own time.
    pub(super) fn renew(&mut self) {
        *self = Self::new(self.most);
    }

    /// The time when the client is cut off, if it takes nothing.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.left)
    }

    fn spend(&mut self) {
        if let Some(since) = &mut self.since {
            let now = Instant::now();
            self.left = self.left.saturating_sub(now - *since);
            *since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MOST: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn bytes_give_back_the_time_that_they_may_take() {
        let mut pace = Pace::new(MOST);
        assert_eq!(pace.deadline(), None);
        let begun = Instant::now();
        assert_eq!(pace.wait(), begun + MOST);
        advance(Duration::from_secs(20)).await;
        assert_eq!(pace.wait(), begun + MOST, "waiting on changes nothing");
        pace.moved(1);
        let deadline = pace.deadline().unwrap();
        assert!(deadline - (begun + MOST) < Duration::from_millis(1));
        // 40 KiB are 5 seconds.
        pace.moved(40 << 10);
        assert_eq!((pace.deadline().unwrap() - begun).as_secs(), 35);
        pace.moved(usize::MAX);
        assert_eq!(
            pace.deadline(),
            Some(Instant::now() + MOST),
            "no more than all"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_spent_only_while_something_waits() {
        let mut pace = Pace::new(MOST);
        pace.wait();
        advance(Duration::from_secs(20)).await;
        pace.stop();
        advance(Duration::from_secs(20)).await;
        assert_eq!(pace.deadline(), None);
        assert_eq!(pace.wait(), Instant::now() + Duration::from_secs(10));
        pace.renew();
        assert_eq!(pace.wait(), Instant::now() + MOST);
    }
}
