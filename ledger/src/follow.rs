//! What index, state and history take in.

use std::sync::Arc;

use quire_wire::hash::Hash;

use crate::block::Block;
use crate::block_store::segment::Location;
use crate::validation::examine::Examined;
use crate::validation::updates::Updates;

/// Blocks that are on disk, in order: all that a follower needs.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) blocks: Vec<Durable>,
    /// What those of the blocks change together that state does not have.
    pub(crate) changes: Updates,
}

/// A block that is on disk.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) block: Arc<Block>,
    pub(crate) hash: Hash,
    pub(crate) location: Location,
    pub(crate) transactions: Vec<Examined>,
}
