//! Signing an update, and putting it into the envelope that goes to an orderer.

use std::time::SystemTime;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Header, Payload, SignatureHeader, header_type};
use quire_wire::config::{ConfigSignature, ConfigUpdateEnvelope};
use quire_wire::transaction::seal;

use crate::signing::SigningIdentity;

/// Adds a signature of `signer` over a serialized `ConfigUpdate`. `nonce` is random and used once.
pub fn sign_update(update: &mut ConfigUpdateEnvelope, signer: &SigningIdentity, nonce: &[u8]) {
    let header = signature_header(signer, nonce);
    let message = [&header[..], &update.config_update].concat();
    update.signatures.push(ConfigSignature {
        signature: signer.sign(&message),
        signature_header: header,
    });
}

/// The serialized envelope of type `CONFIG_UPDATE`, made and signed by `creator`, who must be one of the
/// channel's writers and need not be one of those who signed the update.
#[must_use]
pub fn update_envelope(
    channel: &str,
    update: &ConfigUpdateEnvelope,
    creator: &SigningIdentity,
    nonce: &[u8],
    now: SystemTime,
) -> Bytes {
    let channel_header = ChannelHeader {
        r#type: header_type::CONFIG_UPDATE,
        timestamp: Some(now.into()),
        channel_id: channel.to_owned(),
        ..ChannelHeader::default()
    };
    let payload = Payload {
        header: Some(Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header(creator, nonce),
        }),
        data: update.encode_to_vec().into(),
    };
    let payload = Bytes::from(payload.encode_to_vec());
    let signature = creator.sign(&payload);
    seal(payload, signature)
}

fn signature_header(signer: &SigningIdentity, nonce: &[u8]) -> Bytes {
    let header = SignatureHeader {
        creator: signer.serialized().clone(),
        nonce: Bytes::copy_from_slice(nonce),
    };
    header.encode_to_vec().into()
}
