//! What `cargo bench` needs to see of the inside: the block store without judging and following.

use std::path::Path;
use std::sync::Arc;

use quire_disk::Disk;

use crate::block::Block;
use crate::block_store::segment::Position;
use crate::block_store::{BlockFiles, BlockStore};
use crate::error::CommitError;
use crate::ledgers::DEFAULT_SEGMENT_BYTES;
use crate::observer::Observed;

/// Appends blocks to block files, and nothing else: no links are checked, nothing is indexed.
#[derive(Debug)]
pub struct BlockAppender(BlockStore);

impl BlockAppender {
    /// Begins a chain in `dir`, an empty directory.
    #[must_use]
    pub fn create(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        let files = Arc::new(BlockFiles::new(disk, dir.to_owned(), Observed::by_nobody()));
        Self(BlockStore::new(
            files,
            DEFAULT_SEGMENT_BYTES,
            Position::START,
            false,
        ))
    }

    /// Makes blocks durable with one sync, or more where they do not fit into one file. How many
    /// bytes they take on disk.
    ///
    /// # Errors
    /// [`CommitError::NotDurable`] where writing failed, and from then on.
    pub fn append(&mut self, blocks: Vec<Block>) -> Result<u64, CommitError> {
        let written = self.0.append(blocks).map_err(|failed| failed.error)?;
        Ok(written.iter().map(|(_, location)| location.len).sum())
    }
}
