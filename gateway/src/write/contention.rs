//! Keys that many transactions want at once: when a transaction has lost a race for a key, all transactions
//! that touch the key take turns, until nobody waits for it any more.
//!
//! Without this, one of them wins in each block, and the others are simulated, signed, written and judged in
//! vain. It only affects speed: a transaction without a turn, or from another node, is judged like any other.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

/// Channel, namespace, key.
type Key = (Arc<str>, String, String);

/// The most keys for which transactions take turns at one time.
const CAPACITY: usize = 10_000;

/// The contended keys.
#[derive(Debug, Default)]
pub(crate) struct Contention {
    // The lock is held for a lookup or an insertion, never across an await.
    keys: Mutex<HashMap<Key, Arc<Turns<()>>>>,
}

/// While this lives, nobody else has a turn at the same contended keys.
#[derive(Debug, Default)]
pub(crate) struct Turn(Vec<OwnedMutexGuard<()>>);

impl Contention {
    /// Whether no key is contended, so that nobody waits for a turn.
    pub(crate) fn is_none(&self) -> bool {
        self.keys.lock().is_empty()
    }

    /// Waits until all earlier turns at the contended keys among `keys` are over.
    pub(crate) async fn turn(&self, channel: &Arc<str>, keys: &[(String, String)]) -> Turn {
        let mut turn = Turn(Vec::new());
        for queue in self.queues(channel, keys) {
            turn.0.push(queue.lock_owned().await);
        }
        turn
    }

    /// The queues of contended keys, in an order that is the same for everybody, so that two writes with the
    /// same keys cannot wait for each other.
    fn queues(&self, channel: &Arc<str>, keys: &[(String, String)]) -> Vec<Arc<Turns<()>>> {
        let contended = self.keys.lock();
        if contended.is_empty() {
            return Vec::new();
        }
        let mut keys: Vec<_> = keys.iter().collect();
        keys.sort_unstable();
        keys.dedup();
        let queue = |(namespace, key): &(String, String)| {
            let key = (Arc::clone(channel), namespace.clone(), key.clone());
            contended.get(&key).cloned()
        };
        keys.into_iter().filter_map(queue).collect()
    }

    /// Notes that a race for these keys was lost.
    pub(crate) fn mark(&self, channel: &Arc<str>, keys: &[(String, String)]) {
        let mut contended = self.keys.lock();
        // A key whose queue nobody holds is not contended any more.
        contended.retain(|_, queue| Arc::strong_count(queue) > 1);
        for (namespace, key) in keys {
            if contended.len() < CAPACITY {
                let key = (Arc::clone(channel), namespace.clone(), key.clone());
                contended.entry(key).or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<(String, String)> {
        let keys = names.iter();
        keys.map(|name| ("n".to_owned(), (*name).to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn only_contended_keys_are_waited_for_and_only_while_somebody_waits() {
        let contention = Contention::default();
        let channel: Arc<str> = "main".into();
        let free = contention.turn(&channel, &keys(&["a"])).await;
        assert!(free.0.is_empty());

        contention.mark(&channel, &keys(&["a", "b"]));
        let first = contention.turn(&channel, &keys(&["b", "a", "b"])).await;
        assert_eq!(first.0.len(), 2);
        let wanted = keys(&["c", "a"]);
        let waiting = contention.turn(&channel, &wanted);
        let mut waiting = std::pin::pin!(waiting);
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut waiting).await.is_err());
        drop(first);
        let second = waiting.await;
        assert_eq!(second.0.len(), 1);

        contention.mark(&channel, &[]);
        assert_eq!(contention.keys.lock().len(), 1);
        drop(second);
        contention.mark(&channel, &[]);
        assert!(contention.keys.lock().is_empty());
    }
}
