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

/// Where a channel's blocks come from.
pub(crate) trait BlockSource: fmt::Debug + Send {
    /// The chain ends with the blocks that are there: what comes follows them. To be called once, before
    /// anything else.
    ///
    /// # Errors
    /// No blocks can follow, and why.
    fn begin(&mut self, tip: (u64, Hash)) -> Result<(), String>;

    /// Waits for the next blocks. To be called when nothing is left to do.
    ///
    /// # Errors
    /// No more blocks can come, and why.
    fn next(&mut self) -> Result<Next, String>;

    /// The blocks that are there already, while the committing thread still has work. Never waits.
    ///
    /// # Errors
    /// No more blocks can come, and why.
    fn more(&mut self) -> Result<Vec<Arrived>, String>;

    /// The ids of transactions that were on their way into a block and are in none.
    fn discarded(&mut self) -> Vec<String>;

    /// The configuration in force behind the last block, which holds one. To be called before anything more
    /// is asked for.
    fn reconfigured(&mut self, in_force: &InForce);
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Blocks, behind which more may be there already. A configuration is the last of them.
    Full(Vec<Arrived>),
    /// All there is.
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
