//! Block 0 of a channel: its configuration, as a Fabric config block.

use std::time::SystemTime;

use bytes::Bytes;
use quire_identity::Organization;
use quire_identity::config::genesis_group;
use quire_ledger::Block;
use quire_ordering::{BlockSigner, BlockWriter};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Header, Payload, SignatureHeader, header_type};
use quire_wire::config::{BatchSize, Config, ConfigEnvelope};
use quire_wire::transaction::seal;
use quire_wire::tx_id::tx_id;

/// Fabric's recommended batch settings: 500 transactions, at most 10 MiB, preferably 2 MiB.
pub const BATCH_SIZE: BatchSize = BatchSize {
    max_message_count: 500,
    absolute_max_bytes: 10 << 20,
    preferred_max_bytes: 2 << 20,
};
/// How long a transaction may wait for others. In this node's order none waits; it is written for those who
/// take the channel over.
const BATCH_TIMEOUT: &str = "2s";
/// The version that Fabric's tools give the headers of configurations.
const HEADER_VERSION: i32 = 1;

/// Makes block 0 of `channel`, whose blocks have this size. It names one organisation, which submits,
/// endorses and orders. `signer`, its orderer, creates the configuration, and signs it and the block.
#[must_use]
pub fn genesis_block(
    channel: &str,
    batch_size: BatchSize,
    organization: &Organization,
    signer: &dyn BlockSigner,
    now: SystemTime,
) -> Block {
    let group = genesis_group(&[organization.msp_config()], batch_size, BATCH_TIMEOUT);
    let config = ConfigEnvelope {
        config: Some(Config {
            sequence: 0,
            channel_group: Some(group),
        }),
        last_update: None,
    };
    let envelope = config_envelope(channel, &config, signer, now);
    BlockWriter::genesis(envelope, signer).into()
}

/// A CONFIG envelope of an orderer.
pub(crate) fn config_envelope(
    channel: &str,
    config: &ConfigEnvelope,
    orderer: &dyn BlockSigner,
    now: SystemTime,
) -> Bytes {
    let nonce = orderer.nonce();
    let channel_header = ChannelHeader {
        r#type: header_type::CONFIG,
        version: HEADER_VERSION,
        timestamp: Some(now.into()),
        channel_id: channel.to_owned(),
        tx_id: tx_id(&nonce, orderer.creator()),
        ..ChannelHeader::default()
    };
    let signature_header = SignatureHeader {
        creator: orderer.creator().clone(),
        nonce: nonce.to_vec().into(),
    };
    let payload = Payload {
        header: Some(Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header.encode_to_vec().into(),
        }),
        data: config.encode_to_vec().into(),
    };
    let payload = Bytes::from(payload.encode_to_vec());
    let signature = orderer.sign(&payload);
    seal(payload, signature)
}
