//! The one door by which blocks come to the committing thread, wherever they were made.
//!
//! ```text
//! the channel's order --> CutHere     batches become blocks, signed by this node's orderer --+
//! other orderers      --> Delivered   blocks come whole                                    --+--> committer
//! ```

use std::fmt;

use quire_ledger::Ordered;
use quire_wire::hash::Hash;

use crate::config::InForce;

/// The source of a channel's blocks.
pub(crate) trait BlockSource: fmt::Debug + Send {
    /// The chain ends with the blocks that are there: new blocks follow them. This must be called once,
    /// before anything else.
    ///
    /// # Errors
    /// Says why no blocks can follow.
    fn begin(&mut self, tip: (u64, Hash)) -> Result<(), String>;

    /// Waits for the next blocks. The caller must have nothing left to do.
    ///
    /// # Errors
    /// Says why no more blocks can come.
    fn next(&mut self) -> Result<Next, String>;

    /// The blocks that are there already, for a committing thread that still has work. Never waits.
    ///
    /// # Errors
    /// Says why no more blocks can come.
    fn more(&mut self) -> Result<Vec<Arrived>, String>;

    /// The ids of transactions that were ordered but are in no block.
    fn discarded(&mut self) -> Vec<String>;

    /// The last block holds a configuration, which is now in force. This must be called before anything more
    /// is asked for.
    fn reconfigured(&mut self, in_force: &InForce);
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Full blocks; more may be there already. A configuration is the last of them.
    Full(Vec<Arrived>),
    /// A block of all that waits.
    Rest(Arrived),
    /// Everything came, and nothing more will.
    Closed,
}

/// A block to be committed.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) ordered: Ordered,
    /// Whether it holds a configuration.
    pub(crate) is_config: bool,
}
