//! Whoever asks: proposals and requests for blocks in its name.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use quire_identity::SigningIdentity;
use quire_rpc::{Proposing, SignedCall};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, Header, Payload, SignatureHeader, header_type};
use quire_wire::deliver::SeekInfo;
use quire_wire::peer::ProposalResponse;
use quire_wire::tx_id::NONCE_BYTES;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::endpoint::Endpoint;
use super::error::PeerError;
use super::settings::Settings;

/// Somebody with a key.
pub(super) struct Caller<'a> {
    pub(super) settings: Settings<'a>,
    pub(super) signer: SigningIdentity,
    pub(super) now: SystemTime,
}

/// What is called, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) chaincode: String,
    pub(super) args: Vec<Bytes>,
    pub(super) is_init: bool,
    pub(super) transient: BTreeMap<String, Vec<u8>>,
}

impl<'a> Caller<'a> {
    pub(super) fn new(settings: Settings<'a>, now: SystemTime) -> Result<Self, PeerError> {
        Ok(Self {
            settings,
            signer: settings.signer(now)?,
            now,
        })
    }

    /// Randomness that is used once.
    pub(super) fn nonce() -> Result<[u8; NONCE_BYTES], PeerError> {
        let mut nonce = [0; NONCE_BYTES];
        let filled = SystemRandom::new().fill(&mut nonce);
        filled.map_err(|_| PeerError::Random)?;
        Ok(nonce)
    }

    /// A signed call. One for no channel has the empty name of a channel.
    pub(super) fn call(&self, channel: &str, input: Input) -> Result<SignedCall, PeerError> {
        let proposing = Proposing {
            chaincode: input.chaincode,
            args: input.args,
            is_init: input.is_init,
            transient: input.transient,
            nonce: Self::nonce()?,
            now: self.now,
        };
        Ok(proposing.sign(&self.signer, channel))
    }

    /// Has one peer run a call. `what` begins the text of an error.
    pub(super) async fn ask(
        &self,
        peer: &Endpoint,
        channel: &str,
        chaincode: &str,
        args: Vec<Bytes>,
        what: &str,
    ) -> Result<ProposalResponse, PeerError> {
        let input = Input {
            chaincode: chaincode.to_owned(),
            args,
            ..Input::default()
        };
        let call = self.call(channel, input)?;
        let client = peer.connect().await?;
        let answer = client.process_proposal(call.proposal).await;
        answer.map_err(PeerError::rpc(what))
    }

    /// A request for blocks, for whoever is connected to by `endpoint`.
    pub(super) fn seek(
        &self,
        endpoint: &Endpoint,
        channel: &str,
        seek: &SeekInfo,
    ) -> Result<Envelope, PeerError> {
        let channel_header = ChannelHeader {
            r#type: header_type::DELIVER_SEEK_INFO,
            timestamp: Some(self.now.into()),
            channel_id: channel.to_owned(),
            tls_cert_hash: endpoint.certificate_hash()?,
            ..ChannelHeader::default()
        };
        let signature_header = SignatureHeader {
            creator: self.signer.serialized().clone(),
            nonce: Bytes::copy_from_slice(&Self::nonce()?),
        };
        let payload = Payload {
            header: Some(Header {
                channel_header: channel_header.encode_to_vec().into(),
                signature_header: signature_header.encode_to_vec().into(),
            }),
            data: seek.encode_to_vec().into(),
        };
        let payload = Bytes::from(payload.encode_to_vec());
        let signature = self.signer.sign(&payload);
        Ok(Envelope { payload, signature })
    }
}
