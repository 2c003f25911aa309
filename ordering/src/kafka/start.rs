//! Where the order of a channel goes on in its topic.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quire_wire::config::BatchSize;
use quire_wire::kafka::KafkaMetadata;

use crate::consenter::{Batches, Consenter};
use crate::kafka::Rules;
use crate::room::QueueObserver;

/// The topics of channels.
pub trait Topics: fmt::Debug {
    /// The way into the order of a channel, and the way out of it. Nothing is waited for.
    ///
    /// # Errors
    /// Says why there can be none.
    fn open<T: Send + fmt::Debug + 'static>(&self, start: Start<T>) -> Result<Ends<T>, String>;
}

/// The two ends of an order.
pub type Ends<T> = (Arc<dyn Consenter<T>>, Box<dyn Batches<T>>);

/// A channel, and the place where its order goes on.
#[derive(Debug)]
pub struct Start<T> {
    /// The channel, and the name of its topic.
    pub channel: Arc<str>,
    /// The hash of the newest block that was not made from the topic, such as block 0. Nodes with other blocks before
    /// the topic began would make another chain of it.
    pub base: Bytes,
    /// How blocks are cut.
    pub limits: BatchSize,
    /// The newest block.
    pub tip: Tip,
    /// What the channel says of envelopes.
    pub rules: Box<dyn Rules<T> + Send>,
    /// Most transactions of this node that may be on their way.
    pub envelopes: usize,
    /// Most bytes of them.
    pub bytes: usize,
    /// Is told of transactions that wait.
    pub queue: Arc<dyn QueueObserver>,
}

/// The newest block of a channel.
#[derive(Clone, Debug, Default)]
pub struct Tip {
    /// Its number.
    pub number: u64,
    /// Its envelopes.
    pub envelopes: Vec<Bytes>,
    /// Its place in the topic; `None` if it was not made from one.
    pub metadata: Option<KafkaMetadata>,
    /// The last offset of the block before; `None` if that was not made from a topic.
    pub before: Option<i64>,
}
