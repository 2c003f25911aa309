//! The embedded order: transactions are ordered as they arrive at one queue of one process.
//!
//! A batch ends when the first of these comes true:
//!
//! * the [`Cutter`] says so, by count or by bytes, or because a configuration arrives;
//! * the thread that takes batches out has nothing else to do: to wait would gain nothing.
//!
//! That thread never waits for more to come. So the `BatchTimeout` of the channel's configuration, the
//! longest time that a transaction may wait for others, has no effect.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::yield_now;

use bytes::Bytes;
use parking_lot::Mutex;
use quire_wire::config::BatchSize;

use crate::admission::Admission;
use crate::batch::{Cut, Message};
use crate::consenter::{Batches, Broken, Consenter, Next, NotOrdered};
use crate::cutter::Cutter;
use crate::room::{QueueObserver, Room, Taken};

/// The way into an embedded order, shared by all threads that hand something in.
#[derive(Debug)]
pub struct Embedded<T> {
    /// `None` once the order is closed.
    queue: Mutex<Option<SyncSender<Waiting<T>>>>,
    room: Arc<Room>,
}

/// The way out of an embedded order.
#[derive(Debug)]
pub struct EmbeddedBatches<T> {
    queue: Receiver<Waiting<T>>,
    cutter: Cutter<(Bytes, T)>,
    /// After this number of bytes, no more are taken out of the queue at a time.
    together_bytes: u64,
    /// What is let in now; `None` while the first configuration is in force.
    admission: Option<Arc<Admission>>,
    discarded: Vec<T>,
}

/// How much may wait in an embedded order.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Envelopes in the queue.
    pub envelopes: usize,
    /// Bytes of these envelopes.
    pub bytes: usize,
    /// After this number of bytes, no more come out together.
    pub together_bytes: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    message: Message<T>,
    is_config: bool,
    /// Its bytes in the queue.
    taken: Taken,
}

impl<T> Embedded<T> {
    /// An empty order: the way in, and the way out.
    #[must_use]
    pub fn new(
        limits: BatchSize,
        bounds: Bounds,
        observer: Arc<dyn QueueObserver>,
    ) -> (Self, EmbeddedBatches<T>) {
        let (sender, queue) = sync_channel(bounds.envelopes);
        let way_in = Self {
            queue: Mutex::new(Some(sender)),
            room: Arc::new(Room::new(bounds.bytes, observer)),
        };
        let way_out = EmbeddedBatches {
            queue,
            cutter: Cutter::new(limits),
            together_bytes: bounds.together_bytes,
            admission: None,
            discarded: Vec::new(),
        };
        (way_in, way_out)
    }

    fn put(&self, message: Message<T>, is_config: bool) -> Result<(), NotOrdered> {
        // A sender may put bytes around payload and signature, and these count too.
        let bytes = message.size_bytes.max(message.envelope.len());
        let taken = Room::take(&self.room, bytes).ok_or(NotOrdered::Full)?;
        let queue = self.queue.lock().clone().ok_or(NotOrdered::Closed)?;
        let waiting = Waiting {
            message,
            is_config,
            taken,
        };
        queue.try_send(waiting).map_err(|refused| match refused {
            TrySendError::Full(_) => NotOrdered::Full,
            TrySendError::Disconnected(_) => NotOrdered::Broken,
        })
    }
}

impl<T: Send + std::fmt::Debug> Consenter<T> for Embedded<T> {
    fn order(&self, message: Message<T>) -> Result<(), NotOrdered> {
        self.put(message, false)
    }

    fn configure(&self, message: Message<T>) -> Result<(), NotOrdered> {
        self.put(message, true)
    }

    fn close(&self) {
        self.queue.lock().take();
    }
}

