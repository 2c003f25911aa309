//! Fabric's block cutter: which envelopes share a block, by count and by size.
//!
//! | an envelope arrives | what happens |
//! |---|---|
//! | larger than the preferred size | what is pending is cut, then the envelope alone |
//! | would take the pending ones over the preferred size | what is pending is cut, the envelope waits |
//! | makes the count full | it is cut together with what is pending |
//! | holds a configuration | what is pending is cut, then the envelope alone |
//!
//! The size of an envelope is that of its payload and signature, without protobuf's framing.

use quire_wire::config::BatchSize;

/// The size by which Fabric judges an envelope: payload and signature.
#[must_use]
pub fn envelope_size_bytes(payload: &[u8], signature: &[u8]) -> usize {
    payload.len() + signature.len()
}

/// The envelope is larger than `absolute_max_bytes`, and no block may hold it. Its sender must make it
/// smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transaction has {size_bytes} bytes, the channel allows {limit_bytes}")]
pub struct EnvelopeTooLarge {
    /// Bytes of payload and signature.
    pub size_bytes: usize,
    /// The channel's `absolute_max_bytes`.
    pub limit_bytes: u32,
}

/// Collects envelopes of any form `E` until they make a block. Holds fewer envelopes than `max_message_count`
/// and no more bytes than `preferred_max_bytes`.
#[derive(Debug)]
pub struct Cutter<E> {
    limits: BatchSize,
    pending: Vec<E>,
    pending_bytes: usize,
}

impl<E> Cutter<E> {
    /// An empty cutter.
    #[must_use]
    pub fn new(limits: BatchSize) -> Self {
        Self {
            limits,
            pending: Vec::new(),
            pending_bytes: 0,
        }
    }

    /// Changes the limits from the next envelope on, as a new channel configuration demands.
    pub fn set_limits(&mut self, limits: BatchSize) {
        self.limits = limits;
    }

    /// Takes the next envelope, of any size. Returns at most two complete batches, in order, and whether
    /// anything is left pending; two batches leave nothing pending.
    ///
    /// `size_bytes` is [`envelope_size_bytes`] of what `envelope` holds.
    pub fn ordered(&mut self, envelope: E, size_bytes: usize) -> (Vec<Vec<E>>, bool) {
        let mut batches = Vec::new();
        if exceeds(size_bytes, self.limits.preferred_max_bytes) {
            self.cut_into(&mut batches);
            batches.push(vec![envelope]);
            return (batches, false);
        }
        let together = self.pending_bytes.saturating_add(size_bytes);
        if exceeds(together, self.limits.preferred_max_bytes) {
            self.cut_into(&mut batches);
        }
        self.pending.push(envelope);
        self.pending_bytes += size_bytes;
        if self.pending.len() >= to_usize(self.limits.max_message_count) {
            self.cut_into(&mut batches);
        }
        (batches, !self.pending.is_empty())
    }

    /// Takes an envelope that changes the channel's configuration. Returns one or two batches, the
    /// last of which holds this envelope alone; nothing is pending afterwards.
    pub fn ordered_config(&mut self, envelope: E) -> Vec<Vec<E>> {
        let mut batches = Vec::new();
        self.cut_into(&mut batches);
        batches.push(vec![envelope]);
        batches
    }

    /// Ends the pending batch. It is empty if nothing is pending.
    pub fn cut(&mut self) -> Vec<E> {
        self.pending_bytes = 0;
        std::mem::take(&mut self.pending)
    }

    /// How many envelopes wait for their batch to be cut.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    fn cut_into(&mut self, batches: &mut Vec<Vec<E>>) {
        let batch = self.cut();
        if !batch.is_empty() {
            batches.push(batch);
        }
    }
}

pub(crate) fn exceeds(size_bytes: usize, limit: u32) -> bool {
    size_bytes > to_usize(limit)
}

