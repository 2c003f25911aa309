//! What is derived from the blocks of a channel, and can be made again from them.
//!
//! A follower is a file of its own that has a [`Follower`] and implements [`Follow`], and a line in
//! [`registry`]. Committing, recovery, check and rebuild go by those two.

pub(crate) mod history;
pub(crate) mod index;
pub(crate) mod registry;
pub(crate) mod savepoint;
pub(crate) mod savepoints;

use std::fmt;
use std::sync::Arc;

use fjall::{Database, Keyspace, OwnedWriteBatch, Slice, Snapshot};

use crate::error::ReadError;
use crate::model::batch::Batch;
use savepoint::Savepoint;

/// A kind of what is derived from the blocks of a channel.
#[derive(Clone, Copy)]
pub struct Follower {
    pub(crate) name: &'static str,
    /// Suffix of its keyspace. A channel's name has at most 249 bytes, a keyspace's 255.
    pub(crate) suffix: &'static str,
    /// Suffixes of keyspaces that say nothing without it, and so go before it.
    pub(crate) dependents: &'static [&'static str],
    /// Makes it of its keyspace.
    pub(crate) open: fn(&Database, Keyspace) -> Arc<dyn Follow>,
    /// Whether an entry, or the lack of one, is what an earlier version left where replay gives another.
    pub(crate) is_of_before: fn(found: Option<&Entry>, replayed: Option<&Entry>) -> bool,
}

/// A key and a value of the embedded engine.
pub(crate) type Entry = (Slice, Slice);

impl Follower {
    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }
}

impl PartialEq for Follower {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Follower {}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A follower of one channel.
pub(crate) trait Follow: Send + Sync + fmt::Debug {
    /// Its kind's name.
    fn name(&self) -> &'static str;

    /// Blocks below this are in it, as a view of the embedded engine has it; as of now where it is kept
    /// elsewhere.
    ///
    /// # Errors
    /// It cannot be read.
    fn savepoint(&self, view: &Snapshot) -> Result<Savepoint, ReadError>;

    /// Takes in the blocks from its savepoint on, and the new savepoint with them: adds them to `writes`,
    /// which are committed next; or does it now, where that has to be done by itself. Blocks below the
    /// savepoint change nothing. Called by one thread.
    ///
    /// # Errors
    /// It cannot be read or written.
    fn follow(
        &self,
        view: &Snapshot,
        writes: &mut OwnedWriteBatch,
        batch: &Batch,
    ) -> Result<(), ReadError>;

    /// What is wrong with it where its savepoint names a block that is not of the chain, at this height.
    fn of_another_chain(&self, _height: u64) -> ReadError {
        ReadError::DerivedDamaged {
            follower: self.name(),
            what: "savepoint",
            rule: "it names a block that is not of this chain",
        }
    }
}