impl<T: Send + std::fmt::Debug> Batches<T> for EmbeddedBatches<T> {
    fn next(&mut self) -> Result<Next<T>, Broken> {
        loop {
            let first = if self.cutter.pending_count() > 0 {
                self.waiting_now()
            } else {
                match self.queue.recv() {
                    Ok(first) => Some(first),
                    Err(_) => return Ok(Next::Closed),
                }
            };
            let mut full = self.cut(first);
            if full.is_empty() {
                full = self.grow();
            }
            if !full.is_empty() {
                return Ok(Next::Full(full));
            }
            // Less than a block waits, and the caller is idle.
            let rest = self.cutter.cut();
            if !rest.is_empty() {
                return Ok(Next::Rest(Cut::normal(rest)));
            }
            // Everything that came was discarded.
            if !self.discarded.is_empty() {
                return Ok(Next::Full(Vec::new()));
            }
        }
    }

    fn more(&mut self) -> Result<Vec<Cut<T>>, Broken> {
        let first = self.waiting_now();
        Ok(self.cut(first))
    }

    fn reconfigured(&mut self, limits: BatchSize, admission: Arc<Admission>) {
        self.cutter.set_limits(limits);
        self.admission = Some(admission);
    }

    fn discarded(&mut self) -> Vec<T> {
        std::mem::take(&mut self.discarded)
    }
}

impl<T> EmbeddedBatches<T> {
    fn waiting_now(&self) -> Option<Waiting<T>> {
        self.queue.try_recv().ok()
    }

    /// Orders what waits, and takes the complete batches: no more than `together_bytes`, and nothing
    /// after a configuration, which may change how batches are cut.
    fn cut(&mut self, first: Option<Waiting<T>>) -> Vec<Cut<T>> {
        let mut cuts = Vec::new();
        let mut bytes = 0;
        let mut next = first;
        while let Some(waiting) = next {
            let Waiting {
                message,
                is_config,
                taken,
            } = waiting;
            taken.waited();
            if is_config {
                // It was made out of a configuration that is not in force any more.
                if self.is_stale(&message) {
                    tracing::warn!("a configuration is not ordered: another one came before it");
                    self.discarded.push(message.known);
                    next = self.waiting_now();
                    continue;
                }
                let message = (message.envelope, message.known);
                let mut batches = self.cutter.ordered_config(message);
                let config = batches.pop().map(Cut::config);
                cuts.extend(batches.into_iter().map(Cut::normal).chain(config));
                return cuts;
            }
            bytes += message.size_bytes as u64;
            if let Some(message) = self.still_admitted(message) {
                let envelope = (message.envelope, message.known);
                let (batches, _) = self.cutter.ordered(envelope, message.size_bytes);
                cuts.extend(batches.into_iter().map(Cut::normal));
            }
            next = if bytes < self.together_bytes {
                self.waiting_now()
            } else {
                None
            };
        }
        cuts
    }

    /// Yields the processor while other threads have more to order. If a processor is free, this costs
    /// nothing; if none is free, more envelopes share a batch and its cost.
    fn grow(&mut self) -> Vec<Cut<T>> {
        loop {
            let before = self.cutter.pending_count();
            yield_now();
            let first = self.waiting_now();
            let full = self.cut(first);
            if !full.is_empty() || self.cutter.pending_count() == before {
                return full;
            }
        }
    }

    /// Whether an earlier configuration than the one in force let the message in.
    fn is_stale(&self, message: &Message<T>) -> bool {
        let sequence = self
            .admission
            .as_ref()
            .map(|admission| admission.sequence());
        sequence.is_some_and(|sequence| message.sequence < sequence)
    }

    /// The message, unless an earlier configuration let it in and the current one would not.
    fn still_admitted(&mut self, message: Message<T>) -> Option<Message<T>> {
        let is_stale = self.is_stale(&message);
        let changed = self.admission.as_ref().filter(|_| is_stale);
        let refused = changed.and_then(|admission| admission.admit_again(&message.envelope).err());
        match refused {
            None => Some(message),
            Some(refused) => {
                let refused = &refused as &dyn std::error::Error;
                tracing::warn!(
                    refused,
                    "a transaction is not ordered: the configuration has changed"
                );
                self.discarded.push(message.known);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
