//! Envelopes that this node put into the log, and what it knows of them, until it reads them there.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quire_ordering::kafka::Rules;
use quire_ordering::{QueueObserver, Room, Taken};

/// This node's envelopes that are on their way.
#[derive(Debug)]
pub(crate) struct Mine<T> {
    room: Arc<Room>,
    /// Most envelopes that may be on their way.
    envelopes: usize,
    on_their_way: Mutex<HashMap<Bytes, (T, Taken)>>,
    /// What was known of envelopes that did not come into the log, as far as can be told.
    lost: Mutex<Vec<T>>,
}

impl<T> Mine<T> {
    pub(crate) fn new(envelopes: usize, bytes: usize, observer: Arc<dyn QueueObserver>) -> Self {
        Self {
            room: Arc::new(Room::new(bytes, observer)),
            envelopes,
            on_their_way: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// Remembers an envelope. Returns what was known of it if there is no room.
    pub(crate) fn add(&self, envelope: Bytes, known: T) -> Result<(), T> {
        let Some(taken) = Room::take(&self.room, envelope.len()) else {
            return Err(known);
        };
        let mut on_their_way = self.on_their_way.lock();
        if on_their_way.len() >= self.envelopes {
            return Err(known);
        }
        // The same envelope a second time is the same transaction: one of them counts.
        on_their_way.insert(envelope, (known, taken));
        Ok(())
    }

    /// Remembers an envelope again that was read, and put at the end of the log once more.
    pub(crate) fn add_again(&self, envelope: Bytes, known: T) {
        if let Err(known) = self.add(envelope, known) {
            self.lost.lock().push(known);
        }
    }

    /// What is known of an envelope that was read. It is not on its way any more.
    pub(crate) fn take(&self, envelope: &Bytes) -> Option<T> {
        let (known, taken) = self.on_their_way.lock().remove(envelope)?;
        taken.waited();
        Some(known)
    }

    /// An envelope was not sent, and whoever handed it in is told so.
    pub(crate) fn forget(&self, envelope: &Bytes) {
        self.on_their_way.lock().remove(envelope);
    }

    /// An envelope did not come into the log, as far as can be told.
    pub(crate) fn lose(&self, envelope: &Bytes) {
        if let Some((known, _)) = self.on_their_way.lock().remove(envelope) {
            self.lost.lock().push(known);
        }
    }

    /// The node gives up all that are on their way.
    pub(crate) fn lose_all(&self) {
        let all = std::mem::take(&mut *self.on_their_way.lock());
        let known = all.into_values().map(|(known, _)| known);
        self.lost.lock().extend(known);
    }

    pub(crate) fn are_none(&self) -> bool {
        self.on_their_way.lock().is_empty()
    }

    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.lock().is_empty()
    }

    pub(crate) fn take_lost(&self) -> Vec<T> {
        std::mem::take(&mut *self.lost.lock())
    }
}

/// The channel's rules, with what this node knows of envelopes of its own.
#[derive(Debug)]
pub(crate) struct WithMine<'a, T> {
    pub(crate) rules: &'a dyn Rules<T>,
    pub(crate) mine: &'a Mine<T>,
    /// Whether one of them was asked for.
    pub(crate) is_mine: Cell<bool>,
}

impl<T: std::fmt::Debug> Rules<T> for WithMine<'_, T> {
    fn sequence(&self) -> u64 {
        self.rules.sequence()
    }

    fn resubmits(&self) -> bool {
        self.rules.resubmits()
    }

    fn batch_timeout(&self) -> Duration {
        self.rules.batch_timeout()
    }

    fn class(&self, envelope: &Bytes) -> Option<i32> {
        self.rules.class(envelope)
    }

    fn check(&self, envelope: &Bytes) -> Result<(), String> {
        self.rules.check(envelope)
    }

    fn configure(&self, envelope: &Bytes) -> Result<Bytes, String> {
        self.rules.configure(envelope)
    }

    fn known(&self, envelope: &Bytes) -> T {
        let mine = self.mine.take(envelope);
        self.is_mine.set(mine.is_some());
        mine.unwrap_or_else(|| self.rules.known(envelope))
    }

    fn is_configuration(&self, envelope: &Bytes, known: &T) -> bool {
        self.rules.is_configuration(envelope, known)
    }
}
