//! Where a proposal goes, as far as the Gateway looks at it.

use quire_wire::common::{ChannelHeader, Header};
use quire_wire::peer::{
    ChaincodeInvocationSpec, ChaincodeProposalPayload, Proposal, SignedProposal,
};
use quire_wire::{DecodeError, Message, tolerant};

/// The channel and the chaincode of a proposal.
#[derive(Debug)]
pub(super) struct Proposed {
    pub(super) channel: String,
    pub(super) chaincode: String,
}

/// Why they cannot be told, in Fabric's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotProposed {
    #[error("a signed proposal is required")]
    Missing,
    #[error("error unmarshalling {0}: {1}")]
    Malformed(&'static str, DecodeError),
    #[error("no channel id provided")]
    NoChannel,
    #[error("no chaincode name is provided")]
    NoChaincode,
}

impl Proposed {
    pub(super) fn read(signed: &SignedProposal) -> Result<Self, NotProposed> {
        if signed.proposal_bytes.is_empty() {
            return Err(NotProposed::Missing);
        }
        let proposal: Proposal = decode("Proposal", signed.proposal_bytes.clone())?;
        let header: Header = decode("Header", proposal.header)?;
        let header = tolerant::decode(header.channel_header, tolerant::CHANNEL_HEADER);
        let header: ChannelHeader =
            header.map_err(|error| NotProposed::Malformed("ChannelHeader", error))?;
        let payload: ChaincodeProposalPayload =
            decode("ChaincodeProposalPayload", proposal.payload)?;
        let spec: ChaincodeInvocationSpec = decode("ChaincodeInvocationSpec", payload.input)?;
        if header.channel_id.is_empty() {
            return Err(NotProposed::NoChannel);
        }
        let chaincode = spec.chaincode_spec.and_then(|spec| spec.chaincode_id);
        let chaincode = chaincode.map(|id| id.name).filter(|name| !name.is_empty());
        Ok(Self {
            channel: header.channel_id,
            chaincode: chaincode.ok_or(NotProposed::NoChaincode)?,
        })
    }
}

fn decode<M: Message + Default>(part: &'static str, bytes: bytes::Bytes) -> Result<M, NotProposed> {
    M::decode(bytes).map_err(|error| NotProposed::Malformed(part, error))
}
