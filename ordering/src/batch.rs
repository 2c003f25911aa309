//! What goes into an order, and what comes out of it.

use bytes::Bytes;

/// An envelope that admission let in, on its way into the order.
#[derive(Debug)]
pub struct Message<T> {
    /// The serialized envelope.
    pub envelope: Bytes,
    /// Its size as [`envelope_size_bytes`](crate::envelope_size_bytes) counts it.
    pub size_bytes: usize,
    /// Sequence of the configuration that let it in.
    pub sequence: u64,
    /// What is known of it; this comes out with it.
    pub known: T,
}

/// The envelopes of a future block, and what its metadata must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// At least one serialized envelope, in order.
    pub envelopes: Vec<Bytes>,
    /// Whether the batch is a configuration, which is alone in its batch.
    pub is_config: bool,
    /// What the consenter must find in the newest block after a restart; empty if it needs nothing.
    pub consenter_metadata: Bytes,
}

/// A batch with what is known of each of its envelopes, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut<T> {
    /// The batch.
    pub batch: Batch,
    /// What was handed in with each envelope.
    pub known: Vec<T>,
}

impl<T> Cut<T> {
    /// A batch of ordinary envelopes.
    pub(crate) fn normal(envelopes: Vec<(Bytes, T)>) -> Self {
        let (envelopes, known) = envelopes.into_iter().unzip();
        let batch = Batch {
            envelopes,
            ..Batch::default()
        };
        Self { batch, known }
    }

    /// A configuration, which is alone in its batch.
    pub(crate) fn config(envelopes: Vec<(Bytes, T)>) -> Self {
        let mut cut = Self::normal(envelopes);
        cut.batch.is_config = true;
        cut
    }
}
