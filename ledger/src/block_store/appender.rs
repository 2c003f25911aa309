//! The block store, for the committing thread or on a thread of its own: there blocks are written and
//! synced while those after them are judged, and the followers take in those before.
//!
//! A batch by itself gains nothing by the other thread, and would pay for two changes of threads.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{AppendError, BlockStore, NotAppended, Written};
use crate::model::block::Block;
use crate::observer::Stage;
use crate::worker::Worker;

/// What became of blocks that were handed over.
pub(crate) type Appended = Result<Written, NotAppended>;

/// The committing thread's end. At most one batch is on its way at a time, so that a batch is written
/// only after all before it are durable: **what a crash can tear is one batch.**
#[derive(Debug)]
pub(crate) struct Appender {
    // Held while a batch is written, by whoever does it.
    store: Arc<Mutex<BlockStore>>,
    worker: Worker<Vec<Block>, Appended>,
    is_poisoned: bool,
}

impl Appender {
    /// Starts the thread. It ends, and what it has begun with is over, when this is dropped.
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

    /// Makes blocks durable here and now, after [`Self::wait`] returned those before. After an error
    /// nothing is known of those that it does not name, and nothing more will be written.
    pub(crate) fn append(&mut self, blocks: Vec<Block>) -> Appended {
        let appended = append(&self.store, blocks);
        self.is_poisoned |= appended.is_err();
        appended
    }

    /// Hands blocks over, after [`Self::wait`] returned those before.
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

    /// Returns when the blocks that were handed over are durable. After an error nothing is known of
    /// those that it does not name, and nothing more will be written.
    pub(crate) fn wait(&mut self) -> Appended {
        // No word: the thread panicked, and what it wrote is not known.
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
