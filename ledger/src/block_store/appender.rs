//! The block store on a thread of its own: what comes next is judged, and what came before taken in
//! by the followers, while blocks are written and synced.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::segment::Location;
use super::{AppendError, BlockFiles, BlockStore};
use crate::block::Block;
use crate::observer::Stage;

/// What became of blocks that were handed over.
type Appended = Result<Vec<(Arc<Block>, Location)>, AppendError>;

/// The committing thread's end. At most one batch is on its way at a time, so that a batch is written
/// only after all before it are durable: **what a crash can tear is one batch.**
#[derive(Debug)]
pub(crate) struct Appender {
    files: Arc<BlockFiles>,
    /// None once the thread has been told to end.
    batches: Option<SyncSender<Vec<Block>>>,
    appended: Receiver<Appended>,
    thread: Option<JoinHandle<()>>,
    is_poisoned: bool,
}

impl Appender {
    /// Starts the thread. It ends, and what it has begun with is over, when this is dropped.
    pub(crate) fn start(mut store: BlockStore) -> std::io::Result<Self> {
        let files = Arc::clone(store.files());
        let (batches, to_append) = sync_channel::<Vec<Block>>(1);
        let (done, appended) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("append".to_owned())
            .spawn(move || {
                for blocks in to_append {
                    let appending = store.files().observed.stopwatch(Stage::Append);
                    let appended = store.append(blocks);
                    drop(appending);
                    if done.send(appended).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            files,
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
