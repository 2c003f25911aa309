//! Requests for blocks, signed by this node.

use std::fmt;
use std::sync::Arc;

use quire_identity::SigningIdentity;
use quire_ordering::BlockSigner;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, Header, Payload, SignatureHeader, header_type};
use quire_wire::deliver::{
    Nothing, Position, SeekInfo, SeekPosition, SeekSpecified, seek_behavior, seek_content,
};
use quire_wire::hash::Hash;

use crate::clock::Clock;

/// Makes the requests of a channel.
#[derive(Clone)]
pub(crate) struct Requests {
    pub(crate) channel: Arc<str>,
    /// Who asks.
    pub(crate) identity: Arc<SigningIdentity>,
    /// Has fresh randomness.
    pub(crate) signer: Arc<dyn BlockSigner + Send + Sync>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The certificate that requests are bound to.
    pub(crate) certificate: Option<Hash>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("channel", &self.channel)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Requests {
    /// All blocks from this one on, and those that will come.
    pub(crate) fn from(&self, number: u64) -> Envelope {
        let specified = |number| Position::Specified(SeekSpecified { number });
        self.sign(&SeekInfo {
            start: Some(place(specified(number))),
            stop: Some(place(specified(u64::MAX))),
            behavior: seek_behavior::BLOCK_UNTIL_READY,
            ..SeekInfo::default()
        })
    }

    /// The header of the newest block, with its signatures.
    pub(crate) fn newest(&self) -> Envelope {
        self.sign(&SeekInfo {
            start: Some(place(Position::Newest(Nothing {}))),
            stop: Some(place(Position::Newest(Nothing {}))),
            behavior: seek_behavior::FAIL_IF_NOT_READY,
            content_type: seek_content::HEADER_WITH_SIG,
            ..SeekInfo::default()
        })
    }

    /// A number that nobody can foresee.
    pub(crate) fn random(&self) -> u64 {
        let nonce = self.signer.nonce();
        nonce
            .iter()
            .take(8)
            .fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    fn sign(&self, info: &SeekInfo) -> Envelope {
        let certificate = self.certificate.map(|hash| hash.to_vec());
        let channel_header = ChannelHeader {
            r#type: header_type::DELIVER_SEEK_INFO,
            timestamp: Some(self.clock.now().into()),
            channel_id: self.channel.to_string(),
            tls_cert_hash: certificate.unwrap_or_default().into(),
            ..ChannelHeader::default()
        };
        let signature_header = SignatureHeader {
            creator: self.identity.serialized().clone(),
            nonce: self.signer.nonce().to_vec().into(),
        };
        let payload = Payload {
            header: Some(Header {
                channel_header: channel_header.encode_to_vec().into(),
                signature_header: signature_header.encode_to_vec().into(),
            }),
            data: info.encode_to_vec().into(),
        };
        let payload = payload.encode_to_vec();
        Envelope {
            signature: self.identity.sign(&payload),
            payload: payload.into(),
        }
    }
}

fn place(position: Position) -> SeekPosition {
    SeekPosition {
        position: Some(position),
    }
}
