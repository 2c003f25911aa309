//! What `cargo bench` needs to see of the inside: the block store without judging and following, the
//! checking of signatures without a ledger, and verdicts without a commit.

use std::path::Path;
use std::sync::Arc;

use quire_disk::Disk;
use quire_wire::transaction::Opened;

use crate::block_store::{BlockFiles, BlockStore};
use crate::error::CommitError;
use crate::id_store::DEFAULT_SEGMENT_BYTES;
use crate::ledger::Ledger;
use crate::model::block::Block;
use crate::model::examined::{Content, Examined, Origin};
use crate::model::location::Position;
use crate::observer::Observed;
use crate::ordered::Ordered;
use crate::validation::trust::{Checked, Signatures, Trust};

/// Only appends blocks to block files: no links are checked, and nothing is indexed.
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

    /// Makes blocks durable with one sync, or more syncs if they do not fit into one file. Returns the bytes
    /// that they take on disk.
    ///
    /// # Errors
    /// [`CommitError::NotDurable`] if writing failed, and always after that.
    pub fn append(&mut self, blocks: Vec<Block>) -> Result<u64, CommitError> {
        let written = self.0.append(blocks).map_err(|failed| failed.error)?;
        Ok(written.iter().map(|(_, location)| location.len).sum())
    }
}

/// Checks every signature of blocks, on every core, by the configuration in a channel's first block. Returns
/// how many transactions have a valid creator's signature; zero if the configuration cannot be used.
#[must_use]
pub fn verify(first: &Block, blocks: &[Ordered]) -> usize {
    let config = first
        .envelopes
        .first()
        .map(|envelope| Examined::read(envelope).content);
    let Some(Content::Config(config)) = config else {
        return 0;
    };
    let mut channel = blocks.iter().flat_map(|ordered| &ordered.block().envelopes);
    let channel = channel.find_map(|envelope| Opened::read(envelope).ok());
    let channel = channel.map(|opened| opened.channel_header.channel_id);
    let trust = Trust::new(&channel.unwrap_or_default(), config, Origin::Quire);
    let Ok(trust) = trust else {
        return 0;
    };
    let transactions = blocks.iter().flat_map(Ordered::transactions);
    let checked = trust.check(transactions.map(|one| (one, Signatures::OfOthers)));
    let is_signed = |one: &&Checked| matches!(one, Checked::Creator | Checked::Endorsed { .. });
    checked.iter().filter(is_signed).count()
}

/// Gives the next blocks their verdicts and writes nothing: how many are valid.
///
/// # Errors
/// As [`Ledger::commit`], of which it is the first part.
pub fn judge(ledger: &mut Ledger, blocks: Vec<Ordered>) -> Result<usize, CommitError> {
    let (judged, _) = ledger.link_and_judge(blocks)?;
    let transactions = judged.transactions.iter().flatten();
    Ok(transactions.filter(|one| one.code.is_valid()).count())
}
