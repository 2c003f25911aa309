//! The way into a channel's log.

use std::sync::Arc;

use quire_ordering::{Consenter, Message, NotOrdered};
use quire_wire::kafka::{KafkaMessage, KafkaMessageRegular, Kind, class};

use crate::mine::Mine;
use crate::sender::{NotSent, Sender};
use crate::status::Status;

/// The way into a channel's order. It never waits for a broker: a transaction is in the order when this node has read
/// it in the log.
#[derive(Debug)]
pub struct Order<T: Send + 'static> {
    sender: Arc<Sender<T>>,
    status: Arc<Status>,
    mine: Arc<Mine<T>>,
}

impl<T: Send + 'static> Order<T> {
    pub(crate) fn new(sender: Arc<Sender<T>>, status: Arc<Status>, mine: Arc<Mine<T>>) -> Self {
        Self {
            sender,
            status,
            mine,
        }
    }

    fn put(&self, message: Message<T>, class: i32) -> Result<(), NotOrdered> {
        if self.status.is_closed() {
            return Err(NotOrdered::Closed);
        }
        if self.status.is_unread() {
            return Err(NotOrdered::Broken);
        }
        if let Some(reason) = self.status.trouble() {
            return Err(NotOrdered::Unavailable(reason));
        }
        if self.status.waits() {
            let reason = "a configuration is about to take effect".to_owned();
            return Err(NotOrdered::Unavailable(reason));
        }
        let envelope = message.envelope;
        let added = self.mine.add(envelope.clone(), message.known);
        added.map_err(|_| NotOrdered::Full)?;
        let regular = KafkaMessageRegular {
            payload: envelope.clone(),
            config_seq: message.sequence,
            class,
            original_offset: 0,
        };
        let kind = Some(Kind::Regular(regular));
        let sent = self
            .sender
            .send(&KafkaMessage { kind }, Some(envelope.clone()));
        sent.map_err(|error| {
            // Whoever put it in is told, and waits for nothing.
            self.mine.forget(&envelope);
            match error {
                NotSent::Full => NotOrdered::Full,
                NotSent::Refused(reason) => NotOrdered::Unavailable(reason),
            }
        })
    }
}

impl<T: Send + std::fmt::Debug + 'static> Consenter<T> for Order<T> {
    fn order(&self, message: Message<T>) -> Result<(), NotOrdered> {
        self.put(message, class::NORMAL)
    }

    fn configure(&self, message: Message<T>) -> Result<(), NotOrdered> {
        self.put(message, class::CONFIG)
    }

    fn places_later(&self) -> bool {
        true
    }

    fn close(&self) {
        self.status.close();
    }

    fn trouble(&self) -> Option<String> {
        self.status.trouble()
    }
}
