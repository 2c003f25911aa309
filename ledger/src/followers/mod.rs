//! Everything that is derived from the blocks of a channel, and can be made again from them.
//!
//! A follower has a file of its own, with a [`Follower`] and an implementation of [`Follow`], and a line in
//! [`registry`]. Commit, recovery, check and rebuild use these two.

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

/// A kind of data that is derived from the blocks of a channel.
#[derive(Clone, Copy)]
pub struct Follower {
    pub(crate) name: &'static str,
    /// Suffix of its keyspace. A channel's name has at most 249 bytes, a keyspace's name 255.
    pub(crate) suffix: &'static str,
    /// Suffixes of keyspaces that mean nothing without it, and so are removed before it.
    pub(crate) dependents: &'static [&'static str],
    /// Makes it from its keyspace.
    pub(crate) open: fn(&Database, Keyspace) -> Arc<dyn Follow>,
    /// Whether a difference between the entry found and the replayed one comes from an earlier version.
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

    /// It has the blocks below this height in a view of the embedded engine, or now, if it is kept elsewhere.
    ///
    /// # Errors
    /// It cannot be read.
    fn savepoint(&self, view: &Snapshot) -> Result<Savepoint, ReadError>;

    /// Takes in the blocks from its savepoint on, with the new savepoint. It adds them to `writes`, which are
    /// committed next, or writes them now if it is kept elsewhere. Blocks below the savepoint change nothing.
    /// One thread calls this.
    ///
    /// # Errors
    /// It cannot be read or written.
    fn follow(
        &self,
        view: &Snapshot,
        writes: &mut OwnedWriteBatch,
        batch: &Batch,
    ) -> Result<(), ReadError>;

    /// The error if its savepoint names a block at this height that is not of the chain.
    fn of_another_chain(&self, _height: u64) -> ReadError {
        ReadError::DerivedDamaged {
            follower: self.name(),
            what: "savepoint",
            rule: "it names a block that is not of this chain",
        }
    }
}
