//! The cost of a query. Its work is counted in steps before it is done, and ends when the steps are used up
//! or the caller stops waiting.
//!
//! A step is some three nanoseconds of one processor, as `cargo bench -p quire-ledger -- work` prints. The
//! code that spends steps says how many, and the number depends only on the sizes of what is read.

use std::fmt;
use std::sync::Arc;

/// The most steps of a query with a waiting caller: about ten seconds of one processor.
pub const MAX_STEPS: u64 = 3_000_000_000;

/// After this many steps, which is less than a millisecond, a meter checks again whether anybody still waits.
const STEPS_BETWEEN_LOOKS: u64 = 1 << 15;

/// Why work ends although there are steps left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its time is up.
    Deadline,
    /// Nobody waits for it any more.
    Gone,
    /// There is not enough memory for this many bytes.
    Memory(usize),
}

/// Memory that is reserved as long as this is kept.
pub type Room = Box<dyn fmt::Debug + Send + Sync>;

/// The caller who waits for a query. The working thread asks it often, in the middle of the work.
pub trait Halt: Send + Sync + fmt::Debug {
    /// Why the work must end now, if it must.
    fn stop(&self) -> Option<Stop>;

    /// Reserves memory for a document that is read; `None` if there is not enough.
    fn room(&self, bytes: usize) -> Option<Room>;
}

/// The kinds of work that cost steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spend {
    /// Reading and parsing documents and entries of indexes.
    Reading,
    /// Applying conditions to documents.
    Conditions,
    /// Running patterns of `$regex` over texts.
    Patterns,
}

/// Steps by kind of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Reading and parsing documents and entries of indexes.
    pub reading: u64,
    /// Applying conditions to documents.
    pub conditions: u64,
    /// Running patterns of `$regex` over texts.
    pub patterns: u64,
}

impl Spent {
    /// All steps.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.reading + self.conditions + self.patterns
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reading,
            conditions,
            patterns,
        } = self;
        write!(
            f,
            "{reading} steps on reading documents, {conditions} on conditions, {patterns} on patterns"
        )
    }
}

/// Why a query was ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooExpensive {
    /// The next step would be one too many.
    #[error("the query takes more than {limit} steps of work: {spent}")]
    Steps {
        /// The number of steps that were allowed.
        limit: u64,
        /// What was spent until then.
        spent: Spent,
    },
    /// Its time was up.
    #[error("the query did not end in time: {0}")]
    Deadline(Spent),
    /// Nobody waits for it any more.
    #[error("nobody waits for the query any more: {0}")]
    Gone(Spent),
    /// There is not enough memory.
    #[error(
        "a document takes {bytes} bytes of memory when it is read, and there is not enough now"
    )]
    Memory {
        /// The bytes that it needs.
        bytes: usize,
    },
}

/// The work must end; the meter knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded;

/// Counts the steps of one piece of work, which may be several queries.
#[derive(Clone, Debug)]
pub struct Meter {
    limit: u64,
    /// Whether it counts alike on every node: by sizes only, and without a waiting caller.
    is_fixed: bool,
    halt: Option<Arc<dyn Halt>>,
    spent: Spent,
    total: u64,
    look_at: u64,
    stopped: Option<Stop>,
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(MAX_STEPS, None)
    }
}

impl Meter {
    /// A meter with `limit` steps, which also ends when `halt` says so.
    #[must_use]
    pub fn new(limit: u64, halt: Option<Arc<dyn Halt>>) -> Self {
        let look_at = if halt.is_some() { 0 } else { limit };
        Self {
            limit,
            is_fixed: false,
            halt,
            spent: Spent::default(),
            total: 0,
            look_at,
            stopped: None,
        }
    }

    /// A meter that only counts.
    pub(crate) fn unlimited() -> Self {
        Self::new(u64::MAX, None)
    }

    /// A meter by which every node counts alike.
    pub(crate) fn fixed(limit: u64) -> Self {
        Self {
            is_fixed: true,
            ..Self::new(limit, None)
        }
    }

    /// Whether it counts alike on every node.
    pub(crate) fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// What was spent so far, which is never more than the limit.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Ends from now on when `halt` says so.
    pub(crate) fn halted_by(&mut self, halt: Option<Arc<dyn Halt>>) {
        self.look_at = if halt.is_some() {
            self.total
        } else {
            self.limit
        };
        self.halt = halt;
    }

