//! Blocks that are on their way to the disk and to the followers.

use std::collections::HashSet;
use std::sync::Arc;

use crate::block_store::Written;
use crate::error::ReadError;
use crate::follow::OnDisk;
use crate::model::batch::{Batch, Durable};
use crate::model::examined::Examined;
use crate::model::location::Position;
use crate::model::updates::Updates;
use crate::observer::Stopwatch;
use crate::state::StateDb;
use crate::validation::pending::Pending;
use crate::validation::replay_block;

/// What blocks that are being written will need when they are on disk.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// The transactions of each block.
    pub(crate) transactions: Vec<Vec<Examined>>,
    pub(crate) unseen: Unseen,
    /// Runs from linking until reads see the blocks.
    pub(crate) commit: Stopwatch,
}

/// The content of blocks that no read may see yet. Later blocks are judged by it.
#[derive(Debug)]
pub(crate) struct Unseen {
    /// What all the blocks change together.
    pub(crate) changes: Arc<Updates>,
    pub(crate) tx_ids: HashSet<String>,
}

/// Blocks from the visible height on that could not be followed when a ledger was opened.
#[derive(Debug)]
pub(crate) struct Behind {
    /// The end of the last of these blocks.
    pub(crate) end: Position,
    /// How many blocks there are.
    pub(crate) height: u64,
    pub(crate) reason: String,
}

impl InFlight {
    /// The written blocks, for the followers.
    pub(crate) fn on_disk(self, written: Written) -> (OnDisk, Unseen) {
        let batch = Batch {
            blocks: durable(written, self.transactions),
            changes: Arc::clone(&self.unseen.changes),
        };
        ((batch, self.commit), self.unseen)
    }

    /// The same for the first of the blocks, if the others are lost: what the first blocks change alone,
    /// after all that `state` has seen.
    pub(crate) fn partly_on_disk(
        self,
        written: Written,
        state: &dyn StateDb,
    ) -> Result<OnDisk, ReadError> {
        let blocks = durable(written, self.transactions);
        let snapshot = state.snapshot()?;
        let mut changes = Pending::new(snapshot.as_ref());
        for durable in &blocks {
            replay_block(durable.block.number, &durable.transactions, &mut changes)?;
        }
        let changes = Arc::new(changes.into_changes());
        Ok((Batch { blocks, changes }, self.commit))
    }
}

/// Blocks with their transactions, for the followers.
fn durable(written: Written, transactions: Vec<Vec<Examined>>) -> Vec<Durable> {
    let blocks = written.into_iter().zip(transactions);
    let blocks = blocks.map(|((block, location), transactions)| Durable {
        hash: block.hash(),
        block,
        location,
        transactions,
    });
    blocks.collect()
}
