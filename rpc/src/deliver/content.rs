//! What a stream sends of a block.

use std::sync::Arc;

use quire_identity::Identity;
use quire_ledger::{Block, ReadError, Reader};
use quire_wire::common::{self, ChannelHeader, Envelope, Payload, header_type, metadata_slot};
use quire_wire::deliver::{BlockAndPrivateData, Response, status};
use quire_wire::tolerant;

use super::filtered::filtered;
use super::private::private_data;
use super::service::Service;

/// A block for `who`.
///
/// # Errors
/// The ledger cannot be read.
pub(super) fn content(
    service: Service,
    headers_only: bool,
    reader: &Reader,
    block: &Block,
    who: &Arc<Identity>,
) -> Result<Response, ReadError> {
    Ok(match service {
        Service::Blocks | Service::Orderer => {
            Response::Block(message(service, headers_only, block))
        }
        Service::Filtered => match filtered(block) {
            Ok(filtered) => Response::FilteredBlock(filtered),
            Err(error) => {
                let (channel, number) = (reader.channel(), block.number);
                tracing::warn!(channel, number, %error, "a block cannot be filtered");
                Response::Status(status::BAD_REQUEST)
            }
        },
        Service::WithPrivateData => Response::BlockAndPrivateData(BlockAndPrivateData {
            block: Some(message(service, headers_only, block)),
            private_data: private_data(reader, block, who)?,
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
