//! What services tell of their work as it happens, for whoever counts it.

use std::fmt::Debug;
use std::time::Duration;

use crate::deliver::Service;

/// Counts what services do.
pub trait StreamObserver: Debug + Send + Sync {
    /// Something happened. Called on the threads that do the work, so it must not block.
    fn observe(&self, event: &Event<'_>);
}

/// What happens in a service. Channels are those that there are, or `unknown`.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A stream of blocks began.
    StreamOpened,
    /// A stream of blocks ended.
    StreamClosed,
    /// Somebody asked for blocks of a channel that there is.
    SeekReceived(&'a str, Service),
    /// That was answered: whether with all blocks.
    SeekCompleted(&'a str, Service, bool),
    /// A block was sent.
    BlockSent(&'a str, Service),
    /// An envelope for the order was answered.
    Broadcast(&'a Broadcasted<'a>),
}

/// An envelope that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Broadcasted<'a> {
    /// The channel.
    pub channel: &'a str,
    /// Fabric's name of its type.
    pub kind: &'a str,
    /// Fabric's name of the answer.
    pub status: &'a str,
    /// How long it took to find out whether it may be ordered, and to order it.
    pub took: Duration,
}

/// Nobody counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unobserved;

impl StreamObserver for Unobserved {
    fn observe(&self, _: &Event<'_>) {}
}
