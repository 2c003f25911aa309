//! The seam between a channel and what decides the order of its transactions.
//!
//! ```text
//! many threads  --> Consenter   order, configure: an envelope goes in
//!                   ...         a queue here, a log elsewhere
//! one thread    <-- Batches     next, more: what is cut comes out, the same on every node
//! ```

use std::fmt;
use std::sync::Arc;

use quire_wire::config::BatchSize;

use crate::admission::Admission;
use crate::batch::{Cut, Message};

/// The way into a channel's order. What it takes comes out of the order's [`Batches`] exactly once, and
/// in the same place for every node.
pub trait Consenter<T>: fmt::Debug + Send + Sync {
    /// Puts an ordinary envelope into the order. Never waits.
    ///
    /// # Errors
    /// Nothing was ordered, see [`NotOrdered`].
    fn order(&self, message: Message<T>) -> Result<(), NotOrdered>;

    /// Puts a configuration into the order; it gets a block of its own.
    ///
    /// # Errors
    /// Nothing was ordered, see [`NotOrdered`].
    fn configure(&self, message: Message<T>) -> Result<(), NotOrdered>;

    /// Whether an envelope that was put in may still be lost, until it comes out.
    fn places_later(&self) -> bool {
        false
    }

    /// Whether others make configurations out of updates: then [`Self::configure`] is given the update itself.
    fn takes_updates(&self) -> bool {
        false
    }

    /// Takes nothing more; what is in the order still comes out.
    fn close(&self);

    /// Why nothing can be ordered now, if it cannot; it is tried again without anybody's doing.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// The way out of a channel's order, for the one thread that makes blocks of it.
pub trait Batches<T>: fmt::Debug + Send {
    /// Waits for what comes next. The caller must have nothing left to do: an order may cut because of
    /// that.
    ///
    /// # Errors
    /// Nothing more can come out, see [`Broken`].
    fn next(&mut self) -> Result<Next<T>, Broken>;

    /// The batches that are complete now, for a thread that still has work. Never waits.
    ///
    /// # Errors
    /// Nothing more can come out, see [`Broken`].
    fn more(&mut self) -> Result<Vec<Cut<T>>, Broken>;

    /// The configuration of the last batch is in force. This must be called before anything more is
    /// asked for.
    fn reconfigured(&mut self, limits: BatchSize, admission: Arc<Admission>);

    /// What was known of ordered envelopes that a new configuration does not let in: they are in no
    /// batch.
    fn discarded(&mut self) -> Vec<T>;
}

/// The order is not what it was, or not this channel's: nothing can be made of it. The text says why, and what an
/// operator looks at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

/// What comes out of an order.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Complete batches; more may be there already. The list is empty if everything was discarded. A
    /// configuration is the last of them.
    Full(Vec<Cut<T>>),
    /// A batch of all that waits.
    Rest(Cut<T>),
    /// Everything came out, and nothing more goes in.
    Closed,
}

/// The consenter of a channel whose orderers are elsewhere and cannot be reached from this node.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere;

impl<T> Consenter<T> for Elsewhere {
    fn order(&self, _: Message<T>) -> Result<(), NotOrdered> {
        Err(NotOrdered::Elsewhere)
    }

    fn configure(&self, _: Message<T>) -> Result<(), NotOrdered> {
        Err(NotOrdered::Elsewhere)
    }

    fn close(&self) {}
}

/// Why an envelope was not put into the order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOrdered {
    /// Too much waits already. Its sender comes back later.
    #[error("too many transactions wait to be ordered")]
    Full,
    /// The order was closed: the node stops. Its sender comes back later.
    #[error("the order is closed")]
    Closed,
    /// Nobody takes anything out of the order any more, because of a failure.
    #[error("nothing comes out of the order any more")]
    Broken,
    /// The channel's orderers are elsewhere, and this node has no way to them.
    #[error("the channel is not ordered here")]
    Elsewhere,
    /// What holds the order does not answer now; the text says why. Its sender comes back later.
    #[error("the order cannot be reached: {0}")]
    Unavailable(String),
}
