//! Updates of a channel's configuration: signed in their file, or sent to an orderer.

use std::path::Path;

use bytes::Bytes;
use quire_identity::config::{sign_update, update_envelope};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, Payload, header_type};
use quire_wire::config::ConfigUpdateEnvelope;

use crate::files;
use crate::peer::caller::Caller;
use crate::peer::endpoint::Endpoint;
use crate::peer::error::PeerError;
use crate::peer::orderer::broadcast;

/// Adds the caller's signature to the update in a file.
pub(super) fn sign_file(caller: &Caller<'_>, file: &Path) -> Result<(), PeerError> {
    let signed = sign(caller, None, file)?;
    Ok(files::write(file, &signed, 0o660)?)
}

/// Adds the caller's signature to the update in a file, and sends it.
pub(super) async fn send(
    caller: &Caller<'_>,
    channel: Option<&str>,
    file: &Path,
    orderer: &Endpoint,
) -> Result<(), PeerError> {
    let signed = sign(caller, channel, file)?;
    let envelope = Envelope::decode(signed).map_err(PeerError::decode("Envelope"))?;
    broadcast(std::slice::from_ref(orderer), &envelope).await
}

fn sign(caller: &Caller<'_>, channel: Option<&str>, file: &Path) -> Result<Bytes, PeerError> {
    let invalid = |why: &str| PeerError::InvalidUpdate(why.to_owned());
    let envelope = Envelope::decode(Bytes::from(files::read(file)?));
    let envelope = envelope.map_err(PeerError::decode("Envelope"))?;
    let payload = Payload::decode(envelope.payload).map_err(|_| invalid("bad payload"))?;
    let header = payload
        .header
        .filter(|header| !header.channel_header.is_empty());
    let header = header.ok_or_else(|| invalid("bad header"))?;
    let header = ChannelHeader::decode(header.channel_header);
    let header = header.map_err(|_| invalid("could not unmarshall channel header"))?;
    if header.r#type != header_type::CONFIG_UPDATE {
        return Err(invalid("bad type"));
    }
    if header.channel_id.is_empty() {
        return Err(invalid("empty channel id"));
    }
    let named = channel.unwrap_or(&header.channel_id);
    if named != header.channel_id {
        let text = format!("mismatched channel ID {} != {named}", header.channel_id);
        return Err(PeerError::InvalidUpdate(text));
    }
    let update = ConfigUpdateEnvelope::decode(payload.data);
    let mut update = update.map_err(|_| invalid("Bad config update env"))?;
    sign_update(&mut update, &caller.signer, &Caller::nonce()?);
    let nonce = Caller::nonce()?;
    let (signer, now) = (&caller.signer, caller.now);
    Ok(update_envelope(named, &update, signer, &nonce, now))
}
