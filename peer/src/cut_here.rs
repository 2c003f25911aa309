//! Blocks made here, out of the channel's own order.

use std::sync::Arc;

use quire_ledger::{Block, Examined, Ordered, Reader, Signatures, chain_of};
use quire_ordering::{Batches, BlockSigner, BlockWriter, Cut, Next as Out};
use quire_wire::common::BlockHeader;
use quire_wire::hash::Hash;

use crate::config::InForce;
use crate::source::{Arrived, BlockSource, Next};

/// What is known of an envelope in the order.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) examined: Examined,
    /// What is known of its signatures.
    pub(crate) signatures: Signatures,
    /// The sequence of the configuration by which that is known.
    pub(crate) sequence: u64,
}

/// Makes the batches of an order into blocks.
pub(crate) struct CutHere {
    batches: Box<dyn Batches<Known>>,
    /// Makes blocks after the tip; `None` before [`BlockSource::begin`].
    writer: Option<BlockWriter>,
    reader: Reader,
    last_config: u64,
    /// The sequence of the configuration in force.
    sequence: u64,
    signer: Arc<dyn BlockSigner + Send + Sync>,
}

impl std::fmt::Debug for CutHere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CutHere")
            .field("batches", &self.batches)
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

impl CutHere {
    /// `in_force` is the configuration of the newest block that holds one.
    pub(crate) fn new(
        batches: Box<dyn Batches<Known>>,
        reader: Reader,
        in_force: &InForce,
        signer: Arc<dyn BlockSigner + Send + Sync>,
    ) -> Self {
        Self {
            batches,
            writer: None,
            reader,
            last_config: in_force.number,
            sequence: in_force.admission.sequence(),
            signer,
        }
    }

    fn blocks(&mut self, cuts: Vec<Cut<Known>>) -> Result<Vec<Arrived>, String> {
        cuts.into_iter().map(|cut| self.block(cut)).collect()
    }

    fn block(&mut self, cut: Cut<Known>) -> Result<Arrived, String> {
        let writer = self.writer.as_mut();
        let writer =
            writer.ok_or("blocks must be made, but the end of the chain is not known yet")?;
        let Cut { batch, known } = cut;
        let is_config = batch.is_config;
        let block: Block = writer.next_block(batch, self.signer.as_ref()).into();
        let all_proven = known
            .iter()
            // Another configuration may ask for signatures of another kind.
            .all(|known| known.signatures == Signatures::Proven && known.sequence == self.sequence);
        let signatures = if all_proven {
            Signatures::Proven
        } else {
            Signatures::OfOthers
        };
        let examined = known.into_iter().map(|known| known.examined).collect();
        Ok(Arrived {
            ordered: Ordered::made_here(block, examined, signatures),
            is_config,
        })
    }
}

impl BlockSource for CutHere {
    fn begin(&mut self, (height, _): (u64, Hash)) -> Result<(), String> {
        self.writer = Some(writer_after(height, &self.reader, self.last_config)?);
        Ok(())
    }

    fn next(&mut self) -> Result<Next, String> {
        let out = self.batches.next().map_err(|broken| broken.to_string())?;
        Ok(match out {
            Out::Full(cuts) => Next::Full(self.blocks(cuts)?),
            Out::Rest(cut) => Next::Rest(self.block(cut)?),
            Out::Closed => Next::Closed,
        })
    }

    fn more(&mut self) -> Result<Vec<Arrived>, String> {
        let cuts = self.batches.more().map_err(|broken| broken.to_string())?;
        self.blocks(cuts)
    }

    fn discarded(&mut self) -> Vec<String> {
        let discarded = self.batches.discarded().into_iter();
        discarded.filter_map(|known| known.examined.tx_id).collect()
    }

    fn reconfigured(&mut self, in_force: &InForce) {
        if let Some(writer) = &mut self.writer {
            writer.set_last_config(in_force.number);
        }
        let admission = Arc::clone(&in_force.admission);
        self.sequence = admission.sequence();
        self.batches.reconfigured(in_force.batch_size, admission);
    }
}

/// A block writer that goes on after a chain of `height` blocks.
fn writer_after(height: u64, reader: &Reader, last_config: u64) -> Result<BlockWriter, String> {
    let tip = height.checked_sub(1).ok_or("the channel has no block 0")?;
    let tip = reader.block(tip).map_err(|error| chain_of(&error))?;
    let tip = tip.ok_or("the newest block cannot be read")?;
    let header = BlockHeader {
        number: tip.number,
        previous_hash: tip.previous_hash.clone(),
        data_hash: tip.data_hash.clone(),
    };
    Ok(BlockWriter::after(&header, last_config))
}
