//! What a stream sends of a block.

use std::sync::Arc;

use quire_identity::Identity;
use quire_ledger::{Block, ReadError, Reader};
use quire_wire::common::{self, ChannelHeader, Envelope, Payload, header_type, metadata_slot};
use quire_wire::deliver::{BlockAndPrivateData, Response, status};
use quire_wire::{Message as _, tolerant};

use super::filtered::filtered;
use super::private::private_data;
use super::service::Service;

/// Why there is nothing to send.
#[derive(Debug)]
pub(super) enum NoContent {
    /// The ledger cannot be read.
    Unread(ReadError),
    /// There is no room in memory for it.
    NoRoom,
}

impl From<ReadError> for NoContent {
    fn from(error: ReadError) -> Self {
        Self::Unread(error)
    }
}

/// A block for `who`. `hold` takes room for so many bytes more, if there is some, before they are added.
///
/// # Errors
/// See [`NoContent`].
pub(super) fn content(
    (service, headers_only): (Service, bool),
    reader: &Reader,
    block: &Block,
    who: &Arc<Identity>,
    hold: &mut dyn FnMut(usize) -> bool,
) -> Result<Response, NoContent> {
    let message = message(service, headers_only, block);
    let bytes = match service {
        // It has no more than the block, which is there.
        Service::Filtered => 0,
        _ => message.encoded_len(),
    };
    if !hold(bytes) {
        return Err(NoContent::NoRoom);
    }
    Ok(match service {
        Service::Blocks | Service::Orderer => Response::Block(message),
        Service::Filtered => match filtered(block) {
            Ok(filtered) => Response::FilteredBlock(filtered),
            Err(error) => {
                let (channel, number) = (reader.channel(), block.number);
                tracing::warn!(channel, number, %error, "a block cannot be filtered");
                Response::Status(status::BAD_REQUEST)
            }
        },
        Service::WithPrivateData => Response::BlockAndPrivateData(BlockAndPrivateData {
            private_data: private_data(reader, block, who, hold)?,
            block: Some(message),
        }),
    })
}

/// A block with Fabric's slots alone: what else stands behind them is this node's own. An orderer knows no verdicts.
fn message(service: Service, headers_only: bool, block: &Block) -> common::Block {
    let mut message = block.to_message();
    if let Some(metadata) = &mut message.metadata {
        metadata.metadata.truncate(metadata_slot::COUNT);
        if service == Service::Orderer {
            let of_peers = metadata.metadata.iter_mut();
            for slot in of_peers.skip(metadata_slot::TRANSACTIONS_FILTER) {
                slot.clear();
            }
        }
    }
    if headers_only && !has_configuration(block) {
        message.data = None;
    }
    message
}

/// Whether a block has a configuration, or asks for a channel as orderers did before Fabric 2.
fn has_configuration(block: &Block) -> bool {
    let [envelope] = &block.envelopes[..] else {
        return false;
    };
    let kind = || {
        let envelope: Envelope = tolerant::decode(envelope.clone(), tolerant::ENVELOPE).ok()?;
        let payload: Payload = tolerant::decode(envelope.payload, tolerant::PAYLOAD).ok()?;
        let header = payload.header?.channel_header;
        let header: ChannelHeader = tolerant::decode(header, tolerant::CHANNEL_HEADER).ok()?;
        Some(header.r#type)
    };
    matches!(
        kind(),
        Some(header_type::CONFIG | header_type::ORDERER_TRANSACTION)
    )
}
