//! A proposal by somebody whose key this node does not have. It is taken apart and checked by Fabric's rules.

use std::time::SystemTime;

use bytes::Bytes;
use quire_chaincode::Call;
use quire_identity::{IdentityError, Msps, PolicyError, SignatureError};
use quire_ledger::ReadError;
use quire_wire::common::{ChannelHeader, Header, SignatureHeader, header_type};
use quire_wire::count::fields;
use quire_wire::peer::{
    ChaincodeHeaderExtension, ChaincodeInvocationSpec, ChaincodeProposalPayload,
    Proposal as ProposalMessage, ProposalResponse, SignedProposal,
};
use quire_wire::transaction::ProposalBytes;
use quire_wire::tx_id::tx_id;
use quire_wire::{DecodeError, Message, tolerant};

use crate::config::InForce;
use crate::submit::SubmitError;

/// Where the arguments of a call stand in a `ChaincodeInvocationSpec`: its specification, and in that the input.
const SPEC_INPUT: &[u32] = &[1, 3];
/// Arguments and decorations of a call, at most: each takes many times the bytes that it has on the way.
pub const MAX_ARGS: usize = 65_536;

/// Why a proposal is refused. Its sender can mend all but [`Self::Policy`], [`Self::Read`] and
/// [`Self::Channel`].
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// A part of it is not the message that it should be.
    #[error("the {part} of the proposal cannot be read")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// What is wrong with its bytes.
        source: DecodeError,
    },
    /// A part of it is not there.
    #[error("the proposal has no {0}")]
    Missing(&'static str),
    /// It is not a call or a configuration.
    #[error("the proposal has the header type {}, which cannot be endorsed", header_type::name(*.0))]
    HeaderType(i32),
    /// Its epoch is not 0.
    #[error("the proposal has the epoch {0}")]
    Epoch(u64),
    /// Its transaction id is not that of its nonce and creator.
    #[error(
        "the proposal has the transaction id {claimed:?}, but nonce and creator give {derived:?}"
    )]
    TxId {
        /// What it says.
        claimed: String,
        /// What it should say.
        derived: String,
    },
    /// Its call has more than [`MAX_ARGS`] arguments.
    #[error("the call has more than {MAX_ARGS} arguments")]
    TooManyArgs,
    /// It names another channel.
    #[error("the proposal is for channel {0:?}")]
    OtherChannel(String),
    /// The channel does not know its creator.
    #[error("the creator is not a member of the channel")]
    Creator(#[from] IdentityError),
    /// Its creator's certificate has expired.
    #[error("the certificate of {0:?} has expired")]
    Expired(String),
    /// Its creator did not sign it.
    #[error("the creator's signature does not hold")]
    Signature(#[from] SignatureError),
    /// Its creator may not propose.
    #[error("{0:?} is not one of the writers of the channel's application")]
    NotAProposer(String),
    /// The channel's configuration does not say who may propose.
    #[error("the channel's configuration does not say who may propose")]
    Policy(#[from] PolicyError),
    /// A transaction with this id is in a block already.
    #[error("duplicate transaction found [{0}]")]
    Duplicate(String),
    /// The ledger could not be read. The operator looks at it.
    #[error("the ledger could not be read")]
    Read(#[from] ReadError),
    /// The channel takes no transactions now.
    #[error("the channel takes no transactions")]
    Channel(#[source] SubmitError),
}

/// A proposal that can be read.
#[derive(Debug)]
pub(crate) struct UnpackedProposal {
    /// What its creator signed.
    signed_bytes: Bytes,
    signature: Bytes,
    channel_header: ChannelHeader,
    pub(crate) signature_header: SignatureHeader,
    /// What its hash covers and its transaction will hold.
    pub(crate) bytes: ProposalBytes,
    pub(crate) call: Call,
}

impl UnpackedProposal {
    /// Takes a proposal apart.
    pub(crate) fn read(signed: &SignedProposal) -> Result<Self, ProposalError> {
        let signed_bytes = signed.proposal_bytes.clone();
        let proposal: ProposalMessage = decode("message", signed_bytes.clone())?;
        let header: Header = decode("header", proposal.header)?;
        let channel_header: ChannelHeader =
            tolerant::decode(header.channel_header.clone(), tolerant::CHANNEL_HEADER)
                .map_err(malformed("channel header"))?;
        let signature_header: SignatureHeader =
            tolerant::decode(header.signature_header.clone(), tolerant::SIGNATURE_HEADER)
                .map_err(malformed("signature header"))?;
        let extension: ChaincodeHeaderExtension =
            tolerant::decode(channel_header.extension.clone(), tolerant::HEADER_EXTENSION)
                .map_err(malformed("header extension"))?;
        let chaincode = extension.chaincode_id.map(|id| id.name);
        let chaincode = chaincode.filter(|name| !name.is_empty());
        let chaincode = chaincode.ok_or(ProposalError::Missing("chaincode"))?;
        let payload: ChaincodeProposalPayload = decode("payload", proposal.payload)?;
        let call = call(chaincode, payload.input.clone())?;
        // Only the chaincode may see the transient map.
        let payload = ChaincodeProposalPayload {
            input: payload.input,
            ..ChaincodeProposalPayload::default()
        };
        Ok(Self {
            signed_bytes,
            signature: signed.signature.clone(),
            bytes: ProposalBytes {
                channel_header: header.channel_header,
                signature_header: header.signature_header,
                payload: payload.encode_to_vec().into(),
            },
            channel_header,
            signature_header,
            call,
        })
    }

    pub(crate) fn tx_id(&self) -> &str {
        &self.channel_header.tx_id
    }

    /// Checks the proposal by Fabric's rules, in Fabric's order: channel, headers, transaction id, creator
    /// and signature.
    pub(crate) fn check_headers(
        &self,
        channel: &str,
        msps: &Msps,
        now: SystemTime,
    ) -> Result<(), ProposalError> {
        let header = &self.channel_header;
        if header.channel_id != channel {
            return Err(ProposalError::OtherChannel(header.channel_id.clone()));
        }
        match header.r#type {
            header_type::ENDORSER_TRANSACTION | header_type::CONFIG => {}
            other => return Err(ProposalError::HeaderType(other)),
        }
        if header.epoch != 0 {
            return Err(ProposalError::Epoch(header.epoch));
        }
        let SignatureHeader { creator, nonce } = &self.signature_header;
        for (part, bytes) in [
            ("nonce", nonce),
            ("creator", creator),
            ("signature", &self.signature),
        ] {
            if bytes.is_empty() {
                return Err(ProposalError::Missing(part));
            }
        }
        let derived = tx_id(nonce, creator);
        if header.tx_id != derived {
            return Err(ProposalError::TxId {
                claimed: header.tx_id.clone(),
                derived,
            });
        }
        let creator = msps.validate(creator)?;
        if creator.has_expired_at(now) {
            return Err(ProposalError::Expired(creator.name().to_owned()));
        }
        creator.verify(&self.signed_bytes, &self.signature)?;
        Ok(())
    }

    /// Checks the creator, whose signature is valid, against the channel's policy.
    pub(crate) fn check_proposer(&self, in_force: &InForce) -> Result<(), ProposalError> {
        let creator = [in_force
            .bundle
            .msps()
            .validate(&self.signature_header.creator)?];
        let proposers = in_force.proposers.as_ref().map_err(Clone::clone)?;
        if proposers.is_satisfied_by(&creator) {
            return Ok(());
        }
        let [creator] = creator;
        Err(ProposalError::NotAProposer(creator.name().to_owned()))
    }
}

/// The call that a proposal asks for; `None` if that cannot be read. Nothing is checked.
#[must_use]
pub fn proposed_call(signed: &SignedProposal) -> Option<Call> {
    Some(UnpackedProposal::read(signed).ok()?.call)
}

/// The payload of the transaction that an endorsed proposal comes to, for its creator to sign; `None` if the
/// proposal cannot be read, or nobody endorsed it.
#[must_use]
pub fn unsigned_transaction(signed: &SignedProposal, response: ProposalResponse) -> Option<Bytes> {
    let proposal = UnpackedProposal::read(signed).ok()?;
    let endorsement = response.endorsement?;
    Some(
        proposal
            .bytes
            .transaction_payload(response.payload, vec![endorsement]),
    )
}

/// The call that a payload's input asks for: the first argument is the function's name.
fn call(chaincode: String, input: Bytes) -> Result<Call, ProposalError> {
    if fields(&input, SPEC_INPUT) > MAX_ARGS {
        return Err(ProposalError::TooManyArgs);
    }
    let invocation: ChaincodeInvocationSpec = decode("chaincode invocation", input)?;
    let spec = invocation.chaincode_spec;
    let spec = spec.ok_or(ProposalError::Missing("chaincode specification"))?;
    let input = spec.input.ok_or(ProposalError::Missing("input"))?;
    let mut args = input.args.into_iter();
    let function = args.next().unwrap_or_default();
    Ok(Call {
        chaincode,
        // Bytes that are not text do not name a function, and the chaincode says so.
        function: String::from_utf8_lossy(&function).into_owned(),
        args: args.collect(),
    })
}

fn decode<M: Message + Default>(part: &'static str, bytes: Bytes) -> Result<M, ProposalError> {
    M::decode(bytes).map_err(malformed(part))
}

fn malformed(part: &'static str) -> impl FnOnce(DecodeError) -> ProposalError {
    move |source| ProposalError::Malformed { part, source }
}
