//! One budget of bytes for what requests hold: heads, bodies, answers that are not taken yet, batches,
//! events, large documents that queries read.
//!
//! A [`Share`] is taken before the bytes are there, or, if their number is not known, as soon as they are; it
//! lives as long as they do. What is over the budget is refused and never waits: a request that held bytes
//! and waited for more would hold up everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prometheus::IntGauge;

use crate::metrics::family::Family;
use crate::problem::Problem;

/// What a request may hold of the part of the budget that is kept for small ones.
pub(crate) const SMALL_BYTES: usize = 64 << 10;
/// One part in this number of the budget is kept for small requests.
const RESERVE: usize = 8;
/// When to try again if memory is used up.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The number of kinds.
const KINDS: usize = 6;

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Heads of requests as they come, over HTTP/1.
    Heads,
    /// Bodies of requests, from their arrival until the work on them is over, and what the work makes of
    /// them.
    Bodies,
    /// Answers, or their finished pieces, until the connection has taken them.
    Answers,
    /// Lines of batches.
    Batches,
    /// Events of blocks that are kept for further listeners or not taken yet.
    Events,
    /// Large documents that queries read; they take up to fifty times the bytes of their texts.
    Documents,
}

impl Kind {
    const ALL: [Self; KINDS] = [
        Self::Heads,
        Self::Bodies,
        Self::Answers,
        Self::Batches,
        Self::Events,
        Self::Documents,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Bodies => "bodies",
            Self::Answers => "answers",
            Self::Batches => "batches",
            Self::Events => "events",
            Self::Documents => "documents",
        }
    }
}

/// The budget. Two doors share it.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    taken: AtomicUsize,
    kinds: [(Kind, IntGauge); KINDS],
}

/// There is no room for that many more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl From<Full> for Problem {
    fn from(Full: Full) -> Self {
        let detail = "The memory for requests (--memory-budget) is used up";
        Self::busy(detail, RETRY_AFTER)
    }
}

impl Memory {
    pub(crate) fn new(limit: usize, family: &Family) -> Self {
        let held = family.gauges(
            "quire_memory_bytes",
            "Bytes that requests hold, by kind: heads (not come to their end), bodies (with what is made of them), answers (not taken \
             yet), batches, events, documents (large ones that queries look at). Near quire_memory_budget_bytes in sum, requests get 503: find who \
             sends, or does not read, so much; or raise --memory-budget.",
            &["kind"],
        );
        let budget = family.gauge(
            "quire_memory_budget_bytes",
            "What requests may hold in sum (--memory-budget); an eighth of it is for small ones.",
        );
        budget.set(i64::try_from(limit).unwrap_or(i64::MAX));
        Self {
            limit,
            taken: AtomicUsize::new(0),
            kinds: Kind::ALL.map(|kind| (kind, held.with_label_values(&[kind.name()]))),
        }
    }

    /// A share that has no bytes yet.
    pub(crate) fn share(self: &Arc<Self>, kind: Kind) -> Share {
        Share {
            memory: Arc::clone(self),
            kind,
            bytes: 0,
        }
    }

    /// A share of `bytes` bytes.
    pub(crate) fn take(self: &Arc<Self>, kind: Kind, bytes: usize) -> Result<Share, Full> {
        let mut share = self.share(kind);
        share.set(bytes)?;
        Ok(share)
    }

    /// Takes a share even beyond the budget, when it is too late to refuse: what is counted here is small, or
    /// over soon.
    pub(crate) fn force(self: &Arc<Self>, kind: Kind, bytes: usize) -> Share {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        self.count(kind, bytes, true);
        let memory = Arc::clone(self);
        Share {
            memory,
            kind,
            bytes,
        }
    }

    /// How many bytes requests may hold that take `bytes` each.
    fn limit_of(&self, bytes: usize) -> usize {
        if bytes <= SMALL_BYTES {
            self.limit
        } else {
            self.limit - self.limit / RESERVE
        }
    }

