//! Where a proposal goes, as far as the Gateway looks at it.

use quire_peer::MAX_ARGS;
use quire_wire::common::{ChannelHeader, Header};
use quire_wire::count::fields;
use quire_wire::peer::{
    ChaincodeInvocationSpec, ChaincodeProposalPayload, Proposal, SignedProposal,
};
use quire_wire::{DecodeError, Message, tolerant};

use crate::services::MAX_NAME;

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
    #[error("the call has more than {MAX_ARGS} arguments")]
    Args,
    #[error("a name of a channel or a chaincode has at most {MAX_NAME} bytes")]
    Name,
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
        if header.channel_id.is_empty() {
            return Err(NotProposed::NoChannel);
        }
        if fields(&payload.input, &[1, 3]) > MAX_ARGS {
            return Err(NotProposed::Args);
        }
        let spec: ChaincodeInvocationSpec = decode("ChaincodeInvocationSpec", payload.input)?;
        let chaincode = spec.chaincode_spec.and_then(|spec| spec.chaincode_id);
        let chaincode = chaincode.map(|id| id.name).filter(|name| !name.is_empty());
        let chaincode = chaincode.ok_or(NotProposed::NoChaincode)?;
        if header.channel_id.len() > MAX_NAME || chaincode.len() > MAX_NAME {
            return Err(NotProposed::Name);
        }
        Ok(Self {
            channel: header.channel_id,
            chaincode,
        })
    }
}

fn decode<M: Message + Default>(part: &'static str, bytes: bytes::Bytes) -> Result<M, NotProposed> {
    M::decode(bytes).map_err(|error| NotProposed::Malformed(part, error))
}