/// If a `u32` does not fit a `usize`, no envelope in memory can reach the limit either.
fn to_usize(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const LIMITS: BatchSize = BatchSize {
        max_message_count: 3,
        absolute_max_bytes: 200,
        preferred_max_bytes: 100,
    };

    /// An envelope that holds its own name and claims a size.
    #[derive(Clone, Copy)]
    enum Step {
        Normal(&'static str, usize),
        Config(&'static str),
        Cut,
    }
    use Step::{Config, Cut, Normal};

    /// Feeds `steps`; the last step must return `batches`, and `left` must stay pending.
    fn check(claim: &str, limits: BatchSize, steps: &[Step], batches: &[&[&str]], left: &[&str]) {
        let mut cutter = Cutter::new(limits);
        let mut last = Vec::new();
        for step in steps {
            last = match *step {
                Normal(name, size) => {
                    let (batches, pending) =
                        cutter.ordered(Bytes::from_static(name.as_bytes()), size);
                    assert_eq!(pending, cutter.pending_count() > 0, "{claim}");
                    assert!(batches.len() < 2 || !pending, "{claim}");
                    batches
                }
                Config(name) => cutter.ordered_config(Bytes::from_static(name.as_bytes())),
                Cut => vec![cutter.cut()],
            };
        }
        assert_eq!(last, batches, "{claim}");
        assert_eq!(cutter.cut(), left, "{claim}");
        assert_eq!(cutter.pending_bytes, 0, "{claim}");
    }

    #[test]
    fn a_full_count_cuts() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Normal(name, 10));
        check("one waits", LIMITS, &[a], &[], &["a"]);
        check("two wait", LIMITS, &[a, b], &[], &["a", "b"]);
        check(
            "three are full",
            LIMITS,
            &[a, b, c],
            &[&["a", "b", "c"]],
            &[],
        );
        check("the count starts anew", LIMITS, &[a, b, c, d], &[], &["d"]);
        let empty = ["a", "b", "c"].map(|name| Normal(name, 0));
        check(
            "no bytes count too",
            LIMITS,
            &empty,
            &[&["a", "b", "c"]],
            &[],
        );
    }

    #[test]
    fn an_overflow_of_the_preferred_size_cuts_what_is_pending() {
        let a = Normal("a", 60);
        check(
            "exactly full waits",
            LIMITS,
            &[a, Normal("b", 40)],
            &[],
            &["a", "b"],
        );
        check(
            "one byte more",
            LIMITS,
            &[a, Normal("b", 41)],
            &[&["a"]],
            &["b"],
        );
        let steps = [a, Normal("b", 41), Normal("c", 59)];
        check("the bytes start anew", LIMITS, &steps, &[], &["b", "c"]);
    }

    #[test]
    fn more_than_the_preferred_size_stands_alone_in_its_block() {
        let (a, b) = (Normal("a", 1), Normal("b", 1));
        check(
            "exactly full waits",
            LIMITS,
            &[Normal("c", 100)],
            &[],
            &["c"],
        );
        check(
            "nothing pending",
            LIMITS,
            &[Normal("c", 101)],
            &[&["c"]],
            &[],
        );
        let steps = [a, b, Normal("c", 101)];
        check(
            "others pending",
            LIMITS,
            &steps,
            &[&["a", "b"], &["c"]],
            &[],
        );
        let steps = [a, Normal("c", usize::MAX)];
        check(
            "sizes do not wrap around",
            LIMITS,
            &steps,
            &[&["a"], &["c"]],
            &[],
        );
    }

    #[test]
    fn a_configuration_stands_alone_in_its_block() {
        check("nothing pending", LIMITS, &[Config("c")], &[&["c"]], &[]);
        check(
            "others pending",
            LIMITS,
            &[Normal("a", 1), Normal("b", 1), Config("c")],
            &[&["a", "b"], &["c"]],
            &[],
        );
    }

    #[test]
    fn a_cut_from_outside_takes_what_is_pending() {
        check(
            "one pending",
            LIMITS,
            &[Normal("a", 1), Cut],
            &[&["a"]],
            &[],
        );
        check("nothing pending", LIMITS, &[Cut], &[&[]], &[]);
        check(
            "the bytes start anew",
            LIMITS,
            &[Normal("a", 99), Cut, Normal("b", 99)],
            &[],
            &["b"],
        );
    }

    #[test]
    fn a_count_of_one_and_of_none_make_blocks_of_one() {
        for max_message_count in [0, 1] {
            let limits = BatchSize {
                max_message_count,
                ..LIMITS
            };
            check("one", limits, &[Normal("a", 1)], &[&["a"]], &[]);
        }
    }

    #[test]
    fn the_size_of_an_envelope_is_payload_and_signature() {
        assert_eq!(envelope_size_bytes(b"payload", b"sig"), 10);
    }

    #[test]
    fn new_limits_hold_from_the_next_envelope_on() {
        let mut cutter = Cutter::<Bytes>::new(LIMITS);
        cutter.ordered("a".into(), 1);
        cutter.set_limits(BatchSize {
            max_message_count: 2,
            ..LIMITS
        });
        let (batches, pending) = cutter.ordered("b".into(), 1);
        assert_eq!(batches, [["a", "b"]]);
        assert!(!pending);
    }
}
