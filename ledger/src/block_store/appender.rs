//! The block store, used by the committing thread or by a thread of its own, which writes and syncs blocks
//! while the blocks after them are judged and the followers take in the blocks before them.
//!
//! A single batch gains nothing from the other thread, and would pay for two changes of threads.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{AppendError, BlockStore, NotAppended, Written};
use crate::model::block::Block;
use crate::observer::Stage;
use crate::worker::Worker;

/// The result for blocks that were handed over.
pub(crate) type Appended = Result<Written, NotAppended>;

/// The committing thread's end. At most one batch is being written at a time, and only after all earlier
/// batches are durable: **what a crash can tear is one batch.**
#[derive(Debug)]
pub(crate) struct Appender {
    // The thread that writes a batch holds this lock.
    store: Arc<Mutex<BlockStore>>,
    worker: Worker<Vec<Block>, Appended>,
    is_poisoned: bool,
}

impl Appender {
    /// Starts the thread. It finishes what it has begun and ends when this is dropped.
    pub(crate) fn start(store: BlockStore) -> std::io::Result<Self> {
        let store = Arc::new(Mutex::new(store));
        let shared = Arc::clone(&store);
        Ok(Self {
            store,
            worker: Worker::start("append", move |blocks| append(&shared, blocks))?,
            is_poisoned: false,
        })
    }

    /// Whether writing failed, so that nothing more will be written.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// Makes blocks durable on this thread, after [`Self::wait`] returned the earlier ones. After an error
    /// nothing is known of blocks that it does not name, and nothing more will be written.
    pub(crate) fn append(&mut self, blocks: Vec<Block>) -> Appended {
        let appended = append(&self.store, blocks);
        self.is_poisoned |= appended.is_err();
        appended
    }

    /// Hands blocks over, after [`Self::wait`] returned the earlier ones.
    pub(crate) fn begin(&mut self, blocks: Vec<Block>) -> Result<(), AppendError> {
        if self.is_poisoned {
            return Err(AppendError::Poisoned);
        }
        self.is_poisoned = !self.worker.begin(blocks);
        if self.is_poisoned {
            Err(AppendError::Poisoned)
        } else {
            Ok(())
        }
    }

    /// Returns when the blocks that were handed over are durable. After an error nothing is known of blocks
    /// that it does not name, and nothing more will be written.
    pub(crate) fn wait(&mut self) -> Appended {
        // Without a result the thread panicked, and what it wrote is not known.
        let appended = self.worker.wait().unwrap_or_else(|| {
            Err(NotAppended {
                durable: Vec::new(),
                error: AppendError::Poisoned,
            })
        });
        self.is_poisoned |= appended.is_err();
        appended
    }
}

fn append(store: &Mutex<BlockStore>, blocks: Vec<Block>) -> Appended {
    let mut store = store.lock();
    let _appending = store.files().observed.stopwatch(Stage::Append);
    store.append(blocks)
}
