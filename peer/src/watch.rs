//! Whoever waits for a transaction that somebody else ordered, here or elsewhere.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::submit::Outcome;

/// Those who wait, by transaction id.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<HashMap<String, Vec<oneshot::Sender<Outcome>>>>);

impl Watchers {
    /// Waits for a transaction from now on. One that is committed already is not told of.
    pub(crate) fn watch(self: &Arc<Self>, tx_id: &str) -> Watch {
        let (sender, receiver) = oneshot::channel();
        let mut watchers = self.0.lock();
        watchers.entry(tx_id.to_owned()).or_default().push(sender);
        Watch {
            tx_id: tx_id.to_owned(),
            watchers: Some(Arc::clone(self)),
            receiver,
        }
    }

    /// Tells those who wait for one of these transactions.
    pub(crate) fn tell<'a>(&self, outcomes: impl Iterator<Item = (&'a str, Outcome)>) {
        let mut watchers = self.0.lock();
        if watchers.is_empty() {
            return;
        }
        for (tx_id, outcome) in outcomes {
            for sender in watchers.remove(tx_id).unwrap_or_default() {
                // Whoever does not wait any more needs no answer.
                sender.send(outcome).ok();
            }
        }
    }

    /// Nothing will commit any more.
    pub(crate) fn give_up(&self) {
        self.0.lock().clear();
    }
}

/// The outcome of a transaction, once it is committed; none where nothing will commit any more. To drop it is to
/// wait no longer.
#[derive(Debug)]
pub struct Watch {
    tx_id: String,
    watchers: Option<Arc<Watchers>>,
    receiver: oneshot::Receiver<Outcome>,
}

impl Watch {
    /// Waits where nothing commits.
    #[must_use]
    pub fn in_vain() -> Self {
        Self {
            tx_id: String::new(),
            watchers: None,
            receiver: oneshot::channel().1,
        }
    }
}

impl Future for Watch {
    type Output = Option<Outcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(Result::ok)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(watchers) = &self.watchers else {
            return;
        };
        self.receiver.close();
        let mut watchers = watchers.0.lock();
        if let Some(senders) = watchers.get_mut(&self.tx_id) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                watchers.remove(&self.tx_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quire_wire::Code;

    use super::*;

    const OUTCOME: Outcome = Outcome {
        block: 7,
        tx: 0,
        code: Code::VALID,
        is_ours: false,
    };

    #[tokio::test]
    async fn all_who_watch_a_transaction_are_told_and_nobody_is_remembered() {
        let watchers = Arc::new(Watchers::default());
        let (first, second) = (watchers.watch("a"), watchers.watch("a"));
        let other = watchers.watch("b");
        watchers.tell([("a", OUTCOME)].into_iter());
        assert_eq!(first.await, Some(OUTCOME));
        assert_eq!(second.await, Some(OUTCOME));
        assert_eq!(watchers.0.lock().len(), 1);
        drop(other);
        assert!(watchers.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_watch_ends_with_its_channel() {
        let watchers = Arc::new(Watchers::default());
        let watch = watchers.watch("a");
        watchers.give_up();
        assert_eq!(watch.await, None);
        assert_eq!(Watch::in_vain().await, None);
    }
}
