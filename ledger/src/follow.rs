//! Followers take blocks in on the committing thread, or on a thread of its own while later blocks are judged
//! and written.

use std::sync::Arc;

use fjall::PersistMode;
use quire_wire::Code;
use quire_wire::hash::Hash;

use crate::error::ReadError;
use crate::followers::Follow;
use crate::keyspaces::DebugDatabase;
use crate::model::batch::Batch;
use crate::model::block::Block;
use crate::model::namespace::LIFECYCLE;
use crate::observer::{Stage, Stopwatch};
use crate::query::builder::Publish;
use crate::state::StateDb;
use crate::view::{Shared, Tip, View};

/// A block that is on disk and that every read now sees.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The block as it is on disk.
    pub block: Arc<Block>,
    /// Its hash.
    pub hash: Hash,
    /// Its transactions in order: id, if the envelope has one, and verdict.
    pub transactions: Vec<(Option<String>, Code)>,
    /// Whether chaincodes may be defined or approved otherwise since: by this block, or by another that became
    /// durable with it.
    pub defines: bool,
}

/// The result of following blocks.
pub(crate) type Followed = Result<Vec<Committed>, NotFollowed>;

/// Durable blocks, and the time since they were linked until reads see them.
pub(crate) type OnDisk = (Batch, Stopwatch);

/// Why nobody sees durable blocks yet.
#[derive(Debug)]
pub(crate) enum NotFollowed {
    /// State is unavailable. The blocks are returned, to be tried again.
    Waiting(OnDisk, ReadError),
    /// A follower failed, and the ledger must be opened again.
    Failed(ReadError),
}

/// The followers, and the engine that holds them, for the one thread at a time that fills them.
#[derive(Debug)]
pub(crate) struct Followers {
    pub(crate) shared: Arc<Shared>,
    pub(crate) database: DebugDatabase,
    pub(crate) state: Arc<dyn StateDb>,
    /// All followers but state.
    pub(crate) others: Vec<Arc<dyn Follow>>,
}

impl Followers {
    /// Takes blocks in, and lets readers see them.
    pub(crate) fn follow(&self, (batch, commit): OnDisk) -> Followed {
        match self.apply(&batch).and_then(|()| self.publish(&batch)) {
            Ok(()) => drop(commit),
            Err(error) if error.is_waited_for() => {
                return Err(NotFollowed::Waiting((batch, commit), error));
            }
            Err(error) => return Err(NotFollowed::Failed(error)),
        }
        self.shared.files.observed.committed(&batch.blocks);
        let defines = batch.changes.namespaces.contains_key(LIFECYCLE);
        let committed = batch.blocks.into_iter().map(|durable| Committed {
            block: durable.block,
            hash: durable.hash,
            transactions: durable
                .transactions
                .into_iter()
                .map(|tx| (tx.tx_id, tx.code))
                .collect(),
            defines,
        });
        Ok(committed.collect())
    }

    /// Brings the followers up to these blocks. This is idempotent by height, and recovery is nothing else:
    /// each follower skips the blocks that it has.
    pub(crate) fn apply(&self, batch: &Batch) -> Result<(), ReadError> {
        let observed = &self.shared.files.observed;
        let database = &self.database.0;
        let mut writes = database.batch().durability(Some(PersistMode::Buffer));
        let view = database.snapshot();
        {
            // State is first: if it is unavailable, the others wait with it.
            let _state = observed.stopwatch(Stage::State);
            self.state.follow(&view, &mut writes, batch)?;
        }
        let _index = observed.stopwatch(Stage::Index);
        for follower in &self.others {
            follower.follow(&view, &mut writes, batch)?;
        }
        Ok(writes.commit()?)
    }

    /// Lets readers see everything up to the last of these blocks.
    pub(crate) fn publish(&self, batch: &Batch) -> Result<(), ReadError> {
        let last = batch.blocks.last().map(|last| Tip {
            height: last.block.number + 1,
            hash: last.hash,
            commit_hash: last.block.commit_hash(),
        });
        last.map_or(Ok(()), |last| self.publish_at(last))
    }

    /// Lets readers see the chain up to this tip.
    pub(crate) fn publish_at(&self, tip: Tip) -> Result<(), ReadError> {
        // This is locked first, because a query index that is finished meanwhile publishes itself here too.
        let mut current = self.shared.view.write();
        let view = View {
            tip,
            state: self.state.snapshot()?,
            derived: self.database.0.snapshot(),
        };
        *current = Arc::new(view);
        Ok(())
    }
}

impl Publish for Followers {
    fn publish_built(&self) -> Result<(), ReadError> {
        let mut view = self.shared.view.write();
        let derived = self.database.0.snapshot();
        let state = self.state.snapshot()?;
        if state.height() == view.tip.height {
            let tip = view.tip.clone();
            *view = Arc::new(View {
                tip,
                state,
                derived,
            });
        }
        Ok(())
    }
}