    fn count(&self, kind: Kind, bytes: usize, is_more: bool) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        for (_, gauge) in self.kinds.iter().filter(|(known, _)| *known == kind) {
            gauge.add(if is_more { bytes } else { -bytes });
        }
    }
}

/// A part of the budget, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<Memory>,
    kind: Kind,
    bytes: usize,
}

impl Share {
    /// Sets its size to `bytes`, which may be more or less than before.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), Full> {
        let Some(more) = bytes.checked_sub(self.bytes) else {
            self.give_back_to(bytes);
            return Ok(());
        };
        let memory = &self.memory;
        let before = memory.taken.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > memory.limit_of(bytes) {
            memory.taken.fetch_sub(more, Ordering::Relaxed);
            return Err(Full);
        }
        memory.count(self.kind, more, true);
        self.bytes = bytes;
        Ok(())
    }

    /// Gives back what is above `bytes`.
    pub(crate) fn give_back_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.memory.taken.fetch_sub(less, Ordering::Relaxed);
        self.memory.count(self.kind, less, false);
    }

    /// The bytes, which keep the share as long as anybody has a part of them.
    pub(crate) fn hold(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        let share = self;
        Bytes::from_owner(Held {
            bytes,
            _share: share,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back_to(0);
    }
}

/// Bytes with their share of the budget, or with a share that they have in common with others.
pub(crate) struct Held<B, S = Share> {
    pub(crate) bytes: B,
    pub(crate) _share: S,
}

impl<B: AsRef<[u8]>, S> AsRef<[u8]> for Held<B, S> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(limit: usize) -> Arc<Memory> {
        Arc::new(Memory::new(limit, &Family(prometheus::Registry::new())))
    }

    fn held(memory: &Memory) -> [i64; KINDS] {
        memory.kinds.each_ref().map(|(_, gauge)| gauge.get())
    }

    #[test]
    fn shares_are_taken_up_to_the_limit_and_given_back() {
        let memory = memory(8_000_000);
        let first = memory.take(Kind::Bodies, 3_000_000).unwrap();
        let mut second = memory.take(Kind::Answers, 4_000_000).unwrap();
        assert!(memory.take(Kind::Batches, 1_000_000).is_err());
        assert_eq!(held(&memory), [0, 3_000_000, 4_000_000, 0, 0, 0]);
        assert!(second.set(4_000_001).is_err());
        assert_eq!(held(&memory), [0, 3_000_000, 4_000_000, 0, 0, 0]);
        second.set(1_000_000).unwrap();
        let third = memory.take(Kind::Events, 3_000_000).unwrap();
        assert_eq!(held(&memory), [0, 3_000_000, 1_000_000, 0, 3_000_000, 0]);
        drop((first, second, third));
        assert_eq!(held(&memory), [0; KINDS]);
        assert_eq!(memory.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn large_requests_leave_room_for_small_ones() {
        let memory = memory(8_000_000);
        let large = memory.take(Kind::Bodies, 7_000_000).unwrap();
        assert!(memory.take(Kind::Bodies, SMALL_BYTES + 1).is_err());
        let small = (0..15).map(|_| memory.take(Kind::Bodies, SMALL_BYTES).unwrap());
        let small: Vec<_> = small.collect();
        assert!(memory.take(Kind::Bodies, SMALL_BYTES).is_err());
        drop(large);
        let mut grows = memory.take(Kind::Bodies, 1).unwrap();
        grows.set(5_000_000).unwrap();
        drop(small);
    }

    #[test]
    fn bytes_keep_their_share_as_long_as_a_part_of_them_is_kept() {
        let memory = memory(1_000_000);
        let share = memory.take(Kind::Answers, 5).unwrap();
        let bytes = share.hold(b"12345".to_vec());
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!(held(&memory), [0, 0, 5, 0, 0, 0]);
        drop(part);
        assert_eq!(held(&memory), [0; KINDS]);
    }
}
