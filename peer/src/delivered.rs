//! Blocks that other orderers made: they wait here, in order, for the committing thread.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use quire_ledger::{Block, Content, Ordered, first_in_other_form};
use quire_wire::hash::Hash;

use crate::config::InForce;
use crate::orderers::OrderersObserver;
use crate::source::{Arrived, BlockSource, Next};

/// Blocks that may wait for the committing thread.
const WAITING: usize = 32;
/// Bytes of them. One that is larger is taken where no other waits.
const WAITING_BYTES: usize = 64 << 20;

/// What holding an envelope takes beside its bytes, about.
const AROUND_BYTES: usize = 200;

/// The place to hand in blocks that come from elsewhere. The caller has verified that orderers of the channel
/// signed them.
#[derive(Debug)]
pub struct Deliveries {
    channel: Arc<str>,
    window: Arc<Window>,
}

/// Blocks that wait, between the two ends.
#[derive(Debug)]
struct Window {
    waiting: Mutex<Waiting>,
    /// Told when a block came, or none will come any more.
    came: Condvar,
    /// Told when there may be room, or nobody takes blocks any more.
    room: Condvar,
    /// Told how many wait, in the order in which that changes.
    observer: Arc<dyn OrderersObserver>,
}

#[derive(Debug)]
struct Waiting {
    /// The end of the chain with all blocks that were handed in: height, and hash of the last block. `None` until
    /// the committing thread has begun.
    tip: Option<(u64, Hash)>,
    blocks: VecDeque<(Arrived, usize)>,
    bytes: usize,
    /// Whether blocks may still be handed in.
    is_open: bool,
}

/// Why a block was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Another block is the next one.
    #[error("block {number} is not the next one: {expected} is")]
    NotNext {
        /// Its number.
        number: u64,
        /// The next block's number.
        expected: u64,
    },
    /// It does not follow the last block.
    #[error("the block does not follow the last one: its previous hash is another block's")]
    PreviousHash,
    /// Its envelopes are not those that its header names.
    #[error("the block's data hash is not the hash of its envelopes")]
    DataHash,
    /// An envelope is empty, or stands in another form than Fabric writes it in. The data hash covers the bytes of all
    /// envelopes without their lengths, so that envelopes joined to one would have the same.
    #[error("envelope {0} of the block is not in the form that Fabric writes")]
    Form(usize),
    /// Too many blocks or bytes wait, or the channel still takes in the blocks that it has. The caller hands the block
    /// in again later.
    #[error("too many blocks wait")]
    Full,
    /// The channel takes no more blocks.
    #[error("the channel takes no more blocks")]
    Closed,
}

/// The committing thread's end of [`Deliveries`].
#[derive(Debug)]
pub(crate) struct Delivered(Arc<Window>);

impl Waiting {
    /// Whether a block of so many bytes can be handed in.
    fn has_room(&self, bytes: usize) -> bool {
        let fits = self.bytes.saturating_add(bytes) <= WAITING_BYTES;
        self.tip.is_some() && self.blocks.len() < WAITING && (fits || self.blocks.is_empty())
    }

    /// Whether a block is the next one, and there is room for it.
    fn check(&self, block: &Block, bytes: usize) -> Result<(), NotTaken> {
        if !self.is_open {
            return Err(NotTaken::Closed);
        }
        let (height, hash) = self.tip.ok_or(NotTaken::Full)?;
        if block.number != height {
            return Err(NotTaken::NotNext {
                number: block.number,
                expected: height,
            });
        }
        if height > 0 && block.previous_hash[..] != hash {
            return Err(NotTaken::PreviousHash);
        }
        if self.has_room(bytes) {
            Ok(())
        } else {
            Err(NotTaken::Full)
        }
    }
}

impl Deliveries {
    /// The way in and the way out of a channel's blocks.
    pub(crate) fn new(channel: Arc<str>, observer: Arc<dyn OrderersObserver>) -> (Self, Delivered) {
        let window = Arc::new(Window {
            waiting: Mutex::new(Waiting {
                tip: None,
                blocks: VecDeque::new(),
                bytes: 0,
                is_open: true,
            }),
            came: Condvar::new(),
            room: Condvar::new(),
            observer,
        });
        let deliveries = Self {
            channel,
            window: Arc::clone(&window),
        };
        (deliveries, Delivered(window))
    }

