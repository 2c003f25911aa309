//! A proposal as the Gateway reads it: what it misses is told in other words than the endorser's.

use std::sync::Arc;

use quire_peer::{HEADER_EXTENSION, MAX_ARGS, ProposalError, SIGNATURE_HEADER, UnpackedProposal};
use quire_wire::DecodeError;
use quire_wire::peer::SignedProposal;

use crate::endorser::Rejected;
use crate::services::MAX_NAME;

/// Why a proposal goes nowhere, in Fabric's words.
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
    /// What is wrong is in a part that a Gateway leaves to the endorser.
    #[error("{}", .0.text)]
    Rejected(Rejected),
}

/// Takes a proposal apart.
pub(super) fn read(signed: Option<SignedProposal>) -> Result<Arc<UnpackedProposal>, NotProposed> {
    let signed = signed.unwrap_or_default();
    if signed.proposal_bytes.is_empty() {
        return Err(NotProposed::Missing);
    }
    let proposal = UnpackedProposal::read(signed)?;
    let (channel, chaincode) = (proposal.headers().channel(), proposal.specified());
    if channel.is_empty() {
        return Err(NotProposed::NoChannel);
    }
    if chaincode.is_empty() {
        return Err(NotProposed::NoChaincode);
    }
    if channel.len() > MAX_NAME || chaincode.len() > MAX_NAME {
        return Err(NotProposed::Name);
    }
    Ok(Arc::new(proposal))
}

impl From<ProposalError> for NotProposed {
    fn from(error: ProposalError) -> Self {
        match error {
            ProposalError::Malformed { part, source }
                if ![SIGNATURE_HEADER, HEADER_EXTENSION].contains(&part) =>
            {
                Self::Malformed(part, source)
            }
            ProposalError::Missing("chaincode specification") => Self::NoChaincode,
            ProposalError::TooManyArgs => Self::Args,
            error => Self::Rejected(Rejected::unread(&error)),
        }
    }
}
