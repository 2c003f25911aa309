//! Blocks that other orderers made.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use parking_lot::Mutex;
use quire_ledger::{Block, Content, Ordered};
use quire_wire::hash::Hash;

use crate::config::InForce;
use crate::source::{Arrived, BlockSource, Next};

/// Blocks that may wait for the committing thread.
const WAITING: usize = 32;

/// The place to hand in blocks that come from elsewhere. The caller has verified that orderers of the channel
/// signed them.
#[derive(Debug)]
pub struct Deliveries {
    channel: Arc<str>,
    end: Arc<Mutex<End>>,
}

/// The end of the chain, including all blocks that were handed in.
#[derive(Debug)]
struct End {
    /// Height, and hash of the last block; `None` until the committing thread has begun.
    tip: Option<(u64, Hash)>,
    /// `None` once the channel is closed.
    way: Option<SyncSender<Arrived>>,
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
    /// The queue is full, or the channel still takes in the blocks that it has. The caller hands the block in
    /// again later.
    #[error("too many blocks wait")]
    Full,
    /// The channel takes no more blocks.
    #[error("the channel takes no more blocks")]
    Closed,
}

/// The committing thread's end of [`Deliveries`].
#[derive(Debug)]
pub(crate) struct Delivered {
    blocks: Receiver<Arrived>,
    end: Arc<Mutex<End>>,
}

impl Deliveries {
    /// The way in and the way out of a channel's blocks.
    pub(crate) fn new(channel: Arc<str>) -> (Self, Delivered) {
        let (way, blocks) = sync_channel(WAITING);
        let end = Arc::new(Mutex::new(End {
            tip: None,
            way: Some(way),
        }));
        let deliveries = Self {
            channel,
            end: Arc::clone(&end),
        };
        (deliveries, Delivered { blocks, end })
    }

    /// Hands the next block in. It is examined here, on the caller's thread, and another thread commits it.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub fn deliver(&self, block: Block) -> Result<(), NotTaken> {
        let mut end = self.end.lock();
        let way = end.way.clone().ok_or(NotTaken::Closed)?;
        let (height, hash) = end.tip.ok_or(NotTaken::Full)?;
        if block.number != height {
            return Err(NotTaken::NotNext {
                number: block.number,
                expected: height,
            });
        }
        if height > 0 && block.previous_hash[..] != hash {
            return Err(NotTaken::PreviousHash);
        }
        if block.data_hash[..] != block.computed_data_hash() {
            return Err(NotTaken::DataHash);
        }
        let hash = block.hash();
        let ordered = Ordered::new(block, &self.channel);
        let transactions = ordered.transactions();
        let is_config = transactions
            .iter()
            .any(|transaction| matches!(transaction.content, Content::Config(_)));
        let arrived = Arrived { ordered, is_config };
        way.try_send(arrived).map_err(|refused| match refused {
            TrySendError::Full(_) => NotTaken::Full,
            TrySendError::Disconnected(_) => NotTaken::Closed,
        })?;
        end.tip = Some((height + 1, hash));
        Ok(())
    }

    /// Takes no more blocks; blocks that were handed in are still committed.
    pub fn close(&self) {
        self.end.lock().way.take();
    }
}

impl Delivered {
    /// `first` and the blocks that wait behind it, up to a configuration.
    fn with_more(&self, first: Option<Arrived>) -> Vec<Arrived> {
        let mut arrived = Vec::new();
        let mut next = first;
        while let Some(one) = next {
            let is_config = one.is_config;
            arrived.push(one);
            if is_config {
                break;
            }
            next = self.blocks.try_recv().ok();
        }
        arrived
    }
}

impl BlockSource for Delivered {
    fn begin(&mut self, tip: (u64, Hash)) -> Result<(), String> {
        self.end.lock().tip = Some(tip);
        Ok(())
    }

    fn next(&mut self) -> Result<Next, String> {
        match self.blocks.recv() {
            Ok(first) => Ok(Next::Full(self.with_more(Some(first)))),
            Err(_) => Ok(Next::Closed),
        }
    }

    fn more(&mut self) -> Result<Vec<Arrived>, String> {
        Ok(self.with_more(self.blocks.try_recv().ok()))
    }

    fn discarded(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn reconfigured(&mut self, _: &InForce) {}
}
