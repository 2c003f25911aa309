//! The block store, for the committing thread or on a thread of its own: there blocks are written and
//! synced while those after them are judged, and the followers take in those before.
//!
//! A batch by itself gains nothing by the other thread, and would pay for two changes of threads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::segment::Location;
use super::{AppendError, BlockFiles, BlockStore};
use crate::block::Block;
use crate::observer::Stage;

/// What became of blocks that were handed over.
pub(crate) type Appended = Result<Vec<(Arc<Block>, Location)>, AppendError>;

/// The committing thread's end. At most one batch is on its way at a time, so that a batch is written
/// only after all before it are durable: **what a crash can tear is one batch.**
#[derive(Debug)]
pub(crate) struct Appender {
    files: Arc<BlockFiles>,
    // Held while a batch is written, by whoever does it.
    store: Arc<Mutex<BlockStore>>,
    /// None once the thread has been told to end.
    batches: Option<SyncSender<Vec<Block>>>,
    appended: Receiver<Appended>,
    thread: Option<JoinHandle<()>>,
    is_poisoned: bool,
}

impl Appender {
    /// Starts the thread. It ends, and what it has begun with is over, when this is dropped.
    pub(crate) fn start(store: BlockStore) -> std::io::Result<Self> {
        let files = Arc::clone(store.files());
        let store = Arc::new(Mutex::new(store));
        let shared = Arc::clone(&store);
        let (batches, to_append) = sync_channel::<Vec<Block>>(1);
        let (done, appended) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("append".to_owned())
            .spawn(move || {
                for blocks in to_append {
                    if done.send(append(&shared, blocks)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            files,
            store,
            batches: Some(batches),
            appended,
            thread: Some(thread),
            is_poisoned: false,
        })
    }

    pub(crate) fn files(&self) -> &Arc<BlockFiles> {
        &self.files
    }

    /// Whether writing failed, so that nothing more will be written.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    /// Makes blocks durable here and now, after [`Self::wait`] returned those before. After an error
    /// nothing is known of them, and nothing more will be written.
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
        let handed_over = self
            .batches
            .as_ref()
            .is_some_and(|batches| batches.send(blocks).is_ok());
        self.is_poisoned = !handed_over;
        if handed_over {
            Ok(())
        } else {
            Err(AppendError::Poisoned)
        }
    }

    /// Returns when the blocks that were handed over are durable. After an error nothing is known of
    /// them, and nothing more will be written.
    pub(crate) fn wait(&mut self) -> Appended {
        // No word: the thread panicked, and what it wrote is not known.
        let appended = self.appended.recv().unwrap_or(Err(AppendError::Poisoned));
        self.is_poisoned |= appended.is_err();
        appended
    }
}

fn append(store: &Mutex<BlockStore>, blocks: Vec<Block>) -> Appended {
    let mut store = store.lock();
    let _appending = store.files().observed.stopwatch(Stage::Append);
    store.append(blocks)
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.batches.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes blocks panicked");
        }
    }
}
