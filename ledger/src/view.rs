//! What the writer of a channel publishes and its readers see.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use quire_wire::hash::Hash;

use crate::base::Extent;
use crate::block_store::BlockFiles;
use crate::damage::DamageMet;
use crate::followers::history::History;
use crate::followers::index::Index;
use crate::private_sets::PrivateSets;
use crate::query::registry::Registry;
use crate::state::StateSnapshot;

/// The end of the chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tip {
    /// How many blocks there are.
    pub(crate) height: u64,
    /// Hash of the last block; zeros if there is none.
    pub(crate) hash: Hash,
    /// Commit hash of the last block.
    pub(crate) commit_hash: Option<Bytes>,
}

/// What the writer and all readers of a channel share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) channel: String,
    pub(crate) files: Arc<BlockFiles>,
    pub(crate) index: Index,
    pub(crate) history: History,
    pub(crate) registry: Registry,
    pub(crate) private_sets: PrivateSets,
    /// The extent of the blocks, up to the tip.
    pub(crate) extent: Extent,
    /// Damaged blocks that reads have met.
    pub(crate) damage: DamageMet,
    /// What readers see. It is replaced after every commit; a reader keeps the view that it took.
    pub(crate) view: RwLock<Arc<View>>,
}

/// One consistent view of a channel: every follower at the same height.
pub(crate) struct View {
    pub(crate) tip: Tip,
    pub(crate) state: Arc<dyn StateSnapshot>,
    pub(crate) derived: fjall::Snapshot,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("tip", &self.tip)
            .finish_non_exhaustive()
    }
}
