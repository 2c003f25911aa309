//! Who asks for blocks, and whether they still may.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quire_identity::Identity;
use quire_peer::{Access, SignedData};
use quire_wire::common::{ChannelHeader, Envelope, Payload, SignatureHeader, Timestamp};
use quire_wire::deliver::{SeekInfo, status};
use quire_wire::hash::Hash;
use quire_wire::{DecodeError, tolerant};

use super::seek::Refused;

/// How far a request's clock may be off: Fabric's `peer.authentication.timewindow` as it comes.
const TIME_WINDOW: Duration = Duration::from_secs(15 * 60);

/// A request for blocks, taken apart.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) channel: String,
    /// The serialized `orderer.SeekInfo`.
    seek: Bytes,
    creator: Bytes,
    /// The bytes that the creator signed.
    signed: Bytes,
    signature: Bytes,
}

impl Request {
    /// Reads a request that was made about `now`, and is bound to the `certificate` of its connection.
    pub(super) fn read(
        envelope: Envelope,
        certificate: Option<&Hash>,
        now: SystemTime,
    ) -> Result<Self, Refused> {
        let bad = |_: DecodeError| status::BAD_REQUEST;
        let payload: Payload =
            tolerant::decode(envelope.payload.clone(), tolerant::PAYLOAD).map_err(bad)?;
        let header = payload.header.ok_or(status::BAD_REQUEST)?;
        let channel: ChannelHeader =
            tolerant::decode(header.channel_header, tolerant::CHANNEL_HEADER).map_err(bad)?;
        let signature: SignatureHeader =
            tolerant::decode(header.signature_header, tolerant::SIGNATURE_HEADER).map_err(bad)?;
        let time = channel.timestamp.ok_or(status::BAD_REQUEST)?;
        if nanos(now.into()).abs_diff(nanos(time)) > TIME_WINDOW.as_nanos() {
            return Err(status::BAD_REQUEST);
        }
        if certificate.is_some_and(|hash| channel.tls_cert_hash != hash[..]) {
            return Err(status::BAD_REQUEST);
        }
        Ok(Self {
            channel: channel.channel_id,
            seek: payload.data,
            creator: signature.creator,
            signed: envelope.payload,
            signature: envelope.signature,
        })
    }

    /// What it asks for.
    pub(super) fn seek(&self) -> Result<SeekInfo, Refused> {
        let seek = tolerant::decode(self.seek.clone(), tolerant::SEEK_INFO);
        seek.map_err(|_| status::BAD_REQUEST)
    }
}

/// Nanoseconds since 1970.
fn nanos(time: Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

/// Somebody who may read a channel's blocks, for now.
#[derive(Debug)]
pub(super) struct Session {
    access: Access,
    resource: &'static str,
    creator: Bytes,
    who: Arc<Identity>,
}

impl Session {
    /// Lets somebody in whose request was just read.
    pub(super) fn begin(
        access: Access,
        resource: &'static str,
        request: &Request,
    ) -> Result<Self, Refused> {
        let signed = SignedData {
            creator: &request.creator,
            data: &request.signed,
            signature: &request.signature,
        };
        let who = access.check(resource, signed);
        Ok(Self {
            who: who.map_err(|_| status::FORBIDDEN)?,
            creator: request.creator.clone(),
            access,
            resource,
        })
    }

    /// Asks whether they still may: the configuration may have changed, or their certificate may have expired.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let checked = self.access.check_again(self.resource, &self.creator);
        checked.map_err(|_| status::FORBIDDEN)
    }

    /// Who it is.
    pub(super) fn who(&self) -> &Arc<Identity> {
        &self.who
    }
}
