//! How far the followers of a channel are.

use std::sync::Arc;

use super::Follow;
use super::index::INDEX;
use super::savepoint::Savepoint;
use crate::block_store::tail::Witness;

/// How far each follower is.
#[derive(Default)]
pub(crate) struct Savepoints(pub(crate) Vec<(Arc<dyn Follow>, Savepoint)>);

impl Savepoints {
    /// The follower with the greatest height.
    pub(crate) fn witness(&self) -> Option<Witness> {
        let furthest = self
            .0
            .iter()
            .max_by_key(|(_, savepoint)| savepoint.height)?;
        let (follower, Savepoint { height, .. }) = furthest;
        (*height > 0).then_some(Witness {
            follower: follower.name(),
            height: *height,
        })
    }

    /// The lowest height of a follower.
    pub(crate) fn lowest(&self) -> u64 {
        self.heights().min().unwrap_or(0)
    }

    pub(crate) fn heights(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|(_, savepoint)| savepoint.height)
    }

    /// The height of the index.
    pub(crate) fn index(&self) -> u64 {
        let mut all = self.0.iter();
        let index = all.find(|(follower, _)| follower.name() == INDEX.name);
        index.map_or(0, |(_, savepoint)| savepoint.height)
    }
}
