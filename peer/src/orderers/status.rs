//! How far this node is behind the orderers of a channel, and whether they can be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::observer::OrderersObserver;

/// A node that does not have after so long what there was to be had then is behind.
const BEHIND: Duration = Duration::from_secs(10);

/// So long may no orderer give blocks before nothing is let in: another one is found by then, where there is one.
const GRACE: Duration = Duration::from_secs(2);

/// What is known of a channel's orderers, for all who ask.
#[derive(Debug)]
pub(crate) struct Status {
    /// Why no blocks come now, and from when on that counts; it is tried again.
    trouble: Mutex<Option<(String, Instant)>>,
    /// How many blocks are known to be there.
    known: AtomicU64,
    /// Whether an orderer has told how many there are, or has sent nothing more for a while.
    is_told: AtomicBool,
    /// How many this node has.
    heights: watch::Receiver<u64>,
    progress: Mutex<Progress>,
    closed: watch::Sender<bool>,
    observer: Arc<dyn OrderersObserver>,
}

/// How far a node has come since it was asked last.
#[derive(Debug, Default)]
struct Progress {
    /// Whether the node has had all blocks that were there once.
    has_caught_up: bool,
    /// The height that it did not have at that time.
    awaited: Option<(u64, Instant)>,
}

impl Progress {
    /// Whether a node that has so many blocks of so many is behind. Until an orderer has `told` how many there are, a node
    /// that has all it knows of may know of little.
    fn is_behind(&mut self, has: u64, known: u64, told: bool, now: Instant) -> bool {
        if has >= known {
            self.has_caught_up |= told;
            self.awaited = None;
            return !self.has_caught_up;
        }
        let since = match self.awaited {
            Some((height, since)) if has < height => since,
            _ => {
                self.awaited = Some((known, now));
                now
            }
        };
        !self.has_caught_up || now.saturating_duration_since(since) > BEHIND
    }
}

impl Status {
    pub(crate) fn new(heights: watch::Receiver<u64>, observer: Arc<dyn OrderersObserver>) -> Self {
        observer.reachable(false);
        Self {
            trouble: Mutex::new(Some((
                "no orderer has answered yet".to_owned(),
                Instant::now(),
            ))),
            known: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
            heights,
            progress: Mutex::default(),
            closed: watch::Sender::new(false),
            observer,
        }
    }

    pub(crate) fn observer(&self) -> &dyn OrderersObserver {
        &*self.observer
    }

    /// So many blocks are there.
    pub(crate) fn knows(&self, height: u64) {
        let before = self.known.fetch_max(height, Ordering::Relaxed);
        self.observer.height(before.max(height));
    }

    /// So many blocks are there, and no more, as far as an orderer says.
    pub(crate) fn told(&self, height: u64) {
        self.knows(height);
        self.is_told.store(true, Ordering::Relaxed);
    }

    /// An orderer gives blocks.
    pub(crate) fn reached(&self, orderer: &str) {
        if self.trouble.lock().take().is_some() {
            tracing::info!(orderer, "blocks come from an orderer");
            self.observer.reachable(true);
        }
    }

    /// No orderer gives blocks.
    pub(crate) fn lost(&self, reason: String) {
        let mut trouble = self.trouble.lock();
        let since = trouble.take().map(|(_, since)| since);
        if since.is_none() {
            self.observer.reachable(false);
        }
        let from = since.unwrap_or_else(|| Instant::now() + GRACE);
        *trouble = Some((reason, from));
    }

    /// Why nothing is ordered now, if it is not.
    pub(crate) fn trouble(&self) -> Option<String> {
        let now = Instant::now();
        let trouble = self.trouble.lock().clone();
        let counts = trouble.filter(|(_, from)| *from <= now);
        counts.map_or_else(|| self.behind(now), |(reason, _)| Some(reason))
    }

    fn behind(&self, now: Instant) -> Option<String> {
        let known = self.known.load(Ordering::Relaxed);
        let has = *self.heights.borrow();
        let is_told = self.is_told.load(Ordering::Relaxed);
        let is_behind = self.progress.lock().is_behind(has, known, is_told, now);
        is_behind.then(|| {
            if has >= known {
                return "no orderer has told yet how many blocks there are".to_owned();
            }
            format!("this node is behind: it has {has} blocks of {known}, and takes in what others have ordered")
        })
    }

    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Becomes true when the channel is closed.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Becomes larger with each commit; it ends when none will follow.
    pub(crate) fn heights(&self) -> watch::Receiver<u64> {
        self.heights.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_behind_until_it_has_what_there_was_and_when_it_does_not_get_on_for_ten_seconds() {
        let mut progress = Progress::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(progress.is_behind(2, 2, false, start), "nobody has told");
        assert!(
            progress.is_behind(1, 100, true, start),
            "it has just started"
        );
        assert!(progress.is_behind(50, 100, true, at(1)));
        assert!(!progress.is_behind(100, 100, true, at(2)));
        for seconds in 3..60 {
            // There is always a block more, and it always comes.
            let known = 100 + seconds;
            assert!(!progress.is_behind(known - 1, known, true, at(seconds)));
        }
        assert!(!progress.is_behind(200, 300, true, at(60)));
        assert!(!progress.is_behind(200, 400, true, at(70)));
        assert!(progress.is_behind(299, 400, true, at(71)));
        assert!(!progress.is_behind(300, 400, true, at(72)), "it gets on");
        assert!(!progress.is_behind(400, 400, true, at(73)));
    }
}
