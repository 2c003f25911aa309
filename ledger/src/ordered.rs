//! Blocks for the ledger to commit.

use crate::model::block::Block;
use crate::model::examined::{Examined, Origin};
use crate::validation::record::Records;
use crate::validation::trust::Signatures;

/// A block as the orderer made it, with its transactions examined.
#[derive(Clone, Debug)]
pub struct Ordered {
    pub(crate) block: Block,
    pub(crate) transactions: Vec<Examined>,
    pub(crate) signatures: Signatures,
    pub(crate) has_sound_data_hash: bool,
}

impl Ordered {
    /// Examines every envelope of a block of `channel` that others made. This is half the work of a commit
    /// and needs no ledger: another thread can do it while earlier blocks are committed.
    #[must_use]
    pub fn new(block: Block, channel: &str) -> Self {
        Self::by_rules_of(Origin::Quire, block, channel)
    }

    /// Examines a block by the rules of `origin`.
    #[must_use]
    pub fn by_rules_of(origin: Origin, block: Block, channel: &str) -> Self {
        let transactions = block
            .envelopes
            .iter()
            .map(|envelope| match block.number {
                0 => Examined::first(envelope, channel),
                _ => Examined::judged_by(envelope, channel, origin, Records::OfNow),
            })
            .collect();
        let has_sound_data_hash = block.data_hash[..] == block.computed_data_hash();
        Self {
            block,
            transactions,
            signatures: Signatures::OfOthers,
            has_sound_data_hash,
        }
    }

    /// A block that this process made out of envelopes that it had examined. `transactions` has the result of
    /// [`Examined::new`] or [`Examined::made_here`] for each envelope, in their order, and `signatures` says
    /// who signed them. The data hash was computed when the block was made, and is not computed again.
    ///
    /// # Panics
    /// If the numbers of transactions and envelopes differ.
    #[must_use]
    pub fn made_here(block: Block, transactions: Vec<Examined>, signatures: Signatures) -> Self {
        assert_eq!(
            block.envelopes.len(),
            transactions.len(),
            "each envelope was examined once"
        );
        debug_assert_eq!(block.data_hash[..], block.computed_data_hash());
        Self {
            block,
            transactions,
            signatures,
            has_sound_data_hash: true,
        }
    }

    /// Whether the block's data hash is the hash of its envelopes.
    #[must_use]
    pub fn has_sound_data_hash(&self) -> bool {
        self.has_sound_data_hash
    }

    /// The transactions, with the fault that each has in itself.
    #[must_use]
    pub fn transactions(&self) -> &[Examined] {
        &self.transactions
    }

    /// The block.
    #[must_use]
    pub fn block(&self) -> &Block {
        &self.block
    }
}

/// Blocks that are children of the tip, in order.
pub(crate) struct Linked(pub(crate) Vec<Ordered>);