    /// Counts steps before they are done.
    pub(crate) fn spend(&mut self, on: Spend, steps: u64) -> Result<(), Exceeded> {
        let total = self.total.saturating_add(steps);
        if total > self.look_at {
            self.look(total)?;
        }
        self.total = total;
        match on {
            Spend::Reading => self.spent.reading += steps,
            Spend::Conditions => self.spent.conditions += steps,
            Spend::Patterns => self.spent.patterns += steps,
        }
        Ok(())
    }

    /// Counts all remaining steps as spent.
    pub(crate) fn exhaust(&mut self) {
        self.spent.reading += self.limit - self.total;
        self.total = self.limit;
    }

    /// Reserves memory for a document; `None` if memory is not counted.
    pub(crate) fn room(&mut self, bytes: usize) -> Result<Option<Room>, Exceeded> {
        let Some(halt) = &self.halt else {
            return Ok(None);
        };
        let room = halt.room(bytes);
        if room.is_none() {
            self.stopped = Some(Stop::Memory(bytes));
            return Err(Exceeded);
        }
        Ok(room)
    }

    #[cold]
    fn look(&mut self, total: u64) -> Result<(), Exceeded> {
        if total > self.limit {
            return Err(Exceeded);
        }
        self.stopped = self.halt.as_ref().and_then(|halt| halt.stop());
        if self.stopped.is_some() {
            return Err(Exceeded);
        }
        self.look_at = self.limit.min(total.saturating_add(STEPS_BETWEEN_LOOKS));
        Ok(())
    }

    /// The reason why the work had to end.
    pub(crate) fn why(&self) -> TooExpensive {
        let spent = self.spent;
        match self.stopped {
            None => TooExpensive::Steps {
                limit: self.limit,
                spent,
            },
            Some(Stop::Deadline) => TooExpensive::Deadline(spent),
            Some(Stop::Gone) => TooExpensive::Gone(spent),
            Some(Stop::Memory(bytes)) => TooExpensive::Memory { bytes },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Patience(AtomicBool);

    impl Halt for Patience {
        fn stop(&self) -> Option<Stop> {
            self.0.load(Ordering::Relaxed).then_some(Stop::Gone)
        }

        fn room(&self, bytes: usize) -> Option<Room> {
            (bytes <= 1_000).then(|| Box::new(()) as Room)
        }
    }

    #[test]
    fn steps_are_counted_before_they_are_done_and_never_beyond_the_limit() {
        let mut meter = Meter::new(10, None);
        meter.spend(Spend::Reading, 4).unwrap();
        meter.spend(Spend::Conditions, 6).unwrap();
        meter.spend(Spend::Conditions, 0).unwrap();
        assert_eq!(meter.spend(Spend::Patterns, 1), Err(Exceeded));
        assert_eq!(meter.spend(Spend::Patterns, u64::MAX), Err(Exceeded));
        let spent = Spent {
            reading: 4,
            conditions: 6,
            patterns: 0,
        };
        let why = TooExpensive::Steps { limit: 10, spent };
        assert_eq!((meter.why(), spent.total()), (why, 10));
    }

    #[test]
    fn work_ends_soon_after_nobody_waits_any_more() {
        let patience = Arc::new(Patience::default());
        let halt: Arc<dyn Halt> = Arc::clone(&patience) as Arc<dyn Halt>;
        let mut meter = Meter::new(MAX_STEPS, Some(halt));
        meter.spend(Spend::Reading, 1).unwrap();
        patience.0.store(true, Ordering::Relaxed);
        let more = (0..).take_while(|_| meter.spend(Spend::Reading, 1).is_ok());
        assert!(more.count() as u64 <= STEPS_BETWEEN_LOOKS);
        assert!(matches!(meter.why(), TooExpensive::Gone(_)));
    }

    #[test]
    fn work_ends_where_there_is_no_memory_for_it() {
        let mut meter = Meter::new(MAX_STEPS, Some(Arc::new(Patience::default())));
        assert!(meter.room(1_000).unwrap().is_some());
        assert_eq!(meter.room(1_001).unwrap_err(), Exceeded);
        assert_eq!(meter.why(), TooExpensive::Memory { bytes: 1_001 });
        assert!(Meter::default().room(usize::MAX).unwrap().is_none());
    }
}
