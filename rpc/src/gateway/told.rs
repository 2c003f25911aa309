//! What the valid transactions of blocks tell, for all who listen: one of them takes a block apart, and the others get the
//! same.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use quire_ledger::{Block, Content, Examined, ReadError, chain_of};
use quire_peer::Channel;
use quire_wire::Message as _;
use quire_wire::peer::ChaincodeEvent;
use tonic::Status;

use crate::call::Threads;

/// Bytes of events that are kept for further listeners.
const CACHE_BYTES: u64 = 8 << 20;
/// The number of blocks for which the cache is laid out.
const CACHE_BLOCKS: usize = 1024;

/// The events of a block, each with the position of its transaction.
type Events = Arc<[(u64, ChaincodeEvent)]>;

/// A channel and the number of a block.
type Place = (Arc<str>, u64);

/// Events of blocks.
#[derive(Debug)]
pub(crate) struct Told(Cache<Place, Events, ByBytes>);

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Place, Events> for ByBytes {
    fn weight(&self, _: &Place, events: &Events) -> u64 {
        let bytes = events.iter().map(|(_, event)| event.encoded_len() + 128);
        bytes.sum::<usize>() as u64 + 128
    }
}

impl Told {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(CACHE_BLOCKS, CACHE_BYTES, ByBytes))
    }

    /// What a block's valid transactions tell.
    ///
    /// # Errors
    /// The block cannot be read: `ABORTED`.
    pub(super) async fn events(
        &self,
        threads: &Threads,
        channel: &Channel,
        number: u64,
    ) -> Result<Events, Status> {
        let place = (Arc::clone(&channel.name), number);
        let read = async {
            let reader = channel.reader.clone();
            let read = threads.work(move || {
                let block = reader.block(number)?;
                Ok::<_, ReadError>(block.map(|block| events(&block)))
            });
            let events = read.await?;
            let events = events.map_err(|error| Status::aborted(chain_of(&error)))?;
            events.ok_or_else(|| Status::aborted(format!("there is no block {number}")))
        };
        self.0.get_or_insert_async(&place, read).await
    }
}

fn events(block: &Block) -> Events {
    let envelopes = block.envelopes.iter().enumerate();
    let events = envelopes.filter_map(|(position, envelope)| {
        if !block.code(position).is_valid() {
            return None;
        }
        let Content::Endorsed(endorsed) = Examined::read(envelope).content else {
            return None;
        };
        let event = ChaincodeEvent::decode(endorsed.call.action.events.clone()).ok()?;
        // A part of the block's bytes would keep all of them.
        let payload = Bytes::copy_from_slice(&event.payload);
        (!event.chaincode_id.is_empty())
            .then_some((position as u64, ChaincodeEvent { payload, ..event }))
    });
    events.collect()
}
