//! How far this node is in the log.

use std::time::{Duration, Instant};

/// After so long without having read all there is, a node is behind.
const BEHIND: Duration = Duration::from_secs(10);

/// How far a node is. One that is behind lets nothing new in.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Whether it has read that it connected: so it has read all that was there when it began.
    is_connected: bool,
    /// Since when there was always more to read.
    unread_since: Option<Instant>,
}

impl Progress {
    /// The node has read that it connected.
    pub(crate) fn connected(&mut self) {
        self.is_connected = true;
    }

    /// A message was there.
    pub(crate) fn more(&mut self, now: Instant) {
        self.unread_since.get_or_insert(now);
    }

    /// No message was there.
    pub(crate) fn nothing(&mut self) {
        self.unread_since = None;
    }

    pub(crate) fn is_behind(&self, now: Instant) -> bool {
        let is_late = |since| now.saturating_duration_since(since) > BEHIND;
        !self.is_connected || self.unread_since.is_some_and(is_late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_behind_until_it_has_connected_and_while_it_does_not_keep_up() {
        let mut progress = Progress::default();
        let start = Instant::now();
        progress.more(start);
        progress.nothing();
        assert!(
            progress.is_behind(start),
            "it has not read that it is there"
        );
        progress.connected();
        assert!(!progress.is_behind(start));
        for seconds in 0..=10 {
            let now = start + Duration::from_secs(seconds);
            progress.more(now);
            assert!(!progress.is_behind(now));
        }
        let late = start + Duration::from_secs(11);
        progress.more(late);
        assert!(progress.is_behind(late));
        progress.nothing();
        assert!(!progress.is_behind(late), "it has read all there is");
        progress.more(late);
        assert!(!progress.is_behind(late));
    }
}
