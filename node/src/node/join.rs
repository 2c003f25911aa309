//! Channels that begin with a block 0 of others.

use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::name::{NameError, check_channel};
use quire_disk::{Disk, OsDisk};
use quire_ledger::{Ledger, Next, OpenError, OpenReport, StoredBlocks};
use quire_peer::join::{self, FirstBlock, Joined, Joining, OrderOf};

use super::channels::Keeping;
use super::{Node, NodeError};

/// Why a channel was not joined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("the channel cannot be joined by this block")]
    Block(#[from] join::JoinError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("there is another channel {0}: it has another block 0")]
    OtherChain(String),
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl From<OpenError> for JoinError {
    fn from(error: OpenError) -> Self {
        Self::Node(error.into())
    }
}

impl Node {
    /// Makes a channel that begins with this serialized `common.Block`, and starts it. Durable on return.
    pub(crate) fn join(&self, block: Bytes) -> Result<Joined, JoinError> {
        let first = self.first_block(block, self.ordering.order_of())?;
        let channel = first.joined.channel.clone();
        let _reserved = self.reserve(&channel)?;
        let (joined, made) = self.make_joined(first, self.keeping())?;
        if let Some(ledger) = made {
            let record = self.ledgers.existing(&channel)?;
            self.start(&record, ledger)?;
            let genesis = &joined.genesis;
            tracing::info!(channel, genesis, "channel joined");
        }
        Ok(joined)
    }

    /// The same where no channel is open: it is started with the others.
    pub(crate) fn join_while_stopped(
        &self,
        block: Bytes,
        (elsewhere, blocks_only): (bool, bool),
    ) -> Result<Joined, JoinError> {
        let (order, keeping) = match (elsewhere, blocks_only) {
            (true, _) => (OrderOf::Others, Keeping::Followed),
            // Whether by a topic is told with the start.
            (false, true) => (OrderOf::Topic, Keeping::BlocksOnly),
            (false, false) => (OrderOf::Topic, Keeping::Ordered),
        };
        let first = self.first_block(block, order)?;
        let (joined, _) = self.make_joined(first, keeping)?;
        Ok(joined)
    }

    fn first_block(&self, block: Bytes, order: OrderOf) -> Result<FirstBlock, JoinError> {
        let node = Joining {
            msp_id: self.organization.msp_id(),
            orderer: self.orderer.serialized(),
            endorser: self.endorser.serialized(),
            order,
        };
        let first = FirstBlock::read(block, node)?;
        check_channel(&first.joined.channel)?;
        Ok(first)
    }

    /// Makes the channel, unless it is there with the same block 0.
    fn make_joined(
        &self,
        first: FirstBlock,
        keeping: Keeping,
    ) -> Result<(Joined, Option<Ledger>), JoinError> {
        let FirstBlock { block, mut joined } = first;
        let channel = &joined.channel;
        if self.ledgers.record(channel)?.is_some() {
            if self.genesis_of(channel)? != Some(joined.genesis.clone()) {
                return Err(JoinError::OtherChain(channel.clone()));
            }
            joined.was_there = true;
            return Ok((joined, None));
        }
        let opening = self.metrics.opening();
        let ledger = self.make_ledger(channel, block, keeping)?;
        opening.done(channel, &OpenReport::default());
        Ok((joined, Some(ledger)))
    }

    /// The hash of a channel's block 0 in hexadecimal digits, whether the channel is open or not; none where
    /// the block cannot be read.
    fn genesis_of(&self, channel: &str) -> Result<Option<String>, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let stored = StoredBlocks::open(&disk, &self.data, channel)?;
        let next = stored.from(0)?.next()?;
        Ok(match next {
            Next::Block(block) => Some(hex::encode(block.hash())),
            Next::End | Next::Damaged(_) => None,
        })
    }
}
