//! What a query costs. Its work is counted in steps before it is done, and ends where the steps or the
//! asker's patience do.
//!
//! A step is some three nanoseconds of one processor, as `cargo bench -p quire-ledger -- work` prints.
//! What costs how many stands where it is spent, and depends on the sizes of what is looked at alone.

use std::fmt;
use std::sync::Arc;

/// Most steps of a query that somebody waits for: some ten seconds of one processor.
pub const MAX_STEPS: u64 = 3_000_000_000;

/// After how many steps a meter asks again whether anybody still waits: less than a millisecond.
const STEPS_BETWEEN_LOOKS: u64 = 1 << 15;

/// Why work ends though there are steps left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its time is up.
    Deadline,
    /// Nobody waits for it any more.
    Gone,
    /// There is not as much memory as it needs, which is so many bytes.
    Memory(usize),
}

/// Memory that is set aside for as long as this is kept.
pub type Room = Box<dyn fmt::Debug + Send + Sync>;

/// Whoever waits for a query. Asked in the middle of work, often, from the thread that does it.
pub trait Halt: Send + Sync + fmt::Debug {
    /// Why the work is to end now, if it is.
    fn stop(&self) -> Option<Stop>;

    /// Sets memory aside for a document that is looked at; none where there is not so much.
    fn room(&self, bytes: usize) -> Option<Room>;
}

/// What steps are spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spend {
    /// Documents and entries of indexes, read and taken apart.
    Reading,
    /// Conditions asked of documents.
    Conditions,
    /// Patterns of `$regex` run over texts.
    Patterns,
}

/// Steps, by what they were spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Documents and entries of indexes, read and taken apart.
    pub reading: u64,
    /// Conditions asked of documents.
    pub conditions: u64,
    /// Patterns of `$regex` run over texts.
    pub patterns: u64,
}

impl Spent {
    /// All of them.
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

/// Why a query ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooExpensive {
    /// The next step would have been one too many.
    #[error("the query takes more than {limit} steps of work: {spent}")]
    Steps {
        /// How many there were.
        limit: u64,
        /// What was done until then.
        spent: Spent,
    },
    /// Its time was up.
    #[error("the query did not end in its time: {0}")]
    Deadline(Spent),
    /// Nobody waits for it any more.
    #[error("nobody waits for the query any more: {0}")]
    Gone(Spent),
    /// There is not as much memory as it needs.
    #[error(
        "a document takes {bytes} bytes of memory when it is looked at, and there are not so many now"
    )]
    Memory {
        /// How many it needs.
        bytes: usize,
    },
}

/// The work has to end; the meter knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded;

/// Counts the steps of one piece of work, which may be several queries.
#[derive(Clone, Debug)]
pub struct Meter {
    limit: u64,
    /// Whether it counts alike on every node: by sizes only, and with nobody's patience.
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
    /// A meter of so many steps, that also ends when `halt` says so.
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

    /// What was spent so far. Never more than the limit.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// From now on ends when this says so.
    pub(crate) fn halted_by(&mut self, halt: Option<Arc<dyn Halt>>) {
        self.look_at = if halt.is_some() {
            self.total
        } else {
            self.limit
        };
        self.halt = halt;
    }

    /// Counts steps that are done next.
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

    /// Counts all the steps that are left as spent.
    pub(crate) fn exhaust(&mut self) {
        self.spent.reading += self.limit - self.total;
        self.total = self.limit;
    }

    /// Sets memory aside for a document; nothing where nobody counts it.
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

    /// Why the work had to end.
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
