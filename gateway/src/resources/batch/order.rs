//! Decides which line of a batch waits for which.

use std::collections::HashMap;

use tokio::sync::watch;

use super::IN_FLIGHT;
use crate::write::attempts::Write;
use crate::write::idempotency::IdempotencyKey;

/// Which lines wait for which.
#[derive(Default)]
pub(super) struct LineOrder {
    /// The last line that touched something.
    last: HashMap<Touched, watch::Receiver<()>>,
    /// At this number of entries, those of finished lines are looked for and dropped.
    crowded: usize,
    /// The last line whose keys are not known.
    last_unknown: Option<watch::Receiver<()>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Touched {
    Key(String, String),
    /// Two lines have one idempotency key: the second is a repetition, or a mistake.
    IdempotencyKey(IdempotencyKey),
}

/// A line's turn comes when the lines before it are done; the line is done when this is dropped.
pub(super) struct LineTurn {
    pub(super) before: Vec<watch::Receiver<()>>,
    pub(super) done: watch::Sender<()>,
}

impl LineOrder {
    /// Queues the next line.
    pub(super) fn turn(&mut self, write: &Write) -> LineTurn {
        if self.last.len() > self.crowded {
            self.last.retain(|_, line| line.has_changed().is_ok());
            self.crowded = self.last.len() * 2 + IN_FLIGHT.0;
        }
        let (done, line) = watch::channel(());
        let key = write.key.iter();
        let key = key.map(|(key, _)| Touched::IdempotencyKey(key.clone()));
        let mut before: Vec<_> = self.last_unknown.iter().cloned().collect();
        if let Some(keys) = write.channel.chaincodes.hints(&write.call).keys {
            let keys = keys.into_iter();
            let keys = keys.map(|(namespace, key)| Touched::Key(namespace, key));
            for touched in keys.chain(key) {
                // A line may touch a key twice; it does not wait for itself.
                match self.last.insert(touched, line.clone()) {
                    Some(earlier) if !earlier.same_channel(&line) => before.push(earlier),
                    _ => {}
                }
            }
        } else {
            // This line waits for all others, and all later lines wait for it.
            before.extend(self.last.drain().map(|(_, line)| line));
            self.last_unknown = Some(line.clone());
            self.last.extend(key.map(|key| (key, line.clone())));
        }
        LineTurn { before, done }
    }
}
