//! Functions that make the parts of a chain.

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::common::{
    Block, BlockData, BlockHeader, BlockMetadata, ChannelHeader, Envelope, Header, Payload,
    SignatureHeader, header_type,
};
use quire_wire::config::{Config, ConfigEnvelope, ConfigGroup};
use quire_wire::hash::data_hash;

/// A block of these envelopes that no orderer has signed and nobody has judged.
pub fn block(number: u64, previous_hash: Bytes, envelopes: Vec<Bytes>) -> Block {
    Block {
        header: Some(BlockHeader {
            number,
            previous_hash,
            data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
        }),
        data: Some(BlockData { data: envelopes }),
        metadata: Some(BlockMetadata::default()),
    }
}

/// The envelope of a channel's first configuration, which nobody signs, as Fabric's tools make it.
pub fn config_envelope(channel: &str, root: ConfigGroup) -> Bytes {
    let config = Config {
        channel_group: Some(root),
        ..Config::default()
    };
    let config = ConfigEnvelope {
        config: Some(config),
        ..ConfigEnvelope::default()
    };
    envelope_of(channel, &config)
}

/// The envelope of a later configuration, which nobody has signed yet.
pub fn envelope_of(channel: &str, config: &ConfigEnvelope) -> Bytes {
    let header = ChannelHeader {
        r#type: header_type::CONFIG,
        channel_id: channel.to_owned(),
        ..ChannelHeader::default()
    };
    let payload = Payload {
        header: Some(Header {
            channel_header: header.encode_to_vec().into(),
            signature_header: SignatureHeader::default().encode_to_vec().into(),
        }),
        data: config.encode_to_vec().into(),
    };
    let envelope = Envelope {
        payload: payload.encode_to_vec().into(),
        signature: Bytes::new(),
    };
    envelope.encode_to_vec().into()
}
