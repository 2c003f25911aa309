//! A server that refuses us: why it does, and when it is asked again.
//!
//! `CouchDB` counts failures of a user and an address, and after five within five minutes it answers 403 for
//! five minutes, even to the right password. So there are at most four attempts in five minutes here, however
//! many requests come meanwhile, and if the password stays wrong, there is one in five minutes.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The pause before the first attempt after a refusal; each further pause is three times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause: `CouchDB` remembers a failure for this time.
const LAST_PAUSE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Refusal {
    /// The refused user and the server, without the password.
    who: String,
    now: Mutex<Option<Refused>>,
}

#[derive(Clone, Debug)]
struct Refused {
    /// The path that was asked for: it may need other rights than another path.
    path: String,
    reason: String,
    since: Instant,
    pause: Duration,
}

impl Refusal {
    pub(super) fn new(url: &str, user: Option<&str>) -> Self {
        let who = match user {
            Some(user) => format!("CouchDB at {url} refuses user {user}"),
            None => format!("CouchDB at {url} refuses calls without a user"),
        };
        Self {
            who,
            now: Mutex::new(None),
        }
    }

    /// Why we are refused, if we are.
    pub(super) fn reason(&self) -> Option<String> {
        self.now
            .lock()
            .as_ref()
            .map(|refused| refused.reason.clone())
    }

    /// The path that was refused, if we are refused.
    pub(super) fn path(&self) -> Option<String> {
        let now = self.now.lock();
        now.as_ref().map(|refused| refused.path.clone())
    }

    /// Whether it is time to ask again.
    pub(super) fn is_due(&self) -> bool {
        let now = self.now.lock();
        now.as_ref()
            .is_some_and(|refused| refused.since.elapsed() >= refused.pause)
    }

    /// Stops all requests for a while. Returns the whole reason.
    pub(super) fn begin(&self, path: &str, reason: &str) -> String {
        let mut now = self.now.lock();
        let reason = format!("{} ({reason})", self.who);
        let pause = match now.as_ref() {
            None => FIRST_PAUSE,
            // Calls that were under way together are one attempt.
            Some(refused) if refused.since.elapsed() < refused.pause => refused.pause,
            Some(refused) => (refused.pause * 3).min(LAST_PAUSE),
        };
        if now.is_none() {
            let seconds = pause.as_secs();
            tracing::error!(
                reason,
                "nothing is asked of CouchDB for {seconds} s, and then less and less often"
            );
        }
        // A path without what follows the database's name can be read.
        let database = path.split('/').nth(1).unwrap_or_default();
        *now = Some(Refused {
            path: format!("/{database}"),
            reason: reason.clone(),
            since: Instant::now(),
            pause,
        });
        reason
    }

    /// The server accepts us.
    pub(super) fn is_over(&self) {
        if let Some(refused) = self.now.lock().take() {
            tracing::info!(was = refused.reason, "CouchDB lets us in again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_attempts_fit_the_five_minutes_in_which_couchdb_counts_to_five() {
        let refusal = Refusal::new("http://h", Some("u"));
        let mut at = vec![0];
        for _ in 0..9 {
            let reason = refusal.begin("/db/_bulk_docs", "status 401: wrong");
            assert_eq!(
                reason,
                "CouchDB at http://h refuses user u (status 401: wrong)"
            );
            assert!(!refusal.is_due());
            // Other calls that were under way change nothing.
            refusal.begin("/db/_bulk_docs", "status 401: wrong");
            let mut now = refusal.now.lock();
            let refused = now.as_mut().unwrap();
            at.push(at.last().unwrap() + refused.pause.as_secs());
            refused.since = refused.since.checked_sub(refused.pause).unwrap();
            drop(now);
            assert!(refusal.is_due());
        }
        for window in at.windows(5) {
            assert!(window[4] - window[0] > 300, "{at:?}");
        }
        refusal.is_over();
        assert_eq!(refusal.reason(), None);
    }
}