    /// Hands the next block in. It is examined here, on the caller's thread, and another thread commits it. Returns
    /// whether it holds a configuration: the blocks behind it are signed by that, once it is in force.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub fn deliver(&self, block: Block) -> Result<bool, NotTaken> {
        let bytes = size_bytes(&block);
        self.window.waiting.lock().check(&block, bytes)?;
        if let Some(at) = first_in_other_form(&block) {
            return Err(NotTaken::Form(at));
        }
        let hash = block.hash();
        let ordered = Ordered::new(block, &self.channel);
        if !ordered.has_sound_data_hash() {
            return Err(NotTaken::DataHash);
        }
        let mut transactions = ordered.transactions().iter();
        let is_config =
            transactions.any(|transaction| matches!(transaction.content, Content::Config(_)));
        let mut waiting = self.window.waiting.lock();
        // Another caller may have come in between.
        waiting.check(ordered.block(), bytes)?;
        waiting.tip = waiting.tip.map(|(height, _)| (height + 1, hash));
        waiting.bytes += bytes;
        let arrived = Arrived { ordered, is_config };
        waiting.blocks.push_back((arrived, bytes));
        self.window.observer.buffered(waiting.blocks.len());
        drop(waiting);
        self.window.came.notify_one();
        Ok(is_config)
    }

    /// The number of the next block, as soon as one can be handed in; `None` where the channel takes no more.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let mut waiting = self.window.waiting.lock();
        while waiting.is_open && !waiting.has_room(0) {
            self.window.room.wait(&mut waiting);
        }
        let (height, _) = waiting.tip.filter(|_| waiting.is_open)?;
        Some(height)
    }

    /// Waits until there is room for a block of this size, or the channel takes no more.
    pub fn wait_for_room(&self, block: &Block) {
        let bytes = size_bytes(block);
        let mut waiting = self.window.waiting.lock();
        while waiting.is_open && !waiting.has_room(bytes) {
            self.window.room.wait(&mut waiting);
        }
    }

    /// Takes no more blocks; blocks that were handed in are still committed.
    pub fn close(&self) {
        self.window.close();
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.close();
    }
}

impl Window {
    fn close(&self) {
        self.waiting.lock().is_open = false;
        self.came.notify_all();
        self.room.notify_all();
    }

    /// Takes out the blocks that wait, up to a configuration.
    fn take(&self, waiting: &mut Waiting) -> Vec<Arrived> {
        let mut taken = Vec::new();
        while let Some((arrived, bytes)) = waiting.blocks.pop_front() {
            waiting.bytes -= bytes;
            let is_config = arrived.is_config;
            taken.push(arrived);
            if is_config {
                break;
            }
        }
        if !taken.is_empty() {
            self.observer.buffered(waiting.blocks.len());
            self.room.notify_all();
        }
        taken
    }
}

/// What a block holds in memory, about.
fn size_bytes(block: &Block) -> usize {
    let all = block.envelopes.iter().chain(&block.metadata);
    all.map(|bytes| bytes.len() + AROUND_BYTES).sum()
}

impl BlockSource for Delivered {
    fn begin(&mut self, tip: (u64, Hash)) -> Result<(), String> {
        self.0.waiting.lock().tip = Some(tip);
        self.0.room.notify_all();
        Ok(())
    }

    fn next(&mut self) -> Result<Next, String> {
        let mut waiting = self.0.waiting.lock();
        while waiting.is_open && waiting.blocks.is_empty() {
            self.0.came.wait(&mut waiting);
        }
        let taken = self.0.take(&mut waiting);
        Ok(if taken.is_empty() {
            Next::Closed
        } else {
            Next::Full(taken)
        })
    }

    fn more(&mut self) -> Result<Vec<Arrived>, String> {
        Ok(self.0.take(&mut self.0.waiting.lock()))
    }

    fn discarded(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn reconfigured(&mut self, _: &InForce) {}
}

impl Drop for Delivered {
    fn drop(&mut self) {
        self.0.close();
        // Nobody takes them any more.
        let mut waiting = self.0.waiting.lock();
        waiting.blocks.clear();
        waiting.bytes = 0;
    }
}
